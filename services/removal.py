"""What was taken in goes: a batch that is taken back, and images that a killed intake or undo left behind."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from db import audit, batch_queries, queries
from db.images import StoreShared
from services.review import UNNAMED_READER
from services.workspace import Workspace

STALE_S = 3600
_UNKNOWN = "unknown"
"""The mark of a case log that has left images and no mark, as those of before marks."""


class BatchInUse(ValueError):
    """A batch that somebody has begun to work with stays."""


def undo(ws: Workspace, scan_id: int, *, actor: str) -> int:
    """Take back the whole batch that a scan came with; returns how many scans went. Rows go first, then images.

    Its patients keep their split, for splits are for good; scans of other batches that it had given a patient's name
    lose it, where nobody has reviewed them. Raises BatchInUse where a scan of it has been reviewed or trained on, or
    has come again with somebody else's upload, who was told that it is stored; who gives no name may be anybody; and
    OSError where nothing can be written down of it. An image that cannot be removed goes at a later start.
    """
    with ws.db.writing() as session:
        _leave_mark(ws, session)
        last = batch_queries.last_scan(session)
        if batch_queries.met_again(session, scan_id, but_of=None if actor == UNNAMED_READER else actor):
            raise BatchInUse(
                "Another upload brought scans of this batch too, whose sender was told that they are stored: it stays."
            )
        joined = batch_queries.joined_by_batch_of(session, scan_id)
        gone = batch_queries.delete_batch_of(session, scan_id)
        if gone is None:
            raise BatchInUse("Something in this batch has been reviewed or trained on, so it stays as it is.")
        if gone:
            for one in joined:
                batch_queries.give_back(session, **one)
            audit.append(session, actor, batch_queries.TAKEN_BACK, {"scans": len(gone), "last_scan": last})
        note = ws.images.note(audit.beginning(session), gone)
    _sweep(ws, [note])
    return len(gone)


def taken_back(ws: Workspace, scan_ids: Sequence[int]) -> bool:
    """Whether these scans of one batch, stored once, are gone: all are or none."""
    with ws.db.reading() as session:
        return bool(scan_ids) and not queries.scans(session, ids=scan_ids[:1])


def note_images(ws: Workspace, digests: Iterable[str]) -> Path:
    """Write down that these images come or go, so that they are swept should that be killed; the note, which whoever
    wrote it removes at the end."""
    with ws.db.reading() as session:
        _leave_mark(ws, session)
        log = audit.beginning(session)
    return ws.images.note(log, digests)


def _mark(ws: Workspace, session: Session) -> tuple[str, str]:
    """The case log's mark in the store, and where the log lies: a copy of it begins as it does."""
    place = ws.db.place(ws.settings.home_dir)
    return f"{audit.beginning(session)}-{hashlib.sha256(place.encode()).hexdigest()[:8]}", place


def _leave_mark(ws: Workspace, session: Session) -> None:
    """Let other case logs that use the store know of this one, before it has an image there or removes one. The first
    to do so marks whose the images are that it does not know, too."""
    mark, place = _mark(ws, session)
    if ws.images.is_marked(mark):
        return
    if not ws.images.other_marks(mark):
        strangers = ws.images.hashes() - ws.images.noted(audit.beginning(session))
        if strangers - queries.content_hashes(session):
            ws.images.mark(_UNKNOWN, "one that is not known")
    ws.images.mark(mark, place)


def _delete_images(ws: Workspace, digests: Iterable[str]) -> int:
    """Remove those that no row names; returns how many. No intake can store a row meanwhile: it would need the lock.
    Raises StoreShared."""
    with ws.db.writing() as session:
        strangers = set(digests) - queries.content_hashes(session)
        mark, _ = _mark(ws, session)
        for digest in strangers:
            ws.images.delete(digest, mark)
    return len(strangers)


def sweep_images(ws: Workspace, *, stale_s: float = STALE_S) -> int:
    """Remove images that no row names, left by an intake or an undo that was killed; returns how many. Those noted
    less than `stale_s` ago may still be on their way.

    An image is only ever looked at where this case log's own note names it: with another or an older case log in this
    home, most images have no row, and are none of its business. Nor is one removed there, for it may be the other's
    too.
    """
    with ws.db.reading() as session:
        notes = ws.images.notes(audit.beginning(session), stale_s)
        try:
            if notes or queries.content_hashes(session):
                _leave_mark(ws, session)
        except OSError as error:
            logging.getLogger(__name__).warning("%s", error)
            return 0
    return _sweep(ws, notes)


def _sweep(ws: Workspace, notes: Iterable[Path]) -> int:
    """Remove what notes name, and the notes; where that cannot be done it is said, and the note is kept for later."""
    removed, log = 0, logging.getLogger(__name__)
    for note in notes:
        try:
            removed += _delete_images(ws, note.read_text().split())
            note.unlink(missing_ok=True)
        except FileNotFoundError:  # another process has just seen to it
            continue
        except StoreShared as others:
            log.warning(
                "Images that no scan names stay in %s: another case log keeps images there too, and they may be its "
                "own: %s. Where that log is gone for good, or is this one before it was moved, remove the file in "
                "brackets: they are tried again at the next start. Give each case log its own STROKE_HOME.",
                ws.images.root,
                others,
            )
            break
        except OSError as error:
            log.warning(
                "Images that no scan names stay in %s: %s cannot be removed (%s). Let whoever runs this write there; "
                "they are tried again at the next start.",
                ws.images.root,
                error.filename or note,
                error.strerror or error,
            )
    return removed
