"""What is asked of the case log. Queries never commit; the use case does, once."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, delete, func, literal, or_, select, update
from sqlalchemy.orm import Session

from db.models import Batch, ModelVersion, Part, Patient, Reading, Review, Scan, SnapshotItem, Study

AT_ONCE = 10_000
"""Values in one statement: SQLite takes 32,766 where it was not built for more."""


Query = Select[*tuple[Any, ...]]


def rows_for(session: Session, query: Query, column: Any, values: Collection[Any] | None) -> list[Any]:
    """The rows of a query for which a column has one of the values, asked for in as many statements as they take; all
    rows where None are given."""
    if values is None:
        return list(session.execute(query))
    asked = list(values)
    parts = (asked[start : start + AT_ONCE] for start in range(0, len(asked), AT_ONCE))
    return [row for part in parts for row in session.execute(query.where(column.in_(part)))]


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """A reading without its heat map."""

    id: int
    scan_id: int
    model_version: str
    label: str
    confidence: float
    probabilities: dict[str, float]
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LookRow:
    """What is needed to tell whether another scan is nearly this one."""

    content_hash: str
    patient_key: str
    study_key: str
    look: bytes
    id: int | None = None  # None while it is being stored


@dataclass(frozen=True, slots=True)
class ScanRow:
    """A scan as lists show it."""

    id: int
    content_hash: str
    patient_key: str
    study_key: str
    batch_id: int
    number: float | None
    in_mm: bool  # `number` is a place along the normal; else what its file or header counts
    unit: str
    synthetic: bool
    audit: bool
    version: int
    created_at: datetime
    resembles_id: int | None

    @property
    def sides_known(self) -> bool:
        """Whether its file says which side is which: it was then turned to have the patient's right at its left."""
        return self.in_mm


_SCAN_COLUMNS = (
    Scan.id, Scan.content_hash, Study.patient_key, Scan.study_key, Scan.batch_id, Scan.number,
    Scan.meta["position_mm"].as_float().is_not(None), Scan.unit, Scan.synthetic, Scan.audit, Scan.version,
    Scan.created_at, Scan.resembles_id,
)  # fmt: skip
_READING_COLUMNS = (
    Reading.id, Reading.scan_id, Reading.model_version, Reading.label, Reading.confidence, Reading.probabilities,
    Reading.flags,
)  # fmt: skip


def scans(session: Session, *, ids: Collection[int] | None = None) -> list[ScanRow]:
    """Scans, newest batch first, each study in its own order."""
    query = select(*_SCAN_COLUMNS).join(Study)
    found = [ScanRow(*row) for row in rows_for(session, query, Scan.id, ids)]
    return sorted(found, key=listed)


def listed(scan: ScanRow) -> tuple[Any, ...]:
    """What lists are sorted by, the newest batch first, study by study: what has no place in its study comes first in
    it."""
    return -scan.batch_id, scan.study_key, scan.number is not None, scan.number or 0.0, scan.id


def alike_in_study(session: Session, scan: ScanRow) -> list[ScanRow]:
    """A scan's study as far as its slices are as thick, and have a place in it that is measured alike; itself too."""
    thick = Scan.meta["SliceThickness"].as_float()
    own = session.scalar(select(thick).where(Scan.id == scan.id))
    query = select(*_SCAN_COLUMNS).join(Study).where(Scan.study_key == scan.study_key, Scan.number.is_not(None))
    rows = session.execute(query.where(thick.is_not_distinct_from(own)).order_by(Scan.number, Scan.id))
    return [row for row in (ScanRow(*values) for values in rows) if row.in_mm == scan.in_mm]


def add_parts(session: Session, ids: Mapping[str, int], parts: Mapping[str, Collection[str]]) -> None:
    """Slices that have become part of a scan, but for those that are another's already. `ids`: of scans by content
    hash; `parts`: content hashes of slices, by that of their scan."""
    for scan, hashes in parts.items():
        new = {*hashes} - parts_by_hash(session, hashes).keys()
        session.add_all(Part(content_hash=digest, scan_id=ids[scan]) for digest in new)
        session.flush()


def scans_by_hash(session: Session, hashes: Collection[str]) -> dict[str, int]:
    """Content hash -> scan id, for those the log has."""
    return dict(map(tuple, rows_for(session, select(Scan.content_hash, Scan.id), Scan.content_hash, hashes)))


def parts_by_hash(session: Session, hashes: Collection[str]) -> dict[str, int]:
    """Content hash -> the scan that a slice has become a part of, for those of which that is so."""
    return dict(map(tuple, rows_for(session, select(Part.content_hash, Part.scan_id), Part.content_hash, hashes)))


def parts_of(session: Session, scan_ids: Collection[int] | None = None) -> dict[int, list[str]]:
    """Scan id -> the content hashes of the slices it is made of, where these came by themselves."""
    found: dict[int, list[str]] = {}
    for scan_id, digest in rows_for(session, select(Part.scan_id, Part.content_hash), Part.scan_id, scan_ids):
        found.setdefault(scan_id, []).append(digest)
    return found


