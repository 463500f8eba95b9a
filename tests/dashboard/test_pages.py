"""Pages without a browser: what they show, and what a click files."""

import errno
import re

import pytest
from streamlit.testing.v1 import AppTest

from core.model_process import ModelStopped
from core.predict import Predictor
from core.settings import ROOT, Settings
from dashboard import resources
from db import images, models
from db.session import DISK_FULL
from services.demo import load_demo
from services.intake import Incoming, receive
from services.models import demonstration_model, promote, serving_model
from services.review import case, cases, history, new_click, record
from services.uploads import Upload
from services.workspace import open_workspace
from tests.conftest import png
from tests.core.test_formats import changed_dicom
from tests.dashboard.conftest import on, words


def test_an_empty_log_offers_the_demo_cases(app):
    app.run()
    assert "The case log is empty" in app.subheader[0].value
    next(b for b in app.button if b.label == "Load demo cases").click().run()
    assert not app.exception
    assert {m.label: m.value for m in app.metric}["Scans in the log"] == "40"
    assert "came with the verdict of a made-up “Demo reader”" in words(app), "else who has read the 24?"


def test_a_full_disk_is_said_where_demo_cases_are_loaded_and_a_batch_is_taken_back(
    app, demonstration_serves, monkeypatch
):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    ws = open_workspace(Settings())
    app.run()
    with monkeypatch.context() as disk:
        disk.setattr(images, "_write_whole", full)
        next(b for b in app.button if b.label == "Load demo cases").click().run()
    assert not app.exception
    assert DISK_FULL in app.error[0].value
    list(receive(ws, serving_model(ws), [Incoming("a.png", png(100))], source="upload", actor="Reader 1"))
    app.session_state["worklist_batch"] = cases(ws, "R")[0].scan.batch_id
    on(app, "worklist")
    with monkeypatch.context() as disk:
        disk.setattr(images, "_write_whole", full)
        next(b for b in app.button if b.label == "Take the batch back").click().run()
    assert not app.exception
    assert DISK_FULL in app.error[0].value
    assert len(cases(ws, "R")) == 1, "it stays"


@pytest.mark.parametrize("page", ["overview", "upload", "worklist", "review", "evaluation", "models"])
def test_every_page_draws_and_says_that_the_demo_is_one(app, demo, page):
    assert "Demonstration without clinical meaning" in words(on(app, page))


@pytest.mark.parametrize("page", ["upload", "worklist", "review", "evaluation", "models"])
def test_every_page_draws_over_an_empty_log(app, page):
    on(app, page)


def test_where_a_model_of_real_scans_serves_a_demo_case_still_says_who_read_it(home):
    resources.workspace.clear()
    ws = open_workspace(Settings())
    load_demo(ws, demonstration_model(ws))
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60)
    on(app, "review")
    while any("The model's answer is hidden" in element.value for element in app.markdown):
        next(b for b in app.button if b.label.startswith("Skip")).click().run()
    assert "Read by a demonstration model" in words(app)
    resources.workspace.clear()


def test_a_verdict_is_one_click_and_brings_the_next_scan(app, demo):
    on(app, "review")
    first = app.session_state["scan"]
    shown = next(c for c in cases(demo, "Reader 1") if c.scan.id == first)
    confirm = next(b for b in app.button if b.label.startswith(("Confirm", "Hemorrhagic")))
    proposed = confirm.label.startswith("Confirm")
    confirm.click().run()
    assert not app.exception
    [line] = [line for line in history(demo, first) if line.reader == "Reader 1"]
    assert line.verdict == (shown.reading.label if proposed else "hemorrhagic")
    if not shown.hidden:
        assert app.session_state["scan"] != first


def test_a_click_from_the_scan_before_neither_files_nor_skips(app, demo):
    on(app, "review")
    first, second = app.session_state["queue"][:2]
    app.session_state["scan"] = second
    next(b for b in app.button if b.key == f"verdict-ischemic-{first}-0").click().run()
    assert app.session_state["scan"] == second
    assert not history(demo, first)
    assert any("has no verdict of yours" in error.value for error in app.error)
    app.session_state["scan"] = first  # while the browser still shows the second
    app.button(key="next").click().run()
    assert app.session_state["scan"] == first, "nobody has looked at it yet"


