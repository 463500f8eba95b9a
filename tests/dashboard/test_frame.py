"""What every page has: who reads, what they may know, and a case log that opens."""

from types import SimpleNamespace

import pytest
from sqlalchemy import text

from core.settings import Settings
from dashboard import resources
from dashboard.components import frame
from db.session import UnusableLog
from services.review import case, cases, history, new_click, record
from tests.dashboard.conftest import on, words


def test_a_setting_that_is_none_is_said_where_the_page_would_be(app, monkeypatch):
    monkeypatch.setenv("STROKE_REVIEW__AUDIT_SHARE", "often")
    app.run()
    [error] = app.error
    assert "The case log is not opened" in error.value
    assert "audit_share" in error.value


@pytest.mark.parametrize("by_answer", [True, False])
@pytest.mark.parametrize("change", ["blind first", "another reader", "their name"])
def test_a_list_chosen_by_answers_is_left_where_they_may_not_be_known(app, demo, by_answer, change):
    app.query_params["reader"] = "" if change == "their name" else "Ada"
    on(app, "review")
    chosen = sorted(app.session_state["queue"], reverse=True)[:4]
    app.session_state["queue"], app.session_state["scan"] = list(chosen), chosen[1]
    app.session_state["by_answer"] = by_answer
    app.run()
    if change == "blind first":
        app.toggle(key="blind_first").set_value(True).run()
    else:
        app.text_input(key="reader").set_value("Ben").run()
    assert app.session_state["scan"] == chosen[1]
    if change == "their name":
        assert app.session_state["queue"] == chosen
    elif by_answer:
        assert len(app.session_state["queue"]) > len(chosen)
        assert ("this is another one" in words(app)) == (change == "blind first"), "who is new has chosen none"
    else:
        slices = [case.scan.id for case in cases(demo, "Ada", ids=chosen)]
        rest = [scan for scan in slices if scan not in chosen[:2]]
        at = slices.index(chosen[1])
        went_on = {"blind first": chosen[:2] + rest, "another reader": slices[at:] + slices[:at]}
        assert app.session_state["queue"] == went_on[change], "what came before tells another reader as much"


def test_whoever_begins_to_read_blind_can_go_back_and_loses_nothing_skipped(app, demo):
    slices = [case.scan.id for case in cases(demo, "Ada")][:6]
    app.query_params["reader"] = "Ada"
    app.run()
    app.session_state["queue"], app.session_state["scan"] = slices, slices[0]
    on(app, "review")
    for _ in range(4):
        app.button(key="next").click().run()
    app.toggle(key="blind_first").set_value(True).run()
    assert "**5 of 6 ·" in words(app)
    app.button(key="back").click().run()
    assert app.session_state["scan"] == slices[3]
    for _ in range(3):
        app.button(key="next").click().run()
    assert "Without a verdict of yours so far: 6 of 6 scans" in words(app)


def test_whoever_begins_to_read_blind_at_a_lists_end_goes_back_to_its_last_scan(app, demo):
    chosen = [case.scan.id for case in cases(demo, "Ada")][3::-1]
    app.query_params["reader"] = "Ada"
    app.run()
    app.session_state["queue"], app.session_state["scan"] = list(chosen), chosen[0]
    on(app, "review")
    for _ in chosen:
        app.button(key="next").click().run()
    app.toggle(key="blind_first").set_value(True).run()
    next(b for b in app.button if b.label == "Back to the last scan").click().run()
    assert app.session_state["scan"] == chosen[-1]


def test_a_list_that_goes_on_blind_tells_nothing_where_the_log_fails_either(app, demo, monkeypatch):
    def held(*_):
        raise UnusableLog("Another program holds it.")

    app.query_params["reader"] = "Ada"
    on(app, "review")
    ids = list(app.session_state["queue"])
    app.session_state["queue"], app.session_state["scan"] = sorted(ids, reverse=True), max(ids)
    with monkeypatch.context() as patched:
        patched.setattr("dashboard.components.frame.in_place", held)
        app.toggle(key="blind_first").set_value(True).run()
    assert not app.exception
    assert app.session_state["queue"] == [max(ids), *sorted(ids)[:-1]]


def test_who_says_their_name_has_seen_what_they_saw_before(app, demo):
    on(app, "review")
    scan = app.session_state["scan"]
    app.text_input(key="reader").set_value("Ada").run()
    assert case(demo, scan, "Ada", blind_first=True).shown
    app.text_input(key="reader").set_value("Ben").run()
    app.toggle(key="blind_first").set_value(True).run()
    unseen = next(c for c in cases(demo, "Ben", blind_first=True) if c.scan.id != scan)
    assert not unseen.shown


def test_a_name_that_comes_with_a_verdict_has_seen_what_was_seen_without_one(app, demo):
    """As in one message to a busy server."""
    on(app, "review")
    scan = app.session_state["scan"]
    assert not cases(demo, "Reader 1", ids=[scan])[0].hidden
    app.toggle(key="blind_first").set_value(True).run()
    app.text_input(key="reader").set_value("Ada")
    next(b for b in app.button if b.label == "Ischemic").click().run()
    [line] = [line for line in history(demo, scan) if line.reader == "Ada"]
    assert not line.blind


