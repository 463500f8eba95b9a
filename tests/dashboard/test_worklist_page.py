"""The Worklist without a browser: its filters, and what can be done from it."""

import pandas as pd

from core.reading import HEMORRHAGE_NOT_EXCLUDED, MARKED, NOT_HEAD_CT, UNCERTAIN
from dashboard import resources
from db import models
from services.intake import Incoming, receive
from services.models import serving_model
from services.review import batches, cases, new_click, record
from services.uploads import Upload
from tests.conftest import png
from tests.dashboard.conftest import on, words


def test_on_a_small_screen_what_has_been_read_lies_in_view(app, demo):
    columns = list(on(app, "worklist").dataframe[0].value)
    assert columns == ["Scan", "No.", "Case", "State", "Verdict", "Model", "Confidence", "Received"]


def test_a_scan_is_found_by_the_number_that_a_note_names(app, demo):
    wanted = cases(demo, "Reader 1")[3]
    assert "read in the *Order* chosen above" in words(on(app, "worklist"))
    app.text_input(key="worklist_find").set_value(str(wanted.scan.id)).run()
    [row] = app.dataframe[0].value.to_dict("records")
    assert row["No."] == wanted.scan.id
    assert "read in the *Order*" not in words(app), "one scan has none"
    patient = wanted.title.split()[1].lower()
    app.text_input(key="worklist_find").set_value(f" {patient} ").run()
    assert {case.split()[1].lower() for case in app.dataframe[0].value["Case"]} == {patient}
    app.text_input(key="worklist_find").set_value(f"Scan {wanted.scan.id}").run()
    assert list(app.dataframe[0].value["No."]) == [wanted.scan.id]
    app.text_input(key="worklist_find").set_value("nobody").run()
    assert "**0** of 40 scans" in words(app)
    app.session_state["scan"] = wanted.scan.id
    assert f"scan {wanted.scan.id}" in words(on(app, "review"))


def test_what_the_model_does_not_answer_can_be_looked_for(app, demo):
    shown = [case.reading for case in cases(demo, "Reader 1") if case.reading]  # not those drawn to be read blind
    unsure, strange = shown[:2]
    with demo.db.writing() as session:
        for reading, flag in ((unsure, UNCERTAIN), (strange, NOT_HEAD_CT)):
            session.get(models.Reading, reading.id).flags = [flag]
    on(app, "worklist")
    for said, scan_id in (("Abstains", unsure.scan_id), ("Perhaps no head CT", strange.scan_id)):
        app.pills(key="worklist_answers").set_value([said]).run()
        assert scan_id in app.dataframe[0].value["No."].tolist()
        assert all(model.startswith(said) for model in app.dataframe[0].value["Model"])
    app.pills(key="worklist_answers").set_value([unsure.label]).run()
    assert unsure.scan_id not in app.dataframe[0].value["No."].tolist(), "a guess is no answer"


def test_every_scan_in_which_a_hemorrhage_is_left_open_can_be_looked_for(app, demo):
    shown = [case.reading for case in cases(demo, "Reader 1") if case.reading and case.reading.label != "hemorrhagic"]
    flags = ([HEMORRHAGE_NOT_EXCLUDED], [NOT_HEAD_CT, HEMORRHAGE_NOT_EXCLUDED], [UNCERTAIN, MARKED])
    with demo.db.writing() as session:
        for row in session.query(models.Reading):
            row.flags = []
        for reading, of in zip(shown, flags, strict=False):
            session.get(models.Reading, reading.id).flags = of
    on(app, "worklist")
    app.pills(key="worklist_answers").set_value(["Hemorrhage not excluded"]).run()
    assert set(app.dataframe[0].value["No."]) == {reading.scan_id for reading in shown[:3]}
    assert all(said.endswith("; hemorrhage not excluded") for said in app.dataframe[0].value["Model"])


def test_an_empty_list_says_why(app, demo):
    app.query_params["blind_first"] = "true"
    on(app, "worklist")
    app.pills(key="worklist_answers").set_value(["hemorrhagic"]).run()
    assert "40 answers are hidden until you have read" in words(app)
    app.text_input(key="worklist_find").set_value("scan 3").run()
    assert "1 answer is hidden until you have read" in words(app), "of those that are asked for otherwise"
    app.text_input(key="worklist_find").set_value("nobody").run()
    assert "No scan is like that" in words(app)


def test_the_worklist_keeps_its_filters_while_another_page_is_open(app, demo):
    on(app, "worklist")
    unread = [each for each in cases(demo, "Reader 1") if each.state == "not read yet"]
    app.pills(key="worklist_states").set_value(["not read yet"]).run()
    app.selectbox(key="worklist_order").set_value("least certain first").run()
    shown = app.dataframe[0].value["No."].tolist()
    assert len(shown) == len(unread)
    on(app, "overview")
    on(app, "worklist")
    assert app.selectbox(key="worklist_order").value == "least certain first"
    assert app.selectbox(key="worklist_batch").value == 0, "all"
    assert app.dataframe[0].value["No."].tolist() == shown
    for each in unread:  # read meanwhile
        verdict = {"verdict": "no_stroke", "expected_version": each.scan.version, "click_id": new_click()}
        record(demo, each.scan.id, reader="Reader 1", **verdict)
    on(app, "worklist")
    assert "**0** of 40 scans" in words(app), "what was chosen stays chosen"


