"""Demo cases: synthetic heads, so that the house can be walked through before a scan is in it."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from core.labels import CLASSES
from core.phantom import phantom, to_dicom
from core.reading import Model
from db import queries
from services.intake import Incoming, receive
from services.review import new_click, record
from services.workspace import Workspace

CASES = 40
REVIEWED = 24
DEMO_READER = "Demo reader"


def demo_label(index: int) -> str:
    """The finding put into demo case `index`; which it is cannot be seen from the number."""
    return CLASSES[int(np.random.default_rng(index + 77).integers(len(CLASSES)))]


def is_empty(ws: Workspace) -> bool:
    """Whether the case log holds no scan."""
    with ws.db.reading() as session:
        return not queries.has_scans(session)


def load_demo(ws: Workspace, model: Model) -> int:
    """Fill an empty case log with demo cases, more than half of them reviewed; returns how many were stored."""
    if not is_empty(ws):
        return 0
    with ws.db.writing() as session:
        queries.add_patients(session, _splits(ws))
    received = receive(ws, model, _files(), source="demo", actor="demo", synthetic=True)
    # not what somebody else has loaded meanwhile; which case each is
    stored = [(index, one) for index, one in enumerate(received) if one.outcome == "stored"]
    for index, one in stored[:REVIEWED]:
        record(
            ws,
            one.scan_id or 0,
            reader=DEMO_READER,
            verdict=demo_label(index),
            expected_version=0,
            click_id=new_click(),
            blind=one.audit,
        )
    return len(stored)


def _splits(ws: Workspace) -> dict[str, str]:
    """Patient -> split, a quarter of each class in either of validation and testing: dealt by chance, most homes would
    have too few reviewed demo cases there for a retraining on them to begin."""
    dealt, met = dict[str, str](), Counter[str]()
    for index in range(CASES):
        label = demo_label(index)
        dealt[ws.pseudonym.of("PatientID", _patient(index))] = ("train", "train", "test", "validation")[met[label] % 4]
        met[label] += 1
    return dealt


def _patient(index: int) -> str:
    return f"DEMO-{index + 1:02}"


def _files() -> Iterator[Incoming]:
    for index in range(CASES):
        scan = phantom(demo_label(index), seed=index)
        yield Incoming(f"{_patient(index).lower()}.dcm", to_dicom(scan, _patient(index), number=index + 1))
