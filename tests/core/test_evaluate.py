import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from core.evaluate import accuracy_difference, evaluate, wilson
from core.labels import CLASSES


def random_case(seed, n=120, patients=30, classes=3):
    rng = np.random.default_rng(seed)
    labels = [CLASSES[i] for i in rng.integers(classes, size=n)]
    p = rng.dirichlet(np.ones(classes), n)
    return labels, p, CLASSES[:classes], [f"p{i}" for i in rng.integers(patients, size=n)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3]))
def test_every_figure_is_scikit_learns(seed, classes):
    labels, p, known, patients = random_case(seed, classes=classes)
    report = evaluate(labels, p, known, patients=patients)
    called = [known[i] for i in p.argmax(axis=1)]
    assert report.accuracy.value == pytest.approx(metrics.accuracy_score(labels, called), abs=1e-9)
    assert report.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(labels, called), abs=1e-9)
    assert report.macro_f1.value == pytest.approx(metrics.f1_score(labels, called, average="macro"), abs=1e-9)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, called, labels=known, zero_division=np.nan
    )
    for i, name in enumerate(known):
        figures = report.per_class[name]
        truth = np.array([label == name for label in labels])
        assert figures.precision.value == pytest.approx(precision[i], abs=1e-9, nan_ok=True)
        assert figures.recall.value == pytest.approx(recall[i], abs=1e-9)
        assert figures.f1.value == pytest.approx(f1[i], abs=1e-9)
        assert figures.auc.value == pytest.approx(metrics.roc_auc_score(truth, p[:, i]), abs=1e-9)
        rest = [label != name for label in labels]
        said_rest = [c != name for c in called]
        assert figures.specificity.value == pytest.approx(metrics.recall_score(rest, said_rest), abs=1e-9)
    np.testing.assert_array_equal(report.confusion, metrics.confusion_matrix(labels, called, labels=list(known)))


def test_intervals_hold_their_value_and_widen_with_fewer_patients():
    labels, p, known, _ = random_case(5, n=400)
    many = evaluate(labels, p, known, patients=[str(i) for i in range(400)])
    few = evaluate(labels, p, known, patients=[str(i % 8) for i in range(400)])
    for report in (many, few):
        assert report.accuracy.low <= report.accuracy.value <= report.accuracy.high
    assert many.patients == 400
    assert few.patients == 8
    without = evaluate(labels, p, known)
    assert without.accuracy.high - without.accuracy.low == pytest.approx(
        many.accuracy.high - many.accuracy.low, abs=0.02
    )


def test_five_right_answers_are_no_proof_of_perfection():
    report = evaluate(
        ["ischemic"] * 3 + ["hemorrhagic"] * 2, np.eye(2)[[1, 1, 1, 0, 0]], CLASSES[:2], patients=list("abcde")
    )
    assert report.accuracy.value == 1
    assert report.accuracy.low == pytest.approx(wilson(5, 5)[0])
    assert report.accuracy.low < 0.6


def test_a_label_the_model_does_not_know_is_an_error():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    report = evaluate(["hemorrhagic", "ischemic", "no_stroke"], p, CLASSES[:2])
    assert report.classes == CLASSES
    assert report.accuracy.value == pytest.approx(2 / 3)
    assert report.per_class["no_stroke"].recall.value == 0
    assert math.isnan(report.per_class["no_stroke"].precision.value)


def test_wilson_is_the_published_interval():
    """Newcombe, Statistics in Medicine 1998;17:857, table I, method 3: 81/263 and 15/148 and 0/20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_two_models_are_compared_pair_by_pair():
    truth = ["ischemic"] * 10
    worse = ["ischemic"] * 6 + ["hemorrhagic"] * 4
    gain = accuracy_difference(truth, worse, truth, [str(i) for i in range(10)])
    assert gain.value == pytest.approx(0.4)
    assert 0 < gain.low < 0.4 < gain.high
    assert accuracy_difference(truth, truth, worse, list("abcdefghij")).value == pytest.approx(-0.4)


def test_a_report_becomes_plain_json():
    import json

    labels, p, known, patients = random_case(1, n=9)
    text = json.dumps(evaluate(labels, p, known, patients=patients).to_json(), allow_nan=False)
    assert json.loads(text)["n"] == 9


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(ValueError, match="not none"):
        evaluate([], np.empty((0, 2)), CLASSES[:2])
