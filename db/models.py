"""The tables of the case log. Migrations in db/migrations are made from these."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import DateTime, TypeDecorator

LONGEST_NAME = 80
"""In letters, of who reads or does something: PostgreSQL refuses a longer one."""


def fitting(name: str) -> str:
    """A name as the case log can store it: without white space to no purpose, and no longer than its column. Empty
    where nothing of it shows."""
    fits = " ".join(name.replace("\0", " ").split())[:LONGEST_NAME].rstrip()  # nor does PostgreSQL store a NUL
    return fits if any(letter.isprintable() for letter in fits.replace(" ", "")) else ""


class UtcDateTime(TypeDecorator[datetime]):
    """Times are UTC, aware in Python and stored without a zone; a naive one is refused."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"got the naive time {value!r}, must carry a zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.replace(tzinfo=UTC) if value else None


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[str]: JSON}


class Patient(Base):
    """A pseudonym and the split it was given at first sight; neither ever changes."""

    __tablename__ = "patients"
    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    split: Mapped[str] = mapped_column(String(16))
    first_seen: Mapped[datetime] = mapped_column(default=now)


class Study(Base):
    """Scans taken together."""

    __tablename__ = "studies"
    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    patient_key: Mapped[str] = mapped_column(ForeignKey("patients.key"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Batch(Base):
    """One upload or one run of ingest."""

    __tablename__ = "batches"
    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(16))  # upload, ingest, demo
    actor: Mapped[str] = mapped_column(String(LONGEST_NAME))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Scan(Base):
    """One stored image. `version` counts the reviews filed, so that a reader cannot overwrite one unseen."""

    __tablename__ = "scans"
    id: Mapped[int] = mapped_column(primary_key=True)
    content_hash: Mapped[str] = mapped_column(String(64), unique=True)
    study_key: Mapped[str] = mapped_column(ForeignKey("studies.key"), index=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batches.id"), index=True)
    unit: Mapped[str] = mapped_column(String(8))
    height: Mapped[int]
    width: Mapped[int]
    number: Mapped[float | None]  # place in the study: mm along the normal, or its number in the header or file name
    meta: Mapped[dict[str, Any]]
    look: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)  # hash of what it looks like from afar
    resembles_id: Mapped[int | None] = mapped_column(ForeignKey("scans.id"), index=True)  # an earlier copy
    synthetic: Mapped[bool] = mapped_column(default=False)
    audit: Mapped[bool] = mapped_column(default=False)  # drawn for the blind audit stream
    version: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)

    __mapper_args__ = {"version_id_col": version, "version_id_generator": False}


class Part(Base):
    """A thin slice that came by itself, and of which scan it has become a part."""

    __tablename__ = "parts"
    content_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    scan_id: Mapped[int] = mapped_column(ForeignKey("scans.id"), index=True)


class ModelVersion(Base):
    """A bundle this log has met; what it is stands in its manifest."""

    __tablename__ = "model_versions"
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    parent: Mapped[str | None] = mapped_column(String(64))
    demonstration: Mapped[bool] = mapped_column(default=False)
    registered_at: Mapped[datetime] = mapped_column(default=now)


class Reading(Base):
    """What one model version said of one scan."""

    __tablename__ = "readings"
    __table_args__ = (UniqueConstraint("scan_id", "model_version", name="uq_readings_scan_version"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    scan_id: Mapped[int] = mapped_column(ForeignKey("scans.id"), index=True)
    model_version: Mapped[str] = mapped_column(ForeignKey("model_versions.version"), index=True)
    label: Mapped[str] = mapped_column(String(16))
    confidence: Mapped[float]
    probabilities: Mapped[dict[str, Any]]
    flags: Mapped[list[str]]
    heat: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    heat_shape: Mapped[dict[str, Any]]  # shape; box over the scan; of which class (older readings: their label)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Review(Base):
    """What one reader said of one scan, once. Never changed: a changed mind is a new row."""

    __tablename__ = "reviews"
    __table_args__ = (Index("ix_reviews_scan_reader", "scan_id", "reader"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    scan_id: Mapped[int] = mapped_column(ForeignKey("scans.id"))
    reader: Mapped[str] = mapped_column(String(LONGEST_NAME), index=True)
    verdict: Mapped[str] = mapped_column(String(16))
    blind: Mapped[bool] = mapped_column(default=False)  # given before the model's reading was shown
    adjudication: Mapped[bool] = mapped_column(default=False)  # settles what readers disagree on
    reading_id: Mapped[int | None] = mapped_column(ForeignKey("readings.id"), index=True)  # of before 0004; unused
    click_id: Mapped[str] = mapped_column(String(36), unique=True)  # the same click sent twice is one review
    created_at: Mapped[datetime] = mapped_column(default=now)


class Shown(Base):
    """That this reader has seen a model's answer to an image, beside it. Of the image, not of a scan, which may be
    taken back and come again."""

    __tablename__ = "shown"
    content_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    reader: Mapped[str] = mapped_column(String(LONGEST_NAME), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)


class Snapshot(Base):
    """The frozen list a model was trained on."""

    __tablename__ = "snapshots"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 over its items
    created_at: Mapped[datetime] = mapped_column(default=now)
    items: Mapped[list["SnapshotItem"]] = relationship(order_by="SnapshotItem.scan_id")


class SnapshotItem(Base):
    __tablename__ = "snapshot_items"
    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshots.id"), primary_key=True)
    scan_id: Mapped[int] = mapped_column(ForeignKey("scans.id"), primary_key=True, index=True)
    content_hash: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(16))
    review_id: Mapped[int] = mapped_column(ForeignKey("reviews.id"), index=True)
    patient_key: Mapped[str] = mapped_column(String(80))
    split: Mapped[str] = mapped_column(String(16))


class TrainingRun(Base):
    """One attempt to train: running, then how it ended."""

    __tablename__ = "training_runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshots.id"))
    champion: Mapped[str | None] = mapped_column(String(64))
    candidate: Mapped[str | None] = mapped_column(String(64))
    decision: Mapped[str | None] = mapped_column(String(16))  # promoted, kept, refused; None while it runs
    reason: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]


class AuditEvent(Base):
    """Who did what, chained: each row carries the hash of the one before."""

    __tablename__ = "audit_events"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(LONGEST_NAME))
    action: Mapped[str] = mapped_column(String(32), index=True)
    detail: Mapped[dict[str, Any]]
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
