"""What lies under a path."""

import os
from pathlib import Path

from core.settings import Limits
from services.files import incoming, landed
from tests.conftest import png


def test_a_folder_that_is_closed_is_named_and_costs_no_other(tmp_path, monkeypatch):
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(png())
    real = os.scandir

    def scandir(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = {one.file: one.problem for one in incoming([tmp_path], limits=Limits())}
    assert found[f"{tmp_path}/open/a.png"] is None
    assert "cannot be opened" in found[f"{tmp_path}/shut"]
    seen = {}
    landed(tmp_path, seen)
    assert landed(tmp_path, seen) == [tmp_path / "open" / "a.png"]


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    [found] = incoming([tmp_path], limits=Limits())
    assert "is a link" in found.problem


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "z.png").write_bytes(png())
    found = {Path(one.file).name: one.problem for one in incoming([tmp_path], limits=Limits())}
    assert "no file but a pipe" in found["pipe"]
    assert found["z.png"] is None
