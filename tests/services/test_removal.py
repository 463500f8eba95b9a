import os

import pytest
from sqlalchemy import select

from db import audit, models, queries
from services import intake, removal
from services.intake import BatchGone, Incoming, receive
from services.models import serving_model
from services.removal import BatchInUse, sweep_images, undo
from services.review import UNNAMED_READER, new_click, record
from services.workspace import open_workspace, stored_scan
from tests.conftest import png
from tests.services.conftest import take
from tests.services.test_intake import as_jpg


def test_a_batch_is_undone_as_a_whole_and_can_come_again(ws, predictor):
    first = take(ws, predictor, [(f"{i}.png", png(i)) for i in range(3)])
    second = take(ws, predictor, [(f"{i}.png", png(i)) for i in range(3, 5)])
    assert undo(ws, first[0].scan_id, actor="a") == 3
    with ws.db.reading() as session:
        assert {row.id for row in queries.scans(session)} == {r.scan_id for r in second}
    assert len(list(ws.images.root.glob("*/*.png"))) == 2
    assert undo(ws, first[0].scan_id, actor="a") == 0
    assert [r.outcome for r in take(ws, predictor, [("0.png", png(0))])] == ["stored"]


def test_a_batch_that_is_taken_back_while_it_comes_in_stays_away(ws, predictor):
    coming = receive(ws, predictor, (Incoming(f"{i}.png", png(i)) for i in range(60)), source="upload", actor="a")
    first = next(coming)
    undo(ws, first.scan_id, actor="b")
    with pytest.raises(BatchGone, match="taken back while it came in"):
        list(coming)
    with ws.db.reading() as session:
        assert queries.scans(session) == []


def test_a_scan_that_comes_again_after_an_undo_is_whose_it_is_now(ws, predictor):
    """Meanwhile a scan that it nearly copies has come, of a patient who is known by name."""
    [first] = take(ws, predictor, [("export.png", png(1, size=256))])
    undo(ws, first.scan_id, actor="a")
    [named] = take(ws, predictor, [("77 (1).jpg", as_jpg(png(1, size=256)))])
    [again] = take(ws, predictor, [("export.png", png(1, size=256))])
    assert f"as scan {named.scan_id}" in again.reason
    with ws.db.reading() as session:
        rows = {row.id: row for row in queries.scans(session)}
    assert rows[again.scan_id].patient_key == rows[named.scan_id].patient_key == ws.pseudonym.of("file", "77")


@pytest.mark.parametrize("reviewed", [False, True])
def test_a_name_that_a_batch_had_given_to_another_goes_with_it(ws, predictor, reviewed):
    [first] = take(ws, predictor, [("export.png", png(1))])
    with ws.db.reading() as session:
        [before] = queries.scans(session)
        split = queries.splits(session)[before.patient_key]
    wrong = take(ws, predictor, [("77 (1).png", png(1)), ("77 (2).png", png(2))])
    if reviewed:
        record(ws, first.scan_id, reader="A", verdict="unsure", expected_version=0, click_id=new_click())
    assert undo(ws, wrong[1].scan_id, actor="a") == 1
    with ws.db.reading() as session:
        [left] = queries.scans(session)
        assert left.patient_key == (ws.pseudonym.of("file", "77") if reviewed else before.patient_key)
        assert reviewed or queries.splits(session)[before.patient_key] == split


def test_what_a_later_upload_was_told_is_stored_is_not_taken_back(ws):
    model = serving_model(ws)
    [first] = receive(ws, model, [Incoming("a.png", png(1))], source="upload", actor="a")
    again = [Incoming("b.png", png(1)), Incoming("c.png", png(2)), Incoming("d.png", png(2))]
    second = list(receive(ws, model, again, source="upload", actor="b"))
    assert [one.outcome for one in second] == ["duplicate", "stored", "duplicate"]
    with pytest.raises(BatchInUse, match="told that they are stored"):
        undo(ws, first.scan_id, actor="a")
    assert undo(ws, second[1].scan_id, actor="b") == 1, "a copy within one upload is no other's"
    assert undo(ws, first.scan_id, actor="a") == 1, "that upload has been taken back"


