"""Files come in: each gets a stated outcome, and none costs another."""

import secrets
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from core.likeness import appearance
from core.pseudonym import unnamed
from core.reading import SEEN_IN_TRAINING, Model, Reading, for_keys
from core.scan import Scan, UnreadableScan, to_stored
from core.settings import Limits
from core.signatures import HEAD, may_hold_slices
from db import audit, batch_queries, models, queries
from db.queries import ReadingRow, ScanRow
from services.arrivals import ANOTHER_PATIENT_NOTE, Arrival, arrivals_of, is_another, share, splits_of
from services.models import preferred
from services.removal import note_images
from services.resemblance import Resemblances
from services.series import together
from services.workspace import Workspace

Outcome = Literal["stored", "duplicate", "refused"]
FROM_FOLDER = "ingest"
"""The source of what a command takes in."""
CHUNK_PIXELS = 20_000_000
"""Scans of more pixels than this do not wait for others in memory."""


@dataclass(frozen=True)
class Incoming:
    """A file as it arrives; `problem` is set where it could not even be read from where it lay."""

    file: str
    data: bytes = b""
    problem: str | None = None


@dataclass(frozen=True)
class Received:
    """What became of one file. The reading is the one that serves now, where there is one."""

    file: str
    outcome: Outcome
    reason: str | None = None  # why it was not stored; of a stored one what there is to know
    scan_id: int | None = None
    reading: ReadingRow | None = None
    audit: bool = False  # drawn for the blind audit stream: the reading must not be shown before the verdict


class BatchGone(ValueError):
    """Somebody has taken a batch back while it came in."""


@dataclass
class _Batch:
    """What comes in together."""

    source: str
    actor: str
    synthetic: bool
    resemblances: Resemblances
    upload: str = field(default_factory=lambda: secrets.token_hex(8))  # tells it from every other, also without a scan
    id: int | None = None  # once it has a scan of its own


class _File(NamedTuple):
    """One of a chunk, or several that became one scan."""

    files: tuple[str, ...]
    digest: str | None = None
    named: str | None = None  # the patient's key, by this file
    refused: str | None = None  # why


@dataclass
class _Chunk:
    """Files on their way through one transaction."""

    scans: dict[str, Scan] = field(default_factory=dict)  # content hash -> scan
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of a mean -> of the slices it is made of
    readings: dict[str, Reading] = field(default_factory=dict)
    outcome: list[_File] = field(default_factory=list)

    @property
    def pixels(self) -> int:
        return sum(scan.pixels.size for scan in self.scans.values())


def receive(
    ws: Workspace,
    model: Model,
    files: Iterable[Incoming],
    *,
    source: str,
    actor: str,
    synthetic: bool = False,
) -> Iterator[Received]:
    """Store and read files as they come; yields one outcome per file, in order, after it is on the disk; those of a
    thin series when it is whole, or too many wait (`services.series`). They are one batch.

    Raises BatchGone where the batch is taken back meanwhile: then none of its scans is there, and no more come.

    Memory holds two chunks of `limits.batch_size` scans, fewer where they are large, however many files there are, and
    the thin series that are not whole yet: one chunk is decoded while the one before is read by the model and stored.
    """
    batch = _Batch(source, actor, synthetic, Resemblances(ws))
    for chunk in _one_ahead(_chunks(ws, files)):
        with ws.db.reading() as session:
            parts = queries.parts_by_hash(session, chunk.scans.keys())
            known = parts | queries.scans_by_hash(session, chunk.scans.keys())
        note = note_images(ws, chunk.scans)
        for digest in chunk.scans.keys() - parts.keys():
            ws.images.put(digest, to_stored(chunk.scans[digest]))
        _read(model, chunk, [digest for digest in chunk.scans if digest not in known])
        received = _store(ws, model, chunk, batch)
        note.unlink(missing_ok=True)
        yield from received


def _read(model: Model, chunk: _Chunk, digests: Collection[str]) -> None:
    """Let the model read these of a chunk's scans."""
    if not digests:
        return
    chunk.readings |= dict(zip(digests, model.read([chunk.scans[digest] for digest in digests]), strict=True))


def _one_ahead(chunks: Iterator[_Chunk]) -> Iterator[_Chunk]:
    """The same, each made while the one before is being worked on."""
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, chunks, None)
        while chunk := coming.result():
            coming = worker.submit(next, chunks, None)
            yield chunk


