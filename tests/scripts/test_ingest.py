import errno
import importlib

import pytest

from core.settings import ROOT
from db.session import UnusableLog
from tests.conftest import png, run


@pytest.fixture
def ingest(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("ingest")


def test_what_could_not_be_taken_in_from_a_drop_folder_is_taken_in_later(ingest, ws, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "scan.png").write_bytes(b"a scan")
    given = []

    def take(ws, model, paths, as_lines):
        given.append([path.name for path in paths])
        if len(given) == 1:
            raise UnusableLog("The case log is locked.")
        raise KeyboardInterrupt

    monkeypatch.setattr(ingest, "take", take)
    monkeypatch.setattr(ingest, "LOOK_S", 0)
    ingest.watch(ws, None, folder, as_lines=False)
    assert given == [["scan.png"], ["scan.png"]]
    assert "The case log is locked. They are taken in again" in capsys.readouterr().err


def test_who_watches_for_nobody_ends(ingest, ws, tmp_path, monkeypatch):
    """What reads its answers has gone: to take the files in again and again would serve nobody."""
    (tmp_path / "scan.png").write_bytes(b"a scan")

    def take(ws, model, paths, as_lines):
        raise BrokenPipeError

    monkeypatch.setattr(ingest, "take", take)
    monkeypatch.setattr(ingest, "LOOK_S", 0)
    with pytest.raises(BrokenPipeError):
        ingest.watch(ws, None, tmp_path, as_lines=False)


def test_a_full_disk_is_said_in_a_sentence(ws, tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "scan.png").write_bytes(png(1))
    monkeypatch.setattr("db.images.os.fsync", full)
    failed = run("ingest", tmp_path / "scan.png", check=False)
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1] == (
        f"Images cannot be stored in {ws.images.root} (No space left on device). The disk is full: make room on it. "
        "What is stored stays."
    )
