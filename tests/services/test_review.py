from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from db import audit, models, queries
from services.intake import Incoming, receive
from services.models import promote, serving_model
from services.review import (
    NoSuchScan,
    ScanChanged,
    case,
    cases,
    history,
    known_reader,
    new_click,
    queue,
    record,
)
from tests.conftest import png
from tests.services.conftest import say


def other_than(label):
    return "ischemic" if label != "ischemic" else "hemorrhagic"


def test_confirmed_and_corrected_follow_from_reading_and_review(ws, scan_ids):
    first, second = (case(ws, i, "Ann") for i in scan_ids[:2])
    assert first.state == "not read yet"
    say(ws, first.scan.id, first.reading.label)
    say(ws, second.scan.id, other_than(second.reading.label))
    assert case(ws, first.scan.id, "Ann").state == "confirmed"
    assert case(ws, second.scan.id, "Ann").state == "corrected"
    say(ws, second.scan.id, "unsure")
    assert case(ws, second.scan.id, "Ann").state == "unsure"


def test_more_scans_than_one_statement_takes_are_found_all_the_same(ws, scan_ids, monkeypatch):
    say(ws, scan_ids[4], "ischemic")
    few = cases(ws, "Ann", ids=scan_ids[:5])
    monkeypatch.setattr(queries, "AT_ONCE", 3)
    assert cases(ws, "Ann", ids=scan_ids[:5]) == few
    assert [case.own_verdict for case in few].count("ischemic") == 1


def test_a_patient_is_found_by_what_stands_on_screen_and_by_the_whole_key(ws, scan_ids):
    found = case(ws, scan_ids[0], "Ann")
    found = replace(found, scan=replace(found.scan, patient_key="image:0123456789abcdef", number=3.0))
    other = replace(found, scan=replace(found.scan, patient_key="image:0123450000000000"))
    assert (found.title, other.title) == ("Patient 01234567 · image 3", "Patient 01234500 · image 3")
    for words in ("0123456", found.title, "0123456789ABCDEF", " image:0123456789abcdef", "image:0123456"):
        assert found.is_meant_by(words), words
        assert not other.is_meant_by(words), words
    for words in ("image:", "ima", "image:01", "01", "0123456789abcdef0", "abcdef"):
        assert not found.is_meant_by(words), words
    named = replace(found, scan=replace(found.scan, patient_key="0123456789abcdef"))
    assert named.title == found.title
    assert named.is_meant_by("0123456789abcdef")


def test_a_changed_mind_is_a_new_row(ws, scan_ids):
    say(ws, scan_ids[0], "ischemic")
    say(ws, scan_ids[0], "hemorrhagic")
    assert [line.verdict for line in history(ws, scan_ids[0])] == ["hemorrhagic", "ischemic"]
    assert case(ws, scan_ids[0], "Ann").verdict.label == "hemorrhagic"


def test_two_readers_cannot_overwrite_each_other_unseen(ws, scan_ids):
    seen = case(ws, scan_ids[0], "Ann").scan.version
    say(ws, scan_ids[0], "ischemic", reader="Ben", version=seen)
    with pytest.raises(ScanChanged, match=r"Ben filed “Ischemic”"):
        say(ws, scan_ids[0], "hemorrhagic", version=seen)
    assert len(history(ws, scan_ids[0])) == 1


def test_of_many_at_once_exactly_one_is_filed(ws, scan_ids):
    def attempt(number):
        try:
            return say(ws, scan_ids[0], "ischemic", reader=f"R{number}", version=0)
        except ScanChanged:
            return None

    with ThreadPoolExecutor(8) as pool:
        filed = [review for review in pool.map(attempt, range(8)) if review]
    assert len(filed) == len(history(ws, scan_ids[0])) == 1


def test_a_click_sent_twice_is_filed_once(ws, scan_ids):
    click = new_click()
    both = [
        record(ws, scan_ids[0], reader="Ann", verdict="ischemic", expected_version=0, click_id=click) for _ in range(2)
    ]
    assert both[0].id == both[1].id
    assert len(history(ws, scan_ids[0])) == 1


