"""What readers' verdicts give a retraining, and how those before have ended."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select

from core.labels import CLASSES, HEMORRHAGIC, SPLITS, counted, in_words
from core.likeness import in_first_part
from core.manifest import CALIBRATED_FROM, OPERATING_POINT_FROM, TYPICAL_FROM, Manifest
from core.scan import COLOURED, CONTRAST
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
    blind: bool = False  # given before the model's answer was shown


class Labelled(NamedTuple):
    """What the readers' verdicts give to learn from and to be judged by, and how many scans are left out."""

    items: list[Item]
    copies: int  # kept for validation or testing, that nearly copy one to learn from (or, for testing, to validate on),
    # or that a retraining has learned from (or validated on)
    withheld: int  # that no version answers: coloured marks show where the lesion is, and contrast what it is


def labelled(ws: Workspace, *, synthetic: bool = False) -> Labelled:
    """Every scan with a verdict that counts and is a class, in its patient's split; demo cases only where asked.

    Copies are left out, for where one patient has come under two names, a model that has learned the one by heart
    would look good on the other: also where that one, in a retraining once, has no such verdict any more.
    """
    with ws.db.reading() as session:
        scans = [scan for scan in queries.scans(session) if scan.synthetic == synthetic]
        verdicts = review_queries.verdicts(session)
        splits = queries.splits(session)
        withheld = queries.ids_with(session, COLOURED, CONTRAST)
        used = queries.ids_in_snapshots(session)
    items = [
        Item(
            scan.id, scan.content_hash, verdict.label, verdict.review_id, scan.patient_key, splits[scan.patient_key],
            verdict.blind,
        )
        for scan in sorted(scans, key=lambda scan: scan.id)
        if (verdict := verdicts.get(scan.id)) and verdict.label in CLASSES
    ]  # fmt: skip
    answered = [item for item in items if item.scan_id not in withheld]
    used |= {item.scan_id for item in answered}
    alike = queries.first_copies((scan.id, scan.resembles_id) for scan in scans)
    rows = [scan for scan in scans if scan.id in used]
    shows = [alike.get(scan.id, scan.id) for scan in rows]
    keep = {rows[i].id for i in in_first_part([splits[scan.patient_key] for scan in rows], shows)}
    kept = [item for item in answered if item.scan_id in keep]
    return Labelled(kept, len(answered) - len(kept), len(items) - len(answered))


def labelled_scans(ws: Workspace, *, synthetic: bool = False) -> list[Item]:
    """The scans alone."""
    return labelled(ws, synthetic=synthetic).items


def to_keep(champion: Manifest, *, synthetic: bool = False) -> tuple[str, ...]:
    """The classes that a retraining must go on teaching: the champion's, unless it begins from scratch."""
    return () if champion.demonstration and not synthetic else champion.classes


def too_few(
    ws: Workspace, items: Sequence[Item], classes: Collection[str] = (), champion: Manifest | None = None
) -> str | None:
    """Why these labels cannot train a model that tells `classes` apart, and can say as much of its answers as the
    `champion`, and judge it; None where they can."""
    serves = None if champion is None or champion.demonstration else champion
    problem = (
        _too_few_at_all(ws, items)
        or _too_few_to_judge(ws, [item for item in items if item.split == "test"])
        or _too_few_to_settle(items)
        or _too_few_to_learn(items, classes)
        or (_too_little_to_say_as_much(ws, items, serves) if serves else None)
    )
    if problem and serves:  # all at once: else who has mended one want would be told of the next
        problem += f" To replace the model that serves takes {_what_it_takes(ws, serves)}."
    return problem


def by_part(items: Sequence[Item]) -> list[str]:
    """How many scans each part has of each class, a line a part."""
    counts, lines = Counter((item.split, item.label) for item in items), []
    for split in SPLITS:
        per_class = ", ".join(f"{in_words(c).lower()} {counts[split, c]}" for c in CLASSES if counts[split, c])
        scans = counted(sum(item.split == split for item in items), "scan")
        patients = counted(len({item.patient_key for item in items if item.split == split}), "patient")
        lines.append(f"{split}: {scans} of {patients} ({per_class or 'none'})")
    return lines


