import time

import pytest
from streamlit.testing.v1 import AppTest

from core.settings import ROOT
from db.session import UnusableLog
from services.desks import LEFT_AFTER_S, Desks
from services.review import cases, new_click, queue, record
from tests.dashboard.conftest import on, words


@pytest.fixture
def another(app):
    """A second reader's browser on the same server."""
    return AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60)


def file_no_stroke(app):
    next(b for b in app.button if b.label.endswith("No stroke")).click().run()
    assert not app.error, app.error


def read_by(ws, reader):
    return {case.scan.id for case in cases(ws, reader) if case.own_verdict}


def test_two_who_begin_together_do_not_read_the_same_scans(app, another, demo):
    app.query_params["reader"], another.query_params["reader"] = "Eve", "Gus"
    on(app, "review")
    on(another, "review")
    for _ in range(3):
        assert app.session_state["scan"] != another.session_state["scan"]
        file_no_stroke(app)
        file_no_stroke(another)
    by_eve, by_gus = read_by(demo, "Eve"), read_by(demo, "Gus")
    assert len(by_eve) == len(by_gus) == 3
    assert not by_eve & by_gus


@pytest.mark.parametrize("number", [0, 7, -1])
def test_a_link_to_an_unread_scan_begins_the_list(app, demo, number):
    unread = queue(cases(demo, "Eve"))
    linked = unread[number]
    app.query_params["reader"], app.query_params["scan"] = "Eve", str(linked)
    assert f"**1 of {len(unread)} ·" in words(on(app, "review"))
    assert app.session_state["queue"] == [linked, *(scan for scan in unread if scan != linked)]
    app.button(key="next").click().run()
    assert f"**2 of {len(unread)} ·" in words(app)


def test_a_list_that_was_chosen_is_gone_through_whoever_has_read_it(app, another, demo):
    app.query_params["reader"] = "Eve"
    on(app, "review")
    file_no_stroke(app)
    [read] = read_by(demo, "Eve")
    first = next(case.scan.id for case in cases(demo, "Gus") if not case.verdict)
    another.query_params["reader"] = "Gus"
    another.session_state["queue"], another.session_state["scan"] = [first, read], first
    on(another, "review")
    another.button(key="next").click().run()
    assert another.session_state["scan"] == read
    another.button(key="next").click().run()
    assert "Without a verdict of yours so far: 2 of 2 scans (skipped, or before the one you began" in words(another)


@pytest.mark.parametrize(("click", "said"), [("next", ""), ("verdict", "Your verdict is stored. ")])
def test_a_log_that_fails_as_the_next_scan_is_looked_for_is_said_in_a_sentence(app, demo, monkeypatch, click, said):
    def held(*_):
        raise UnusableLog("Another program holds it.")

    app.query_params["reader"] = "Eve"
    on(app, "review")
    scan = app.session_state["scan"]
    with monkeypatch.context() as patched:
        patched.setattr("dashboard.components.reading_desk.read_by_others", held)
        (app.button(key="next") if click == "next" else next(b for b in app.button if "No stroke" in b.label)).click()
        app.run()
    assert not app.exception
    assert [error.value.replace("\\", "") for error in app.error] == [f"{said}Another program holds it."]
    assert app.session_state["scan"] == scan
    assert read_by(demo, "Eve") == ({scan} if click == "verdict" else set())


@pytest.mark.parametrize(("window", "then"), [("Bone", "Brain"), ("Stroke", "Stroke")])
def test_a_bone_window_is_not_carried_over_to_another_patient(app, demo, window, then):
    first, other = [case.scan.id for case in cases(demo, "Eve")][:2]  # each of a patient of their own
    app.session_state["queue"], app.session_state["scan"] = [first, other], first
    on(app, "review")
    app.segmented_control(key="window").set_value(window).run()
    app.run()
    assert app.session_state["window"] == window
    app.button(key="next").click().run()
    assert (app.session_state["scan"], app.session_state["window"]) == (other, then)
    assert not app.warning


def test_a_desk_is_free_again_once_its_reader_has_gone(monkeypatch):
    desks = Desks()
    desks.take("Ann", 1)
    desks.take("Ann", 2)

    def first(reader, *done):
        return desks.take_first(reader, [2, 1, 3], done.__contains__)

    assert first("Ben") == 1
    assert first("Cat") == 3
    assert first("Ann") == 2, "her own"
    assert first("Dee") is None
    assert first("Ben", 1) is None
    desks.leave("Cat")
    assert first("Dee") == 3
    later = time.monotonic() + LEFT_AFTER_S + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert first("Ben") == 2


def test_a_list_is_not_called_read_while_one_of_a_begun_patient_waits(app, demo):
    """Of a patient drawn for the blind audit every scan waits for who has begun, whoever else has read it."""
    drawn = next(case.scan for case in cases(demo, "Eve") if case.scan.audit)
    record(demo, drawn.id, reader="Gus", verdict="ischemic", expected_version=drawn.version, click_id=new_click())
    app.query_params["reader"] = "Eve"
    app.session_state["queue"], app.session_state["scan"] = [drawn.id], drawn.id
    app.session_state["unread_ones"] = True
    on(app, "review")
    app.button(key="next").click().run()
    assert "Without a verdict so far: 1 of 1 scan" in words(app)