def test_blind_first_reveals_only_after_the_verdict(app, demo):
    app.query_params["blind_first"] = "true"
    on(app, "review")
    scan = app.session_state["scan"]
    assert "hidden" in words(app)
    assert not any("Confirm" in b.label or "Correct" in b.label for b in app.button)
    next(b for b in app.button if b.label == "Ischemic").click().run()
    assert app.session_state["scan"] == scan, "it stays, to show the model's answer"
    assert "You said ischemic" in words(app)
    assert "(calibrated)" in words(app) or "abstains" in words(app)
    [line] = [line for line in history(demo, scan) if line.reader == "Reader 1"]
    assert line.blind
    assert not any(b.proto.shortcut for b in verdict_buttons(app)), "a key in rhythm would change the verdict"
    assert "no key does until you go on" in words(app)
    next(b for b in app.button if b.label == "Back").click().run()
    assert not any(b.proto.shortcut for b in verdict_buttons(app)), "before the first there is none: it has not gone on"
    assert "no key does until you go on" in words(app)
    next(b for b in app.button if b.label == "Next").click().run()
    assert all(b.proto.shortcut for b in verdict_buttons(app))
    next(b for b in app.button if b.label == "Back").click().run()
    assert app.session_state["scan"] == scan
    assert "Choose again to change it" in words(app)
    assert all(b.proto.shortcut for b in verdict_buttons(app)), "whoever comes back to change it may use the keys"


def test_blind_first_after_the_answer_stood_there_is_not_called_blind(app, demo):
    on(app, "review")
    seen, listed = app.session_state["scan"], app.session_state["queue"]
    app.toggle(key="blind_first").set_value(True).run()
    assert app.session_state["scan"] == seen, "whoever begins to read blind stays where they are"
    now = app.session_state["queue"]
    rest = [case.scan.id for case in cases(demo, "Reader 1", ids=listed[1:])]
    assert now == [listed[0], *rest] != listed, "and the order does not tell what the model thought of the rest"
    assert "will not count as blind" in words(app)
    next(b for b in app.button if b.label == "Ischemic").click().run()
    [line] = [line for line in history(demo, seen) if line.reader == "Reader 1"]
    assert not line.blind


def test_a_scan_whose_image_is_lost_holds_nothing_up(app, demo):
    on(app, "review")
    first = app.session_state["scan"]
    demo.images.path(case(demo, first, "Reader 1").scan.content_hash).unlink()
    resources.scan_png.clear()
    app.run()
    assert not app.exception
    assert "cannot be restored" in words(app)
    next(b for b in app.button if b.label == "Unusable image").click().run()
    assert [line.verdict for line in history(demo, first)] == ["unusable"]
    assert app.session_state["scan"] != first


def verdict_buttons(app):
    return [b for b in app.button if (b.key or "").startswith("verdict-")]


def test_a_reader_who_was_slower_is_told(app, demo):

    on(app, "review")
    scan = app.session_state["scan"]
    version = next(c for c in cases(demo, "x") if c.scan.id == scan).scan.version
    record(demo, scan, reader="Ben", verdict="unsure", expected_version=version, click_id=new_click())
    next(b for b in app.button if b.label.startswith(("Confirm", "Hemorrhagic"))).click().run()
    assert "Ben filed “Unsure”" in app.error[0].value
    assert not [line for line in history(demo, scan) if line.reader == "Reader 1"]


def mark(ws, scan_id, flags):
    """Give the scan's reading these flags."""
    with ws.db.writing() as session:
        for reading in session.query(models.Reading).filter_by(scan_id=scan_id):
            reading.flags = flags


@pytest.mark.parametrize("guess", ["hemorrhagic", "ischemic"])
def test_what_is_no_head_ct_is_given_no_stroke_type(app, demo, guess):
    chosen = next(c for c in cases(demo, "Reader 1") if not c.verdict and c.reading and c.reading.label == guess)
    mark(demo, chosen.scan.id, ["not_head_ct"])
    app.session_state["scan"], app.session_state["queue"] = chosen.scan.id, [chosen.scan.id]
    on(app, "review")
    assert "Perhaps no head CT" in words(app)
    assert not any(b.label.startswith(("Confirm", "Correct")) for b in app.button)
    assert ("look for a hemorrhage" in words(app)) == (guess == "hemorrhagic")
    on(app, "worklist")
    look = "; hemorrhage not excluded" if guess == "hemorrhagic" else ""
    assert f"Perhaps no head CT{look}" in set(app.dataframe[0].value["Model"])


def test_hemorrhage_that_may_not_be_dismissed_stands_beside_the_scan(app, demo):
    chosen = next(c for c in cases(demo, "Reader 1") if c.verdict is None and not c.hidden)
    mark(demo, chosen.scan.id, ["hemorrhage_not_excluded"])
    app.session_state["scan"], app.session_state["queue"] = chosen.scan.id, [chosen.scan.id]
    on(app, "review")
    assert "Hemorrhage is not excluded" in words(app)


