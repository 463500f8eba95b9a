"""What is asked and done of scans that came in together: batches, and taking one back."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from db import queries
from db.models import AuditEvent, Batch, Part, Reading, Review, Scan, SnapshotItem, Study


def batches(session: Session) -> Sequence[Batch]:
    """Uploads, newest first."""
    return session.scalars(select(Batch).order_by(Batch.id.desc())).all()


def ids_of_other_batches(
    session: Session, ids: Collection[int], batch_id: int, but_of: tuple[str, str] | None = None
) -> list[int]:
    """Those of these scans that did not come with a batch, nor with any of one (source, actor)."""
    query = select(Scan.id).join(Batch).where(Scan.id.in_(ids), Scan.batch_id != batch_id)
    if but_of:
        query = query.where((Batch.source != but_of[0]) | (Batch.actor != but_of[1]))
    return sorted(session.scalars(query))


def holds_scans(session: Session, batch_id: int) -> bool:
    """Whether a batch has any: one that had, and has none, has been taken back."""
    return session.scalar(select(Scan.id).where(Scan.batch_id == batch_id).limit(1)) is not None


def holds_only(session: Session, source: str) -> bool:
    """Whether every scan, if there is any, is synthetic and came from there."""
    others = select(Scan.id).join(Batch).where((Batch.source != source) | Scan.synthetic.is_(False))
    return session.scalar(others.limit(1)) is None


TAKEN_BACK, MET_AGAIN, JOINED = "undo intake", "intake again", "joined"


def met_again(session: Session, scan_id: int, but_of: str | None) -> bool:
    """Whether a scan of this one's batch has come with another upload too, as a duplicate, that was not the actor's
    `but_of` and has not been taken back."""
    batch = session.scalar(select(Scan.batch_id).where(Scan.id == scan_id))
    theirs = set(session.scalars(select(Scan.id).where(Scan.batch_id == batch)))
    events = session.scalars(select(AuditEvent).where(AuditEvent.action == MET_AGAIN))
    met = (event.detail for event in events if event.actor != but_of)
    uploads = {said["upload"] for said in met if theirs.intersection(said["scans"])}
    if not uploads:
        return False
    there = set(session.scalars(select(Scan.batch_id).distinct()))
    for said in session.scalars(select(AuditEvent.detail).where(AuditEvent.action == "intake")):
        if said.get("upload") in uploads and said["batch"] not in there:
            uploads.remove(said["upload"])
    return bool(uploads)


def delete_batch_of(session: Session, scan_id: int) -> list[str] | None:
    """Delete the scans that came with this one, what models said of them, and studies of which nothing is left; their
    content hashes. None, and nothing is deleted, where one of them has been reviewed or stands in a snapshot. Empty
    where there is no such scan."""
    batch = session.scalar(select(Scan.batch_id).where(Scan.id == scan_id))
    of_batch = select(Scan.id).where(Scan.batch_id == batch)
    for column in (Review.scan_id, SnapshotItem.scan_id):
        if session.scalar(select(column).where(column.in_(of_batch)).limit(1)) is not None:
            return None
    hashes = list(session.scalars(select(Scan.content_hash).where(Scan.batch_id == batch)))
    studies = sorted(set(session.scalars(select(Scan.study_key).where(Scan.batch_id == batch))))
    session.execute(delete(Reading).where(Reading.scan_id.in_(of_batch)))
    session.execute(delete(Part).where(Part.scan_id.in_(of_batch)))
    _relink_copies(session, batch)
    session.execute(delete(Scan).where(Scan.batch_id == batch))
    for start in range(0, len(studies), queries.AT_ONCE):
        some = studies[start : start + queries.AT_ONCE]
        # whose a study is may be otherwise the next time
        left = select(Scan.study_key).where(Scan.study_key.in_(some))
        session.execute(delete(Study).where(Study.key.in_(some), Study.key.not_in(left)))
    return hashes


def _relink_copies(session: Session, batch: int | None) -> None:
    """What is left of near copies, once a batch has gone, are copies of one another as before: of the scan that the
    batch's was a copy of or, where there is none, of the oldest of them."""
    rows = session.execute(select(Scan.id, Scan.resembles_id).where(Scan.batch_id == batch))
    going: dict[int, int | None] = dict(rows.all())
    of_batch = select(Scan.id).where(Scan.batch_id == batch)
    left = select(Scan.id, Scan.resembles_id).where(Scan.resembles_id.in_(of_batch), Scan.batch_id != batch)
    oldest: dict[int | None, int] = {}
    for scan_id, original in session.execute(left.order_by(Scan.id)).all():
        while (before := going.get(original or 0)) is not None:
            original = before
        of = oldest.setdefault(original, scan_id) if original in going else original
        relinked = update(Scan).where(Scan.id == scan_id).values(resembles_id=of if of != scan_id else None)
        session.execute(relinked)


def joined_by_batch_of(session: Session, scan_id: int) -> list[dict[str, Any]]:
    """What the upload that brought a scan has made one patient's, the last first."""
    batch = session.scalar(select(Scan.batch_id).where(Scan.id == scan_id))
    said = dict[str, list[dict[str, Any]]]()
    events = select(AuditEvent).where(AuditEvent.action.in_(("intake", JOINED))).order_by(AuditEvent.id)
    for event in session.scalars(events):
        said.setdefault(event.action, []).append(event.detail)
    uploads = {one.get("upload") for one in said.get("intake", ()) if one.get("batch") == batch}
    return [one for event in said.get(JOINED, ()) if event["upload"] in uploads for one in event["joined"]][::-1]


def give_back(session: Session, *, patient: str, split: str, studies: Sequence[str], now: str) -> None:
    """Undo `queries.give_studies`; studies that are not the patient's `now` any more stay, and those with a scan that
    has been reviewed or trained on. How they were drawn for the blind audit, and what was said of their readings,
    stays."""
    in_use = select(Review.scan_id).union(select(SnapshotItem.scan_id))
    used = select(Scan.study_key).where(Scan.study_key.in_(studies), Scan.id.in_(in_use))
    theirs = select(Study.key).where(Study.key.in_(studies), Study.patient_key == now, Study.key.not_in(used))
    if back := list(session.scalars(theirs)):
        queries.add_patients(session, {patient: split})
        session.execute(update(Study).where(Study.key.in_(back)).values(patient_key=patient))


def id_after_taken_back(session: Session) -> int | None:
    """The id that the next scan must have where the last ones were taken back: SQLite would give theirs again, and a
    page that still shows a scan taken back would file its verdict on the new one. None where the database counts on."""
    events = session.scalars(select(AuditEvent.detail).where(AuditEvent.action == TAKEN_BACK))
    gone = max((int(detail.get("last_scan", 0)) for detail in events), default=0)
    sqlite = session.get_bind().dialect.name == "sqlite"
    return gone + 1 if sqlite and gone > last_scan(session) else None


def last_scan(session: Session) -> int:
    """The highest id."""
    return session.scalar(select(func.max(Scan.id))) or 0
