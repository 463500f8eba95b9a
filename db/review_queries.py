"""What readers said, as it is asked of the case log. Like `db.queries`, these never commit."""

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from db import queries
from db.models import Reading, Review, Scan, Shown, Study, fitting


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict that counts for a scan; `label` is None where readers differ and nobody has adjudicated."""

    scan_id: int
    label: str | None
    review_id: int
    readers: int
    blind: bool  # every reader it rests on said it, or settled it, before the model's reading was shown
    reviewed_at: datetime
    settled_by: str | None  # who settled what readers differed on; what others say after that does not change it


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """A reader's latest review of a scan."""

    id: int
    scan_id: int
    reader: str
    verdict: str
    adjudication: bool
    created_at: datetime
    blind_verdict: str | None  # what this reader last said before the model's reading was shown
    blind_at: datetime | None
    own_verdict: str | None  # what this reader last said without settling what readers differed on
    own_at: datetime | None

    @property
    def blind(self) -> bool:
        """Whether the verdict is the one given blind; one changed in view of the model's answer is not, nor one that
        settles in view of it what readers differed on, though it repeats what they said before."""
        return self.verdict == self.blind_verdict and (not self.adjudication or self.created_at == self.blind_at)


_REVIEW_COLUMNS = (
    Review.id, Review.scan_id, Review.reader, Review.verdict, Review.adjudication, Review.created_at, Review.blind,
)  # fmt: skip


def latest_reviews(session: Session, scan_ids: Collection[int] | None = None) -> dict[int, list[ReviewRow]]:
    """Scan id -> each reader's latest review, oldest first."""
    query = select(*_REVIEW_COLUMNS).order_by(Review.id)
    latest: dict[int, dict[str, ReviewRow]] = defaultdict(dict)
    for row in queries.rows_for(session, query, Review.scan_id, scan_ids):
        earlier, said = latest[row.scan_id].pop(row.reader, None), (row.verdict, row.created_at)
        blind = said if row.blind else (earlier.blind_verdict, earlier.blind_at) if earlier else (None, None)
        own = said if not row.adjudication else (earlier.own_verdict, earlier.own_at) if earlier else (None, None)
        latest[row.scan_id][row.reader] = ReviewRow(
            row.id, row.scan_id, row.reader, row.verdict, row.adjudication, row.created_at, *blind, *own
        )
    return {scan_id: list(by_reader.values()) for scan_id, by_reader in latest.items()}


def verdicts(session: Session, scan_ids: Collection[int] | None = None) -> dict[int, Verdict]:
    """Scan id -> the verdict that counts: one reader's latest, or where readers differ the adjudicator's."""
    return {scan_id: verdict_of(reviews) for scan_id, reviews in latest_reviews(session, scan_ids).items()}


def verdict_of(reviews: Sequence[ReviewRow]) -> Verdict:
    """The verdict that counts among each reader's latest review of one scan, oldest first."""
    counting = [review for review in reviews if review.adjudication][-1:] or reviews
    agreed = len({review.verdict for review in counting}) == 1
    last = counting[-1]
    return Verdict(
        last.scan_id,
        last.verdict if agreed else None,
        last.id,
        len(reviews),
        all(review.blind for review in counting),
        last.created_at,
        last.reader if last.adjudication else None,
    )


def blind_reviews(reviews: Sequence[ReviewRow]) -> list[ReviewRow]:
    """What readers said before they saw the model's reading, whatever they said or settled afterwards; oldest first."""
    blind = [
        replace(review, verdict=review.blind_verdict, adjudication=False, created_at=review.blind_at)
        for review in reviews
        if review.blind_verdict is not None and review.blind_at is not None
    ]
    return sorted(blind, key=lambda review: review.created_at)


def begun_blind(session: Session, reader: str) -> frozenset[int]:
    """Ids of the scans drawn for the blind audit that `reader` has reviewed, of patients of whom some are left."""
    reviewed = select(Review.scan_id).where(Review.reader == reader)
    query = select(Scan.id, Study.patient_key).join(Study).where(Scan.audit, Scan.id.in_(reviewed))
    begun = {row.id: row.patient_key for row in session.execute(query)}
    left = left_to_read_blind(session, reader, set(begun.values()))
    return frozenset(scan_id for scan_id, patient in begun.items() if patient in left)


def shown_to(session: Session, reader: str, scan_ids: Collection[int] | None = None) -> set[int]:
    """Ids of the scans of which `reader` has seen a model's answer beside them, or beside what is, however far about,
    nearly the same image; and of all of a patient drawn for the blind audit of whom they have seen one so, for it tells
    much of the others."""
    drawn = queries.drawn_together(session, scan_ids)
    known = _shown_itself(session, reader, None if scan_ids is None else drawn.keys() | scan_ids)
    told = {drawn[scan_id] for scan_id in known & drawn.keys()}
    known.update(scan_id for scan_id, patient in drawn.items() if patient in told)
    return known if scan_ids is None else known.intersection(scan_ids)


def _shown_itself(session: Session, reader: str, scan_ids: Collection[int] | None) -> set[int]:
    """The same without regard to whose scans they are."""
    links = select(Scan.id, Scan.resembles_id).where(Scan.resembles_id.is_not(None))
    first = queries.first_copies(session.execute(links))
    alike = None if scan_ids is None else {first.get(scan_id, scan_id) for scan_id in scan_ids}
    asked = None if alike is None else alike.union(scan_ids or (), (i for i, of in first.items() if of in alike))
    itself = select(Scan.id).join(Shown, Shown.content_hash == Scan.content_hash).where(Shown.reader == reader)
    seen = {i for (i,) in queries.rows_for(session, itself, Scan.id, asked)}
    groups = {first.get(i, i) for i in seen}
    known = groups.union(seen, (i for i, of in first.items() if of in groups))
    return known if scan_ids is None else known.intersection(scan_ids)


