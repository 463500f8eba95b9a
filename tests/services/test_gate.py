"""Whether a candidate may serve: champion and candidate on the same held-out scans."""

from types import SimpleNamespace

import numpy as np
import pytest

from core import bundle
from core.evaluate import difference
from core.intervals import Figure
from core.labels import CLASSES, HEMORRHAGIC, NO_STROKE
from services.gate import _Compared, _objection, decide
from services.models import champion, folder_of, promote
from tests.services.conftest import held_out


def test_a_candidate_that_finds_fewer_hemorrhages_does_not_serve(reviewed, publish_untrained, monkeypatch):
    ws = reviewed
    ws.settings.retrain.margin = 0.0
    [test] = held_out(ws)
    old, new = (bundle.load(folder_of(ws, name)) for name in (champion(ws), publish_untrained(7)))
    right = np.eye(3)[[CLASSES.index(label) for label in test.labels]]
    bleeds, others = ([i for i, label in enumerate(test.labels) if (label == CLASSES[0]) == b] for b in (True, False))
    worse = {old.manifest.version: right.copy(), new.manifest.version: right.copy()}
    worse[new.manifest.version][bleeds[0]] = np.eye(3)[2]  # one hemorrhage missed,
    worse[old.manifest.version][others[0]] = np.roll(right[others[0]], 1)  # where the champion errs twice on others
    worse[old.manifest.version][others[1]] = np.roll(right[others[1]], 1)
    everywhere = np.ones(len(right), bool)
    monkeypatch.setattr("services.gate.answers_of", lambda model, part: (worse[model.manifest.version], everywhere))
    decision = decide(ws, old, new, test)
    assert decision.metrics["accuracy_gain"]["value"] > 0
    assert decision.decision == "kept"
    n = len(bleeds)
    assert f"of {n} hemorrhagic ones the candidate finds {n - 1}, the champion {n}" in decision.reason
    assert champion(ws) == old.manifest.version


@pytest.mark.parametrize("answered", [0, 4, 5])
def test_a_candidate_that_abstains_on_most_scans_does_not_serve(reviewed, publish_untrained, monkeypatch, answered):
    ws = reviewed
    [test] = held_out(ws)
    old, new = (bundle.load(folder_of(ws, name)) for name in (champion(ws), publish_untrained(7)))
    right = np.eye(3)[[CLASSES.index(label) for label in test.labels]]
    does = {old.manifest.version: np.ones(len(right), bool), new.manifest.version: np.arange(len(right)) < answered}
    monkeypatch.setattr("services.gate.answers_of", lambda model, part: (right, does[model.manifest.version]))
    decision = decide(ws, old, new, test)
    assert len(right) == 10
    assert f"the candidate is right on 10 and answers {answered}," in decision.reason
    assert decision.metrics["answered"] == {"champion": 10, "candidate": answered}
    assert decision.decision == ("promoted" if answered >= 5 else "kept")


@pytest.mark.parametrize(("sure_of_mistakes", "decision"), [(0, "promoted"), (1, "kept")])
def test_a_candidate_that_gives_more_wrong_answers_does_not_serve(
    reviewed, publish_untrained, monkeypatch, sure_of_mistakes, decision
):
    """Both guess wrong on the same scan; the champion abstains there."""
    ws = reviewed
    [test] = held_out(ws)
    old, new = (bundle.load(folder_of(ws, name)) for name in (champion(ws), publish_untrained(7)))
    said = np.eye(3)[[CLASSES.index(label) for label in test.labels]]
    other = next(i for i, label in enumerate(test.labels) if label != CLASSES[0])
    said[other] = np.eye(3)[CLASSES.index(CLASSES[0])]
    does = {model.manifest.version: np.arange(len(said)) != other for model in (old, new)}
    does[new.manifest.version][other] = bool(sure_of_mistakes)
    monkeypatch.setattr("services.gate.answers_of", lambda model, part: (said, does[model.manifest.version]))
    found = decide(ws, old, new, test)
    assert found.decision == decision, found.reason
    assert found.metrics["answered_wrongly"] == {"champion": 0, "candidate": sure_of_mistakes}
    assert "answers 9, none of them wrongly" in found.reason
    assert ("answers 10, 1 of them wrongly" in found.reason) == bool(sure_of_mistakes)
    assert ("More answers are wrong than before" in found.reason) == bool(sure_of_mistakes)


def test_what_somebody_lets_serve_during_a_training_stays(reviewed, publish_untrained):
    ws = reviewed
    old, candidate, chosen = (
        folder_of(ws, name) for name in (champion(ws), publish_untrained(0), publish_untrained(6))
    )
    test = held_out(ws)
    promote(ws, chosen.name, actor="a person")
    decision = decide(ws, bundle.load(old), bundle.load(candidate), *test)
    assert decision.decision == "kept"
    assert "does not serve any more" in decision.reason
    assert champion(ws) == chosen.name


@pytest.mark.parametrize(
    ("answers", "wrong", "objects"),
    [(20, 4, True), (20, 3, True), (20, 2, False), (39, 4, False), (40, 4, False), (60, 5, True), (31, 4, False)],
)
def test_a_candidate_that_answers_less_may_not_give_a_larger_share_of_wrong_answers(ws, answers, wrong, objects):
    """The champion answers 40, four of them wrongly. Part of a scan more does not count."""
    labels = [HEMORRHAGIC] * 10 + [NO_STROKE] * 50
    called = dict.fromkeys(("champion", "candidate"), labels)
    gain = Figure(0.0, 0.0, 0.0, 60, 60)
    compared = _Compared(
        labels, called, {"champion": 40, "candidate": answers}, {"champion": 4, "candidate": wrong}, gain, {}
    )
    of_real_scans = SimpleNamespace(manifest=SimpleNamespace(demonstration=False))
    said = _objection(ws, of_real_scans, compared, "")
    assert bool(said) == objects
    assert not said or ("A larger share of the answers is wrong" in said) == (wrong <= 4)


@pytest.mark.parametrize(("right", "objects"), [(7, False), (6, True)])
def test_a_candidate_may_lose_the_whole_margin_and_no_scan_more(ws, right, objects):
    """The champion is right on 8 of 10."""
    ws.settings.retrain.margin = 0.1
    labels = [NO_STROKE] * 10
    called = {role: [NO_STROKE] * n + ["ischemic"] * (10 - n) for role, n in (("champion", 8), ("candidate", right))}
    said = [np.eye(3)[[CLASSES.index(name) for name in called[role]]] for role in called]
    gain = difference(labels, *said, (CLASSES, CLASSES))["accuracy"]
    compared = _Compared(labels, called, dict.fromkeys(called, 10), dict.fromkeys(called, 0), gain, {})
    of_real_scans = SimpleNamespace(manifest=SimpleNamespace(demonstration=False))
    assert bool(_objection(ws, of_real_scans, compared, "")) == objects
