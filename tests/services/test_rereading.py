"""What happens when another model reads what is stored."""

from dataclasses import replace

from sqlalchemy import select

from core.reading import MARKED, UNCERTAIN
from core.scan import COLOURED
from db import models
from services.models import champion, model_of, promote, rollback, serving_model
from services.questions import Question, unread_by_version
from services.remarks import remarks
from services.removal import undo
from services.rereading import ensure_reading, read_stored
from services.review import case, cases, new_click, record


def test_a_new_champion_reads_a_scan_when_it_is_opened(ws, scan_ids, publish_untrained):
    promote(ws, publish_untrained(seed=9), actor="test")
    predictor = serving_model(ws)
    ensure_reading(ws, predictor, scan_ids[0])
    ensure_reading(ws, predictor, scan_ids[0])
    assert case(ws, scan_ids[0], "Ann").reading.model_version == predictor.manifest.version


def test_after_a_rollback_the_model_that_serves_again_is_the_one_shown(ws, scan_ids, publish_untrained):
    before = case(ws, scan_ids[0], "Ann").reading.model_version
    promote(ws, publish_untrained(seed=9), actor="test")
    ensure_reading(ws, serving_model(ws), scan_ids[0])
    assert case(ws, scan_ids[0], "Ann").reading.model_version != before
    rollback(ws, actor="test")
    assert case(ws, scan_ids[0], "Ann").reading.model_version == before


def test_a_damaged_image_costs_no_other_scan_its_reading(ws, scan_ids, publish_untrained):
    lost = case(ws, scan_ids[0], "Ann").scan
    ws.images.path(lost.content_hash).unlink()
    other = publish_untrained(seed=9)
    told = []
    damaged = read_stored(ws, model_of(ws, other), scan_ids, lambda done, total: told.append((done, total)))
    assert list(damaged) == [lost.id]
    assert "not in the store" in str(damaged[lost.id])
    assert told[-1] == (len(scan_ids), len(scan_ids))
    for scan_id in scan_ids:
        record(ws, scan_id, reader="Ann", verdict="unsure", expected_version=0, click_id=new_click())
    assert unread_by_version(ws, Question(other)) == [lost.id]


def test_what_a_version_that_serves_no_more_has_said_is_called_that(ws, scan_ids, publish_untrained):
    before = serving_model(ws)
    promote(ws, publish_untrained(5), actor="test")
    assert all(case.outdated for case in cases(ws, "A"))
    ensure_reading(ws, serving_model(ws), scan_ids[0])
    assert [case.scan.id for case in cases(ws, "A") if not case.outdated] == [scan_ids[0]]
    candidate = model_of(ws, publish_untrained(6))
    read_stored(ws, candidate, scan_ids)
    said = {case.scan.id: case.reading.model_version for case in cases(ws, "A")}
    assert set(said.values()) == {champion(ws), before.manifest.version}, "what never served does not take their place"


def test_a_batch_that_is_taken_back_while_it_is_read_stays_away(ws, scan_ids, publish_untrained, monkeypatch):
    model = model_of(ws, publish_untrained(seed=9))
    read = model.read

    def read_slowly(scans):
        readings = read(scans)
        undo(ws, scan_ids[0], actor="Ben")
        return readings

    monkeypatch.setattr(model, "read", read_slowly)
    assert read_stored(ws, model, scan_ids) == {}
    with ws.db.reading() as session:
        assert session.scalars(select(models.Reading)).all() == []


def test_what_is_known_of_a_scan_is_known_to_whoever_reads_it_later(ws, scan_ids, publish_untrained):
    with ws.db.writing() as session:
        session.get(models.Scan, scan_ids[0]).meta = {COLOURED: 1.0}
    read_stored(ws, model_of(ws, publish_untrained(seed=9)), scan_ids)
    with ws.db.reading() as session:
        flags = {row.scan_id: row.flags for row in session.scalars(select(models.Reading)) if UNCERTAIN in row.flags}
    assert list(flags) == [scan_ids[0]]
    marked = case(ws, scan_ids[0], "Ann")
    assert any("picture is coloured" in sentence for sentence in remarks(ws, marked))
    said = replace(marked, reading=replace(marked.reading, flags=(UNCERTAIN, MARKED)))
    assert not remarks(ws, said), "its answer says it"
