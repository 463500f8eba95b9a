import os
import shutil
import signal
import threading

import numpy as np
import pytest

from core.bundle import load
from core.manifest import WEIGHTS, BadBundle, versions
from core.model_process import ModelProcess, ModelStopped
from core.phantom import phantom
from core.predict import Predictor
from services.workspace import DEMO_BUNDLES
from tests.conftest import display_scan

DEMONSTRATION = versions(DEMO_BUNDLES)[-1]
FAILS = """
import sys
from core.child import pipes, serve
from core.model_process import answers_to
class Broken:
    def read(self, scans):
        raise KeyError("weights")
serve(lambda head, body: answers_to(Broken(), head, body), *pipes(), {"ready": True})
"""
DIES = """
import sys
from core.child import pipes, serve
def answers_to(head, body):
    raise SystemExit(1)
    yield
serve(answers_to, *pipes(), {"ready": True})
"""


@pytest.fixture(scope="module")
def model():
    one = ModelProcess(DEMONSTRATION)
    yield one
    one.close()


def scans(n=3):
    found = [phantom("ischemic", i, 96) for i in range(n - 1)]
    return [*found, display_scan(np.random.default_rng(0).uniform(0, 255, (80, 120)))]


def same(there, here):
    assert len(there) == len(here)
    for one, other in zip(there, here, strict=True):
        np.testing.assert_array_equal(one.heat, other.heat)
        mine, others = ({k: v for k, v in vars(of).items() if k != "heat"} for of in (one, other))
        assert {k: v for k, v in mine.items() if k not in ("probabilities", "confidence")} == {
            k: v for k, v in others.items() if k not in ("probabilities", "confidence")
        }
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
        assert one.confidence == one.probabilities[one.label]


def test_it_says_what_is_said_here(model):
    same(model.read(scans()), Predictor(load(DEMONSTRATION)).read(scans()))
    assert model.manifest == load(DEMONSTRATION).manifest
    assert model.read([]) == []


def test_threads_may_share_it(model):
    expected, found = model.read(scans(4)), {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: model.read(scans(4)[i : i + 1])})) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same([found[i][0] for i in range(4)], expected)


def test_a_process_that_was_stopped_is_started_again(model):
    before = model.read(scans())
    os.kill(model._child.pid, signal.SIGKILL)
    same(model.read(scans()), before)


def test_one_that_stops_at_the_same_scans_again_is_said_to():
    model = ModelProcess(DEMONSTRATION, command=("-c", DIES))
    with pytest.raises(ModelStopped, match="Give this machine more memory"):
        model.read(scans())
    model.close()


def test_one_that_fails_over_scans_says_how_and_goes_on():
    model = ModelProcess(DEMONSTRATION, command=("-c", FAILS))
    for _ in range(2):
        with pytest.raises(ModelStopped, match="KeyError: 'weights'"):
            model.read(scans(2))
    model.close()


def test_a_bundle_that_is_damaged_while_its_process_is_gone_is_not_waited_for(tmp_path):
    folder = tmp_path / DEMONSTRATION.name
    shutil.copytree(DEMONSTRATION, folder)
    model = ModelProcess(folder)
    os.kill(model._child.pid, signal.SIGKILL)
    (folder / WEIGHTS).write_bytes(b"x")
    with pytest.raises(ModelStopped, match=r"weights of .* have been changed"):
        model.read(scans(2))


def test_a_damaged_bundle_does_not_load(tmp_path):
    folder = tmp_path / DEMONSTRATION.name
    shutil.copytree(DEMONSTRATION, folder)
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BadBundle, match=r"weights of .* have been changed"):
        ModelProcess(folder)
    path.unlink()
    with pytest.raises(BadBundle, match="has no weights"):
        ModelProcess(folder)


def test_a_process_that_does_not_start_is_said_to():
    with pytest.raises(ModelStopped, match="did not start"):
        ModelProcess(DEMONSTRATION, command=("-c", "raise SystemExit(1)"))


def test_its_process_ends_with_it():
    model = ModelProcess(DEMONSTRATION)
    pid = model._child.pid
    del model
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