@pytest.mark.parametrize(
    ("first_by", "source", "actor", "stays"),
    [
        ("a", "ingest", "b", True),
        ("a", "ingest", "a", False),
        ("a", "upload", "a", False),
        (UNNAMED_READER, "upload", UNNAMED_READER, True),
    ],
)
def test_a_batch_that_comes_again_is_kept_for_others_alone(ws, first_by, source, actor, stays):
    """Whose folder it is still has the files, and a restarted --watch sends them all; who uploads twice by mistake
    knows what they take back."""
    model, file = serving_model(ws), Incoming("a.png", png(1))
    [first] = receive(ws, model, [file], source="ingest", actor=first_by)
    [again] = receive(ws, model, [file], source=source, actor=actor)
    assert again.outcome == "duplicate"
    if stays:
        with pytest.raises(BatchInUse, match="told that they are stored"):
            undo(ws, first.scan_id, actor=first_by)
    else:
        assert undo(ws, first.scan_id, actor=first_by) == 1


def test_a_batch_somebody_has_worked_with_stays(ws, predictor):
    received = take(ws, predictor, [(f"{i}.png", png(i)) for i in range(3)])
    record(
        ws, received[1].scan_id, reader="Ann", verdict="hemorrhagic", expected_version=0, click_id=new_click()
    )  # fmt: skip
    with pytest.raises(BatchInUse):
        undo(ws, received[0].scan_id, actor="a")
    with ws.db.reading() as session:
        assert len(queries.scans(session)) == 3
    assert len(list(ws.images.root.glob("*/*.png"))) == 3


def test_images_left_by_a_killed_intake_are_swept_when_they_are_old(ws, predictor, monkeypatch):
    def killed(*_args):
        raise SystemExit

    monkeypatch.setattr(intake, "_store", killed)
    with pytest.raises(SystemExit):
        take(ws, predictor, [("0.png", png(0))])
    monkeypatch.undo()
    assert len(stored_images(ws)) == 1, "the image came before its row"
    take(ws, predictor, [("1.png", png(1))])
    [temporary] = [path.with_name(".x.tmp") for path in stored_images(ws)[:1]]
    temporary.write_bytes(b"x")
    assert sweep_images(ws) == 0, "an intake may still be at it"
    age_everything(ws)
    assert sweep_images(ws) == 1
    assert not temporary.exists()
    with ws.db.reading() as session:
        [row] = queries.scans(session)
    assert stored_images(ws) == [ws.images.path(row.content_hash)]


def test_a_note_that_another_process_has_just_seen_to_is_none(ws, tmp_path, monkeypatch):
    monkeypatch.setattr(ws.images, "notes", lambda *_: [tmp_path / "gone"])
    assert sweep_images(ws) == 0


def test_an_image_that_cannot_be_deleted_is_said_and_keeps_nothing_else_from_being_swept(ws, caplog):
    notes = [ws.images.note(log_of(ws), [digest]) for digest in ("a" * 64, "b" * 64)]
    for note in notes:
        ws.images.put(note.read_text(), b"x")
    locked = ws.images.path(notes[0].read_text())
    locked.unlink()
    (locked / "in the way").mkdir(parents=True)
    age_everything(ws)
    assert sweep_images(ws) == 1
    assert [note.exists() for note in notes] == [True, False], "it is tried again later"
    [said] = caplog.messages
    assert f"{locked} cannot be removed" in said
    assert "tried again at the next start" in said
    (locked / "in the way").rmdir()
    locked.rmdir()
    sweep_images(ws)
    assert not notes[0].exists()


def test_a_batch_of_many_studies_is_undone_in_several_statements(ws, predictor, monkeypatch):
    monkeypatch.setattr(queries, "AT_ONCE", 2)
    received = take(ws, predictor, [(f"{i}.png", png(i)) for i in range(5)])
    assert undo(ws, received[0].scan_id, actor="a") == 5
    with ws.db.reading() as session:
        assert session.scalars(select(models.Study)).all() == []


