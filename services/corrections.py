"""What readers' verdicts give a retraining, and how those before have ended."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from core.labels import CLASSES
from db import models, queries
from services.workspace import Workspace


@dataclass(frozen=True)
class Item:
    """One labelled scan of a snapshot."""

    scan_id: int
    content_hash: str
    label: str
    review_id: int
    patient_key: str
    split: str


def labelled_scans(ws: Workspace, *, synthetic: bool = False) -> list[Item]:
    """Every scan with a verdict that counts and is a class, in its patient's split. Demo cases only where asked."""
    with ws.db.reading() as session:
        scans = [scan for scan in queries.scans(session) if scan.synthetic == synthetic]
        verdicts = queries.verdicts(session)
        splits = queries.splits(session)
    return [
        Item(scan.id, scan.content_hash, verdict.label, verdict.review_id, scan.patient_key, splits[scan.patient_key])
        for scan in sorted(scans, key=lambda scan: scan.id)
        if (verdict := verdicts.get(scan.id)) and verdict.label in CLASSES
    ]


def too_few(ws: Workspace, items: Sequence[Item]) -> str | None:
    """Why these labels cannot train and judge a model; None where they can."""
    rule = ws.settings.retrain
    if len(items) < rule.min_scans:
        return f"At least {rule.min_scans} scans with a verdict are needed to train on; there are {len(items)}."
    by_split = Counter(item.split for item in items)
    if by_split["test"] < rule.min_test_scans:
        return (
            f"At least {rule.min_test_scans} reviewed scans of patients kept for testing are needed to compare two "
            f"models; there are {by_split['test']}. Review scans of more patients."
        )
    if not by_split["validation"]:
        return "No reviewed scan belongs to a patient kept for validation. Review scans of more patients."
    if len({item.label for item in items if item.split == "train"}) < 2:
        return "The reviewed scans to train on are all of one class. Review scans of another one."
    return None


def runs(ws: Workspace) -> Sequence[models.TrainingRun]:
    """Retrainings, newest first."""
    with ws.db.reading() as session:
        return session.scalars(select(models.TrainingRun).order_by(models.TrainingRun.id.desc())).all()
