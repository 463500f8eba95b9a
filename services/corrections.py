"""What readers' verdicts give a retraining, and how those before have ended."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from core.labels import CLASSES, HEMORRHAGIC, in_words
from core.manifest import CALIBRATED_FROM, OPERATING_POINT_FROM, TYPICAL_FROM, Manifest
from db import models, queries, review_queries
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
        verdicts = review_queries.verdicts(session)
        splits = queries.splits(session)
    return [
        Item(scan.id, scan.content_hash, verdict.label, verdict.review_id, scan.patient_key, splits[scan.patient_key])
        for scan in sorted(scans, key=lambda scan: scan.id)
        if (verdict := verdicts.get(scan.id)) and verdict.label in CLASSES
    ]


def to_keep(champion: Manifest, *, synthetic: bool = False) -> tuple[str, ...]:
    """The classes that a retraining must go on teaching: the champion's, unless it begins from scratch."""
    return () if champion.demonstration and not synthetic else champion.classes


def too_few(
    ws: Workspace, items: Sequence[Item], classes: Collection[str] = (), champion: Manifest | None = None
) -> str | None:
    """Why these labels cannot train a model that tells `classes` apart, and can say as much of its answers as the
    `champion`, and judge it; None where they can."""
    rule = ws.settings.retrain
    if len(items) < rule.min_scans:
        return f"At least {rule.min_scans} scans with a verdict are needed to train on; there are {len(items)}."
    return (
        _too_few_to_judge(ws, [item for item in items if item.split == "test"])
        or _too_few_to_settle([item for item in items if item.split == "validation"])
        or _too_few_to_learn({item.label for item in items if item.split == "train"}, classes)
        or (None if champion is None or champion.demonstration else _too_few_to_say_as_much(items, champion))
    )


def _too_few_to_judge(ws: Workspace, test: Sequence[Item]) -> str | None:
    rule, patients = ws.settings.retrain, {item.patient_key for item in test}
    if len(test) < rule.min_test_scans or len(patients) < rule.min_test_patients:
        return (
            f"At least {rule.min_test_scans} reviewed scans of {rule.min_test_patients} patients kept for testing are "
            f"needed to compare two models; there are {len(test)} of {len(patients)}. Review scans of more patients."
        )
    hemorrhages = sum(item.label == HEMORRHAGIC for item in test)
    if not 0 < hemorrhages < len(test):
        which = "all" if hemorrhages else "none"
        return (
            f"Of the reviewed scans of patients kept for testing {which} are hemorrhagic, so that nothing would tell "
            "whether a new model finds hemorrhages as well. Review scans of more patients."
        )
    return None


def _too_few_to_settle(validation: Sequence[Item]) -> str | None:
    return (
        None
        if validation
        else ("No reviewed scan belongs to a patient kept for validation. Review scans of more patients.")
    )


def _too_few_to_learn(learned: Collection[str], classes: Collection[str]) -> str | None:
    if len(learned) < 2:
        return "The reviewed scans to train on are all of one class. Review scans of another one."
    if missing := [in_words(name).lower() for name in CLASSES if name in classes and name not in learned]:
        return (
            f"The model that serves also knows the answer “{missing[0]}”, and none of the reviewed scans to train on "
            "is that: it would be unlearned. Review such scans of more patients."
        )
    return None


def _too_few_to_say_as_much(items: Sequence[Item], champion: Manifest) -> str | None:
    """What the champion tells its readers a candidate must be able to tell them too."""
    validation = [item.label for item in items if item.split == "validation"]
    train = sum(item.split == "train" for item in items)
    calibrated = champion.calibration.scans or champion.abstain_below is not None
    if calibrated and len(validation) < CALIBRATED_FROM:
        return (
            f"At least {CALIBRATED_FROM} reviewed scans of patients kept for validation are needed to settle what "
            f"confidence means, as it is for the model that serves; there are {len(validation)}."
        )
    if HEMORRHAGIC in champion.operating_points and validation.count(HEMORRHAGIC) < OPERATING_POINT_FROM:
        return (
            f"At least {OPERATING_POINT_FROM} hemorrhagic scans of patients kept for validation are needed to settle "
            f"from when on hemorrhage is not excluded; {validation.count(HEMORRHAGIC)} have been reviewed."
        )
    if champion.false_flags is not None and train < TYPICAL_FROM:
        return (
            f"At least {TYPICAL_FROM} reviewed scans to train on are needed to tell head CT from other images, as the "
            f"model that serves does; there are {train}."
        )
    return None


def runs(ws: Workspace) -> Sequence[models.TrainingRun]:
    """Retrainings, newest first."""
    with ws.db.reading() as session:
        return session.scalars(select(models.TrainingRun).order_by(models.TrainingRun.id.desc())).all()
