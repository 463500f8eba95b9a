"""Verdicts given before the model's answer is known, and what may not be told before."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

import pytest

from db import models, review_queries
from services.corrections import labelled_scans
from services.intake import Incoming, receive
from services.models import champion, serving_model
from services.overview import overview
from services.questions import Question
from services.remarks import remarks
from services.removal import undo
from services.reporting import live_evaluation
from services.review import (
    ScanChanged,
    case,
    cases,
    held_back,
    known_reader,
    note_shown,
    queue,
)
from services.tables import notes
from tests.conftest import dicom, png
from tests.services.conftest import say, take


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


def test_an_answer_shown_after_a_blind_verdict_takes_nothing_from_it_but_lets_no_other_be_blind(ws, scan_ids):
    say(ws, scan_ids[0], "ischemic", blind=True)
    note_shown(ws, case(ws, scan_ids[0], "Ann"), "Ann")
    assert not say(ws, scan_ids[0], "hemorrhagic", blind=True).blind, "whatever has hidden it again"
    with ws.db.reading() as session:
        [review] = review_queries.latest_reviews(session, [scan_ids[0]])[scan_ids[0]]
    assert review.blind_verdict == "ischemic"


@pytest.mark.parametrize("seen", ["the copy", "the original"])
def test_who_was_shown_the_answer_to_a_near_copy_does_not_read_blind(ws, scan_ids, seen):
    first, second, other = scan_ids[:3]
    with ws.db.writing() as session:
        session.get_one(models.Scan, second).resembles_id = first
    here, there = (second, first) if seen == "the copy" else (first, second)
    note_shown(ws, case(ws, here, "Ann"), "Ann")
    hidden = case(ws, there, "Ann", blind_first=True)
    assert hidden.shown
    assert not any("Nearly the same image" in said for said in remarks(ws, hidden)), "it may lead to the answer"
    assert not say(ws, there, "ischemic", blind=True).blind
    assert say(ws, other, "ischemic", blind=True).blind
    assert say(ws, there, "ischemic", reader="Ben", blind=True).blind


def test_an_answer_that_was_shown_stays_so_when_the_near_copy_is_taken_back(ws, scan_ids):
    [copy] = take(ws, serving_model(ws), [("copy.png", png(11))])
    with ws.db.writing() as session:
        session.get_one(models.Scan, scan_ids[0]).resembles_id = copy.scan_id
    for scan_id in (copy.scan_id, scan_ids[0]):
        note_shown(ws, case(ws, scan_id, "Ann"), "Ann")
    undo(ws, copy.scan_id, actor="a")
    assert not say(ws, scan_ids[0], "ischemic", blind=True).blind


def test_blind_verdicts_count_in_the_order_they_were_given(ws, scan_ids):
    for reader, blind in (("Ann", True), ("Ben", True), ("Ann", False)):
        say(ws, scan_ids[0], "ischemic", reader=reader, blind=blind)
    with ws.db.reading() as session:
        given = review_queries.blind_reviews(review_queries.latest_reviews(session)[scan_ids[0]])
    assert [one.reader for one in given] == ["Ann", "Ben"]


@pytest.mark.parametrize("in_view", [True, False])
def test_a_label_settled_in_view_of_the_answer_is_not_blind_though_it_was_said_blind_before(ws, scan_ids, in_view):
    for reader, verdict in (("Ann", "hemorrhagic"), ("Ben", "no_stroke")):
        say(ws, scan_ids[0], verdict, reader=reader, blind=True)
    say(ws, scan_ids[0], "hemorrhagic", blind=not in_view, adjudication=True)
    assert case(ws, scan_ids[0], "Ann").verdict.blind == (not in_view)
    [item] = labelled_scans(ws)
    assert (item.label, item.blind) == ("hemorrhagic", not in_view)
    with ws.db.reading() as session:
        given = review_queries.blind_reviews(review_queries.latest_reviews(session)[scan_ids[0]])
    assert {one.reader: one.verdict for one in given} == {"Ann": "hemorrhagic", "Ben": "no_stroke"}


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


def test_taking_a_batch_back_does_not_make_its_answers_unseen(ws, scan_ids):
    note_shown(ws, case(ws, scan_ids[0], "Ann"), "Ann")
    assert undo(ws, scan_ids[0], actor="Ann") == len(scan_ids)
    [again] = receive(ws, serving_model(ws), [Incoming("0 (1).png", png(0))], source="upload", actor="a")
    assert case(ws, again.scan_id, "Ann", blind_first=True).shown


def test_a_blind_reader_is_told_nobody_elses_verdict(ws, scan_ids):
    for i, verdict in enumerate(("unsure", "unusable")):
        say(ws, scan_ids[i], verdict, reader="Ben")
        assert case(ws, scan_ids[i], "Ann", blind_first=True).state == "read"
    say(ws, scan_ids[0], "ischemic", version=1, blind=True)
    say(ws, scan_ids[0], "unsure", reader="Ben")
    with pytest.raises(ScanChanged, match="Ben filed a verdict on this scan"):
        say(ws, scan_ids[0], "no_stroke", version=2, blind=True)


def test_a_first_blind_verdict_stands_whatever_another_said_meanwhile(ws, scan_ids):
    say(ws, scan_ids[0], "unsure", reader="Ben", version=0, blind=True)
    assert say(ws, scan_ids[0], "ischemic", version=0, blind=True).blind
    assert case(ws, scan_ids[0], "Ann").state == "readers differ"
    with pytest.raises(ScanChanged):
        say(ws, scan_ids[0], "no_stroke", version=0, blind=True)  # by Ann, in another tab


@pytest.mark.parametrize("why", ["they have been shown the answer", "it would settle"])
def test_a_verdict_that_is_not_independent_does_not_stand_unseen(ws, scan_ids, why):
    say(ws, scan_ids[0], "unsure", reader="Ben", version=0)
    if why == "they have been shown the answer":
        note_shown(ws, case(ws, scan_ids[0], "Ann"), "Ann")
    with pytest.raises(ScanChanged):
        say(ws, scan_ids[0], "ischemic", version=0, blind=True, adjudication=why == "it would settle")


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


@pytest.mark.parametrize("told", [True, False])
def test_slices_that_come_once_the_others_answers_are_told_are_not_read_blind(ws, drawn_patient, told):
    first, second = drawn_patient
    assert say(ws, first, "ischemic", blind=True).blind
    if told:
        assert say(ws, second, "ischemic", blind=True).blind
    files = [Incoming(f"{i}.dcm", dicom(i, patient="P7")) for i in (8, 9)]
    late = [one.scan_id for one in receive(ws, serving_model(ws), files, source="upload", actor="a")]
    theirs = [*drawn_patient, *late]
    assert {c.hidden for c in cases(ws, "Ann", ids=theirs)} == {True}
    assert [case(ws, i, "Ann").shown for i in theirs] == [told] * 4
    assert [c.shown for c in cases(ws, "Ann", ids=theirs)] == [c.shown for c in cases(ws, "Ann")] == [told] * 4
    assert [say(ws, i, "ischemic", blind=True).blind for i in late] == [not told] * 2
    assert say(ws, late[0], "ischemic", reader="Ben", blind=True).blind, "who has been told nothing"


def test_a_late_slice_is_not_read_blind_in_a_log_that_noted_no_answers_told(ws, drawn_patient):
    for scan_id in drawn_patient:
        say(ws, scan_id, "ischemic", blind=True)
    with ws.db.writing() as session:
        session.query(models.Shown).delete()
    [late] = receive(ws, serving_model(ws), [Incoming("9.dcm", dicom(9, patient="P7"))], source="upload", actor="a")
    assert not say(ws, late.scan_id, "ischemic", blind=True).blind


def test_what_joins_a_patient_whose_answers_are_told_makes_no_verdict_blind_again(ws, drawn_patient):
    """Not even a scan that was in the log before, under no name."""
    for scan_id in drawn_patient:
        say(ws, scan_id, "ischemic", blind=True)
    with ws.db.writing() as session:
        theirs = session.get(models.Scan, drawn_patient[0])
        early = theirs.created_at - timedelta(days=1)
        same = {name: getattr(theirs, name) for name in ("study_key", "batch_id", "unit", "height", "width", "meta")}
        session.add(models.Scan(content_hash="0" * 64, created_at=early, audit=True, **same))
    assert all(c.hidden for c in cases(ws, "Ann", ids=drawn_patient)), "one is left to read"
    say(ws, drawn_patient[0], "no_stroke", blind=True)
    with ws.db.reading() as session:
        [review] = review_queries.latest_reviews(session, [drawn_patient[0]])[drawn_patient[0]]
    assert (review.blind, review.blind_verdict) == (False, "ischemic")


@pytest.mark.parametrize("seen", range(4))
def test_an_answer_shown_beside_any_copy_is_shown_of_all(ws, scan_ids, seen):
    """Copies of one original, and a copy of a copy."""
    links = {1: 0, 2: 0, 3: 2}
    with ws.db.writing() as session:
        for place, of in links.items():
            session.get(models.Scan, scan_ids[place]).resembles_id = scan_ids[of]
    note_shown(ws, case(ws, scan_ids[seen], "Ann"), "Ann")
    with ws.db.reading() as session:
        alike = set(scan_ids[:4])
        assert review_queries.shown_to(session, "Ann") == alike
        assert review_queries.shown_to(session, "Ann", scan_ids[3:]) == alike & set(scan_ids[3:])
        assert not review_queries.shown_to(session, "Ben")


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


def test_hidden_scans_are_not_sorted_by_what_the_model_thinks(ws, scan_ids):
    assert queue(cases(ws, "Ann", blind_first=True)) == sorted(scan_ids)


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
