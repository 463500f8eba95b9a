"""Paths -> incoming files: folders are walked, zips read without being extracted."""

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from core.settings import Limits
from core.signatures import HEAD
from services.intake import Incoming, limit_for, too_large

_ZIP = b"PK"
_BAD_ZIP = (zipfile.BadZipFile, OSError, NotImplementedError, ValueError)
"""What zipfile raises over a damaged archive, or one packed in a way it does not know."""
_SKIPPED = {"__MACOSX", "Thumbs.db", ".DS_Store", "desktop.ini"}


def incoming(paths: list[Path], *, limits: Limits) -> Iterator[Incoming]:
    """Every file under `paths`, one at a time, named by its path as given. What cannot be read says why."""
    for path in paths:
        if path.is_dir():
            yield from _folder(path, limits)
        elif _is_zip(path):
            yield from _zip(path, str(path), limits)
        else:
            yield _file(path, limits)


def landed(folder: Path, seen: dict[Path, tuple[int, int]]) -> list[Path]:
    """Files in a drop folder that have come to rest: as large and as old as at the last look, and not given before.

    `seen` is what the last look left there; an empty one at first. A file that changes afterwards is given again.
    """
    rested = []
    for path in sorted(_walked(folder, [])):
        if path.name.endswith(_PARTIAL):
            continue
        with contextlib.suppress(OSError):  # it may be taken away while we look, or closed to us
            stat = path.stat()
            if not S_ISREG(stat.st_mode):
                continue
            state = stat.st_size, stat.st_mtime_ns
            if seen.get(path) == state:
                rested.append(path)
                seen[path] = _GIVEN, state[1]
            elif seen.get(path) != (_GIVEN, state[1]):
                seen[path] = state
    return rested


_GIVEN = -1
"""In place of a size: the file has been given."""
_PARTIAL = (".part", ".tmp", ".crdownload", ".filepart")
"""How programs name what they are still copying."""


def unpacked(name: str, data: bytes, *, limits: Limits) -> Iterator[Incoming]:
    """What a file from a browser holds: itself, or what is in it where it is a zip."""
    if data[:2] == _ZIP and zipfile.is_zipfile(io.BytesIO(data)):
        yield from _zip(io.BytesIO(data), name, limits)
    else:
        yield Incoming(name, data)


def files_in(data: bytes) -> int:
    """How many files `unpacked` will give."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return 1 if _is_document(archive) else sum(_counts(info) for info in archive.infolist()) or 1
    except _BAD_ZIP:
        return 1


def _is_document(archive: zipfile.ZipFile) -> bool:
    """Whether it is one of those that are zips by their format: Word's, Excel's, PowerPoint's, LibreOffice's."""
    return not {"[Content_Types].xml", "META-INF/manifest.xml"}.isdisjoint(archive.namelist())


def _counts(info: zipfile.ZipInfo) -> bool:
    return not info.is_dir() and not _is_litter(Path(info.filename).parts)


def _folder(folder: Path, limits: Limits) -> Iterator[Incoming]:
    closed: list[OSError] = []
    empty = True
    for path in sorted(_walked(folder, closed)):
        if path.is_dir():
            yield Incoming(str(path), problem="A link to another folder is not followed. Name that folder itself.")
        elif _is_zip(path):
            yield from _zip(path, str(path), limits)
        else:
            yield _file(path, limits)
        empty = False
    for error in closed:
        problem = f"The folder cannot be opened ({error.strerror}). Check its permissions."
        yield Incoming(str(error.filename), problem=problem)
    if empty and not closed:
        yield Incoming(str(folder), problem="The folder holds no file.")


def _walked(folder: Path, closed: list[OSError]) -> Iterator[Path]:
    """Files and links under a folder, without litter; folders that cannot be listed go into `closed`."""
    for place, folders, names in os.walk(folder, onerror=closed.append):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in (*names, *links):
            path = Path(place) / name
            if not _is_litter(path.relative_to(folder).parts):
                yield path


def _is_zip(path: Path) -> bool:
    """By its beginning too: a zip appended to an image is no reason to lose the image."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return False
        with path.open("rb") as file:
            return file.read(2) == _ZIP and zipfile.is_zipfile(file)
    except OSError:
        return False


def _is_litter(parts: tuple[str, ...]) -> bool:
    return any(part in _SKIPPED or part.startswith("._") for part in parts)


def _file(path: Path, limits: Limits) -> Incoming:
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            return Incoming(str(path), problem="This is no file but a pipe, socket or device. Send the file itself.")
        size = status.st_size
        with path.open("rb") as file:
            head = file.read(HEAD)
            problem = too_large(size, head, limits)
            return Incoming(str(path), b"" if problem else head + file.read(), problem)
    except FileNotFoundError:
        if path.is_symlink():
            return Incoming(str(path), problem="This is a link, and what it led to is not there. Send the file itself.")
        return Incoming(str(path), problem="There is no such file. Check the path.")
    except OSError as error:
        return Incoming(str(path), problem=f"The file cannot be opened ({error.strerror}). Check its permissions.")


def _zip(zipped: Path | BinaryIO, name: str, limits: Limits) -> Iterator[Incoming]:
    empty = True
    try:
        with zipfile.ZipFile(zipped) as archive:
            if _is_document(archive):
                yield Incoming(name, problem="This is a document of an office program. Send the scans by themselves.")
                return
            for info in archive.infolist():
                if _counts(info):
                    empty = False
                    yield _member(archive, info, f"{name}/{info.filename}", limits)
    except _BAD_ZIP:
        yield Incoming(name, problem="The zip is damaged. Pack it again.")
        return
    if empty:
        yield Incoming(name, problem="The zip holds no file.")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, limits: Limits) -> Incoming:
    if info.flag_bits & 1:
        return Incoming(name, problem="The zip is encrypted. Upload it without a password.")
    try:
        with archive.open(info) as member:
            head = member.read(HEAD)
            problem = too_large(info.file_size, head, limits)
            # the size a header claims is not always the size that comes
            data = b"" if problem else head + member.read(int(limit_for(head, limits)[1] * 1e6))
    except NotImplementedError:
        return Incoming(name, problem="This file in the zip is packed in a way not known here. Pack it as a plain zip.")
    except Exception:  # zlib, bz2, lzma and zipfile each raise their own
        return Incoming(name, problem="This file inside the zip is damaged. Pack it again.")
    problem = problem or too_large(len(data), head, limits)
    return Incoming(name, b"" if problem else data, problem)