def test_a_scan_whose_image_is_gone_costs_the_worklist_no_other(app, demo):
    resources._thumbnail.clear()
    next(demo.images.root.glob("*/*.png")).unlink()
    on(app, "worklist")
    assert not app.exception, app.exception
    assert "**40** of 40 scans" in words(app)
    assert app.dataframe[0].value["Scan"].isna().sum() == 1


def test_a_list_of_what_was_confirmed_tells_answers(app, demo):
    for state, tells in (("not read yet", False), ("confirmed", True)):
        if state == "confirmed":
            one = next(c for c in cases(demo, "Ben") if c.reading and c.verdict is None)
            verdict = {"verdict": one.reading.label, "expected_version": one.scan.version, "click_id": new_click()}
            record(demo, one.scan.id, reader="Ben", **verdict)
        app.session_state["worklist_states"] = [state]
        on(app, "worklist")
        next(b for b in app.button if b.label.startswith("Read th")).click().run()
        assert app.session_state["by_answer"] is tells


def test_a_batch_can_be_undone_in_the_worklist_too(app, demo):
    upload = Upload(demo, serving_model(demo), [("a.png", png(100))], actor="Reader 1")
    upload.start()
    upload.wait()
    app.session_state["worklist_batch"] = max(batches(demo))
    on(app, "worklist")
    next(b for b in app.button if b.label == "Take the batch back").click().run()
    assert "1 scan taken back." in words(app)
    assert not cases(demo, "Reader 1", ids=upload.scan_ids)
    assert not any(b.label == "Take the batch back" for b in app.button), "all batches are shown again"


def test_why_a_batch_is_not_undone_is_said_across_the_page(app, demo):
    read = next(c for c in cases(demo, "Reader 1") if c.verdict is None)
    verdict = {"verdict": "no_stroke", "expected_version": read.scan.version, "click_id": new_click()}
    record(demo, read.scan.id, reader="Reader 1", **verdict)
    app.session_state["worklist_batch"] = read.scan.batch_id
    on(app, "worklist")
    next(b for b in app.button if b.label == "Take the batch back").click().run()
    [said] = [error.value for error in app.main.error]
    assert "reviewed" in said
    assert "**40** of 40 scans" in words(app)


def test_the_worklist_keeps_its_page_while_there_is_one(app, demo):
    files = [Incoming(f"{number}.png", png(number)) for number in range(100, 115)]
    list(receive(demo, serving_model(demo), files, source="upload", actor="a"))
    on(app, "worklist")
    app.session_state["worklist_page"] = 2
    last = app.run().dataframe[0].value["No."].tolist()
    assert len(last) == 5
    on(app, "evaluation")
    assert on(app, "worklist").dataframe[0].value["No."].tolist() == last
    app.pills(key="worklist_states").set_value(["not read yet"]).run()
    assert not app.exception
    app.pills(key="worklist_states").set_value([]).run()
    assert len(app.dataframe[0].value) == 50, "from the first page on"


def test_another_list_begins_on_its_first_page(app, demo):
    files = [Incoming(f"{number}.png", png(number)) for number in range(100, 160)]
    list(receive(demo, serving_model(demo), files, source="upload", actor="a"))
    on(app, "worklist")
    for change in (
        lambda: app.selectbox(key="worklist_order").set_value("least certain first"),
        lambda: app.pills(key="worklist_states").set_value(["not read yet"]),
        lambda: app.pills(key="worklist_states").set_value([]),
    ):
        app.session_state["worklist_page"] = 2
        app.run()
        assert app.session_state["worklist_page"] == 2
        change().run()
        assert app.session_state["worklist_page"] == 1
    app.session_state["worklist_page"] = 2
    app.run()
    for wanted in ("nobody", ""):
        app.text_input(key="worklist_find").set_value(wanted).run()
    assert app.session_state["worklist_page"] == 1, "after a list without a scan too"


def test_what_was_uploaded_is_shown_whatever_was_looked_for_before(app, demo):
    files = [(f"{number}.png", png(number)) for number in range(100, 160)]
    upload = Upload(demo, serving_model(demo), files, actor="Reader 1")
    upload.start()
    upload.wait()
    on(app, "worklist")
    app.pills(key="worklist_states").set_value(["confirmed"]).run()
    app.pills(key="worklist_answers").set_value(["ischemic"]).run()
    app.text_input(key="worklist_find").set_value("nobody").run()
    app.session_state["worklist_page"] = 2
    app.session_state["upload"] = upload
    on(app, "upload")
    next(b for b in app.button if b.label == "Show them in the worklist").click().run()
    on(app, "worklist")
    assert "**60** of 100 scans" in words(app)
    assert app.session_state["worklist_page"] == 1
    assert set(app.dataframe[0].value["No."]) < set(upload.scan_ids)
    assert app.text_input(key="worklist_find").value == ""


def test_a_guess_that_means_nothing_has_no_confidence(app, demo):
    marked, unsure = [case.reading for case in cases(demo, "Reader 1") if case.reading][:2]
    with demo.db.writing() as session:
        for reading, flags in ((marked, [UNCERTAIN, MARKED]), (unsure, [UNCERTAIN])):
            session.get(models.Reading, reading.id).flags = flags
    rows = on(app, "worklist").dataframe[0].value.set_index("No.")
    assert rows.loc[marked.scan_id, "Model"] == "Abstains; hemorrhage not excluded"
    assert pd.isna(rows.loc[marked.scan_id, "Confidence"])
    assert rows.loc[unsure.scan_id, "Confidence"] > 0
