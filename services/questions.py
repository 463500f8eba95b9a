"""Which reviewed scans figures are asked on, and what the case log says of them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from sqlalchemy.orm import Session

from core.labels import CLASSES
from db import queries, review_queries
from db.queries import ReadingRow, ScanRow
from db.review_queries import ReviewRow
from services.models import is_demonstration
from services.workspace import Workspace


@dataclass(frozen=True)
class Question:
    """Which reviewed scans the figures are asked on."""

    version: str
    synthetic: bool = False  # real and synthetic scans are never mixed
    blind_only: bool = False
    reader: str | None = None  # this reader's own verdicts, not those that count
    source: str | None = None
    since: datetime | None = None  # by the time of the verdict
    before: datetime | None = None
    zone: tzinfo = UTC  # whose months
    without: frozenset[int] = frozenset()  # scans whose answers these figures would tell who asks, see `held_back`


@dataclass(frozen=True)
class Log:
    """What the case log says of scans of one kind, and of those that a version has read."""

    scans: list[ScanRow]
    others: list[ScanRow]  # of this kind, which the version has not read
    readings: dict[int, ReadingRow]
    reviews: dict[int, list[ReviewRow]]  # of all of this kind
    sources: dict[int, str]
    parts: dict[int, list[str]]  # of means of slices, see `queries.parts_of`

    def source(self, scan: ScanRow) -> str:
        return self.sources[scan.batch_id]


def log_of(session: Session, question: Question) -> Log:
    """The scans of the question's kind, those that its version has read apart, with what was said of them."""
    readings = queries.readings(session, version=question.version)
    asked = [scan for scan in queries.scans(session) if scan.id not in question.without]
    everything = [scan for scan in asked if scan.synthetic == question.synthetic]
    scans, others = ([scan for scan in everything if (scan.id in readings) == has_read] for has_read in (True, False))
    of_kind = {scan.id for scan in everything}
    reviews = {i: rows for i, rows in review_queries.latest_reviews(session).items() if i in of_kind}
    return Log(scans, others, readings, reviews, queries.sources(session), queries.parts_of(session))


def in_source(log: Log, question: Question, *, read: bool = True) -> list[ScanRow]:
    """The scans that came the way the question asks for: those that the version has `read`, or those it has not."""
    return [scan for scan in (log.scans if read else log.others) if question.source in (None, log.source(scan))]


def in_time(at: datetime, question: Question) -> bool:
    """Whether a verdict of that time is among those the question asks for."""
    early = question.since is not None and at < question.since
    return not early and not (question.before is not None and at >= question.before)


Labelled = tuple[ScanRow, str, bool, datetime]
"""A scan, its label, whether that was given blind, and when."""


def with_labels(log: Log, question: Question) -> tuple[list[Labelled], int]:
    """(scan, label, blind, time) of those the question is asked on, and how many of them have no usable label."""
    found, without = [], 0
    for scan in in_source(log, question):
        reviews = _said(log, question, scan)
        if question.blind_only:
            reviews = review_queries.blind_reviews(reviews)
        if not reviews:
            continue
        verdict = review_queries.verdict_of(reviews)
        if not in_time(verdict.reviewed_at, question):
            continue
        if verdict.label in CLASSES:
            found.append((scan, verdict.label, verdict.blind, verdict.reviewed_at))
        else:
            without += 1
    return found, without


def not_blind(log: Log, question: Question) -> int:
    """Scans that only verdicts given blind are asked of, and that have none: their label was given in view of the
    model's answer."""
    if not question.blind_only:
        return 0
    labelled, _ = with_labels(log, replace(question, blind_only=False))
    return sum(not review_queries.blind_reviews(_said(log, question, scan)) for scan, *_ in labelled)


def _said(log: Log, question: Question, scan: ScanRow) -> list[ReviewRow]:
    """The latest review of every reader, or of the one who is asked for."""
    reviews = log.reviews.get(scan.id, [])
    return [review for review in reviews if question.reader in (None, review.reader)]


def unread_by_version(ws: Workspace, question: Question) -> list[int]:
    """Ids of the scans with a verdict that the question's version has not read. Demo cases are demonstrations' to read,
    real scans are not."""
    if question.synthetic != is_demonstration(ws, question.version):
        return []
    with ws.db.reading() as session:
        found = review_queries.reviewed_but_unread(session, question.version, synthetic=question.synthetic)
    return [scan_id for scan_id in found if scan_id not in question.without]
