"""A model that serves, files that are given to it, and a log of reviews to ask figures of."""

import shutil

import pytest
from sqlalchemy import text

from core import bundle
from core.labels import CLASSES
from core.settings import Recipe, Settings
from db import models, queries
from services import learning
from services.corrections import labelled_scans
from services.intake import Incoming, receive
from services.models import champion, folder_of, promote, serving_model
from services.questions import Question
from services.reporting import live_evaluation
from services.review import case, new_click, record
from services.workspace import open_workspace
from tests.conftest import changed_dicom, dicom, made_once, png, publish_network


@pytest.fixture
def predictor(ws, publish_untrained):
    promote(ws, publish_untrained(), actor="test")
    return serving_model(ws)


def take(ws, predictor, files, **more):
    """What became of (name, data) files of one upload."""
    incoming = (Incoming(name, data) for name, data in files)
    return list(receive(ws, predictor, incoming, source="upload", actor="a", **more))


@pytest.fixture
def thin_series():
    """(name, content) of 60 slices in 12 groups that are alike but for a little brightness."""
    slices = []
    for i in range(60):
        header = {"SliceThickness": "1.25", "SeriesInstanceUID": "1.2.3.4", "InstanceNumber": i + 1}
        where = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 0, 1.25 * i]}
        slices.append((f"I{i:02}", changed_dicom(dicom(i // 4), RescaleIntercept=i % 4, **header, **where)))
    return slices


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


RECIPE = Recipe(image_size=64, batch_size=8).model_dump(mode="json")


@pytest.fixture(scope="session")
def _reviewed_made(tmp_path_factory):
    with made_once(tmp_path_factory.mktemp("reviewed")) as ws:
        promote(ws, publish_network(ws, lineage={"recipe": RECIPE}, calibration={}), actor="test")
        files = (Incoming(f"{i} (1).png", png(i, CLASSES[i % 3])) for i in range(40))
        for i, one in enumerate(receive(ws, serving_model(ws), files, source="upload", actor="a")):
            record(ws, one.scan_id, reader="Ann", verdict=CLASSES[i % 3], expected_version=0, click_id=new_click())
        deal_splits(ws)
    return ws.settings.home_dir


@pytest.fixture
def reviewed(home, demonstration_serves, _reviewed_made):
    """Forty scans of forty patients, each with the verdict that its phantom deserves."""
    shutil.copytree(_reviewed_made, home)
    ws = open_workspace(Settings())
    ws.settings.retrain.epochs = 2
    ws.settings.retrain.min_test_scans = 2
    return ws


def deal_splits(ws):
    """Enough patients in every part, whatever the home's secret says."""
    with ws.db.writing() as session:
        met = sorted(queries.scans(session), key=lambda scan: scan.id)
        for i, key in enumerate(dict.fromkeys(scan.patient_key for scan in met)):
            session.get_one(models.Patient, key).split = ("test", "validation", "train", "train")[i % 4]


def held_out(ws):
    ws.settings.retrain.margin = 1.0  # any accuracy will do
    items = [item for item in labelled_scans(ws) if item.split == "test"]
    model = bundle.load(folder_of(ws, champion(ws)))
    examples, _ = learning._examples(ws, items, model.spec, model.manifest.classes)
    return (examples,)