def test_images_left_by_a_killed_undo_are_swept(ws, predictor, monkeypatch):
    [received] = take(ws, predictor, [("0.png", png(0))])
    monkeypatch.setattr(removal, "_delete_images", lambda *_args: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        undo(ws, received.scan_id, actor="a")
    monkeypatch.undo()
    age_everything(ws)
    assert sweep_images(ws) == 1
    assert stored_images(ws) == []


def test_an_undo_goes_on_where_an_image_cannot_be_removed(ws, predictor):
    received = take(ws, predictor, [("0.png", png(0)), ("1.png", png(1))])
    locked = stored_images(ws)[0]
    locked.unlink()
    (locked / "in the way").mkdir(parents=True)
    assert undo(ws, received[0].scan_id, actor="a") == 2
    (locked / "in the way").rmdir()
    locked.rmdir()
    age_everything(ws)
    assert sweep_images(ws) >= 1, "it is tried again later"
    assert stored_images(ws) == []


def test_another_case_log_in_the_same_home_leaves_the_first_ones_images_alone(ws, predictor):
    take(ws, predictor, [(f"{i}.png", png(i)) for i in range(3)])
    ws.images.note("another", ["a" * 64])
    age_everything(ws)
    other = open_workspace(ws.settings.model_copy(update={"database_url": f"sqlite:///{ws.settings.home_dir}/b.db"}))
    assert sweep_images(other) == 0
    assert sweep_images(ws) == 0
    assert len(stored_images(ws)) == 3


def stored_images(ws):
    return list(ws.images.root.glob("*/*.png"))


def log_of(ws):
    with ws.db.reading() as session:
        return audit.beginning(session)


def age_everything(ws):
    for path in ws.images.root.glob("*/*"):
        os.utime(path, (1, 1))


def test_an_undo_leaves_what_another_intake_relies_on(ws, predictor, monkeypatch):
    [first] = take(ws, predictor, [("a.png", png(1))])
    real = type(predictor).read

    def read_while_somebody_undoes(self, scans):
        monkeypatch.setattr(type(predictor), "read", real)
        undo(ws, first.scan_id, actor="b")
        return real(self, scans)

    monkeypatch.setattr(type(predictor), "read", read_while_somebody_undoes)
    received = take(
        ws, predictor, [("a.png", png(1)), ("b.png", png(2))]
    )  # a, stored already, need not be read: b must
    assert [one.outcome for one in received] == ["stored", "stored"]
    assert all(one.reading for one in received)
    with ws.db.reading() as session:
        rows = queries.scans(session)
    assert len(rows) == 2
    assert all(stored_scan(ws, row.content_hash).pixels.any() for row in rows)


@pytest.mark.parametrize(
    ("links", "left"),
    [
        ({2: 1, 3: 1}, {2: None, 3: 2}),  # copies of what went are copies of one another
        ({2: 1, 3: 2, 4: 1}, {2: None, 3: 2, 4: 2}),
        ({2: 1}, {2: None}),
    ],
)
def test_copies_of_a_scan_that_is_taken_back_stay_known_as_copies(ws, links, left):
    ids = {n: one(ws, n) for n in (1, 2, 3, 4)}
    linked(ws, ids, links)
    assert undo(ws, ids[1], actor="a")
    with ws.db.reading() as session:
        found = {scan.id: scan.resembles_id for scan in session.query(models.Scan)}
    assert {n: found[ids[n]] for n in left} == {n: of and ids[of] for n, of in left.items()}


def test_copies_of_a_scan_taken_back_that_was_a_copy_itself_are_copies_of_its_original(ws):
    ids = {n: one(ws, n) for n in (1, 2, 3)}
    linked(ws, ids, {2: 1, 3: 2})
    assert undo(ws, ids[2], actor="a")
    with ws.db.reading() as session:
        assert session.get(models.Scan, ids[3]).resembles_id == ids[1]


def linked(ws, ids, links):
    """Make scans near copies of earlier ones."""
    with ws.db.writing() as session:
        for n, of in links.items():
            session.get(models.Scan, ids[n]).resembles_id = ids[of]


def one(ws, n):
    """A scan that came in a batch of its own."""
    [received] = take(ws, serving_model(ws), [(f"{n}.png", png(n))])
    return received.scan_id
