"""How it stands: counts for the overview and live figures on the reviewed scans."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.evaluate import Report, evaluate
from core.labels import CLASSES
from core.predict import SEEN_IN_TRAINING
from db import queries
from services.models import champion
from services.workspace import Workspace


@dataclass(frozen=True)
class Overview:
    """What the start page tells."""

    scans: int
    synthetic: int
    waiting: int
    reviewed: int
    disputed: int
    agreeing: int  # of `comparable`, those where label and reading are the same
    comparable: int  # scans with a label that is a class, and a reading
    uncertain_waiting: int


@dataclass(frozen=True)
class LiveEvaluation:
    """Figures of one model version on the case log, and what they leave out."""

    report: Report | None  # None where no scan qualifies
    rows: pd.DataFrame  # scan_id, patient_key, label, prediction, confidence, p_<class>, blind, seen_in_training
    unlabelled: int  # reviewed, but unsure, unusable or disputed
    seen_in_training: int  # of the rows, scans of patients the version was trained on
    patients: int


def overview(ws: Workspace) -> Overview:
    """Counts over the whole case log; the reading of the model that serves counts, where there is one."""
    with ws.db.reading() as session:
        scans = queries.scans(session)
        readings = queries.readings(session, prefer=champion(ws))
        verdicts = queries.verdicts(session)
    waiting = [scan.id for scan in scans if scan.id not in verdicts]
    labelled = [v for v in verdicts.values() if v.label in CLASSES and v.scan_id in readings]
    return Overview(
        scans=len(scans),
        synthetic=sum(scan.synthetic for scan in scans),
        waiting=len(waiting),
        reviewed=len(verdicts),
        disputed=sum(v.label is None for v in verdicts.values()),
        agreeing=sum(v.label == readings[v.scan_id].label for v in labelled),
        comparable=len(labelled),
        uncertain_waiting=sum("uncertain" in readings[i].flags for i in waiting if i in readings),
    )


def model_versions(ws: Workspace) -> list[str]:
    """Versions with readings in the log, newest first."""
    with ws.db.reading() as session:
        return queries.versions_with_readings(session)


def live_evaluation(
    ws: Workspace, version: str, *, synthetic: bool = False, blind_only: bool = False
) -> LiveEvaluation:
    """Metrics of `version` against the verdicts that count, on real or on synthetic scans, never on both at once."""
    with ws.db.reading() as session:
        scans = [scan for scan in queries.scans(session) if scan.synthetic == synthetic]
        readings = queries.readings(session, version=version)
        verdicts = queries.verdicts(session)
    reviewed = [(scan, verdicts[scan.id]) for scan in scans if scan.id in verdicts and scan.id in readings]
    if blind_only:
        reviewed = [(scan, verdict) for scan, verdict in reviewed if verdict.blind]
    labelled = [(scan, verdict) for scan, verdict in reviewed if verdict.label in CLASSES]
    rows = pd.DataFrame(
        [
            {
                "scan_id": scan.id,
                "patient_key": scan.patient_key,
                "label": verdict.label,
                "prediction": readings[scan.id].label,
                "confidence": readings[scan.id].confidence,
                **{f"p_{name}": value for name, value in readings[scan.id].probabilities.items()},
                "blind": verdict.blind,
                "seen_in_training": SEEN_IN_TRAINING in readings[scan.id].flags,
                "reviewed_at": verdict.reviewed_at,
            }
            for scan, verdict in labelled
        ]
    )
    report = None
    if len(rows):
        known = [name for name in CLASSES if f"p_{name}" in rows]
        probabilities = rows[[f"p_{name}" for name in known]].to_numpy(np.float64)
        report = evaluate(list(rows["label"]), probabilities, known, patients=list(rows["patient_key"]))
    return LiveEvaluation(
        report,
        rows,
        len(reviewed) - len(labelled),
        int(rows["seen_in_training"].sum()) if len(rows) else 0,
        rows["patient_key"].nunique() if len(rows) else 0,
    )