def note_seen(session: Session, reader: str, content_hashes: Iterable[str]) -> None:
    """That `reader` has been told a model's answers to these images."""
    for content_hash in content_hashes:
        if session.get(Shown, (content_hash, reader)) is None:
            session.add(Shown(content_hash=content_hash, reader=reader))


def note_told(session: Session, reader: str, scan_id: int) -> None:
    """After a review: where `reader` has now read all that was drawn of the patient for the blind audit, the answers to
    all of it are told, whatever joins the patient later and hides them again."""
    patient = session.scalar(select(Study.patient_key).join(Scan).where(Scan.id == scan_id, Scan.audit))
    if patient is not None and not left_to_read_blind(session, reader, [patient]):
        theirs = select(Scan.content_hash).join(Study).where(Scan.audit, Study.patient_key == patient)
        note_seen(session, reader, session.scalars(theirs).all())


def may_have_seen(session: Session, reader: str, scan_id: int) -> bool:
    """Whether a model's reading of a scan has been shown to `reader` at some time (`shown_to`); or, of a patient drawn
    for the blind audit, that of any scan, when `reader` had reviewed all that were in the log then (which is noted at
    once since `note_told`; logs of before are asked)."""
    if shown_to(session, reader, [scan_id]):
        return True
    patient = select(Study.patient_key).join(Scan).where(Scan.id == scan_id)
    query = select(Scan.id, Scan.created_at).join(Study).where(Scan.audit, Study.patient_key.in_(patient))
    came = {row.id: row.created_at for row in session.execute(query)}
    reviews = select(Review.scan_id, Review.created_at).where(Review.reader == reader, Review.scan_id.in_(came))
    read: set[int] = set()
    for review in session.execute(reviews.order_by(Review.id)):
        read.add(review.scan_id)
        if all(i in read for i, at in came.items() if at <= review.created_at):
            return True
    return False


def left_to_read_blind(session: Session, reader: str, patient_keys: Collection[str]) -> dict[str, set[int]]:
    """Patient key -> ids of the scans drawn for the blind audit that `reader` has yet to review."""
    reviewed = select(Review.id).where(Review.scan_id == Scan.id, Review.reader == reader).exists()
    query = select(Study.patient_key, Scan.id).join(Study).where(Scan.audit, ~reviewed)
    left: dict[str, set[int]] = defaultdict(set)
    for patient, scan_id in queries.rows_for(session, query, Study.patient_key, patient_keys):
        left[patient].add(scan_id)
    return left


def read_by(session: Session, reader: str, scan_ids: Collection[int]) -> set[int]:
    """Those of these scans that `reader` has reviewed."""
    query = select(Review.scan_id).where(Review.reader == reader)
    return {row.scan_id for row in queries.rows_for(session, query, Review.scan_id, scan_ids)}


def reviewed_but_unread(session: Session, version: str, *, synthetic: bool) -> list[int]:
    """Ids of the scans of a kind that somebody has reviewed and a model version has not read."""
    by_version = select(Reading.scan_id).where(Reading.model_version == version)
    query = select(Scan.id).where(Scan.synthetic.is_(synthetic), Scan.id.not_in(by_version))
    return list(session.scalars(query.where(Scan.id.in_(select(Review.scan_id))).order_by(Scan.id)))


def review_by_click(session: Session, click_id: str) -> Review | None:
    return session.scalars(select(Review).where(Review.click_id == click_id)).first()


def history(session: Session, scan_id: int) -> Sequence[Review]:
    """Every review of a scan, oldest first."""
    return session.scalars(select(Review).where(Review.scan_id == scan_id).order_by(Review.id)).all()


def readers(session: Session) -> list[str]:
    """Who has reviewed a scan, by name."""
    return list(session.scalars(select(Review.reader).distinct().order_by(Review.reader)))


def spelling(session: Session, name: str) -> str:
    """How the case log knows a reader: by the name it met first of those that differ from `name` in capitals, white
    space and how their letters are put together only, else by `name`. One person by two names would be asked for two
    blind verdicts."""
    name = fitting(name)
    for names, met, first in ((_reviewers(), Review.reader, Review.id), (_shown(), Shown.reader, Shown.at)):
        alike = [known for known in session.scalars(names) if _as_seen(known) == _as_seen(name)]
        if len(alike) > 1:  # as earlier versions took them
            return session.scalars(select(met).where(met.in_(alike)).order_by(first).limit(1)).one()
        if alike:
            return alike[0]
    return name


def _as_seen(name: str) -> str:
    """A name without what does not show: its capitals aside, in which code points its letters are written (é is one, or
    two), white space, and characters that only format. Weiß and Weiss are two people."""
    seen = "".join(letter for letter in fitting(name) if unicodedata.category(letter) != "Cf")
    small = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).lower())
    return " ".join(small.split())


def _shown() -> Select[str]:
    """Every name once to which an answer was shown. Without an index on it: one would lead `shown_to` astray."""
    return select(Shown.reader).distinct()


def _reviewers() -> Select[str]:
    """Every name once that stands under a review: the index leads from one to the next, past all of its reviews."""
    names = select(func.min(Review.reader).label("name")).cte(recursive=True)
    following = select(func.min(Review.reader)).where(Review.reader > names.c.name).scalar_subquery()
    names = names.union_all(select(following).where(names.c.name.is_not(None)))
    return select(names.c.name).where(names.c.name.is_not(None))


def has_real_reviews(session: Session) -> bool:
    query = select(Review.id).join(Scan).where(Scan.synthetic.is_(False)).limit(1)
    return session.scalar(query) is not None
