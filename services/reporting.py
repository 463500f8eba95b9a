"""Live figures of a model version on the reviewed scans, and what has to be known about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from core.agreement import cohens_kappa
from core.evaluate import Report, difference, evaluate, evaluate_patients
from core.intervals import Clusters, Figure, auc_figure, share_figure
from core.labels import CLASSES, HEMORRHAGIC
from core.manifest import OperatingPoint
from core.reading import NOT_HEAD_CT, UNCERTAIN
from db import queries
from services.acquaintance import Met, met_by
from services.questions import Labelled, Log, Question, in_source, in_time, log_of, not_blind, with_labels
from services.workspace import Workspace

FEW = 30
"""Figures on fewer scans than this change a lot with the next few verdicts."""
PICKED_AUC = 0.6
"""Where confidence tells read from unread scans this well (or 1 less this), and surely not by chance, they were not
picked at random."""
_TIME_GROUPS = 12
"""Months with figures of their own, the last that have any."""


@dataclass(frozen=True)
class Comparison:
    """What one version gains over another on the scans both have read."""

    gains: dict[str, Figure]
    scans: int = 0
    seen: int = 0  # of them, scans of patients it was trained on
    seen_by_other: int = 0


@dataclass(frozen=True)
class Selection:
    """How the reviewed scans came to be reviewed, against those that were not."""

    read: int
    unread: int
    unread_by_model: int  # scans with a verdict that the version has not read
    unread_by_both: int  # of `unread`, those that the version has not read either: nothing is known of them
    confidence_read: float  # medians of the version's confidence
    confidence_unread: float
    told_apart: Figure  # AUC of confidence, for read against unread

    @property
    def looks_random(self) -> bool:
        """Whether the model's confidence in them does not speak against a random choice, or hardly."""
        told = self.told_apart
        sure = told.low > 0.5 or told.high < 0.5
        return not sure or bool(1 - PICKED_AUC < told.value < PICKED_AUC)


@dataclass(frozen=True)
class AuditStream:
    """Scans of patients drawn at random to be read blind: figures free of choice and of the model's influence."""

    report: Report | None  # on those that count: given one class, by readers; read by a version that has not met them
    counted: int
    read: int  # blind, whether they count or not
    drawn: int
    no_class: int  # why `read` is more than `counted`: unsure, unusable or disputed
    unread_by_model: int
    seen_in_training: int  # scans of patients the version was trained on
    settled_on: int  # scans of patients whose scans its calibration and thresholds come from


@dataclass(frozen=True)
class Group:
    """Figures of some of the scans."""

    kind: str  # source, month, reader
    name: str
    n: int
    patients: int
    accuracy: Figure
    sensitivity: Figure  # hemorrhage
    specificity: Figure


@dataclass(frozen=True)
class Agreement:
    """Two readers, or a reader and the model, on the scans both gave a class."""

    first: str
    second: str
    kappa: Figure
    observed: Figure


@dataclass(frozen=True)
class LiveEvaluation:
    """Figures of one model version on the case log, and what they leave out."""

    question: Question
    rows: pd.DataFrame  # a row a scan: see _COLUMNS, "copy" of one above, and p_<class>
    report: Report | None  # None where no scan qualifies
    patient_report: Report | None
    answered_report: Report | None  # only where the model neither abstained nor flagged the image
    audit_stream: AuditStream
    selection: Selection
    groups: tuple[Group, ...]
    agreement: tuple[Agreement, ...]
    unlabelled: int  # reviewed, but unsure, unusable or disputed
    not_blind: int  # left out where only verdicts given blind are asked for

    def count(self, column: str) -> int:
        """Of the rows, those in which a column of bools is true."""
        return int(self.rows[column].sum())


_COLUMNS = [
    "scan_id", "patient_key", "source", "label", "prediction", "confidence", "blind", "audit", "seen_in_training",
    "settled_on", "answered", "flagged", "reviewed_at",
]  # fmt: skip


def live_evaluation(ws: Workspace, question: Question) -> LiveEvaluation:
    """Metrics of a version against the verdicts, on real or on synthetic scans, never on both at once."""
    with ws.db.reading() as session:
        log = log_of(session, question)
    labelled, unlabelled = with_labels(log, question)
    met = met_by(ws, log, question.version, log.readings)
    rows = _rows(log, labelled, met)
    return LiveEvaluation(
        question,
        rows,
        report_on(rows),
        _patient_report(rows),
        report_on(rows[rows["answered"]]),
        _audit_stream(log, question, met),
        _selection(log, question),
        tuple(_groups(rows, log, question)),
        tuple(_agreement(log, question)),
        unlabelled,
        not_blind(log, question),
    )


