from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from db import audit, models, queries, review_queries
from services.intake import Incoming, receive
from services.models import champion, promote, serving_model
from services.overview import overview
from services.questions import Question
from services.removal import undo
from services.reporting import live_evaluation
from services.review import (
    NoSuchScan,
    ScanChanged,
    case,
    cases,
    held_back,
    history,
    known_reader,
    new_click,
    note_shown,
    queue,
    record,
)
from services.tables import notes
from tests.conftest import dicom, png


def say(ws, scan_id, verdict, reader="Ann", version=None, **more):
    if version is None:
        version = case(ws, scan_id, reader).scan.version
    return record(ws, scan_id, reader=reader, verdict=verdict, expected_version=version, click_id=new_click(), **more)


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
    few = cases(ws, "Ann", ids=scan_ids[:5])
    monkeypatch.setattr(queries, "AT_ONCE", 3)
    assert cases(ws, "Ann", ids=scan_ids[:5]) == few


def test_a_patient_is_found_by_what_stands_on_screen_and_by_the_whole_key(ws, scan_ids):
    found = case(ws, scan_ids[0], "Ann")
    found = replace(found, scan=replace(found.scan, patient_key="image:0123456789abcdef", number=3.0))
    other = replace(found, scan=replace(found.scan, patient_key="image:0123450000000000"))
    assert (found.title, other.title) == ("Patient 01234567 · 3", "Patient 01234500 · 3")
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


def test_a_blind_reader_is_shown_nothing_of_the_models(ws, scan_ids):
    label = case(ws, scan_ids[0], "Ann").reading.label
    say(ws, scan_ids[0], label, reader="Ben")
    hidden = case(ws, scan_ids[0], "Ann", blind_first=True)
    assert hidden.hidden
    assert hidden.reading is None
    assert hidden.state == "read", "confirmed would tell the model's answer"
    say(ws, scan_ids[0], "ischemic", blind=True)
    shown = case(ws, scan_ids[0], "Ann", blind_first=True)
    assert not shown.hidden
    assert shown.reading.label == label


def test_who_was_shown_the_answer_once_does_not_read_that_scan_blind(ws, scan_ids):
    first, second = scan_ids[:2]
    note_shown(ws, case(ws, first, "Ann"), "Ann")
    note_shown(ws, case(ws, first, "Ann"), "Ann")
    note_shown(ws, case(ws, second, "Ann", blind_first=True), "Ann")
    assert [case(ws, i, "Ann", blind_first=True).shown for i in (first, second)] == [True, False]
    assert not case(ws, first, "Ben").shown
    assert not say(ws, first, "ischemic", blind=True).blind
    assert say(ws, second, "ischemic", blind=True).blind
    assert say(ws, first, "ischemic", reader="Ben", blind=True).blind


def test_an_answer_shown_after_a_blind_verdict_takes_nothing_from_it(ws, scan_ids):
    say(ws, scan_ids[0], "ischemic", blind=True)
    note_shown(ws, case(ws, scan_ids[0], "Ann"), "Ann")
    assert not case(ws, scan_ids[0], "Ann").shown


def test_one_reader_by_another_spelling_gives_no_second_blind_verdict(ws, scan_ids):
    first, second = scan_ids[:2]
    assert known_reader(ws, " Ada  Braun ") == "Ada Braun"
    say(ws, first, "ischemic", reader="Ada Braun", blind=True)
    note_shown(ws, case(ws, second, "Zoë"), "Zoë")
    assert [known_reader(ws, name) for name in ("ada braun", "ADA\tBraun ", "Ada", "ZOË")] == [
        "Ada Braun",
        "Ada Braun",
        "Ada",
        "Zoë",
    ]
    assert say(ws, first, "unsure", reader="ada  BRAUN").reader == "Ada Braun"
    assert not say(ws, second, "ischemic", reader="zoë", blind=True).blind, "she has been shown the answer"


def test_a_log_with_two_spellings_goes_on_with_the_first(ws, scan_ids):
    with ws.db.writing() as session:
        for reader in ("Ben", "ben"):  # as earlier versions took them
            session.add(models.Review(scan_id=scan_ids[0], reader=reader, verdict="unsure", click_id=reader))
            session.flush()
    assert {known_reader(ws, name) for name in ("ben", "Ben", "BEN")} == {"Ben"}


def test_taking_a_batch_back_does_not_make_its_answers_unseen(ws, scan_ids):
    note_shown(ws, case(ws, scan_ids[0], "Ann"), "Ann")
    assert undo(ws, scan_ids[0], actor="Ann") == len(scan_ids)
    [again] = receive(ws, serving_model(ws), [Incoming("0 (1).png", png(0))], source="upload", actor="a")
    assert case(ws, again.scan_id, "Ann", blind_first=True).shown


def test_a_blind_reader_is_told_nobody_elses_verdict(ws, scan_ids):
    for i, verdict in enumerate(("unsure", "unusable")):
        say(ws, scan_ids[i], verdict, reader="Ben")
        assert case(ws, scan_ids[i], "Ann", blind_first=True).state == "read"
    with pytest.raises(ScanChanged, match="Ben filed a verdict on this scan"):
        say(ws, scan_ids[0], "ischemic", version=0, blind=True)


def test_the_audit_stream_is_blind_without_being_asked(ws, scan_ids):
    from sqlalchemy import text

    with ws.db.writing() as session:
        session.execute(text("update scans set audit = 1 where id = :i"), {"i": scan_ids[2]})
    assert [c.scan.id for c in cases(ws, "Ann", ids=scan_ids) if c.hidden] == [scan_ids[2]]


