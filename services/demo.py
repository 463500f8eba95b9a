"""Demo cases: synthetic heads, so that the house can be walked through before a scan is in it."""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress

import numpy as np

from core.labels import CLASSES
from core.phantom import phantom, to_dicom
from core.reading import Model
from db import batch_queries, queries
from db.queries import ScanRow
from services.intake import Incoming, receive
from services.review import ScanChanged, new_click, record
from services.workspace import Workspace

CASES = 40
REVIEWED = 24
DEMO_READER = "Demo reader"
SOURCE = "demo"


def demo_label(index: int) -> str:
    """The finding put into demo case `index`; which it is cannot be seen from the number."""
    return CLASSES[int(np.random.default_rng(index + 77).integers(len(CLASSES)))]


def is_due(ws: Workspace) -> bool:
    """Whether the case log is empty, or holds nothing but a part of the demo cases, whose loading was killed."""
    stored = _stored(ws)
    return stored is not None and (len(stored) < CASES or bool(_to_review(stored)))


def load_demo(ws: Workspace, model: Model) -> int:
    """Fill an empty case log with demo cases, more than half of them reviewed, or go on where that was killed; returns
    how many were stored."""
    if not is_due(ws):
        return 0
    with ws.db.writing() as session:
        queries.add_patients(session, _splits(ws))
    files = _files(but_of=_stored(ws) or ())
    received = list(receive(ws, model, files, source=SOURCE, actor="demo", synthetic=True))
    for index, scan in _to_review(_stored(ws) or {}).items():
        with suppress(ScanChanged):  # who loads them too, or reads them already, was faster
            record(
                ws,
                scan.id,
                reader=DEMO_READER,
                verdict=demo_label(index),
                expected_version=0,
                click_id=new_click(),
                blind=scan.audit,
            )
    return sum(one.outcome == "stored" for one in received)


def _stored(ws: Workspace) -> dict[int, ScanRow] | None:
    """Number -> demo case, as far as they are in; None where the case log holds anything else."""
    index_of = {_key(ws, index): index for index in range(CASES)}
    with ws.db.reading() as session:
        if not batch_queries.holds_only(session, SOURCE):
            return None
        scans = queries.scans(session)
    return {index_of[scan.patient_key]: scan for scan in scans if scan.patient_key in index_of}


def _to_review(stored: dict[int, ScanRow]) -> dict[int, ScanRow]:
    """Those that are to have a verdict and have none."""
    return {index: stored[index] for index in range(REVIEWED) if index in stored and stored[index].version == 0}


def _splits(ws: Workspace) -> dict[str, str]:
    """Patient -> split, a quarter of each class in either of validation and testing: dealt by chance, most homes would
    have too few reviewed demo cases there for a retraining on them to begin."""
    dealt, met = dict[str, str](), Counter[str]()
    for index in range(CASES):
        label = demo_label(index)
        dealt[_key(ws, index)] = ("train", "train", "test", "validation")[met[label] % 4]
        met[label] += 1
    return dealt


def _patient(index: int) -> str:
    return f"DEMO-{index + 1:02}"


def _key(ws: Workspace, index: int) -> str:
    return ws.pseudonym.of("PatientID", _patient(index))


def _files(but_of: Collection[int]) -> Iterator[Incoming]:
    for index in sorted(set(range(CASES)) - set(but_of)):
        scan = phantom(demo_label(index), seed=index)
        yield Incoming(f"{_patient(index).lower()}.dcm", to_dicom(scan, _patient(index), number=index + 1))
