"""The image store: one file per scan, named by its content hash, written whole or not at all."""

import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from db.private import close_to_others, make_folder

NOTES = ".notes"
"""The folder of notes, beside those of images."""


class ImageMissing(LookupError):
    """The case log knows the image, the store does not give it."""


class ImageStore:
    """Files under `root`/ab/abcd....png. A name is written once and never again. `root` is its owner's alone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def keep_private(self) -> None:
        """Close an existing store to everybody but its owner, where that can be done."""
        close_to_others(self.root)

    def path(self, content_hash: str) -> Path:
        return self.root / content_hash[:2] / f"{content_hash}.png"

    def put(self, content_hash: str, data: bytes) -> Path:
        """Store `data`, on the disk when it returns. The same hash again is left as it is."""
        target = self.path(content_hash)
        if target.exists():
            return target
        make_folder(self.root)
        return _write_whole(target, data)

    def count(self) -> int:
        """How many images lie there."""
        return sum(1 for _ in self.root.glob("??/*.png"))

    def delete(self, content_hash: str) -> None:
        """Remove an image; one that is not there is no error."""
        self.path(content_hash).unlink(missing_ok=True)

    def note(self, log: str, digests: Iterable[str]) -> Path:
        """Write down that these images are about to come or go for a case log, for whoever comes after a crash.

        The caller removes the note when the log's rows and the images agree again.
        """
        make_folder(self.root)
        return _write_whole(self.root / NOTES / f"{log}-{secrets.token_hex(4)}", "\n".join(digests).encode())

    def notes(self, log: str, seconds: float) -> list[Path]:
        """A case log's notes that have lain longer than that; temporary files of that age are removed, where that
        can be done."""
        limit, found = time.time() - seconds, []
        for path in [*self.root.glob("*/.*.tmp"), *self.root.glob(f"{NOTES}/{log}-*")]:
            with suppress(OSError):  # gone meanwhile; or another's, which stays
                if path.stat().st_mtime >= limit:
                    continue
                if path.suffix == ".tmp":
                    path.unlink()
                else:
                    found.append(path)
        return found

    def get(self, content_hash: str) -> bytes:
        """The stored bytes. Raises ImageMissing."""
        try:
            return self.path(content_hash).read_bytes()
        except FileNotFoundError as error:
            raise ImageMissing(
                f"The image {content_hash[:12]} is not in the store. Restore it from the backup."
            ) from error
        except OSError as error:
            raise ImageMissing(
                f"The image {content_hash[:12]} cannot be read ({error.strerror}). See to the store's disk and to who "
                "may read it."
            ) from error


def _write_whole(target: Path, data: bytes) -> Path:
    """Temporary file, fsync, rename, fsync of the folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return target
