"""What `check_log.py` finds."""

import pytest
from sqlalchemy import text

from core.settings import Settings
from services.checking import Checked, NoLog, problems
from services.demo import load_demo
from services.models import demonstration_model


@pytest.fixture
def log(ws):
    """A case log with the demo cases, and its file."""
    load_demo(ws, demonstration_model(ws))
    ws.db.engine.dispose()
    return ws, ws.settings.home_dir / "second_read.sqlite"


def found_in(ws):
    return list(problems(ws.settings, Checked()))


def test_a_whole_log_has_no_problem_and_each_harm_is_named(log):
    ws, _ = log
    checked = Checked()
    assert list(problems(ws.settings, checked)) == []
    assert checked.scans > 3
    assert checked.events > 3
    assert checked.last is not None
    gone, harmed, other = sorted(ws.images.root.glob("*/*.png"))[:3]
    gone.unlink()
    harmed.write_bytes(other.read_bytes())
    with ws.db.writing() as session:
        session.execute(text("update audit_events set actor = 'someone else' where id = 2"))
    chain, *images = found_in(ws)
    assert "breaks at event 2" in chain
    assert len(images) == 2
    assert any("is not in the store" in sentence for sentence in images)
    assert any("not the one that was received" in sentence for sentence in images)


@pytest.mark.parametrize("harm", ["a page", "the end", "the header"])
def test_a_damaged_file_is_said_in_a_sentence(log, harm):
    ws, file = log
    data = bytearray(file.read_bytes())
    if harm == "a page":
        data[4096 * 2 : -4096] = b"\x55" * (len(data) - 4096 * 3)
    elif harm == "the end":
        del data[len(data) // 2 :]
    else:
        data[:100] = b"x" * 100
    file.write_bytes(data)
    first, *_ = found_in(ws)
    assert "damaged: restore it from the backup" in first


def test_a_lost_or_other_key_is_named(log):
    ws, _ = log
    ws.settings.key_file.write_bytes(b"k" * 32)
    assert any("is not the key" in sentence for sentence in found_in(ws))
    ws.settings.key_file.unlink()
    assert any("is missing" in sentence for sentence in found_in(ws))
    assert not ws.settings.key_file.exists()


def test_where_there_is_no_log_none_is_made(tmp_path):
    with pytest.raises(NoLog, match="STROKE_HOME"):
        list(problems(Settings(home=tmp_path / "none"), Checked()))
    assert not (tmp_path / "none").exists()
