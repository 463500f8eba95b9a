"""What tests share: a home of their own, small synthetic scans, and real ones where there are any."""

import contextlib
import io
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from core import bundle
from core.decoder import Decoder
from core.labels import CLASSES, HEMORRHAGIC, ISCHEMIC
from core.network import build
from core.phantom import phantom, to_dicom
from core.predict import Predictor
from core.preprocess import InputSpec, windowed
from core.pseudonym import SECRET_BYTES
from core.scan import Scan
from core.settings import ROOT, Settings
from services.demo import load_demo
from services.models import demonstration_model
from services.workspace import Workspace, open_workspace

if "PYTEST_XDIST_WORKER" in os.environ:  # as many of these as there are cores
    torch.set_num_threads(1)


@cache
def _decoder(seconds: float, memory_mb: float) -> Decoder:
    return Decoder(seconds=seconds, memory_mb=memory_mb)


def as_in_tests(patch: pytest.MonkeyPatch) -> None:
    """Tests see the defaults, not what the machine they run on is set to; and to start PyTorch, or the process that
    decodes files, anew for every test would take minutes. Browser tests and `run_apart` run as they are."""
    for name in [name for name in os.environ if name.startswith("STROKE_") and name != "STROKE_TEST_DATA"]:
        patch.delenv(name)
    patch.setattr("services.models.ModelProcess", lambda folder: Predictor(bundle.load(folder)))
    patch.setattr("services.workspace.Decoder", lambda *, seconds, memory_mb: _decoder(seconds, memory_mb))


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    as_in_tests(monkeypatch)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("STROKE_HOME", str(folder))
    return folder


@pytest.fixture
def demonstration_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a checkout without a model of real scans: most tests read phantoms."""
    monkeypatch.setattr("services.models.SHIPPED_BUNDLES", tmp_path / "no bundles")


def _with_a_key(home: Path) -> Settings:
    """The key decides whose scans are read blind and who is in which part: in tests it is always the same one."""
    if not home.exists():
        home.mkdir(mode=0o700, parents=True)
        (home / "patient.key").write_bytes(bytes(range(SECRET_BYTES)))
    return Settings(home=home)


@pytest.fixture
def ws(home: Path, demonstration_serves: None) -> Workspace:
    return open_workspace(_with_a_key(home))


@contextlib.contextmanager
def made_once(folder: Path) -> Iterator[Workspace]:
    """A workspace, as `ws`, in a home that a fixture of a wider scope makes for tests to copy."""
    with pytest.MonkeyPatch.context() as patch:
        as_in_tests(patch)
        patch.setattr("services.models.SHIPPED_BUNDLES", folder / "no bundles")
        ws = open_workspace(_with_a_key(folder / "home"))
        yield ws
        ws.db.engine.dispose()


@pytest.fixture(scope="session")
def _demo_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with made_once(tmp_path_factory.mktemp("demo")) as ws:
        load_demo(ws, demonstration_model(ws))
    return ws.settings.home_dir


@pytest.fixture
def demo_home(home: Path, _demo_made: Path) -> Path:
    """A home with the demo cases."""
    return Path(shutil.copytree(_demo_made, home))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans; tests that need it are skipped, and say so, where there is none."""
    for folder in (os.environ.get("STROKE_TEST_DATA"), ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / "ct_ich").is_dir():
            return Path(folder)
    pytest.skip("no real scans: set STROKE_TEST_DATA to a folder that holds ct_ich/")


def bundle_facts(classes: tuple[str, ...] = CLASSES, **changes: object) -> dict[str, object]:
    """The facts of a manifest for tests."""
    return {
        "arch": "stroke_cnn",
        "classes": classes,
        "input_spec": InputSpec(size=64).to_json(),
        "calibration": {"temperature": 1.5, "scans": 30, "patients": 9},
        "trained_on": "nothing",
        **changes,
    }


@pytest.fixture
def publish_untrained(ws: Workspace) -> Callable[..., str]:
    """Publish a network with random weights; returns its version."""

    return partial(publish_network, ws)


def publish_network(ws: Workspace, seed: int = 0, classes: tuple[str, ...] = CLASSES, **changes: object) -> str:
    """`publish_untrained`, for a fixture of a wider scope."""
    torch.manual_seed(seed)
    return bundle.publish(ws.models_dir, build("stroke_cnn", classes), bundle_facts(classes, **changes)).version


def png(seed: int = 0, label: str = HEMORRHAGIC, size: int = 96) -> bytes:
    """A synthetic slice as an 8-bit grey PNG."""
    out = io.BytesIO()
    grey = windowed(phantom(label, seed, size), (40.0, 80.0))
    Image.fromarray((grey * 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def dicom(seed: int = 0, label: str = ISCHEMIC, patient: str = "P1", size: int = 96) -> bytes:
    """A synthetic slice as a CT DICOM file."""
    return to_dicom(phantom(label, seed, size), patient, number=seed)


def changed_dicom(data: bytes | None = None, **tags: object) -> bytes:
    """A DICOM file (by default `dicom()`) with other values in its header; None takes a tag out."""
    header = pydicom.dcmread(io.BytesIO(data or dicom()))
    for tag, value in tags.items():
        if value is None:
            delattr(header, tag)
        elif tag == "PixelPaddingValue":
            header.add_new(0x00280120, "SS", value)
        else:
            setattr(header, tag, value)
    out = io.BytesIO()
    header.save_as(out)
    return out.getvalue()


def display_scan(pixels: np.ndarray) -> Scan:
    return Scan(np.asarray(pixels, np.float32), "display")


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """A tiny data set: three parts x two classes x some patients with one phantom each."""
    return make_class_folders(tmp_path)


def make_class_folders(under: Path) -> Path:
    """`class_folders`, for a fixture of a wider scope."""
    root = under / "data"
    number = 0
    for part, count in (("Train", 12), ("Validation", 5), ("Test", 5)):
        for name, label in (("hemorrhagic", HEMORRHAGIC), ("ischaemic", ISCHEMIC)):
            folder = root / part / name
            folder.mkdir(parents=True)
            for _ in range(count):
                number += 1
                (folder / f"{number} (1).png").write_bytes(png(number, label))
    return root


def run(script: str, *args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command with its own arguments and output; raises where it fails unless `check` is False."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(ROOT / "scripts" / f"{script}.py"), *map(str, args)])
        patch.syspath_prepend(ROOT / "scripts")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(sys.argv[0], run_name="__main__")
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    result = subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())
    assert not check or result.returncode == 0, result.stderr
    return result


def run_apart(script: str, *args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, as a shell starts it."""
    command = [sys.executable, ROOT / "scripts" / f"{script}.py", *map(str, args)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, result.stderr
    return result
