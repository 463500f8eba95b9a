"""What holds patients' images and readers' verdicts is its owner's alone to read, whoever made the home around it."""

import os
import stat
from contextlib import suppress
from pathlib import Path

_OTHERS = 0o077


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner may open, unless it is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_file(file: Path) -> None:
    """Make an empty file that only its owner may read, unless it is there."""
    if not file.exists():
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))


def close_to_others(path: Path) -> None:
    """Take from everybody but the owner what they may do with it. What is not there, is another's, or lies on a file
    system without modes stays as it is."""
    with suppress(OSError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _OTHERS:
            path.chmod(mode & ~_OTHERS)