def _too_few_at_all(ws: Workspace, items: Sequence[Item]) -> str | None:
    least = ws.settings.retrain.min_scans
    if len(items) >= least:
        return None
    demo = "; verdicts on demo cases do not count" if not items and labelled_scans(ws, synthetic=True) else ""
    return f"At least {least} scans with a verdict are needed to train on; there are {len(items)}{demo}."


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


def _too_few_to_settle(items: Sequence[Item]) -> str | None:
    if any(item.split == "validation" for item in items):
        return None
    return "No reviewed scan belongs to a patient kept for validation. Review scans of more patients."


def _too_few_to_learn(items: Sequence[Item], classes: Collection[str]) -> str | None:
    learned, given = {item.label for item in items if item.split == "train"}, {item.label for item in items}
    if len(learned) < 2:
        return "The reviewed scans to train on are all of one class. Review scans of another one."
    if missing := _missing(classes, learned):
        return (
            f"The model that serves also knows the answer “{missing}”, and none of the reviewed scans to train on is "
            "that: it would be unlearned. Review such scans of more patients."
        )
    if unlearned := _missing(given, learned):
        return (
            f"Scans kept for validation or testing have been reviewed as “{unlearned}”, and none of those to train "
            "on has: nothing would teach that answer. Review such scans of more patients."
        )
    return None


def _missing(classes: Collection[str], met: Collection[str]) -> str | None:
    """The first of the classes that is not among those met, in words."""
    return next((in_words(name).lower() for name in CLASSES if name in classes and name not in met), None)


def _is_calibrated(champion: Manifest) -> bool:
    return bool(champion.calibration.scans) or champion.abstain_below is not None


def _what_it_takes(ws: Workspace, champion: Manifest) -> str:
    """What `too_few` asks for, in one clause."""
    rule, settles, flags = ws.settings.retrain, _is_calibrated(champion), champion.false_flags is not None
    needed = [
        *([f"{rule.min_scans} scans with a verdict"] if rule.min_scans > TYPICAL_FROM or not flags else []),
        *([f"{TYPICAL_FROM} scans to train on"] if flags else []),
        *([f"{CALIBRATED_FROM} of patients kept for validation"] if settles or flags else []),
        *([f"{OPERATING_POINT_FROM} hemorrhagic ones there"] if HEMORRHAGIC in champion.operating_points else []),
        f"{rule.min_test_scans} of {rule.min_test_patients} patients kept for testing",
        *([f"each of {len(champion.classes)} answers in every part"] if settles else []),
    ]
    return ", ".join(needed)


def _too_little_to_say_as_much(ws: Workspace, items: Sequence[Item], champion: Manifest) -> str | None:
    """What the champion tells its readers a candidate must be able to tell them too."""
    asked = ws.settings.calibration
    validation = [item.label for item in items if item.split == "validation"]
    train = sum(item.split == "train" for item in items)
    if (_is_calibrated(champion) or champion.false_flags is not None) and len(validation) < CALIBRATED_FROM:
        return (
            f"At least {CALIBRATED_FROM} reviewed scans of patients kept for validation are needed to settle what "
            f"confidence means and what is no head CT, as for the model that serves; there are {len(validation)}."
        )
    if HEMORRHAGIC in champion.operating_points and HEMORRHAGIC not in asked.sensitivity:
        return (
            "The model that serves says where hemorrhage is not excluded; a new one could not, for "
            "calibration.sensitivity names no hemorrhagic. Put it back in config.yaml."
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
    for part, why in (("validation", "settle how sure it may be of that"), ("testing", "tell how well it is found")):
        met = {item.label for item in items if item.split == ("test" if part == "testing" else part)}
        if missing := _missing(champion.classes, met):
            return (
                f"The model that serves also knows the answer “{missing}”, and none of the reviewed scans of patients "
                f"kept for {part} is that, to {why}. Review such scans of more patients."
            )
    return None


def snapshot_digest(items: Sequence[Item | models.SnapshotItem]) -> str:
    """SHA-256 over what was trained on: scan, label, review, split."""
    rows = sorted([item.content_hash, item.label, item.review_id, item.split] for item in items)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def runs(ws: Workspace) -> Sequence[models.TrainingRun]:
    """Retrainings, newest first."""
    with ws.db.reading() as session:
        return session.scalars(select(models.TrainingRun).order_by(models.TrainingRun.id.desc())).all()