def _audit_stream(log: Log, question: Question, met: Met) -> AuditStream:
    blind = replace(question, blind_only=True)
    here, elsewhere = ([s for s in in_source(log, question, read=read) if s.audit] for read in (True, False))
    labelled, no_class = with_labels(replace(log, scans=here), blind)
    unread, no_class_too = with_labels(replace(log, scans=elsewhere), blind)
    rows = _rows(log, labelled, met)
    unmet = rows[~rows["seen_in_training"] & ~rows["settled_on"]]
    return AuditStream(
        report_on(unmet),
        len(unmet),
        len(rows) + len(unread) + no_class + no_class_too,
        len(here) + len(elsewhere),
        no_class + no_class_too,
        len(unread),
        int(rows["seen_in_training"].sum()),
        int(rows["settled_on"].sum()),
    )


def _rows(log: Log, labelled: Sequence[Labelled], met: Met) -> pd.DataFrame:
    readings = [log.readings[scan.id] for scan, *_ in labelled]
    table = pd.DataFrame(
        [
            (
                scan.id,
                scan.patient_key,
                log.source(scan),
                label,
                reading.label,
                reading.confidence,
                blind,
                scan.audit,
                scan.patient_key in met.trained,
                scan.patient_key not in met.trained and scan.patient_key in met.validated,
                UNCERTAIN not in reading.flags and NOT_HEAD_CT not in reading.flags,
                NOT_HEAD_CT in reading.flags,
                at,
            )
            for (scan, label, blind, at), reading in zip(labelled, readings, strict=True)
        ],
        columns=_COLUMNS,
    )
    flags = ["blind", "audit", "seen_in_training", "settled_on", "answered", "flagged"]
    table[flags] = table[flags].astype(bool)
    alike = queries.first_copies((scan.id, scan.resembles_id) for scan in (*log.scans, *log.others))
    table["copy"] = table["scan_id"].map(lambda scan_id: alike.get(scan_id, scan_id)).duplicated()
    for name in CLASSES:
        if readings and name in readings[0].probabilities:
            table[f"p_{name}"] = [reading.probabilities[name] for reading in readings]
    return table


def report_on(rows: pd.DataFrame) -> Report | None:
    """Per scan; None where there is none."""
    if not len(rows):
        return None
    known, p = _probabilities(rows)
    return evaluate(list(rows["label"]), p, known, patients=list(rows["patient_key"]))


def at_operating_points(rows: pd.DataFrame, points: Mapping[str, OperatingPoint]) -> dict[str, tuple[Figure, Figure]]:
    """Class -> sensitivity and specificity were it called from its operating point on."""
    clusters, reached = Clusters.of(rows["patient_key"], len(rows)), {}
    for name, point in points.items():
        if f"p_{name}" in rows:
            called, is_it = (rows[f"p_{name}"] >= point.threshold).to_numpy(), (rows["label"] == name).to_numpy()
            reached[name] = share_figure(called, is_it, clusters), share_figure(~called, ~is_it, clusters)
    return reached


def _patient_report(rows: pd.DataFrame) -> Report | None:
    if not len(rows):
        return None
    known, p = _probabilities(rows)
    return evaluate_patients(list(rows["label"]), p, known, list(rows["patient_key"]))


