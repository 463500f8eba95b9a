"""Several case logs keep images in one home."""

import shutil

import pytest

from core.settings import Settings
from db import audit, queries
from db.images import LOGS
from services.checking import Checked, problems
from services.models import serving_model
from services.removal import sweep_images, undo
from services.workspace import open_workspace
from tests.conftest import png
from tests.services.conftest import take
from tests.services.test_removal import age_everything, stored_images


def opened(ws, file="trial.sqlite"):
    url = f"sqlite:///{ws.settings.home_dir}/{file}"
    return open_workspace(ws.settings.model_copy(update={"database_url": url}))


def marks(ws):
    return sorted(path.read_text() for path in (ws.images.root / LOGS).iterdir())


def whole(ws):
    return list(problems(ws.settings, Checked())) == []


@pytest.fixture
def shared(ws, predictor):
    """A case log, and a scan of it that has come into another log of the home too."""
    take(ws, predictor, [("a.png", png(1))])
    trial = opened(ws)
    [theirs, _] = take(trial, serving_model(trial), [("a.png", png(1)), ("b.png", png(2))])
    return trial, theirs.scan_id


def test_an_undo_in_one_case_log_leaves_the_images_of_another(ws, shared, caplog):
    trial, scan_id = shared
    assert undo(trial, scan_id, actor="a") == 2
    with trial.db.reading() as session:
        assert queries.scans(session) == []
    assert whole(ws)
    [said] = caplog.messages
    assert "another case log keeps images there too, and they may be its own: second_read.sqlite (" in said
    assert marks(ws) == ["second_read.sqlite", "trial.sqlite"]


def test_images_that_stayed_for_another_case_log_go_when_that_is_gone(ws, shared, caplog):
    trial, scan_id = shared
    undo(trial, scan_id, actor="a")
    age_everything(ws)
    caplog.clear()
    undo(ws, 1, actor="a")
    assert sweep_images(trial) == 0
    assert len(caplog.messages) == 2, "once by each"
    for mark in (ws.images.root / LOGS).iterdir():
        if mark.read_text() == "second_read.sqlite":
            mark.unlink()
    age_everything(ws)
    assert sweep_images(trial) == 2
    assert stored_images(ws) == []


def test_a_copy_of_a_case_log_is_another(ws, predictor):
    [first] = take(ws, predictor, [("a.png", png(1))])
    ws.db.engine.dispose()
    shutil.copy(ws.settings.home_dir / "second_read.sqlite", ws.settings.home_dir / "copy.sqlite")
    copy = opened(ws, "copy.sqlite")
    sweep_images(copy)
    undo(copy, first.scan_id, actor="a")
    assert whole(ws)


def test_what_a_case_log_of_before_marks_may_have_left_stays(ws, shared, predictor, caplog):
    """It has not been opened since."""
    trial, scan_id = shared
    take(ws, predictor, [("c.png", png(3))])
    shutil.rmtree(ws.images.root / LOGS)
    undo(trial, scan_id, actor="a")
    assert whole(ws)
    assert "one that is not known (" in caplog.text
    sweep_images(ws)
    assert marks(ws) == ["one that is not known", "second_read.sqlite", "trial.sqlite"]


def test_a_single_case_log_of_before_marks_goes_on_deleting(ws, predictor):
    received = take(ws, predictor, [("a.png", png(1)), ("b.png", png(2))])
    shutil.rmtree(ws.images.root / LOGS)
    left = ws.images.put("c" * 64, b"of a killed intake")
    with ws.db.reading() as session:
        ws.images.note(audit.beginning(session), ["c" * 64])
    assert undo(ws, received[0].scan_id, actor="a") == 2
    assert stored_images(ws) == [left]
    age_everything(ws)
    assert sweep_images(ws) == 1


def test_a_home_that_was_moved_holds_one_case_log_still(ws, predictor, monkeypatch, tmp_path):
    [first] = take(ws, predictor, [("a.png", png(1))])
    ws.db.engine.dispose()
    shutil.move(ws.settings.home_dir, tmp_path / "moved")
    monkeypatch.setenv("STROKE_HOME", str(tmp_path / "moved"))
    moved = open_workspace(Settings())
    assert undo(moved, first.scan_id, actor="a") == 1
    assert stored_images(moved) == []


def test_a_case_log_without_a_scan_leaves_no_mark(ws, shared):
    sweep_images(opened(ws, "empty.sqlite"))
    assert marks(ws) == ["second_read.sqlite", "trial.sqlite"]


def test_a_mark_that_cannot_be_left_is_said_and_keeps_nobody_from_starting(ws, shared, caplog):
    shutil.rmtree(ws.images.root / LOGS)
    (ws.images.root / LOGS).write_bytes(b"")
    assert sweep_images(ws) == 0
    assert "Images cannot be stored" in caplog.text


def test_the_mark_of_a_server_says_where_it_is_and_not_who_may_open_it(ws, monkeypatch):
    url = ws.db.engine.url.set(drivername="postgresql+psycopg", username="u", password="p", host="h", database="d")
    monkeypatch.setattr(ws.db, "url", "postgresql+psycopg://u:p@h/d")
    monkeypatch.setattr(ws.db.engine, "url", url)
    assert ws.db.place(ws.settings.home_dir) == "postgresql://h/d"
