"""The Models page without a browser."""

import pytest

from core.manifest import WEIGHTS
from services import jobs
from services.intake import Incoming, receive
from services.models import champion, folder_of, promote, serving_model
from services.review import new_click, record
from tests.conftest import png, publish_network
from tests.dashboard.conftest import on, words


def button(app, label, version=None):
    [found] = [b for b in app.button if b.label == label and (version is None or version in b.key)]
    return found


def test_a_version_is_let_serve_and_taken_back(app, demo):
    before, other = champion(demo), publish_network(demo)
    button(on(app, "models"), "Let it serve", other).click().run()
    assert champion(demo) == other
    assert f"#### {other}\n**serves now**" in [element.value for element in app.markdown]
    button(app, "Roll back").click().run()
    assert not app.exception
    assert champion(demo) == before
    assert button(app, "Roll back").disabled, "there is nothing before it"


def test_a_click_on_a_page_that_is_out_of_date_changes_nothing(app, demo):
    first, second = publish_network(demo), publish_network(demo, seed=1)
    on(app, "models")
    promote(demo, second, actor="somebody else")
    button(app, "Let it serve", first).click().run()
    assert champion(demo) == second
    [error] = app.error
    assert second in error.value


def test_a_demonstration_is_not_offered_in_the_place_of_a_model_of_real_scans(app, demo):
    real, other = publish_network(demo), publish_network(demo, seed=1, demonstration=True)
    assert button(on(app, "models"), "Let it serve", other), "in the place of another demonstration"
    promote(demo, real, actor="a")
    on(app, "models")
    assert not [b for b in app.button if b.label == "Let it serve" and other in b.key]


def test_a_version_that_is_damaged_is_said_and_cannot_be_let_serve(app, demo):
    version = publish_network(demo)
    on(app, "models")
    (folder_of(demo, version) / WEIGHTS).write_bytes(b"x")
    button(app, "Let it serve", version).click().run()
    assert not app.exception
    assert champion(demo) != version
    assert app.error


WITH_SIMULATION = {"recipe": {"simulation": {"per_slice": 1}}}


@pytest.mark.parametrize(
    ("simulated", "lineage", "said"),
    [
        (["ischemic"], WITH_SIMULATION, True),
        ([], WITH_SIMULATION, False),
        (["ischemic"], {"recipe": {"simulation": None}}, False),  # retrained on reviewed scans alone
    ],
)
def test_figures_on_simulated_scans_are_called_that(app, demo, simulated, lineage, said):
    figure = {"value": 0.96, "low": 0.9, "high": 0.99, "n": 80}
    point = {"asked_sensitivity": 0.95, "threshold": 0.15, "sensitivity": figure, "specificity": figure}
    points = {"hemorrhagic": point, "ischemic": point}
    publish_network(demo, simulated_classes=simulated, lineage=lineage, operating_points=points)
    shown = words(on(app, "models"))
    assert ("was chosen on (scans with it are simulated), a" in shown) == said
    assert ("was chosen on (simulated scans among the others), a" in shown) == said
    assert ("calibrated on 30 scans of 9 patients, simulated ones among them" in shown) == said


def test_what_a_version_was_seen_to_mistake_stands_where_it_may_be_let_serve(app, demo):
    publish_network(demo, mistaken={"ischemic": "wide ventricles"})
    assert "Mistaken for infarcts: wide ventricles." in words(on(app, "models"))


def test_too_few_corrections_are_said_and_nothing_can_be_started(app, demo, monkeypatch):
    monkeypatch.setattr(jobs, "start_retraining", lambda ws: pytest.fail("started"))
    on(app, "models")
    assert button(app, "Retrain").disabled
    assert "there are 0; verdicts on demo cases do not count" in words(app)


def test_what_a_retraining_has_and_lacks_is_said_part_by_part(app, demo):
    [one] = receive(demo, serving_model(demo), [Incoming("1.png", png(1))], source="upload", actor="a")
    record(demo, one.scan_id, reader="Ann", verdict="no_stroke", expected_version=0, click_id=new_click())
    said = words(on(app, "models"))
    assert "1 scan of 1 patient (no stroke 1)" in said
    assert said.count("0 scans of 0 patients (none)") == 2