def _probabilities(rows: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    known = [name for name in CLASSES if f"p_{name}" in rows]
    return known, rows[[f"p_{name}" for name in known]].to_numpy(np.float64)


def _selection(log: Log, question: Question) -> Selection:
    """Whether the scans that were read are ones the model was sure of, or not, more than the others.

    Of the scans that came by the question's source; by whom and when they were read does not matter.
    """
    scans = in_source(log, question)
    confidence = np.array([log.readings[scan.id].confidence for scan in scans])
    read = np.array([scan.id in log.reviews for scan in scans], bool)
    clusters = Clusters.of([scan.patient_key for scan in scans], len(scans))
    of_read, of_unread = (float(np.median(confidence[mask])) if mask.any() else np.nan for mask in (read, ~read))
    told_apart = auc_figure(confidence, read, clusters)
    others = in_source(log, question, read=False)
    read_too = sum(scan.id in log.reviews for scan in others)
    by_both = len(others) - read_too
    return Selection(
        int(read.sum()) + read_too,
        int((~read).sum()) + by_both,
        sum(scan.id in log.reviews for scan in log.others),
        by_both,
        of_read,
        of_unread,
        told_apart,
    )


def _groups(rows: pd.DataFrame, log: Log, question: Question) -> list[Group]:
    """By source and by month of the verdict, those long past together; by reader, on each reader's own verdicts."""
    if not len(rows):
        return []
    months = pd.to_datetime(rows["reviewed_at"], utc=True).dt.tz_convert(question.zone).dt.strftime("%Y-%m")
    recent = sorted(months.unique())[-_TIME_GROUPS:]
    columns = rows["label"].to_numpy(object), rows["prediction"].to_numpy(object), rows["patient_key"].to_numpy(object)
    parts = [("source", name, (rows["source"] == name).to_numpy()) for name in sorted(set(rows["source"]))]
    if (months < recent[0]).any():
        parts.append(("month", f"before {recent[0]}", (months < recent[0]).to_numpy()))
    parts += [("month", month, (months == month).to_numpy()) for month in recent]
    found = [_group(kind, name, *(column[mask] for column in columns)) for kind, name, mask in parts]
    if question.reader is None:
        for reader in sorted({review.reader for reviews in log.reviews.values() for review in reviews}):
            own, _ = with_labels(log, replace(question, reader=reader))
            if own:
                label = np.array([label for _, label, *_ in own], object)
                called = np.array([log.readings[scan.id].label for scan, *_ in own], object)
                found.append(
                    _group("reader", reader, label, called, np.array([s.patient_key for s, *_ in own], object))
                )
    return found


def _group(kind: str, name: str, label: np.ndarray, called: np.ndarray, patients: np.ndarray) -> Group:
    clusters = Clusters.of(patients, len(label))
    bleeding, everything = label == HEMORRHAGIC, np.ones(len(label), bool)
    return Group(
        kind,
        name,
        len(label),
        clusters.count,
        share_figure(label == called, everything, clusters),
        share_figure(called == HEMORRHAGIC, bleeding, clusters),
        share_figure(called != HEMORRHAGIC, ~bleeding, clusters),
    )


def _agreement(log: Log, question: Question) -> list[Agreement]:
    """Every two readers, and every reader with the model, on the scans both gave a class: readers also on scans that
    the version has not read.

    Source, time and blindness are the question's; a reader it names stands in every pair.
    """
    said: dict[str, dict[int, str]] = {}
    scans = [*in_source(log, question), *in_source(log, question, read=False)]
    for scan in scans:
        for review in log.reviews.get(scan.id, []):
            blind, own = (review.blind_verdict, review.blind_at), (review.own_verdict, review.own_at)
            verdict, at = blind if question.blind_only else own
            if verdict in CLASSES and at and in_time(at, question):
                said.setdefault(review.reader, {})[scan.id] = verdict
    patients = {scan.id: scan.patient_key for scan in scans}
    model = {scan.id: log.readings[scan.id].label for scan in log.scans}
    pairs = [(a, b, said[a], said[b]) for a, b in combinations(sorted(said), 2)]
    pairs += [(reader, "the model", said[reader], model) for reader in sorted(said)]
    found = []
    for first, second, one, other in pairs:
        if question.reader not in (None, first, second):
            continue
        both = sorted(set(one) & set(other))
        if both:
            verdicts = [one[i] for i in both], [other[i] for i in both]
            keys = [patients[i] for i in both]
            same = np.array([a == b for a, b in zip(*verdicts, strict=True)])
            observed = share_figure(same, np.ones(len(both), bool), Clusters.of(keys, len(both)))
            found.append(Agreement(first, second, cohens_kappa(*verdicts, patients=keys), observed))
    return found


def compare_versions(ws: Workspace, question: Question, other: str) -> Comparison:
    """What `question.version` gains over `other` on the scans both have read; no gains where there are none."""
    with ws.db.reading() as session:
        log = log_of(session, question)
        theirs = queries.readings(session, version=other)
    labelled = [entry for entry in with_labels(log, question)[0] if entry[0].id in theirs]
    if not labelled:
        return Comparison({})
    mine = [log.readings[scan.id].probabilities for scan, *_ in labelled]
    other_p = [theirs[scan.id].probabilities for scan, *_ in labelled]
    known = tuple([name for name in CLASSES if name in p[0]] for p in (other_p, mine))
    first, second = (
        np.array([[row[name] for name in names] for row in p]) for p, names in zip((other_p, mine), known, strict=True)
    )
    labels, patients = [label for _, label, *_ in labelled], [scan.patient_key for scan, *_ in labelled]
    gains = difference(labels, first, second, (known[0], known[1]), patients=patients)
    met = [met_by(ws, log, *of).trained for of in ((question.version, log.readings), (other, theirs))]
    seen, seen_by_other = (sum(patient in trained for patient in patients) for trained in met)
    return Comparison(gains, len(labelled), seen, seen_by_other)
