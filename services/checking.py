"""Whether a case log is whole: what to ask after a restore, or before trusting a copy. Nothing is changed by asking."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from sqlalchemy import func, make_url, select, text
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.orm import Session

from core.labels import counted
from core.pseudonym import Pseudonym, WrongKey
from core.scan import UnreadableScan
from core.settings import Settings
from db import audit
from db.batch_queries import TAKEN_BACK
from db.images import ImageMissing, ImageStore
from db.models import AuditEvent, Patient, Reading, Review, Scan, Snapshot, SnapshotItem
from db.session import DamagedLog, Database, UnusableLog, file_of
from services.corrections import snapshot_digest
from services.workspace import KEY, has_patients, image_of

DAMAGED = "The database file is damaged: restore it from the backup."
_ROUNDING = 1e-4


class NoLog(ValueError):
    """There is no case log to check."""


@dataclass
class Checked:
    """What was there to be checked. Events cut off at the end leave no other trace than the last one's time."""

    scans: int = 0
    events: int = 0
    last: datetime | None = None


def problems(
    settings: Settings, checked: Checked, progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[str]:
    """What is wrong, a sentence each; nothing where the file is sound, the audit chain holds, the key is the one that
    patients were named with, and every scan's image is the one that was received. Raises NoLog, and UnusableLog where
    its address cannot be used."""
    try:
        url = make_url(settings.url)
    except ArgumentError as error:
        raise NoLog(f"The case log's address cannot be used ({str(error).splitlines()[0]}).") from error
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite and not ((file := file_of(settings.url)) and file.exists()):
        raise NoLog(f"There is no case log at {url.database}. Restore it, or set STROKE_HOME to where it lies.")
    db, hashes, images = Database(settings.url), list[tuple[int, str]](), ImageStore(settings.images_dir)
    try:
        yield from _of_the_database(db, sqlite, settings, checked, hashes)
        if not hashes and (left := len(images.hashes())):
            yield (
                f"The case log knows of no scan, and the store holds {counted(left, 'image')}: it is not the log that "
                "they came into. Restore that from the backup."
            )
    except (JSONDecodeError, DamagedLog):  # whose messages quote rows, as the next one's do
        yield f"{DAMAGED} It cannot be read to its end."
    except DatabaseError:
        yield "The database is no case log, or a part of it is missing: restore it from the backup."
    except UnusableLog as error:
        yield str(error)
    checked.scans = len(hashes)
    yield from _of_the_images(db, images, hashes, checked, progress)


def _of_the_database(
    db: Database, sqlite: bool, settings: Settings, checked: Checked, hashes: list[tuple[int, str]]
) -> Iterator[str]:
    """Also appends every scan's id and content hash to `hashes`."""
    if sqlite:
        with db.engine.connect() as connection:
            said = connection.scalars(text("PRAGMA integrity_check")).all()
        if said != ["ok"]:
            yield f"{DAMAGED} SQLite finds {counted(len(said), 'fault')}."
    yield from _of_the_log(db, settings, checked)
    with db.reading() as session:
        hashes += [(row.id, row.content_hash) for row in session.execute(select(Scan.id, Scan.content_hash))]


def _of_the_images(
    db: Database,
    images: ImageStore,
    hashes: list[tuple[int, str]],
    checked: Checked,
    progress: Callable[[int, int], None],
) -> Iterator[str]:
    """Of scans that are still there: a batch may be undone meanwhile."""
    for done, (scan_id, content_hash) in enumerate(hashes, 1):
        try:
            image_of(images, content_hash)
        except (ImageMissing, UnreadableScan) as error:
            if _is_there(db, scan_id, content_hash):
                yield f"Scan {scan_id}: {error}"
            else:
                checked.scans -= 1
        progress(done, len(hashes))


def _is_there(db: Database, scan_id: int, content_hash: str) -> bool:
    """Whether the log has this scan now; one under its number may be another."""
    try:
        with db.reading() as session:
            return session.scalar(select(Scan.content_hash).where(Scan.id == scan_id)) == content_hash
    except (DatabaseError, UnusableLog):  # it had it
        return True


def _of_the_log(db: Database, settings: Settings, checked: Checked) -> Iterator[str]:
    with db.reading() as session:
        broken = audit.first_break(session)
        known, named = audit.last(session, KEY), has_patients(session)
        checked.events, checked.last = session.execute(select(func.count(), func.max(AuditEvent.at))).one()
    if broken is not None:
        yield f"The audit chain breaks at event {broken}: it or one before it was changed, removed or put in."
    else:
        with db.reading() as session:
            found = [*_of_the_reviews(session), *_of_the_intakes(session)]
        yield from found  # not from within: who reads on slowly would hold up those who write
    with db.reading() as session:
        found = [*_of_the_readings(session), *_of_the_splits(session), *_of_the_snapshots(session)]
    yield from found
    yield from _of_the_key(settings.key_file, known, named)


def _of_the_reviews(session: Session) -> Iterator[str]:
    """Every verdict has its event, written with it, and says what that says: of those filed before events said so, not
    whether it settled what readers differed on."""
    events = session.execute(select(AuditEvent.actor, AuditEvent.detail).where(AuditEvent.action == "review"))
    filed = {said["review"]: {**said, "reader": reader} for reader, said in events}
    stored = {
        row.id: {
            "review": row.id,
            "scan": row.scan_id,
            "reader": row.reader,
            "verdict": row.verdict,
            "blind": row.blind,
            "settles": row.adjudication,
        }
        for row in session.scalars(select(Review))
    }
    for review in sorted(filed.keys() | stored.keys()):
        if review not in stored:
            yield f"Review {review}, of scan {filed[review]['scan']}, has been removed: the audit chain has it."
        elif review not in filed:
            yield f"Review {review}, of scan {stored[review]['scan']}, has been put in: the audit chain has it not."
        elif not filed[review].items() <= stored[review].items():
            yield f"Review {review}, of scan {filed[review]['scan']}, has been changed: the audit chain has another."


def _of_the_intakes(session: Session) -> Iterator[str]:
    """As many scans as were taken in and not taken back."""
    events = session.execute(
        select(AuditEvent.action, AuditEvent.detail).where(AuditEvent.action.in_(("intake", TAKEN_BACK)))
    )
    expected = sum(said["scans"] if action == "intake" else -said["scans"] for action, said in events)
    there = session.scalar(select(func.count(Scan.id))) or 0
    if there != expected:
        yield f"By the audit chain the log has {counted(expected, 'scan')}, and there are {there}."


def _of_the_readings(session: Session) -> Iterator[str]:
    """What the audit chain does not have: a reading changed in part contradicts itself, one changed as a whole does
    not."""
    columns = Reading.id, Reading.scan_id, Reading.label, Reading.confidence, Reading.probabilities
    for reading, scan, label, confidence, p in session.execute(select(*columns).order_by(Reading.id)):
        if not _gives(p, label, confidence):
            yield f"Reading {reading}, of scan {scan}, contradicts itself: its probabilities do not give its answer."


def _gives(p: object, label: str, confidence: object) -> bool:
    """Whether `p` are probabilities by class that give this answer; what is stored may be anything."""
    if not isinstance(p, dict) or not all(_is_number(value) for value in (*p.values(), confidence)):
        return False
    same = abs(p.get(label, -1.0) - confidence) < _ROUNDING and confidence >= max(p.values()) - _ROUNDING
    return bool(same and abs(sum(p.values()) - 1) <= _ROUNDING)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_the_splits(session: Session) -> Iterator[str]:
    """A patient stands where they stood in every retraining so far."""
    query = select(SnapshotItem.patient_key, SnapshotItem.split, Patient.split).distinct()
    query = query.join(Patient, Patient.key == SnapshotItem.patient_key).where(SnapshotItem.split != Patient.split)
    for key, before, now in session.execute(query):
        yield f"Patient {key} stood among the {before} patients of a retraining, and stands among the {now} ones now."


def _of_the_snapshots(session: Session) -> Iterator[str]:
    """What a retraining has learned from is what it learned from."""
    for snapshot in session.scalars(select(Snapshot).order_by(Snapshot.id)):
        if snapshot_digest(snapshot.items) != snapshot.digest:
            yield f"The list of what retraining {snapshot.id} learned from has been changed."


def _of_the_key(key: Path, known: dict[str, Any] | None, named: bool) -> Iterator[str]:
    """`known`: what the log says of it; `named`: whether patients were named with one."""
    if not key.exists():
        if known or named:
            yield f"{key} is missing: put the key back from where it is kept."
        return
    if named and not known:
        yield (
            f"The case log is from before its key was recorded: whether {key} is the one that its patients were named "
            "with cannot be told. Where you know that it is, start the program once, which records it."
        )
    try:
        if known and Pseudonym.at(key).fingerprint != known["fingerprint"]:
            yield f"{key} is not the key that this case log's patients were named with: put that one back."
    except WrongKey as error:
        yield str(error)
