"""A model reads what the case log has stored: a new champion, or another version that is asked."""

from collections.abc import Callable, Collection

from core.pseudonym import unnamed
from core.reading import SEEN_IN_TRAINING, Model, for_keys
from core.scan import Scan, UnreadableScan
from db import queries
from db.images import ImageMissing
from services.intake import reading_row
from services.workspace import Workspace, stored_scan


def ensure_reading(ws: Workspace, model: Model, scan_id: int) -> None:
    """Have the model that serves read the scan, unless it has. Raises ImageMissing or UnreadableScan where its stored
    image is damaged."""
    for error in read_stored(ws, model, [scan_id]).values():
        raise error


def read_stored(
    ws: Workspace,
    model: Model,
    scan_ids: Collection[int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, ImageMissing | UnreadableScan]:
    """Have a model read those of the stored scans that it has not read, a batch at a time; returns why it could not
    read those whose stored image is damaged, by scan. Synthetic demo cases are for demonstration models: what a model
    of real scans says of them is of no use to anybody.
    """
    with ws.db.reading() as session:
        known = queries.readings(session, version=model.manifest.version, scan_ids=scan_ids)
        rows = [
            row
            for row in queries.scans(session, ids=scan_ids)
            if row.id not in known and (model.manifest.demonstration or not row.synthetic)
        ]
        metas = queries.metas(session, [row.id for row in rows])
        parts = queries.parts_of(session, [row.id for row in rows])
    size, damaged = ws.settings.limits.batch_size, dict[int, ImageMissing | UnreadableScan]()
    for start in range(0, len(rows), size):
        found = dict[int, Scan]()
        for row in rows[start : start + size]:
            try:
                pixels = stored_scan(ws, row.content_hash)
                found[row.id] = Scan(pixels.pixels, pixels.unit, row.patient_key, meta=metas[row.id])
            except (ImageMissing, UnreadableScan) as error:
                damaged[row.id] = error
        readings = model.read(list(found.values())) if found else []
        with ws.db.writing() as session:
            since = queries.readings(session, version=model.manifest.version, scan_ids=found)
            there = {row.id for row in queries.scans(session, ids=found)}  # a batch may have been taken back meanwhile
            session.add_all(
                reading_row(scan_id, for_keys(reading, [*map(unnamed, parts.get(scan_id, ()))], model.manifest))
                for scan_id, reading in zip(found, readings, strict=True)
                if scan_id in there and scan_id not in since
            )
            session.flush()
            queries.spread_flag(session, SEEN_IN_TRAINING, {scan.patient_key or "" for scan in found.values()})
        progress(min(start + size, len(rows)), len(rows))
    return damaged