def test_what_was_seen_without_a_name_is_kept_until_it_is_stored(app, demo, monkeypatch):
    on(app, "review")
    scan = app.session_state["scan"]
    next(b for b in app.button if b.label == "Skip").click().run()
    assert app.session_state["scan"] != scan

    def full(*_, **__):
        raise UnusableLog("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr("dashboard.components.frame.pass_on_shown", full)
        app.text_input(key="reader").set_value("Ada").run()
        assert "The disk is full." in app.error[0].value
    app.run()
    assert case(demo, scan, "Ada", blind_first=True).shown
    assert "seen_unnamed" not in app.session_state


@pytest.mark.parametrize(("queue", "left"), [([1, 2, 3], True), ([1, 901], False)])
def test_an_upload_that_is_taken_back_leaves_other_lists(monkeypatch, queue, left):
    state = {"upload": SimpleNamespace(scan_ids=[901, 902]), "queue": queue}
    monkeypatch.setattr(frame.st, "session_state", state)
    frame.forget_upload()
    assert ("queue" in state) == left


def test_a_case_log_that_fails_under_a_page_is_said(app, demo, monkeypatch):
    def held(*_, **__):
        raise UnusableLog("Another program holds it.")

    on(app, "worklist")
    monkeypatch.setattr("services.review.queries.scans", held)
    app.run()
    assert not app.exception
    assert "**The case log cannot be used.** Another program holds it." in [said.value for said in app.error]


def test_without_its_key_the_case_log_stays_closed_and_says_so(app, home):
    app.run()
    resources.workspace.clear()
    (Settings().home_dir / "patient.key").unlink()
    app.run()
    assert not app.exception
    assert "Put the key back" in app.error[0].value


def test_a_case_log_newer_than_the_program_stays_closed_and_says_so(app, home):
    app.run()
    with resources.workspace().db.writing() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    resources.workspace.clear()
    app.run()
    assert not app.exception
    assert "newer than this program" in app.error[0].value


@pytest.mark.parametrize("by", ["the field", "a link"])
def test_a_name_in_another_spelling_is_the_reader_whom_the_log_knows(app, demo, by):
    read = cases(demo, "Ada")[0].scan
    record(demo, read.id, reader="Ada", verdict="unsure", expected_version=read.version, click_id=new_click())
    app.query_params["scan"] = str(read.id)
    if by == "a link":
        app.query_params["reader"] = " ada"
    on(app, "review")
    if by == "the field":
        app.text_input(key="reader").set_value("ADA ").run()
    assert app.text_input(key="reader").value == "Ada"
    assert "Ada" in app.query_params["reader"]
    assert "You said unsure" in words(app)


@pytest.mark.parametrize("by", ["the field", "a link"])
def test_a_name_longer_than_the_log_stores_is_cut_before_it_signs(app, demo, by):
    if by == "a link":
        app.query_params["reader"] = "Ö" * 100
    on(app, "review")
    field = app.text_input(key="reader")
    assert field.proto.max_chars == 80
    if by == "the field":
        field.set_value("Ö" * 100).run()
    assert not app.exception
    assert app.text_input(key="reader").value == app.session_state["reader"] == "Ö" * 80
    assert app.query_params["reader"] == "Ö" * 80


def test_a_reader_with_a_name_goes_from_page_to_page(app, demo):
    app.query_params["reader"] = "Dr A"
    app.query_params["blind_first"] = "true"
    on(app, "overview")
    assert app.text_input(key="reader").value == "Dr A"
    next(b for b in app.button if b.label == "Start reading").click().run()
    assert not app.exception, app.exception
    assert app.session_state["reader"] == "Dr A"
    assert app.session_state["blind_first"]


@pytest.mark.parametrize(("who", "blind", "kept"), [("Ann", "", True), ("Ben", "", False), ("Ann", "true", False)])
def test_a_list_is_taken_over_by_its_reader_alone(app, demo, who, blind, kept):
    ids = sorted(case.scan.id for case in cases(demo, "Ann") if not case.hidden)[:9]
    place = {"queue": ids, "scan": ids[4], "revealed": ids[4], "as": ("Ann", False)}
    resources.kept_place("token")["now"] = place
    app.query_params["reader"], app.query_params["list"] = who, "token"
    if blind:
        app.query_params["blind_first"] = blind
    on(app, "review")
    assert (app.session_state["queue"] == ids) == kept
    assert ("5 of 9" in words(app)) == kept
    assert not app.warning


def test_a_list_that_is_not_known_is_said_to_be_another(app, demo):
    app.query_params["list"] = "nobody's"
    [warning] = on(app, "review").warning
    assert "The list that you were reading is not known any more" in warning.value
    next(b for b in app.button if b.label == "Skip").click().run()
    assert not app.warning
