import importlib

import pytest

from core.settings import ROOT
from db.session import UnusableLog


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