def test_answers_to_a_drawn_patients_scans_are_shown_together(ws, drawn_patient):
    first, second = drawn_patient
    assert [(c.hidden, c.left) for c in cases(ws, "Ann", ids=drawn_patient)] == [(True, 1), (True, 1)]
    say(ws, first, "ischemic", blind=True)
    say(ws, first, "hemorrhagic", blind=True)  # a second thought, and the answer still not seen
    still = case(ws, first, "Ann")
    assert (still.hidden, still.left, still.own_verdict, still.state) == (True, 1, "hemorrhagic", "read")
    assert case(ws, second, "Ann").left == 0
    say(ws, second, "no_stroke", blind=True)
    assert [c.hidden for c in cases(ws, "Ann", ids=drawn_patient)] == [False, False]
    say(ws, first, "no_stroke")  # in view of the answer
    with ws.db.reading() as session:
        [review] = review_queries.latest_reviews(session, [first])[first]
    assert (review.verdict, review.blind_verdict) == ("no_stroke", "hemorrhagic"), "the last before it was shown"
    assert all(c.hidden for c in cases(ws, "Ben", ids=drawn_patient)), "each reader for themselves"


@pytest.fixture
def drawn_patient(ws):
    """Two slices of one patient, drawn."""
    ws.settings.review.audit_share = 1.0
    files = [Incoming(f"{i}.dcm", dicom(i, patient="P7")) for i in (1, 2)]
    return [one.scan_id for one in receive(ws, serving_model(ws), files, source="upload", actor="a")]


def test_the_audit_draws_patients_not_slices(ws):
    ws.settings.review.audit_share = 0.5
    files = [Incoming(f"{p}-{i}.dcm", dicom(10 * p + i, patient=f"P{p}")) for p in range(25) for i in range(2)]
    received = list(receive(ws, serving_model(ws), files, source="upload", actor="a"))
    by_patient = defaultdict(set)
    for found in cases(ws, "Ann", ids=[one.scan_id for one in received]):
        by_patient[found.scan.patient_key].add(found.scan.audit)
    assert len(by_patient) == 25
    assert all(len(drawn) == 1 for drawn in by_patient.values())
    assert {drawn for one in by_patient.values() for drawn in one} == {True, False}, "by chance once in 10 million"


def test_slices_that_come_later_are_drawn_as_the_first_were_and_hide_the_answers_again(ws, drawn_patient):
    for scan_id in drawn_patient:
        say(ws, scan_id, "ischemic", blind=True)
    ws.settings.review.audit_share = 0.0
    [late] = receive(ws, serving_model(ws), [Incoming("9.dcm", dicom(9, patient="P7"))], source="upload", actor="a")
    hidden = {c.scan.id: c.left for c in cases(ws, "Ann", ids=[*drawn_patient, late.scan_id]) if c.hidden}
    assert hidden == {drawn_patient[0]: 1, drawn_patient[1]: 1, late.scan_id: 0}
    say(ws, drawn_patient[0], "no_stroke", blind=True)  # who remembers the answer does not read blind
    with ws.db.reading() as session:
        [review] = review_queries.latest_reviews(session, [drawn_patient[0]])[drawn_patient[0]]
    assert (review.blind, review.blind_verdict) == (False, "ischemic")


def test_figures_do_not_tell_the_answers_to_scans_begun_blind(ws, drawn_patient):
    """Filed one by one, verdicts would show in the figures what the model says of each."""
    question = Question(champion(ws))
    assert held_back(ws, "Ann") == frozenset()
    say(ws, drawn_patient[0], "ischemic", blind=True)
    assert held_back(ws, "Ann") == {drawn_patient[0]}
    assert held_back(ws, "Ben") == frozenset(), "who has filed nothing learns nothing"
    begun = live_evaluation(ws, replace(question, without=held_back(ws, "Ann")))
    assert begun.report is None
    assert "Left out: 1 scan (real or demo)" in notes(begun)[-1]
    assert overview(ws, "Ann").comparable == 0
    say(ws, drawn_patient[1], "no_stroke", blind=True)
    assert live_evaluation(ws, replace(question, without=held_back(ws, "Ann"))).report.n == 2


def test_of_two_who_share_a_drawn_patient_each_reads_all_of_it(ws, drawn_patient):
    first, second = drawn_patient
    say(ws, first, "ischemic", reader="Ann", blind=True)
    say(ws, second, "ischemic", reader="Ben", blind=True)
    assert queue(cases(ws, "Ann")) == [second]
    assert queue(cases(ws, "Ben")) == [first]
    assert queue(cases(ws, "Cat")) == [], "who has not begun it need not"


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


def test_hidden_scans_are_not_sorted_by_what_the_model_thinks(ws, scan_ids):
    assert queue(cases(ws, "Ann", blind_first=True)) == sorted(scan_ids)


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

        actions = list(session.scalars(select(AuditEvent.action)))
    assert actions == ["patient key", "promote", "intake", "review"]


def test_scans_to_be_read_blind_are_dealt_through_the_list(ws, scan_ids):
    with ws.db.writing() as session:
        for scan in session.query(models.Scan):
            scan.audit = scan.id in (scan_ids[0], scan_ids[3])
    found = cases(ws, "Ann")
    order = queue(found)
    places = sorted(order.index(i) for i in (scan_ids[0], scan_ids[3]))
    assert sorted(order) == sorted(scan_ids)
    assert places in ([1, 4], [0, 3], [1, 3]), "neither all first nor all last"
    shown = [c for i in order for c in found if c.scan.id == i and not c.hidden]
    assert [c.reading.confidence for c in shown] == sorted(c.reading.confidence for c in shown)
