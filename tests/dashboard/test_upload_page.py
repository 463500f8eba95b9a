"""The Upload page without a browser: what became of the files."""

from dataclasses import replace

from core.model_process import ModelStopped
from core.predict import Predictor
from dashboard import resources
from dashboard.components.words import HIDDEN
from services.arrivals import ANOTHER_PATIENT_NOTE, BURNED_IN_NOTE
from services.intake import Received
from services.models import serving_model
from services.removal import undo
from services.review import cases
from services.uploads import Upload
from tests.conftest import dicom, png
from tests.dashboard.conftest import on, words


def test_an_upload_says_what_became_of_its_files(app, demo):
    upload = Upload(demo, serving_model(demo), [("a.png", png(100)), ("b.png", b"nothing")], actor="Reader 1")
    upload.start()
    upload.wait()
    app.run()
    app.session_state["upload"] = upload
    on(app, "upload")
    assert any(element.value == "1 stored, 1 refused" for element in app.subheader)
    assert not app.warning
    assert any(b.label == "Read 1 scan" for b in app.button)
    assert any(b.label == "Take the batch back" for b in app.button)


def test_a_reload_finds_the_upload_again_by_its_address(app, demo):
    upload = Upload(demo, serving_model(demo), [("a.png", png(100)), ("b.png", b"nothing")], actor="Reader 1")
    resources.kept_upload(upload.token, upload)
    upload.start()
    upload.wait()
    app.query_params["upload"] = upload.token
    on(app, "upload")
    assert any(element.value == "1 stored, 1 refused" for element in app.subheader)
    next(b for b in app.button if b.label == "Take the batch back").click().run()
    assert not app.subheader, "once taken back it does not return"
    assert "upload" not in app.query_params


def test_an_address_that_names_an_upload_of_before_a_restart_is_no_error(app, demo):
    app.query_params["upload"] = "forgotten"
    on(app, "upload")
    assert "it has been started again since" in words(app)
    app.run()
    assert "started again" not in words(app)


def test_a_batch_taken_back_elsewhere_is_not_offered_to_be_read(app, demo):
    upload = Upload(demo, serving_model(demo), [("a.png", png(100))], actor="Reader 1")
    upload.start()
    upload.wait()
    undo(demo, upload.scan_ids[0], actor="Reader 2")
    app.run()
    app.session_state["upload"] = upload
    on(app, "upload")
    assert "has been taken back" in words(app)
    assert not app.subheader
    assert not any(b.label.startswith(("Read", "Take")) for b in app.button)


def test_after_an_undo_the_page_holds_no_file_that_was_sent_before(app, demo):
    on(app, "upload")
    [field] = app.file_uploader
    before = len(cases(demo, "R"))
    field.upload("a.png", png(100)).run()
    app.session_state["upload"].wait()
    app.run()
    next(b for b in app.button if b.label == "Take the batch back").click().run()
    assert not app.exception
    assert app.file_uploader[0].key != field.key
    app.run()
    assert len(cases(demo, "R")) == before


def test_what_was_there_already_can_be_read(app, demo):
    known = cases(demo, "R")[0].scan.id
    upload = Upload(demo, serving_model(demo), [("a.png", png(100)), ("b.png", png(100))], actor="Reader 1")
    upload.received = [Received(f"{i}.png", "duplicate", "It is there.", known) for i in range(2)]
    app.run()
    app.session_state["upload"] = upload
    on(app, "upload")
    next(b for b in app.button if b.label == "Read 1 scan").click().run()
    assert app.session_state["queue"] == [known]


def test_slices_that_come_in_any_order_are_read_in_that_of_the_head(app, demo):
    places = [11, 9, 12, 10]
    upload = Upload(demo, serving_model(demo), [(f"({i}).dcm", dicom(i)) for i in places], actor="Reader 1")
    upload.start()
    upload.wait()
    app.run()
    app.session_state["upload"] = upload
    on(app, "upload")
    next(b for b in app.button if b.label == "Read 4 scans").click().run()
    place = {case.scan.id: case.scan.number for case in cases(demo, "R")}
    assert [place[scan_id] for scan_id in app.session_state["queue"]] == sorted(places)


def test_a_file_that_was_there_under_another_patient_is_told_above_the_table(app, demo):
    known = cases(demo, "R")[0].scan.id
    upload = Upload(demo, serving_model(demo), [("a.png", png(100)), ("b.png", png(100))], actor="Reader 1")
    reasons = ("It is there.", f"It is there. {ANOTHER_PATIENT_NOTE}")
    upload.received = [Received(f"{i}.png", "duplicate", reason, known) for i, reason in enumerate(reasons)]
    app.run()
    app.session_state["upload"] = upload
    [said] = [line.value for line in on(app, "upload").markdown if "It is there" in line.value]
    assert "names another patient than the one it is filed under" in said


def test_an_upload_that_ended_early_says_how_far_it_came_and_why(app, demo, monkeypatch):
    def stops(self, scans):
        if any(scan.pixels.shape == (80, 80) for scan in scans):
            raise ModelStopped("Its process stopped.")
        return real(self, scans)

    real = Predictor.read
    monkeypatch.setattr(Predictor, "read", stops)
    chunk = demo.settings.limits.batch_size
    sent = [(f"{i}.png", png(100 + i, size=80 if i == chunk else 96)) for i in range(chunk + 2)]
    upload = Upload(demo, serving_model(demo), sent, actor="Reader 1")
    upload.start()
    upload.wait()
    app.run()
    app.session_state["upload"] = upload
    on(app, "upload")
    assert "Its process stopped." in app.error[0].value
    assert f"ended after {chunk} of {chunk + 2} files" in app.warning[0].value
    assert len(cases(demo, "R", ids=upload.scan_ids)) == chunk, "what was listed is stored"


def test_an_upload_shows_no_answer_that_its_reader_may_not_know(app, demo):
    upload = Upload(demo, serving_model(demo), [(f"{i}.png", png(100 + i)) for i in range(5)], actor="Reader 1")
    upload.start()
    upload.wait()
    app.run()
    app.session_state["upload"] = upload
    on(app, "upload")
    assert set(app.dataframe[0].value["Model"]) != {HIDDEN}
    app.toggle(key="blind_first").set_value(True).run()
    assert set(app.dataframe[0].value["Model"]) == {HIDDEN}


def test_what_holds_for_many_files_is_said_once_and_letters_first(app, demo):
    upload = Upload(demo, serving_model(demo), [("a.png", png(100))], actor="Reader 1")
    upload.start()
    upload.wait()
    [stored] = upload.received
    said = [f"Nearly the same image as scan {i}." for i in range(20)] + ["The mean of 4 neighbouring thin slices."] * 9
    upload.received = [replace(stored, file=f"I{i}", reason=reason) for i, reason in enumerate(said)]
    upload.received.append(replace(stored, file="letters", reason=f"{BURNED_IN_NOTE} And more."))
    upload.received[25] = replace(upload.received[25], file="*bold*")
    app.run()
    app.session_state["upload"] = upload
    on(app, "upload")
    lines = [line.value for line in app.markdown if line.value.startswith(":material/info:")]
    assert lines[0].startswith(":material/info: **letters**: Letters seem to be burned into")
    assert len(lines) == 13
    assert lines[-1] == ":material/info: More is said in the table below."
    upload.received = upload.received[20:]
    app.run()
    lines = [line.value for line in app.markdown if line.value.startswith(":material/info:")]
    assert len(lines) == 2
    assert "**I20, I21, I22 and 6 more**: The mean of 4" in lines[1]
