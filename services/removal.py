"""What was taken in goes: a batch that is taken back, and images that a killed intake or undo left behind."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from db import audit, batch_queries, queries
from services.review import UNNAMED_READER
from services.workspace import Workspace

STALE_S = 3600


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
        last = batch_queries.last_scan(session)
        if batch_queries.met_again(session, scan_id, but_of=None if actor == UNNAMED_READER else actor):
            raise BatchInUse(
                "Somebody else's upload brought scans of this batch too and was told that they are stored: it stays."
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
    _sweep(ws, note)
    return len(gone)


def taken_back(ws: Workspace, scan_ids: Sequence[int]) -> bool:
    """Whether these scans of one batch, stored once, are gone: all are or none."""
    with ws.db.reading() as session:
        return bool(scan_ids) and not queries.scans(session, ids=scan_ids[:1])


def note_images(ws: Workspace, digests: Iterable[str]) -> Path:
    """Write down that these images come or go, so that they are swept should that be killed; the note, which whoever
    wrote it removes at the end."""
    with ws.db.reading() as session:
        log = audit.beginning(session)
    return ws.images.note(log, digests)


def _delete_images(ws: Workspace, digests: Iterable[str]) -> int:
    """Remove those that no row names; returns how many. No intake can store a row meanwhile: it would need the lock."""
    with ws.db.writing() as session:
        strangers = set(digests) - queries.content_hashes(session)
        for digest in strangers:
            ws.images.delete(digest)
    return len(strangers)


def sweep_images(ws: Workspace, *, stale_s: float = STALE_S) -> int:
    """Remove images that no row names, left by an intake or an undo that was killed; returns how many. Those noted
    less than `stale_s` ago may still be on their way.

    An image is only ever looked at where this case log's own note names it: with another or an older case log in this
    home, most images have no row, and are none of its business.
    """
    with ws.db.reading() as session:
        notes = ws.images.notes(audit.beginning(session), stale_s)
    return sum(_sweep(ws, note) for note in notes)


def _sweep(ws: Workspace, note: Path) -> int:
    """Remove what a note names, and the note; where that cannot be done it is said, and the note is kept for later."""
    try:
        removed = _delete_images(ws, note.read_text().split())
        note.unlink(missing_ok=True)
    except FileNotFoundError:  # another process has just seen to it
        return 0
    except OSError as error:
        logging.getLogger(__name__).warning(
            "Images that no scan names stay in %s: %s cannot be removed (%s). Let whoever runs this write there; they "
            "are tried again at the next start.",
            ws.images.root,
            error.filename or note,
            error.strerror or error,
        )
        return 0
    return removed
