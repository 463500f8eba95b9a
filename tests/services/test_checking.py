"""What `check_log.py` finds."""

import pytest
from sqlalchemy import text

from core.settings import Settings
from db import audit
from db.models import Review, Snapshot, SnapshotItem
from services.checking import Checked, NoLog, problems
from services.corrections import snapshot_digest
from services.removal import undo
from tests.conftest import png
from tests.services.conftest import take


@pytest.fixture
def log(demo_home, ws):
    """A case log with the demo cases, and its file."""
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


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("update reviews set verdict = 'unsure' where id = 2", "Review 2, of scan {scan}, has been changed"),
        ("update reviews set adjudication = 1 where id = 2", "Review 2, of scan {scan}, has been changed"),
        ("delete from reviews where id = 2", "Review 2, of scan {scan}, has been removed"),
        (
            "insert into reviews (scan_id, reader, verdict, blind, adjudication, click_id, created_at) "
            "values (1, 'Eve', 'unsure', 0, 0, 'x', '2026-01-01 00:00:00')",
            "of scan 1, has been put in",
        ),
    ],
)
def test_a_verdict_that_the_audit_chain_does_not_have_is_named(log, harm, said):
    ws, _ = log
    with ws.db.writing() as session:
        scan = session.scalar(text("select scan_id from reviews where id = 2"))
        session.execute(text(harm))
    [problem] = found_in(ws)
    assert said.format(scan=scan) in problem


def test_a_verdict_of_before_events_said_whether_it_settles_is_whole(log):
    ws, _ = log
    with ws.db.writing() as session:
        review = Review(scan_id=1, reader="Ada", verdict="unsure", blind=False, adjudication=True, click_id="x")
        session.add(review)
        session.flush()
        said = {"scan": 1, "review": review.id, "verdict": "unsure", "blind": False}
        audit.append(session, "Ada", "review", said)
    assert found_in(ws) == []


def test_a_scan_that_was_removed_past_the_application_is_missed(log):
    ws, _ = log
    with ws.db.writing() as session:
        unread = session.scalar(text("select max(id) from scans where id not in (select scan_id from reviews)"))
        session.execute(text("delete from readings where scan_id = :i"), {"i": unread})
        session.execute(text("delete from scans where id = :i"), {"i": unread})
    [problem] = found_in(ws)
    assert problem == "By the audit chain the log has 40 scans, and there are 39."


@pytest.mark.parametrize(
    "harm",
    [
        "update readings set label = 'no_stroke', confidence = 0.99 where id = 3",
        "update readings set probabilities = json_set(probabilities, '$.' || label, 0.01) where id = 3",
        "update readings set probabilities = 'null' where id = 3",
        "update readings set probabilities = '[0.5, 0.5]' where id = 3",
        "update readings set probabilities = '{}' where id = 3",
        """update readings set probabilities = '{"hemorrhagic": null}' where id = 3""",
        """update readings set probabilities = '{"hemorrhagic": "0.9"}' where id = 3""",
        "update readings set confidence = 'sure' where id = 3",
    ],
)
def test_a_reading_changed_in_part_contradicts_itself(log, harm):
    ws, _ = log
    with ws.db.writing() as session:
        scan = session.scalar(text("select scan_id from readings where id = 3"))
        session.execute(text(harm))
    [problem] = found_in(ws)
    assert problem.startswith(f"Reading 3, of scan {scan}, contradicts itself")


def test_a_patient_who_changed_sides_after_a_retraining_and_a_list_that_was_changed_are_named(log):
    ws, _ = log
    with ws.db.writing() as session:
        scan, key, review = session.execute(
            text(
                "select reviews.scan_id, patient_key, reviews.id from reviews join scans on scans.id = scan_id "
                "join studies on studies.key = study_key limit 1"
            )
        ).one()
        item = SnapshotItem(
            scan_id=scan, content_hash="h", label="ischemic", review_id=review, patient_key=key, split="test"
        )
        session.add(Snapshot(digest=snapshot_digest([item]), items=[item]))
        session.execute(text("update patients set split = 'test' where key = :key"), {"key": key})
    assert found_in(ws) == []
    with ws.db.writing() as session:
        session.execute(text("update patients set split = 'train' where key = :key"), {"key": key})
    assert found_in(ws) == [
        f"Patient {key} stood among the test patients of a retraining, and stands among the train ones now."
    ]
    with ws.db.writing() as session:
        session.execute(text("update patients set split = 'test' where key = :key"), {"key": key})
        session.execute(text("update snapshot_items set label = 'no_stroke'"))
    assert found_in(ws) == ["The list of what retraining 1 learned from has been changed."]


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


def test_a_key_that_was_never_recorded_is_not_called_the_right_one(log):
    ws, _ = log
    with ws.db.writing() as session:
        session.execute(text("delete from audit_events where action = 'patient key'"))
    assert any("is from before its key was recorded" in sentence for sentence in found_in(ws))
    ws.settings.key_file.unlink()
    assert any("patient.key is missing" in sentence for sentence in found_in(ws))


def test_a_log_that_is_none_is_not_called_damaged(log):
    ws, _ = log
    with ws.db.writing() as session:
        session.execute(text("drop table shown"))
        session.execute(text("alter table readings rename to others"))
    assert found_in(ws) == ["The database is no case log, or a part of it is missing: restore it from the backup."]


def test_an_empty_log_beside_images_is_not_called_whole(log):
    ws, file = log
    ws.db.engine.dispose()
    file.unlink()
    ws.db.migrate()
    problem = found_in(ws)[0]
    assert "knows of no scan, and the store holds 40 images" in problem


def test_an_address_that_is_none_is_said():
    with pytest.raises(NoLog, match="address cannot be used"):
        list(problems(Settings(database_url="nonsense"), Checked()))


def test_a_log_named_by_sqlites_own_uri_is_found(tmp_path, ws):
    url = f"sqlite:///file:{ws.settings.home_dir / 'second_read.sqlite'}?uri=true"
    checked = Checked()
    assert not list(problems(Settings(home=ws.settings.home_dir, database_url=url), checked))
    with pytest.raises(NoLog, match="There is no case log at file:"):
        list(problems(Settings(home=tmp_path, database_url="sqlite:///file:/none/x.sqlite?uri=true"), Checked()))


def test_where_there_is_no_log_none_is_made(tmp_path):
    with pytest.raises(NoLog, match="STROKE_HOME"):
        list(problems(Settings(home=tmp_path / "none"), Checked()))
    assert not (tmp_path / "none").exists()


def test_a_batch_that_is_undone_meanwhile_is_not_called_lost(ws, predictor):
    first, second, _ = (take(ws, predictor, [(f"{i}.png", png(i))])[0].scan_id for i in range(3))

    def meanwhile(done, total):
        if done == 1:
            undo(ws, second, actor="a")

    checked = Checked()
    assert list(problems(ws.settings, checked, meanwhile)) == []
    assert checked.scans == 2
    with ws.db.reading() as session:
        [image] = session.scalars(text("select content_hash from scans where id = :id"), {"id": first})
    ws.images.path(image).unlink()
    [lost] = problems(ws.settings, checked)
    assert lost.startswith(f"Scan {first}: ")