@pytest.mark.parametrize(("flags", "said"), [(["classes_alike"], True), (["classes_alike", "uncertain"], False)])
def test_how_common_an_answer_was_taken_to_be_stands_beside_it(app, demo, flags, said):
    unread = (c for c in cases(demo, "Reader 1") if c.verdict is None and not c.hidden)
    chosen = next(c for c in unread if c.reading.label != "no_stroke")
    mark(demo, chosen.scan.id, flags)
    app.session_state["scan"], app.session_state["queue"] = chosen.scan.id, [chosen.scan.id]
    assert ("answers to be equally common" in words(on(app, "review"))) == said


def test_why_the_model_abstains_stands_beside_the_scan(app, demo):
    chosen = next(c for c in cases(demo, "Reader 1") if c.verdict is None and not c.hidden)
    mark(demo, chosen.scan.id, ["uncertain", "window_too_wide", "contrast_agent"])
    app.session_state["scan"], app.session_state["queue"] = chosen.scan.id, [chosen.scan.id]
    said = words(on(app, "review"))
    assert all(word in said for word in ("The model abstains", "window is so wide", "contrast agent was given"))


def test_after_a_list_has_been_read_to_its_end_another_can_be_chosen(app, demo):
    on(app, "review")
    app.session_state["queue"] = [app.session_state["scan"]]
    next(b for b in app.button if b.label.startswith("Skip")).click().run()
    assert "gone through. Without a verdict so far: 1 of 1 scan" in words(app)
    assert "Stored" not in words(app)
    on(app, "worklist")
    next(b for b in app.button if b.label.startswith("Read these")).click().run()
    on(app, "review")
    assert "gone through" not in words(app)
    assert app.session_state["scan"]


def test_the_last_verdict_of_a_list_is_confirmed_there_and_can_be_gone_back_to(app, demo):
    chosen, other = (c.scan.id for c in [c for c in cases(demo, "Reader 1") if not c.verdict and not c.hidden][:2])
    app.session_state["scan"], app.session_state["queue"] = chosen, [chosen]
    on(app, "review")
    next(b for b in app.button if b.label.endswith("Hemorrhagic")).click().run()
    assert f"Stored: scan {chosen}, Hemorrhagic" in words(app)
    next(b for b in app.button if b.label == "Back to the last scan").click().run()
    assert app.session_state["scan"] == chosen
    assert "You said hemorrhagic" in words(app)
    app.session_state["scan"] = other
    assert "Stored" not in words(app.run())


def test_what_a_file_says_of_itself_is_shown_and_not_obeyed(app, demo):
    """A picture in a header would have the reader's browser fetch it, and tell whoever made the file."""
    upload = Upload(demo, serving_model(demo), [("a.dcm", changed_dicom(Modality="![](//x.y/a)"))], actor="Reader 1")
    upload.start()
    upload.wait()
    app.run()
    app.session_state["upload"] = upload
    on(app, "upload")
    assert r"modality \!\[\]" in words(app)


def test_a_scan_can_be_read_where_the_model_stops(app, home, demonstration_serves, publish_untrained, monkeypatch):
    ws = open_workspace(Settings())
    list(receive(ws, serving_model(ws), [Incoming("a.png", png(3))], source="upload", actor="a"))
    promote(ws, publish_untrained(), actor="a")

    def stops(self, scans):
        raise ModelStopped("Its process stopped.")

    monkeypatch.setattr(Predictor, "read", stops)
    on(app, "review")
    assert "The model gave no answer" in app.error[0].value
    next(b for b in app.button if "Hemorrhagic" in b.label).click().run()
    assert not app.exception, app.exception
    [case] = cases(ws, "Reader 1")
    assert case.verdict.label == "hemorrhagic"


@pytest.mark.parametrize(
    ("asked", "word"), [("3", r"scan 3\b"), ("999", "There is no scan 999"), ("9" * 30, "names no scan")]
)
def test_a_link_may_name_a_scan(app, demo, asked, word):
    app.query_params["scan"] = asked
    on(app, "review")
    assert re.search(word, words(app) + " ".join(error.value for error in app.error))


def test_whoever_came_by_a_link_can_go_back_to_its_scan(app, demo):
    read = cases(demo, "Reader 1")[5].scan
    record(demo, read.id, reader="Reader 1", verdict="unsure", expected_version=read.version, click_id=new_click())
    app.query_params["scan"] = str(read.id)
    on(app, "review")
    first = rf"\*\*1 of \d+ · Patient [^*]*\*\* · scan {read.id}\b"
    assert re.search(first, words(app))
    assert str(read.id) in app.query_params["scan"], "a reload finds it again"
    app.button(key="next").click().run()
    assert not re.search(first, words(app))
    assert "scan" not in app.query_params
    app.button(key="back").click().run()
    assert re.search(first, words(app))
