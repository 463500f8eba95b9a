"""What stands beside the scan, without a browser."""

import pytest

from dashboard.components import panel
from db.models import Reading, Scan
from services.arrivals import ANOTHER_PATIENT, ANOTHER_PATIENT_NOTE
from services.review import cases, history, new_click, record
from tests.dashboard.conftest import on, words


def test_a_blind_reader_is_not_told_what_others_said_before_their_own_verdict(app, demo):
    read = cases(demo, "Reader 1")[0].scan
    record(demo, read.id, reader="Ben", verdict="unusable", expected_version=read.version, click_id=new_click())
    app.query_params["blind_first"], app.query_params["scan"] = "true", str(read.id)
    on(app, "review")
    told = [line.value for line in app.text]
    assert not any("Ben" in line for line in told)
    assert "shown with the model's answer" in words(app)
    next(b for b in app.button if b.label == "Ischemic").click().run()
    assert any("Ben" in line.value for line in app.text)


@pytest.mark.parametrize("settles", [True, False])
def test_where_readers_differ_the_next_verdict_may_settle_it(app, demo, settles):
    scan = next(c.scan.id for c in cases(demo, "Reader 1") if not c.hidden and c.verdict is None)
    for version, (reader, verdict) in enumerate((("Ann", "ischemic"), ("Ben", "no_stroke"))):
        record(demo, scan, reader=reader, verdict=verdict, expected_version=version, click_id=new_click())
    app.query_params["scan"] = str(scan)
    assert "**Readers differ**: Ben said no stroke, Ann said ischemic." in words(on(app, "review"))
    if settles:
        [choice] = [pills for pills in app.pills if "adjudicates" in pills.label]
        choice.set_value(choice.options[0]).run()
    next(b for b in app.button if "Hemorrhagic" in b.label).click().run()
    assert not app.exception
    [line] = [line for line in history(demo, scan) if line.reader == "Reader 1"]
    assert line.settles == settles
    [case] = cases(demo, "Reader 1", ids=[scan])
    assert case.verdict.label == ("hemorrhagic" if settles else None)


def test_what_somebody_has_settled_another_reader_may_settle_anew(app, demo):
    scan = next(c.scan.id for c in cases(demo, "Reader 1") if not c.hidden and c.verdict is None)
    said = (("Ann", "ischemic", False), ("Ben", "no_stroke", False), ("Chief", "no_stroke", True))
    for version, (reader, verdict, settles) in enumerate(said):
        record(
            demo,
            scan,
            reader=reader,
            verdict=verdict,
            expected_version=version,
            click_id=new_click(),
            adjudication=settles,
        )
    app.query_params["scan"] = str(scan)
    assert "Settled by Chief" in words(on(app, "review"))
    next(b for b in app.button if "Hemorrhagic" in b.label).click().run()
    assert cases(demo, "Reader 1", ids=[scan])[0].verdict.label == "no_stroke", "a verdict that does not settle it"
    app.query_params["scan"] = str(scan)
    app.session_state["scan"] = scan
    on(app, "review")
    [choice] = [pills for pills in app.pills if "adjudicates" in pills.label]
    choice.set_value(choice.options[0]).run()
    next(b for b in app.button if "Ischemic" in b.label).click().run()
    assert cases(demo, "Reader 1", ids=[scan])[0].verdict.label == "ischemic"


def test_the_choice_to_settle_is_its_readers_alone(app, demo):
    scan = next(c.scan.id for c in cases(demo, "Reader 1") if not c.hidden and c.verdict is None)
    for version, (reader, verdict) in enumerate((("Ann", "ischemic"), ("Ben", "no_stroke"))):
        record(demo, scan, reader=reader, verdict=verdict, expected_version=version, click_id=new_click())
    app.query_params["scan"], app.query_params["reader"] = str(scan), "Cem"
    on(app, "review")
    [choice] = [pills for pills in app.pills if "adjudicates" in pills.label]
    choice.set_value(choice.options[0]).run()
    app.text_input(key="reader").set_value("Zoe").run()
    next(b for b in app.button if "Hemorrhagic" in b.label).click().run()
    [line] = [line for line in history(demo, scan) if line.reader == "Zoe"]
    assert not line.settles


def test_whoever_gives_no_name_is_told_whose_verdict_it_will_be(app, demo):
    assert "Filed as “Reader 1”" in words(on(app, "review"))
    app.text_input(key="reader").set_value("Ada").run()
    assert "Filed as" not in words(app)


@pytest.mark.parametrize(("label", "said"), [("no_stroke", True), ("hemorrhagic", False)])
def test_beside_no_stroke_it_is_said_that_it_excludes_nothing(app, demo, label, said):
    with demo.db.writing() as session:
        for reading in session.query(Reading):
            reading.label, reading.flags = label, []
    scan = next(c.scan.id for c in cases(demo, "Reader 1") if not c.hidden and c.verdict is None)
    app.query_params["scan"] = str(scan)
    assert ("It excludes nothing" in words(on(app, "review"))) == said


def flagged(app, demo, label, flags):
    """What Review says of a scan that the model called `label`, with these flags."""
    scan = next(c.scan.id for c in cases(demo, "Reader 1") if not c.hidden and c.reading and c.reading.label == label)
    with demo.db.writing() as session:
        session.query(Reading).filter_by(scan_id=scan).one().flags = flags
    app.query_params["scan"] = str(scan)
    return words(on(app, "review"))


@pytest.mark.parametrize(
    ("label", "flag", "said"),
    [("ischemic", "uncertain", True), ("ischemic", "coloured_mark", False), ("hemorrhagic", "classes_alike", False)],
)
def test_beside_an_answer_it_is_said_what_was_taken_for_it_before(app, demo, monkeypatch, label, flag, said):
    monkeypatch.setattr(panel, "mistaken_for", lambda ws, version, label: {"ischemic": "wide ventricles"}.get(label))
    shown = flagged(app, demo, label, ["learned_from_simulation", flag])
    assert ("has met few real ones" in shown) == (flag != "coloured_mark")
    assert ("have taken for infarcts: wide ventricles." in shown) == said


@pytest.mark.parametrize("flag", ["coloured_mark", "contrast_agent", "window_too_wide"])
def test_where_its_guess_means_nothing_no_percentage_warns(app, demo, flag):
    shown = flagged(app, demo, "hemorrhagic", ["uncertain", flag])
    assert "Take no notice of its guess, hemorrhagic." in shown
    assert "**Hemorrhage is not excluded**: nothing the model says here would do so." in shown
    assert "too much to dismiss" not in shown


@pytest.mark.parametrize("label", ["hemorrhagic", "ischemic"])
def test_why_it_gives_no_answer_is_said_of_what_is_no_head_ct_too(app, demo, label):
    shown = flagged(app, demo, label, ["not_head_ct", "contrast_agent"])
    assert "Perhaps no head CT" in shown
    assert "contrast agent was given" in shown
    assert "look for a hemorrhage**: nothing the model says would exclude it." in shown
    assert "best guess" not in shown


def test_that_a_file_names_another_patient_stands_above_the_answer(app, demo):
    scan = next(c.scan.id for c in cases(demo, "Reader 1") if not c.hidden)
    with demo.db.writing() as session:
        session.get_one(Scan, scan).meta = {ANOTHER_PATIENT: 1.0}
    app.query_params["scan"] = str(scan)
    said = words(on(app, "review"))
    answer = next(line.value for line in app.markdown if line.value.startswith("####"))
    assert 0 <= said.index(ANOTHER_PATIENT_NOTE) < said.index(answer)