def _chunks(ws: Workspace, files: Iterable[Incoming]) -> Iterator[_Chunk]:
    chunk, limits = _Chunk(), ws.settings.limits
    decoded = (found for incoming in files for found in _decoded(ws, incoming))
    for files_of, scan, parts in together(decoded, limits.slice_mm, lambda hashes: _known(ws, hashes)):
        if isinstance(scan, UnreadableScan):
            chunk.outcome.append(_File(files_of, refused=str(scan)))
        else:
            digest = scan.content_hash
            if any(digest in of for of in chunk.parts.values()):  # it is known as a part once that is stored
                yield chunk
                chunk = _Chunk()
            if digest not in chunk.scans or not chunk.scans[digest].patient_key:  # one that names its patient wins
                chunk.scans[digest] = scan
            if parts:
                chunk.parts[digest] = parts
            chunk.outcome.append(_File(files_of, digest, scan.patient_key))
        if len(chunk.outcome) >= limits.batch_size or chunk.pixels >= CHUNK_PIXELS:
            yield chunk
            chunk = _Chunk()
    if chunk.outcome:
        yield chunk


def _known(ws: Workspace, digests: Collection[str]) -> set[str]:
    """Those that the log has, as scans or as parts of one."""
    with ws.db.reading() as session:
        return {*queries.scans_by_hash(session, digests), *queries.parts_by_hash(session, digests)}


def _decoded(ws: Workspace, incoming: Incoming) -> Iterator[tuple[str, Scan | UnreadableScan]]:
    """What a file holds, or why not. Of several slices each is named by the file, "#" and its number."""
    limits, first, number = ws.settings.limits, None, 0
    try:
        problem = incoming.problem or too_large(len(incoming.data), incoming.data, limits)
        if problem:
            raise UnreadableScan(problem)
        for number, scan in enumerate(
            ws.decoder.read_all(
                incoming.data,
                incoming.file,
                pseudonym=ws.pseudonym,
                megapixels=limits.megapixels,
                megabytes=limits.unpacked_mb,
                slice_mm=limits.slice_mm,
            ),
            1,
        ):
            if number == 1:
                first = scan
                continue
            if first is not None:
                yield f"{incoming.file}#1", first
                first = None
            yield f"{incoming.file}#{number}", scan
    except UnreadableScan as error:
        if first is not None:
            yield f"{incoming.file}#1", first
        yield incoming.file, error
    else:
        if first is not None:
            yield incoming.file, first


def limit_for(head: bytes, limits: Limits) -> tuple[str, float]:
    """Name and MB of the limit for a file that begins with `head`."""
    volume = may_hold_slices(head[:HEAD])
    return ("volume_mb", limits.volume_mb) if volume else ("file_mb", limits.file_mb)


def too_large(size: int, head: bytes, limits: Limits) -> str | None:
    """Why a file of so many bytes that begins with `head` is not taken; None where it is."""
    name, most = limit_for(head, limits)
    if size <= most * 1e6:
        return None
    return (
        f"The file has {size / 1e6:.0f} MB; the limit is {most:g} MB. "
        f"Send single slices, or raise limits.{name} in config.yaml."
    )


