"""What is said of live figures, and the tables they stand in."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from core.agreement import cohens_kappa
from core.evaluate import difference, evaluate
from core.intervals import Figure
from core.labels import CLASSES
from core.reading import SEEN_IN_TRAINING
from db import models, queries
from services.models import champion, model_of
from services.questions import Question, unread_by_version
from services.reporting import compare_versions, live_evaluation
from services.rereading import read_stored
from services.tables import (
    counted_share,
    groups,
    notes,
    overall,
    percent,
    rows_csv,
    unfair,
    whole_percent,
    with_interval,
)
from tests.services.conftest import asked


def says_of_all(ws, label, probabilities):
    """Every reading says the same."""
    with ws.db.writing() as session:
        for reading in session.query(models.Reading):
            reading.label, reading.confidence, reading.probabilities = label, 0.9, probabilities


def test_no_share_is_rounded_to_certainty():
    assert [percent(p) for p in (0.004, 0.006, 0.5, 0.994, 0.997, 1.0)] == [
        "< 1 %", "1 %", "50 %", "99 %", "> 99 %", "> 99 %",
    ]  # fmt: skip
    assert [whole_percent(p) for p in (0.0, 0.5, 1.0)] == [1, 50, 99]
    assert [counted_share(n / 300) for n in (0, 1, 150, 299, 300)] == ["0 %", "< 1 %", "50 %", "> 99 %", "100 %"]


def test_scans_picked_by_confidence_are_called_that(log):
    ws, _ = log
    live = asked(ws)
    assert not live.selection.looks_random
    assert live.selection.told_apart.value == 1
    assert notes(live)[0].startswith("**Not a random sample.** 30 scans have been reviewed and 10 have not")
    assert "more sure" in notes(live)[0]
    assert live.audit_stream.report
    assert notes(live)[0].endswith("Trust those of the random audit stream.")
    without = replace(live, audit_stream=replace(live.audit_stream, report=None, counted=0))
    assert notes(without)[0].endswith("None counts yet in the random audit stream.")


def test_scans_of_patients_that_a_version_has_met_are_said(log):
    live = asked(log[0])
    for met, said in ((1, "1 scan of these is of patients"), (2, "2 scans of these are of patients")):
        live.rows["seen_in_training"] = [place < met for place in range(len(live.rows))]
        assert f"{said} that the model was trained on: that betters the figures." in notes(live)


def test_what_is_not_known_of_a_training_is_not_downloaded_as_no(log):
    ws, _ = log
    live = asked(ws)
    live.rows.loc[live.rows.index[0], "seen_in_training"] = True
    ids = list(live.rows["scan_id"])[:3]
    known, unknown = (pd.read_csv(StringIO(rows_csv(live, ids, known=known))) for known in (True, False))
    assert known["seen_in_training"].tolist() == [True, False, False]
    assert unknown["seen_in_training"].fillna("").tolist() == [True, "", ""]
    assert unknown["settled_on"].isna().all()


def test_how_scans_were_chosen_is_told_of_a_version_that_has_read_few(log, publish_untrained):
    """It has read the reviewed ones alone: that does not make them a random sample, nor all of those drawn."""
    ws, _ = log
    other = publish_untrained(3)
    drawn, read = asked(ws).audit_stream.drawn, asked(ws).audit_stream.read
    read_stored(ws, model_of(ws, other), unread_by_version(ws, Question(other)))
    live = live_evaluation(ws, Question(other))
    assert (live.selection.read, live.selection.unread, live.selection.unread_by_both) == (30, 10, 10)
    assert (live.audit_stream.drawn, live.audit_stream.read) == (drawn, read)
    assert "**Perhaps not a random sample.** 30 scans reviewed, 10 not; 10 of the latter" in notes(live)[0]


@pytest.mark.parametrize(
    ("area", "said"),
    [
        (Figure(0.57, 0.55, 0.58, 40), "The model is a little more sure of those reviewed (AUC 0.57 (0.55–0.58))."),
        (Figure(0.43, 0.42, 0.45, 40), "The model is a little less sure of those reviewed (AUC 0.43 (0.42–0.45))."),
        (Figure(0.57, 0.49, 0.65, 40), "Nothing in the model's confidence shows that the two differ"),
    ],
)
def test_a_small_but_sure_difference_of_the_reviewed_scans_is_said(log, area, said):
    ws, _ = log
    live = asked(ws)
    first = notes(replace(live, selection=replace(live.selection, told_apart=area)))[0]
    assert first.startswith(f"30 scans have been reviewed and 10 have not. {said}")


def test_where_reviews_are_chosen_the_audit_stream_is_said_to_be_of_these(log):
    ws, _ = log
    assert "have been read blind; " in " ".join(notes(asked(ws)))
    assert "have been read blind in the reviews chosen here; " in " ".join(notes(asked(ws, reader="Ann")))


def test_a_class_that_is_never_called_is_said(log):
    ws, _ = log
    says_of_all(ws, "ischemic", {"hemorrhagic": 0.06, "ischemic": 0.9, "no_stroke": 0.04})
    said = " ".join(notes(asked(ws)))
    assert "The model called none of these scans hemorrhagic" in said
    assert "Matthews correlation, which needs two answers to compare, is not defined then." in said
    [with_model] = [pair for pair in asked(ws).agreement if pair.first == "Ann" and pair.second != "Ben"]
    assert with_model.kappa.value == 0, "defined, and said to be zero"
    assert overall(asked(ws)).set_index("Figure").loc["Matthews correlation", "These scans"] == "–"
    with ws.db.writing() as session:
        session.query(models.Reading).first().probabilities = {"hemorrhagic": 0.04, "ischemic": 0.06, "no_stroke": 0.9}
    assert "is not defined then" not in " ".join(notes(asked(ws))), "two answers can be compared"
    table = overall(asked(ws)).set_index("Figure")
    assert table.loc["A model that always says the commonest class", "These scans"].startswith("accuracy 0.5")


def test_two_classes_that_are_never_called_are_said_in_one_note(log):
    ws, _ = log
    says_of_all(ws, "no_stroke", {"hemorrhagic": 0.04, "ischemic": 0.06, "no_stroke": 0.9})
    live = asked(ws)
    bled, infarcted = ((live.rows["label"] == name).sum() for name in ("hemorrhagic", "ischemic"))
    [said] = [note for note in notes(live) if "called none of these scans" in note]
    assert f"hemorrhagic or ischemic**; readers called {bled} and {infarcted} so." in said


def test_few_scans_are_said(log):
    ws, _ = log
    table = groups(asked(ws).groups).set_index("Group")
    assert table.loc["source: Upload", "Note"] == "fewer than 30 scans"
    assert table.loc["reader: Ann", "Note"] == ""


def test_a_comparison_says_who_was_trained_on_the_scans(log):
    ws, received = log
    with ws.db.writing() as session:
        of = queries.readings(session, version=champion(ws))
        for one in received[:3]:
            session.get(models.Reading, of[one.scan_id].id).flags = [SEEN_IN_TRAINING]
    found = compare_versions(ws, Question(champion(ws), reader="Ann"), champion(ws))
    assert found.seen == found.seen_by_other > 0
    said = unfair(replace(found, seen=0, seen_by_other=3, scans=30), "A", "B")
    assert said == "**Not a fair comparison.** Of these 30 scans B was trained on the patients of 3: that flatters it."
    assert "A was trained on the patients of 2 and B was" in unfair(replace(found, seen=2), "A", "B")


def test_what_has_no_interval_for_want_of_differences_is_not_said_to_be_of_too_few():
    """600 scans of 200 patients: all right; both versions right on the same ones; readers who always agree."""
    truth, patients = [CLASSES[i % 3] for i in range(600)], [f"p{i // 3}" for i in range(600)]
    right = np.eye(3)[np.arange(600) % 3] * 0.7 + 0.1
    report = evaluate(truth, right, CLASSES, patients=patients)
    gains = difference(truth, right, right * 0.9 + 0.1 / 3, (CLASSES, CLASSES), patients=patients)
    kappa = cohens_kappa(truth, truth, patients=patients)
    found = [with_interval(figure) for figure in (report.ece, gains["accuracy"], kappa)]
    assert found == ["0.20 (no interval)", "0.00 (no interval)", "1.00 (no interval)"]
    assert "“no interval” where these are too few for one, or nothing varies" in report.interval
