"""The Evaluation page without a browser."""

import io

import pandas as pd
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from core.labels import CLASSES
from core.settings import ROOT, Settings
from dashboard import resources
from services.demo import load_demo
from services.intake import Incoming, receive
from services.models import demonstration_model, serving_model
from services.review import cases, new_click, record
from services.workspace import open_workspace
from tests.conftest import png
from tests.dashboard.conftest import on, words


def test_evaluation_shows_the_figures_of_the_log(app, demo):
    from services.models import champion
    from services.questions import Question
    from services.reporting import live_evaluation
    from services.tables import overall

    on(app, "evaluation")
    live = live_evaluation(demo, Question(champion(demo), synthetic=True))
    shown = app.table[0].value  # a table whose words wrap: of st.dataframe's the last columns lay out of view
    assert shown.equals(overall(live).set_index("Figure"))
    assert shown.loc["Accuracy", "These scans"].startswith(f"{live.report.accuracy.value:.2f} (")
    assert f"{live.report.n} scans of {live.report.patients} patients" in shown.loc["On", "These scans"]


def test_a_cell_of_the_confusion_matrix_opens_its_scans(app, demo):
    on(app, "evaluation")
    cell = next(b for b in app.button if (b.key or "").startswith("cell-") and not b.disabled)
    _, label, called = cell.key.split("-")
    count = int(cell.label.split()[0])
    cell.click().run()
    assert not app.exception
    opened = [c for c in cases(demo, "Reader 1") if c.scan.id in app.session_state["queue"]]
    assert 0 < len(opened) <= count
    assert {(c.verdict.label, c.reading.label) for c in opened} == {(label, called)}
    assert app.session_state["scan"] in app.session_state["queue"]


def test_a_cell_does_not_tell_what_a_blind_reader_has_yet_to_say(app, demo):
    on(app, "evaluation")
    app.toggle(key="blind_first").set_value(True).run()
    next(b for b in app.button if (b.key or "").startswith("cell-") and not b.disabled).click().run()
    assert "your own blind verdict" in app.warning[-1].value
    assert "queue" not in app.session_state


def test_the_figures_can_be_asked_of_one_reader_and_one_source(app, demo):
    read = next(c for c in cases(demo, "Ben") if c.verdict and c.verdict.label in CLASSES).scan
    record(demo, read.id, reader="Ben", verdict="no_stroke", expected_version=read.version, click_id=new_click())
    on(app, "evaluation")
    readers = next(s for s in app.selectbox if s.label == "Reader")
    assert not app.table[0].value.loc["On", "These scans"].startswith("1 scan")
    readers.select("Ben").run()
    assert not app.exception
    assert app.table[0].value.loc["On", "These scans"].startswith("1 scan of 1 patient")
    sources = next(s for s in app.selectbox if s.label == "Source")
    assert sources.options == ["Demo cases"]


def test_the_rows_leave_out_what_their_reader_has_yet_to_read_blind(app, demo, monkeypatch):
    found = next(c for c in cases(demo, "Reader 1") if c.verdict and c.verdict.label in CLASSES and not c.scan.audit)
    read, said = found.scan, found.verdict.label  # else they would differ, and it would have no label
    record(demo, read.id, reader="Reader 1", verdict=said, expected_version=read.version, click_id=new_click())
    made = {}
    monkeypatch.setattr(
        DeltaGenerator, "download_button", lambda self, label, data, *_, **__: made.update({label: data})
    )
    app.query_params["blind_first"] = "true"
    on(app, "evaluation")
    assert "that you have yet to read blind" in words(app)
    rows = pd.read_csv(io.StringIO(made["Download the rows (CSV)"]()))
    assert set(rows["scan_id"]) == {read.id}


def test_of_demo_cases_alone_the_model_that_read_them_is_asked(home):
    """Also where a model of real scans serves, which has read one."""
    resources.workspace.clear()
    ws = open_workspace(Settings())
    demonstration = demonstration_model(ws)
    load_demo(ws, demonstration)
    list(receive(ws, serving_model(ws), [Incoming("a.png", png(3))], source="upload", actor="a"))
    app = on(AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60), "evaluation")
    assert app.selectbox[0].value == demonstration.manifest.version
    assert len(app.table)
    app.selectbox[0].set_value(serving_model(ws).manifest.version).run()
    assert "Demo cases are read by demonstration models" in words(app)
    assert not [b.label for b in app.button if b.label.startswith("Let ") and "serve" not in b.label]
    resources.workspace.clear()


def test_reviews_that_count_in_no_figure_are_not_called_none(home, demonstration_serves):
    ws = open_workspace(Settings())
    [one] = receive(ws, serving_model(ws), [Incoming("1.png", png(1))], source="upload", actor="a", synthetic=True)
    record(ws, one.scan_id, reader="Ann", verdict="unusable", expected_version=0, click_id=new_click())
    resources.workspace.clear()
    said = words(on(AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60), "evaluation"))
    assert "No reviewed scan of this kind counts yet. Left out: 1 scan called unsure or unusable" in said


def test_a_filter_stays_when_there_is_more_to_choose(app, demo):
    on(app, "evaluation")
    app.selectbox(key="evaluation_reader").select("Demo reader").run()
    scan = next(c.scan for c in cases(demo, "Zed") if not c.hidden)
    record(demo, scan.id, reader="Zed", verdict="unsure", expected_version=scan.version, click_id=new_click())
    app.run()
    assert app.selectbox(key="evaluation_reader").options == ["Demo reader", "Zed"]
    assert app.selectbox(key="evaluation_reader").value == "Demo reader"