def _store(ws: Workspace, model: Model, chunk: _Chunk, batch: _Batch) -> list[Received]:
    """One transaction: patients, studies, scans, readings, and the event that says so."""
    seen = {digest: appearance(scan) for digest, scan in chunk.scans.items()}
    with ws.db.writing() as session:
        if batch.id is not None and not batch_queries.holds_scans(session, batch.id):
            raise BatchGone("The batch was taken back while it came in. None of its scans is stored; upload it again.")
        parts = queries.parts_by_hash(session, chunk.scans.keys())
        for digest, scan in chunk.scans.items():  # what was put there may have been taken back or swept since
            if digest not in parts and not ws.images.path(digest).exists():
                ws.images.put(digest, to_stored(scan))
        ids = parts | queries.scans_by_hash(session, chunk.scans.keys())
        new = {digest: scan for digest, scan in chunk.scans.items() if digest not in ids}
        if new and batch.id is None:
            begun = models.Batch(source=batch.source, actor=batch.actor)
            session.add(begun)
            session.flush()
            batch.id = begun.id
        again = {ids[digest]: scan for digest, scan in chunk.scans.items() if digest in ids and scan.patient_key}
        # who has the files still where they send them from
        theirs = (batch.source, batch.actor) if batch.source == FROM_FOLDER else None
        known = batch_queries.ids_of_other_batches(session, ids.values(), batch.id or 0, but_of=theirs)
        _read(model, chunk, [digest for digest in new if digest not in chunk.readings])  # stored, and then taken back
        arrivals, joined = arrivals_of(ws, session, batch.resemblances, new, again, seen, batch.synthetic)
        queries.add_patients(session, splits_of(session, arrivals, chunk.parts))
        queries.add_studies(session, {one.study_key: one.patient_key for one in arrivals})
        drawn = queries.drawn_for_audit(session, {one.patient_key for one in arrivals})
        next_id = batch_queries.id_after_taken_back(session)
        for one in arrivals:
            drawn.setdefault(one.patient_key, _draw(ws, one.patient_key))
            row = _scan_row(one, ids, batch.id or 0, audit=drawn[one.patient_key])
            if next_id:
                row.id, next_id = next_id, None
            session.add(row)
            session.flush()
            ids[one.digest] = row.id
            keys = {one.patient_key, *map(unnamed, chunk.parts.get(one.digest, ()))}
            session.add(reading_row(row.id, for_keys(chunk.readings[one.digest], keys, model.manifest)))
        queries.add_parts(session, ids, chunk.parts)
        if new:
            detail = {"batch": batch.id, "scans": len(new), "source": batch.source, "upload": batch.upload}
            audit.append(session, batch.actor, "intake", detail)
        if joined:
            audit.append(session, batch.actor, batch_queries.JOINED, {"joined": joined, "upload": batch.upload})
        if known:  # this upload too is told that they are stored
            audit.append(session, batch.actor, batch_queries.MET_AGAIN, {"scans": known, "upload": batch.upload})
        session.flush()
        met = {one.patient_key for one in arrivals} | {one["now"] for one in joined}
        queries.spread_flag(session, SEEN_IN_TRAINING, met)  # a version may have known a patient by one image alone
        session.flush()
        shown = queries.readings(session, prefer=[model.manifest.version, *preferred(ws)], scan_ids=ids.values())
        rows = {scan.id: scan for scan in queries.scans(session, ids=ids.values())}
    notes = {one.digest: one.note(ids) for one in arrivals}
    now = {one["now"] for one in joined}
    named = {scan_id for scan_id, scan in again.items() if scan.patient_key in now}
    return list(_outcomes(chunk, ids, notes, shown, rows, named, parts.keys()))


def _outcomes(
    chunk: _Chunk,
    ids: dict[str, int],
    notes: dict[str, str | None],
    shown: dict[int, ReadingRow],
    rows: dict[int, ScanRow],
    named: set[int],
    parts: Collection[str],
) -> Iterator[Received]:
    """Of each file. `named`: whose patient nobody had named before it came again with a name; `parts`: slices that are
    part of a scan."""
    for one in chunk.outcome:
        if one.digest is None:
            yield from (Received(file, "refused", one.refused) for file in one.files)
            continue
        scan_id = ids[one.digest]
        row = rows[scan_id]
        # the same pixels a second time in one batch are a duplicate of the first
        outcome: Outcome = "stored" if one.digest in notes else "duplicate"
        if outcome == "stored":
            why = notes.pop(one.digest)
        else:
            joined = scan_id in named and one.named == row.patient_key
            belongs = ", which belongs to the patient named by this file now" if joined else ""
            part = "part of " if one.digest in parts else ""
            why = f"The same image is in the case log already, as {part}scan {scan_id}{belongs}."
            if is_another(one.named, row.patient_key):
                why += f" {ANOTHER_PATIENT_NOTE}"
        for file in one.files:
            yield Received(file, outcome, why, scan_id, shown.get(scan_id), row.audit)


PLACE = ("position_mm", "number", "InstanceNumber")
"""What orders a study's slices, the first that is known."""


def _draw(ws: Workspace, patient_key: str) -> bool:
    """Whether a patient's scans are read blind."""
    return share(ws.pseudonym.of("audit", patient_key)) < ws.settings.review.audit_share


def _scan_row(one: Arrival, ids: dict[str, int], batch_id: int, *, audit: bool) -> models.Scan:
    number = next((one.scan.meta[tag] for tag in PLACE if tag in one.scan.meta), None)
    return models.Scan(
        content_hash=one.digest,
        study_key=one.study_key,
        batch_id=batch_id,
        unit=one.scan.unit,
        height=one.scan.pixels.shape[0],
        width=one.scan.pixels.shape[1],
        number=number if isinstance(number, float) else None,
        meta=dict(one.scan.meta),
        look=one.look,
        resembles_id=one.resembles(ids),
        synthetic=one.synthetic,
        audit=audit,
    )


def reading_row(scan_id: int, reading: Reading) -> models.Reading:
    """A reading as the log keeps it."""
    return models.Reading(
        scan_id=scan_id,
        model_version=reading.version,
        label=reading.label,
        confidence=reading.confidence,
        probabilities=reading.probabilities,
        flags=list(reading.flags),
        heat=reading.heat.tobytes(),
        heat_shape={"shape": list(reading.heat.shape), "box": list(reading.heat_box), "of": reading.heat_of},
    )
