"""Whose scans a version has met."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from core.pseudonym import unnamed
from core.reading import SEEN_IN_TRAINING
from db.queries import ReadingRow, ScanRow, first_copies
from services.models import trained_patients
from services.questions import Log
from services.workspace import Workspace


class Met(NamedTuple):
    """The patients of a log's scans whom a version was trained on, and those its rules come from."""

    trained: set[str]
    validated: set[str]


def met_by(ws: Workspace, log: Log, version: str, readings: Mapping[int, ReadingRow]) -> Met:
    """Whom a version has met, by its record and by what its `readings` say."""
    scans = [*log.scans, *log.others]
    flagged = [scan_id for scan_id, reading in readings.items() if SEEN_IN_TRAINING in reading.flags]
    trained = patients_met(scans, log.parts, trained_patients(ws, version), flagged)
    return Met(trained, patients_met(scans, log.parts, trained_patients(ws, version, "validation")))


def patients_met(
    scans: Sequence[ScanRow],
    parts: Mapping[int, Collection[str]],
    keys: Collection[str],
    flagged: Collection[int] = (),
) -> set[str]:
    """The patients of `scans` of whom one scan is known to a version that has met these patients and images (`keys`):
    by its patient, by itself, by a slice that it is made of (`parts`), or as a near copy of such a scan, whatever that
    one's patient is called. `flagged`: scans that it has surely met."""
    keys, flagged = frozenset(keys), frozenset(flagged)
    alike = first_copies((scan.id, scan.resembles_id) for scan in scans)
    known = {
        alike.get(scan.id, scan.id)
        for scan in scans
        if scan.id in flagged
        or not keys.isdisjoint((scan.patient_key, *map(unnamed, (scan.content_hash, *parts.get(scan.id, ())))))
    }
    return {scan.patient_key for scan in scans if alike.get(scan.id, scan.id) in known}
