"""A model that serves, files that are given to it, and a log of reviews to ask figures of."""

import shutil

import pytest
from sqlalchemy import text

from core.settings import Settings
from services.intake import Incoming, receive
from services.models import champion, promote, serving_model
from services.questions import Question
from services.reporting import live_evaluation
from services.review import case, new_click, record
from services.workspace import open_workspace
from tests.conftest import dicom, made_once, png


@pytest.fixture
def predictor(ws, publish_untrained):
    promote(ws, publish_untrained(), actor="test")
    return serving_model(ws)


def take(ws, predictor, files, **more):
    """What became of (name, data) files of one upload."""
    incoming = (Incoming(name, data) for name, data in files)
    return list(receive(ws, predictor, incoming, source="upload", actor="a", **more))


SCANS = 40


@pytest.fixture(scope="session")
def _log_made(tmp_path_factory):
    with made_once(tmp_path_factory.mktemp("log")) as ws:
        received = _forty_scans(ws)
    return ws.settings.home_dir, received


@pytest.fixture
def log(home, demonstration_serves, _log_made):
    """Forty scans of forty patients by two ways; Ann reads the surest 30, Ben ten of them and says no stroke."""
    shutil.copytree(_log_made[0], home)
    return open_workspace(Settings()), list(_log_made[1])


def _forty_scans(ws):
    predictor = serving_model(ws)
    received = []
    for source in ("upload", "ingest"):
        start = 0 if source == "upload" else SCANS // 2
        files = [
            Incoming(f"{i}.dcm", dicom(i, "hemorrhagic" if i % 2 else "ischemic", f"P{i}"))
            for i in range(start, start + SCANS // 2)
        ]
        received += receive(ws, predictor, files, source=source, actor="test")
    received.sort(key=lambda one: -one.reading.confidence)
    for place, one in enumerate(received[:30]):
        truth = "hemorrhagic" if int(one.file.split(".")[0]) % 2 else "ischemic"
        file(ws, one.scan_id, "Ann", truth, version=0, blind=place % 2 == 0)
        if place < 10:
            file(ws, one.scan_id, "Ben", "no_stroke" if place < 4 else truth, version=1)
    return received


def file(ws, scan_id, reader, verdict, *, version, blind=False):
    record(ws, scan_id, reader=reader, verdict=verdict, expected_version=version, click_id=new_click(), blind=blind)


def asked(ws, **changes):
    return live_evaluation(ws, Question(champion(ws), **changes))


@pytest.fixture
def scan_ids(ws, publish_untrained):
    """Six scans that a model has read, none of them drawn for the blind audit."""
    promote(ws, publish_untrained(), actor="test")
    files = (Incoming(f"{i} (1).png", png(i)) for i in range(6))
    received = list(receive(ws, serving_model(ws), files, source="upload", actor="a"))
    with ws.db.writing() as session:
        session.execute(text("update scans set audit = 0"))
    return [r.scan_id for r in received]


def say(ws, scan_id, verdict, reader="Ann", version=None, **more):
    if version is None:
        version = case(ws, scan_id, reader).scan.version
    return record(ws, scan_id, reader=reader, verdict=verdict, expected_version=version, click_id=new_click(), **more)
