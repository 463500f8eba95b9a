"""The image store: one file per scan, named by its content hash, written whole or not at all."""

import os
import secrets
import time
from pathlib import Path


class ImageMissing(LookupError):
    """The case log knows the image, the store does not."""


class ImageStore:
    """Files under `root`/ab/abcd....png. A name is written once and never again."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, content_hash: str) -> Path:
        return self.root / content_hash[:2] / f"{content_hash}.png"

    def put(self, content_hash: str, data: bytes) -> Path:
        """Store `data`: temporary file, fsync, rename. The same hash again is left as it is."""
        target = self.path(content_hash)
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{content_hash}.{secrets.token_hex(4)}.tmp")
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

    def delete(self, content_hash: str) -> None:
        """Remove an image; one that is not there is no error."""
        self.path(content_hash).unlink(missing_ok=True)

    def old_ones(self, seconds: float) -> list[str]:
        """Content hashes of images stored longer ago than that. Left-over temporary files of that age are removed."""
        found, limit = [], time.time() - seconds
        for path in self.root.glob("*/*"):
            try:
                old = path.stat().st_mtime < limit
            except FileNotFoundError:
                continue
            if old and path.suffix == ".tmp":
                path.unlink(missing_ok=True)
            elif old:
                found.append(path.stem)
        return found

    def get(self, content_hash: str) -> bytes:
        """The stored bytes. Raises ImageMissing."""
        try:
            return self.path(content_hash).read_bytes()
        except FileNotFoundError as error:
            raise ImageMissing(
                f"The image {content_hash[:12]} is not in the store. Restore it from the backup."
            ) from error