_LOOKS = (
    select(Scan.content_hash, Study.patient_key, Scan.study_key, Scan.look, Scan.id)
    .join(Study)
    .where(Scan.look.is_not(None))
    .order_by(Scan.id)
)


def looks(session: Session, *, after: int = 0) -> list[LookRow]:
    """The looks of the scans that came `after` one, in that order; those taken in before looks were kept have none."""
    return [_look(*row) for row in session.execute(_LOOKS.where(Scan.id > after))]


def look(session: Session, scan_id: int) -> LookRow | None:
    """A scan's look, and whose it is now; None where it has been taken back."""
    return next((_look(*row) for row in session.execute(_LOOKS.where(Scan.id == scan_id))), None)


def _look(content_hash: str, patient_key: str, study_key: str, look: bytes | None, scan_id: int) -> LookRow:
    assert look is not None
    return LookRow(content_hash, patient_key, study_key, look, scan_id)


def readings(
    session: Session,
    *,
    version: str | None = None,
    prefer: Sequence[str | None] = (),
    scan_ids: Collection[int] | None = None,
) -> dict[int, ReadingRow]:
    """Scan id -> its reading by `version`; where none is named, by the first of `prefer` that has read it, or else its
    newest one."""
    wanted = [name for name in prefer if name] if version is None else [version]
    ranks = [(Reading.model_version == name, i) for i, name in enumerate(wanted)]
    place = case(*ranks, else_=len(ranks)) if ranks else literal(0)
    first = func.row_number().over(partition_by=Reading.scan_id, order_by=(place, Reading.id.desc()))
    query = select(*_READING_COLUMNS, first.label("place"))
    if version is not None:
        query = query.where(Reading.model_version == version)
    of = query.subquery()
    chosen = select(*(of.c[column.key] for column in _READING_COLUMNS)).where(of.c.place == 1)
    rows = rows_for(session, chosen, of.c.scan_id, scan_ids)
    return {
        scan_id: ReadingRow(reading_id, scan_id, by, label, confidence, probabilities, tuple(flags))
        for reading_id, scan_id, by, label, confidence, probabilities, flags in rows
    }


def drawn_for_audit(session: Session, patient_keys: Collection[str]) -> dict[str, bool]:
    """Patient key -> whether the scans it has were drawn for the blind audit, where it has any."""
    query = select(Study.patient_key, func.max(case((Scan.audit, 1), else_=0))).join(Scan)
    rows = session.execute(query.where(Study.patient_key.in_(patient_keys)).group_by(Study.patient_key))
    return {patient: bool(drawn) for patient, drawn in rows}


def patients_drawn(session: Session, scan_ids: Collection[int]) -> dict[int, str]:
    """Id -> patient key of those of these scans that were drawn for the blind audit."""
    query = select(Scan.id, Study.patient_key).join(Study).where(Scan.audit)
    return {row.id: row.patient_key for row in rows_for(session, query, Scan.id, scan_ids)}


def drawn_together(session: Session, scan_ids: Collection[int] | None = None) -> dict[int, str]:
    """Id -> patient key of all scans drawn for the blind audit, or of those whose patients these scans are of."""
    patients = None if scan_ids is None else set(patients_drawn(session, scan_ids).values())
    query = select(Scan.id, Study.patient_key).join(Study).where(Scan.audit)
    return {row.id: row.patient_key for row in rows_for(session, query, Study.patient_key, patients)}