def test_readers_who_differ_need_an_adjudicator(ws, scan_ids):
    say(ws, scan_ids[0], "ischemic", reader="Ann")
    say(ws, scan_ids[0], "hemorrhagic", reader="Ben")
    assert case(ws, scan_ids[0], "Ann").state == "readers differ"
    say(ws, scan_ids[0], "hemorrhagic", reader="Chief", adjudication=True)
    found = case(ws, scan_ids[0], "Ann")
    assert found.verdict.label == "hemorrhagic"
    assert found.state in ("confirmed", "corrected")


def test_a_log_with_two_spellings_goes_on_with_the_first(ws, scan_ids):
    with ws.db.writing() as session:
        for reader in ("Ben", "ben"):  # as earlier versions took them
            session.add(models.Review(scan_id=scan_ids[0], reader=reader, verdict="unsure", click_id=reader))
            session.flush()
    assert {known_reader(ws, name) for name in ("ben", "Ben", "BEN")} == {"Ben"}


def test_the_queue_is_what_waits_for_the_reader_least_certain_first(ws, scan_ids):
    say(ws, scan_ids[0], "ischemic", reader="Ann")
    say(ws, scan_ids[1], "ischemic", reader="Ben")
    found = cases(ws, "Ann")
    assert set(queue(found)) == set(scan_ids[2:])
    waiting = queue(found, second_readings=True)
    assert set(waiting) == set(scan_ids[1:])
    confidence = {c.scan.id: c.reading.confidence for c in found}
    assert [confidence[i] for i in waiting] == sorted(confidence[i] for i in waiting)


def test_a_list_is_read_in_the_order_it_is_shown_in(ws, scan_ids):
    found = cases(ws, "Ann")
    assert queue(found, order=lambda case: -case.scan.id) == sorted(scan_ids, reverse=True)
    assert queue(found, order=lambda case: -case.reading.confidence) == queue(found)[::-1]


def test_synthetic_cases_wait_for_the_real_ones(ws, scan_ids):
    surest = queue(cases(ws, "Ann"))[-1]
    with ws.db.writing() as session:
        for scan in session.query(models.Scan):
            scan.synthetic = scan.id != surest
    assert queue(cases(ws, "Ann"))[0] == surest


def test_what_cannot_be_filed_says_why(ws, scan_ids):
    with pytest.raises(ValueError, match="'maybe'"):
        say(ws, scan_ids[0], "maybe")
    with pytest.raises(ValueError, match="name"):
        say(ws, scan_ids[0], "unsure", reader=" ", version=0)
    with pytest.raises(NoSuchScan):
        say(ws, 999, "unsure", version=0)


def test_a_second_thought_before_the_page_has_changed_is_not_lost_in_silence(ws, scan_ids):
    click = {"reader": "Ann", "expected_version": 0, "click_id": new_click()}
    record(ws, scan_ids[0], verdict="hemorrhagic", **click)
    with pytest.raises(ScanChanged, match=r"You filed “Hemorrhagic”.*Choose again"):
        record(ws, scan_ids[0], verdict="ischemic", **click)
    assert [line.verdict for line in history(ws, scan_ids[0])] == ["hemorrhagic"]


def test_where_the_model_abstained_nobody_confirms_or_corrects_it(ws, publish_untrained):
    promote(ws, publish_untrained(abstain_below=1.0), actor="test")
    [received] = receive(ws, serving_model(ws), [Incoming("0.png", png(0))], source="upload", actor="a")
    say(ws, received.scan_id, "ischemic")
    assert case(ws, received.scan_id, "Ann").state == "read"


def test_every_review_stands_in_the_audit_chain(ws, scan_ids):
    say(ws, scan_ids[0], "ischemic")
    with ws.db.reading() as session:
        assert audit.first_break(session) is None
        from sqlalchemy import select

        from db.models import AuditEvent

        actions = list(session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))
    assert actions == ["patient key", "promote", "intake", "review"]
