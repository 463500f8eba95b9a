"""The image store: one file per scan, named by its content hash, written whole or not at all."""

import errno
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from db.private import close_to_others, make_folder
from db.session import DISK_FULL

NOTES = ".notes"
"""The folder of notes, beside those of images."""
LOGS = ".logs"
"""The folder in which each case log that keeps images here has left its mark."""

_NOT_OURS = "Let whoever runs this write there."
_IN_THE_WAY = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: DISK_FULL,
    errno.EACCES: _NOT_OURS,
    errno.EPERM: _NOT_OURS,
    errno.EROFS: _NOT_OURS,
}
"""What keeps an image from being stored, and what to do."""


class ImageMissing(LookupError):
    """The case log knows the image, the store does not give it."""


class StoreShared(RuntimeError):
    """Another case log keeps images in the store too, so none is removed."""

    def __init__(self, marks: list[Path]) -> None:
        super().__init__(" and ".join(f"{mark.read_text(errors='replace')} ({mark})" for mark in marks))


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
        """Store `data`, on the disk when it returns. The same hash again is left as it is. Raises OSError, which says
        what to do."""
        target = self.path(content_hash)
        with _written_in(self.root):
            return target if target.exists() else _write_whole(target, data)

    def hashes(self) -> set[str]:
        """Of the images that lie there."""
        return {path.stem for path in self.root.glob("??/*.png")}

    def mark(self, log: str, place: str) -> None:
        """Write down for good that a case log, which lies there, keeps images here. Raises OSError as `put` does."""
        if not self.is_marked(log):
            with _written_in(self.root):
                _write_whole(self.root / LOGS / log, place.encode())

    def is_marked(self, log: str) -> bool:
        return (self.root / LOGS / log).exists()

    def other_marks(self, log: str) -> list[Path]:
        """Of the case logs but for that one."""
        return sorted(path for path in (self.root / LOGS).glob("*") if path.name != log and path.name[0] != ".")

    def delete(self, content_hash: str, log: str) -> None:
        """Remove an image for a case log; one that is not there is no error. Raises StoreShared where another log is
        there, whose image it may be."""
        if others := self.other_marks(log):
            raise StoreShared(others)
        self.path(content_hash).unlink(missing_ok=True)

    def note(self, log: str, digests: Iterable[str]) -> Path:
        """Write down that these images are about to come or go for a case log, for whoever comes after a crash.

        The caller removes the note when the log's rows and the images agree again. Raises OSError as `put` does.
        """
        with _written_in(self.root):
            return _write_whole(self.root / NOTES / f"{log}-{secrets.token_hex(4)}", "\n".join(digests).encode())

    def noted(self, log: str) -> set[str]:
        """The images of all of a case log's notes."""
        found = set[str]()
        for path in self.root.glob(f"{NOTES}/{log}-*"):
            with suppress(FileNotFoundError):  # just seen to
                found |= set(path.read_text().split())
        return found

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


@contextmanager
def _written_in(root: Path) -> Iterator[None]:
    """The store's folder, made where it is missing; what keeps it from being written is said in a sentence."""
    try:
        make_folder(root)
        yield
    except OSError as error:
        why = _IN_THE_WAY.get(error.errno or 0, "See to that folder and to its disk.")
        raise OSError(
            f"Images cannot be stored in {root} ({error.strerror or error}). {why} What is stored stays."
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