def metas(session: Session, scan_ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """Id -> technical facts of a scan, see core.scan.Scan.meta."""
    return {row.id: row.meta for row in rows_for(session, select(Scan.id, Scan.meta), Scan.id, scan_ids)}


def first_day(session: Session, patient_key: str) -> float | None:
    """The earliest `day` of a patient's scans, see core.identity.relative_day."""
    metas = session.scalars(select(Scan.meta).join(Study).where(Study.patient_key == patient_key))
    return min((meta["day"] for meta in metas if "day" in meta), default=None)


def first_copies(links: Iterable[tuple[int, int | None]]) -> dict[int, int]:
    """(id, id of the earlier scan that it nearly copies) of scans -> of those that copy one, the id of the first such
    scan, however far about."""
    first: dict[int, int] = {}
    for scan_id, earlier in sorted(link for link in links if link[1] is not None):
        assert earlier is not None
        first[scan_id] = first.get(earlier, earlier)
    return first


def ids_with(session: Session, *facts: str) -> set[int]:
    """The scans whose `meta` says any of them."""
    said = or_(*(Scan.meta[fact].as_string().is_not(None) for fact in facts))
    return set(session.scalars(select(Scan.id).where(said)))


def ids_in_snapshots(session: Session) -> set[int]:
    """The scans that a retraining has been given."""
    return set(session.scalars(select(SnapshotItem.scan_id).distinct()))


def splits(session: Session, keys: Collection[str] | None = None) -> dict[str, str]:
    """Patient key -> split, for the patients the log has met."""
    query = select(Patient.key, Patient.split)
    return {row.key: row.split for row in rows_for(session, query, Patient.key, keys)}


def add_patients(session: Session, assigned: dict[str, str]) -> None:
    """Store the split of patients not met before; those met keep theirs."""
    known = splits(session, assigned.keys())
    session.add_all(Patient(key=key, split=split) for key, split in assigned.items() if key not in known)
    session.flush()


def patients_of_studies(session: Session, keys: Collection[str]) -> dict[str, str]:
    """Study key -> patient key, for those the log has."""
    return {row.key: row.patient_key for row in session.scalars(select(Study).where(Study.key.in_(keys)))}


def is_used(session: Session, patient_key: str) -> bool:
    """Whether a scan of the patient has been reviewed or trained on."""
    theirs = _scan_ids_of(patient_key)
    return any(
        session.scalar(select(column).where(column.in_(theirs)).limit(1)) is not None
        for column in (Review.scan_id, SnapshotItem.scan_id)
    )


def give_studies(session: Session, patient_key: str, to: str) -> list[str]:
    """Make a patient's studies another's, drawn for the blind audit as theirs are; the patient without studies goes.
    Returns which they are."""
    for drawn in drawn_for_audit(session, [to]).values():
        theirs = select(Study.key).where(Study.patient_key == patient_key)
        session.execute(update(Scan).where(Scan.study_key.in_(theirs)).values(audit=drawn))
    given = list(session.scalars(select(Study.key).where(Study.patient_key == patient_key)))
    session.execute(update(Study).where(Study.patient_key == patient_key).values(patient_key=to))
    session.execute(delete(Patient).where(Patient.key == patient_key))
    return given


def add_studies(session: Session, patient_of: dict[str, str]) -> None:
    """Store studies (study key -> patient key) not met before."""
    known = set(session.scalars(select(Study.key).where(Study.key.in_(patient_of.keys()))))
    session.add_all(Study(key=key, patient_key=patient) for key, patient in patient_of.items() if key not in known)
    session.flush()


def register_version(
    session: Session, version: str, manifest_sha256: str, parent: str | None, demonstration: bool
) -> None:
    """Make a bundle known to the log, once."""
    if session.get(ModelVersion, version) is None:
        session.add(
            ModelVersion(version=version, manifest_sha256=manifest_sha256, parent=parent, demonstration=demonstration)
        )
        session.flush()


def is_demonstration(session: Session, version: str) -> bool:
    """Whether a version has only met synthetic images."""
    known = session.get(ModelVersion, version)
    return bool(known and known.demonstration)


def sources(session: Session) -> dict[int, str]:
    """Batch id -> where it came from."""
    return {row.id: row.source for row in session.execute(select(Batch.id, Batch.source))}


def versions_with_readings(
    session: Session, *, synthetic: bool | None = None, patient_key: str | None = None
) -> set[str]:
    """Model versions that have read at least one scan, one of that kind, or of that patient, where it is named."""
    query = select(Reading.model_version).distinct()
    if synthetic is not None:
        query = query.join(Scan).where(Scan.synthetic.is_(synthetic))
    if patient_key is not None:
        query = query.where(Reading.scan_id.in_(_scan_ids_of(patient_key)))
    return set(session.scalars(query))


def flag_readings(session: Session, version: str, patient_key: str, flag: str) -> None:
    """Make a flag known of every reading of a patient's scans by a version."""
    query = select(Reading).where(Reading.model_version == version, Reading.scan_id.in_(_scan_ids_of(patient_key)))
    for reading in session.scalars(query):
        if flag not in reading.flags:
            reading.flags = [*reading.flags, flag]


def spread_flag(session: Session, flag: str, patient_keys: Collection[str]) -> None:
    """Where a version's reading of one of a patient's scans has a flag, its readings of the others get it."""
    query = select(Study.patient_key, Reading.model_version, Reading.id, Reading.flags)
    query = query.join(Scan, Scan.study_key == Study.key).join(Reading, Reading.scan_id == Scan.id)
    rows = rows_for(session, query, Study.patient_key, patient_keys)
    having = {(row.patient_key, row.model_version) for row in rows if flag in row.flags}
    for row in rows:
        if (row.patient_key, row.model_version) in having and flag not in row.flags:
            session.get_one(Reading, row.id).flags = [*row.flags, flag]


def _scan_ids_of(patient_key: str) -> Select[int]:
    return select(Scan.id).join(Study).where(Study.patient_key == patient_key)


def content_hashes(session: Session) -> set[str]:
    """Of every scan in the log."""
    return set(session.scalars(select(Scan.content_hash)))
