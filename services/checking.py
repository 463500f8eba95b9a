"""Whether a case log is whole: what to ask after a restore, or before trusting a copy."""

from collections.abc import Callable, Iterator

from sqlalchemy import text

from core.labels import counted
from core.scan import UnreadableScan
from db import audit, queries
from db.images import ImageMissing
from services.workspace import Workspace, stored_scan


def problems(ws: Workspace, progress: Callable[[int, int], None] = lambda done, total: None) -> Iterator[str]:
    """What is wrong, a sentence each; nothing where the file is sound, the audit chain holds, and every scan's image is
    the one that was received."""
    with ws.db.reading() as session:
        if ws.db.engine.dialect.name == "sqlite":
            said = session.scalars(text("PRAGMA integrity_check")).all()
            if said != ["ok"]:
                yield f"The database file is damaged ({counted(len(said), 'place')}). Restore it from the backup."
        broken = audit.first_break(session)
        if broken is not None:
            yield f"The audit chain breaks at event {broken}: it or one before it was changed, removed or put in."
        scans = [(scan.id, scan.content_hash) for scan in queries.scans(session)]
    for done, (scan_id, content_hash) in enumerate(scans, 1):
        try:
            stored_scan(ws, content_hash)
        except (ImageMissing, UnreadableScan) as error:
            yield f"Scan {scan_id}: {error}"
        progress(done, len(scans))
