"""The places one installation works in: its settings, case log, images and models."""

import sys
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.decoder import Decoder
from core.pseudonym import Pseudonym, WrongKey
from core.scan import Scan, UnreadableScan, from_stored
from core.settings import ROOT, Settings
from db import audit
from db.images import ImageStore
from db.models import Patient
from db.private import make_folder
from db.session import Database, UnusableLog

SHIPPED_BUNDLES = ROOT / "bundles" / "serving"
"""The bundles that come with the code; the newest by name serves where none was promoted."""
DEMO_BUNDLES = ROOT / "bundles" / "demonstration"
"""The bundle that reads demo cases; it serves only where there is no other."""


@dataclass(frozen=True)
class Workspace:
    """Passed to every use case; holds no state of its own."""

    settings: Settings
    db: Database
    images: ImageStore
    pseudonym: Pseudonym
    decoder: Decoder  # what strangers send is read in a process of its own

    @property
    def models_dir(self) -> Path:
        return self.settings.models_dir


def open_workspace(settings: Settings | None = None) -> Workspace:
    """Make the home if it is not there, migrate the case log, and hand out the keys.

    A home that others have made keeps its mode; what lies in it of patients is closed to everybody but its owner.
    Raises WrongKey where the key is not the one that the case log's patients were named with, and UnusableLog where
    the log or the home cannot be used.
    """
    if sys.platform == "win32":  # processes are spoken to and folders kept on the disk by means it has not
        raise UnusableLog("Second Read runs on Linux and macOS. On Windows start it under WSL 2.")
    settings = settings or Settings()
    try:
        return _opened(settings)
    except OSError as error:
        raise UnusableLog(
            f"{error.filename or settings.home_dir} cannot be used ({error.strerror or error}). {settings.home_dir} "
            "(STROKE_HOME) must be a folder that whoever runs this may write in, with room left on its disk."
        ) from error


def _opened(settings: Settings) -> Workspace:
    make_folder(settings.home_dir)
    db, images = Database(settings.url), ImageStore(settings.images_dir)
    if db.in_memory:
        raise UnusableLog(
            f"{settings.url} keeps a case log in memory, where it is lost. Name a file in STROKE_DATABASE_URL or "
            "config.yaml."
        )
    db.migrate()
    db.keep_private()
    images.keep_private()
    pseudonym = _key(db, settings.key_file)
    limits = settings.limits
    return Workspace(
        settings,
        db,
        images,
        pseudonym,
        Decoder(seconds=limits.seconds, memory_mb=limits.memory_mb),
    )


def _key(db: Database, path: Path) -> Pseudonym:
    """The key in `path`, made where the case log is new."""
    with db.reading() as session:
        known, named = audit.last(session, KEY), has_patients(session)
    if (known or named) and not path.exists():
        raise WrongKey(
            f"{path} is missing: without it known patients would become new ones. Put the key back from where it is "
            "kept, or begin a new STROKE_HOME."
        )
    pseudonym = Pseudonym.at(path)
    if known is None:
        with db.writing() as session:
            audit.append(session, "second-read", KEY, {"fingerprint": pseudonym.fingerprint})
    elif known["fingerprint"] != pseudonym.fingerprint:
        raise WrongKey(
            f"{path} is not the key that this case log's patients were named with: they would become new ones. Put the "
            "first key back from where it is kept, or begin a new STROKE_HOME."
        )
    return pseudonym


KEY = "patient key"
"""The event that says which key a case log was begun with; the first ones had none."""


def has_patients(session: Session) -> bool:
    """Whether somebody was named with a key."""
    return session.scalar(select(Patient.key).limit(1)) is not None


def stored_scan(ws: Workspace, content_hash: str) -> Scan:
    """The pixels behind a row. Raises ImageMissing or UnreadableScan."""
    return image_of(ws.images, content_hash)


def image_of(images: ImageStore, content_hash: str) -> Scan:
    """A stored scan, if it is the one that was received. Raises ImageMissing or UnreadableScan."""
    scan = from_stored(images.get(content_hash))
    if scan.content_hash != content_hash:
        raise UnreadableScan("The stored image is not the one that was received. Restore it from the backup.")
    return scan
