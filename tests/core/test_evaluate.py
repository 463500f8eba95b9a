import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from core.evaluate import BY_CLASS, OVERALL, difference, evaluate, per_patient
from core.intervals import wilson
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
    assert without.patients is None
    assert without.accuracy.high - without.accuracy.low == pytest.approx(
        many.accuracy.high - many.accuracy.low, abs=0.02
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 6))
def test_a_handful_of_scans_gives_no_interval_that_cannot_be(seed, n, patients):
    report = evaluate(*random_case(seed, n=n, patients=patients)[:3], patients=random_case(seed, n, patients)[3])
    of_classes = [getattr(figures, key) for figures in report.per_class.values() for key in BY_CLASS]
    for figure in [*(getattr(report, key) for key in OVERALL), *of_classes]:
        if not math.isnan(figure.low):
            bottom = -1 if figure is report.mcc else 0
            assert bottom - 1e-9 <= figure.low <= figure.value + 1e-9
            assert figure.value - 1e-9 <= figure.high <= 1 + 1e-9
        else:
            assert math.isnan(figure.value) or figure is report.ece


def test_five_right_answers_are_no_proof_of_perfection():
    report = evaluate(
        ["ischemic"] * 3 + ["hemorrhagic"] * 2, np.eye(2)[[1, 1, 1, 0, 0]], CLASSES[:2], patients=list("abcde")
    )
    assert report.accuracy.value == 1
    assert report.accuracy.low == pytest.approx(wilson(1, 5)[0])
    assert report.accuracy.low < 0.6


def test_a_label_the_model_does_not_know_is_an_error():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    report = evaluate(["hemorrhagic", "ischemic", "no_stroke"], p, CLASSES[:2])
    assert report.classes == CLASSES
    assert report.accuracy.value == pytest.approx(2 / 3)
    assert report.per_class["no_stroke"].recall.value == 0
    assert math.isnan(report.per_class["no_stroke"].precision.value)
    assert math.isnan(report.per_class["no_stroke"].auc.value), "it gives no score for it"
    assert "no_stroke" not in report.roc


@pytest.mark.parametrize("classes", [2, 3])
def test_the_figures_of_no_one_class_are_scikit_learns(classes):
    labels, p, known, patients = random_case(8, classes=classes)
    called = [known[i] for i in p.argmax(axis=1)]
    report = evaluate(labels, p, known, patients=patients)
    assert report.mcc.value == pytest.approx(metrics.matthews_corrcoef(labels, called))
    scale = {"scale_by_half": True}
    assert report.brier.value == pytest.approx(metrics.brier_score_loss(labels, p, labels=list(known), **scale))
    for i, name in enumerate(known):
        truth = [label == name for label in labels]
        assert report.per_class[name].average_precision.value == pytest.approx(
            metrics.average_precision_score(truth, p[:, i])
        )
    for figure in (report.mcc, report.brier, report.macro_f1):
        assert figure.low < figure.value < figure.high


def test_the_calibration_error_by_hand():
    """Two bins: 0.7 said and 1 of 2 right, 0.9 said and 2 of 2: (2 x 0.2 + 2 x 0.1) / 4."""
    p = np.array([[0.7, 0.3], [0.7, 0.3], [0.9, 0.1], [0.9, 0.1]])
    report = evaluate(["hemorrhagic", "ischemic", "hemorrhagic", "hemorrhagic"], p, CLASSES[:2])
    assert report.ece.value == pytest.approx(0.15)


def test_honest_probabilities_have_little_calibration_error():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 20_000)
    labels = [CLASSES[rng.choice(3, p=row)] for row in p]
    report = evaluate(labels, p, CLASSES)
    assert report.ece.value < 0.01
    assert report.ece.low <= report.ece.value <= report.ece.high


def test_chance_alone_is_not_called_a_calibration_error():
    """One scan a patient, of each of whom is said how sure one may be."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(50):
        sure = rng.uniform(0.5, 1, 80)
        labels = [CLASSES[int(right)] for right in rng.random(80) > sure]
        ece = evaluate(
            labels, np.stack([sure, 1 - sure], axis=1), CLASSES[:2], patients=[str(i) for i in range(80)]
        ).ece
        held += ece.low <= 0.01
    assert held >= 45


def test_where_all_is_right_the_calibration_error_has_no_interval():
    """0.06 (0.0598 to 0.0601) was what ten patients of confidence 0.94 were said to prove."""
    sure = np.random.default_rng(0).normal(0.94, 0.002, 100)
    p, patients = np.stack([sure, 1 - sure], axis=1), [str(i) for i in range(100)]
    all_right = evaluate([CLASSES[0]] * 100, p, CLASSES[:2], patients=patients).ece
    assert all_right.value == pytest.approx(0.06, abs=0.001)
    assert math.isnan(all_right.low)
    assert math.isnan(evaluate([CLASSES[1]] * 100, p, CLASSES[:2], patients=patients).ece.low)
    once_wrong = evaluate([CLASSES[0]] * 99 + [CLASSES[1]], p, CLASSES[:2], patients=patients).ece
    assert once_wrong.low < once_wrong.value < once_wrong.high


def test_many_distinct_scores_are_binned_in_replicates_only():
    labels, p, known, patients = random_case(2, n=4000, classes=2)
    figure = evaluate(labels, p, known, patients=patients).per_class["hemorrhagic"].average_precision
    truth = [label == "hemorrhagic" for label in labels]
    assert figure.value == pytest.approx(metrics.average_precision_score(truth, p[:, 0]))
    assert figure.low < figure.value < figure.high < figure.low + 0.1


def test_one_slice_with_blood_is_a_patient_with_blood():
    known = ("hemorrhagic", "no_stroke")
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.0, 1.0], [0.2, 0.8]])
    labels = ["hemorrhagic", "no_stroke", "no_stroke", "no_stroke", "no_stroke"]
    verdicts, by_patient, keys = per_patient(labels, p, known, ["a", "a", "a", "a", "b"])
    assert (verdicts, keys) == (["hemorrhagic", "no_stroke"], ["a", "b"])
    np.testing.assert_allclose(by_patient, [[0.6, 0.4], [0.2, 0.8]])


def test_blood_in_one_slice_is_not_made_less_of_by_ischemia_in_another():
    p = np.array([[0.05, 0.9, 0.05], [0.1, 0.05, 0.85]])  # of no stroke, hemorrhagic, ischemic
    known = ("no_stroke", "hemorrhagic", "ischemic")
    _, [patient], _ = per_patient(["hemorrhagic", "ischemic"], p, known, ["a", "a"])
    hemorrhagic, ischemic = (0.9 + 0.05) / 2, (0.05 + 0.85) / (0.1 + 0.95)
    left = 1 - hemorrhagic
    np.testing.assert_allclose(patient, [left * (1 - ischemic), hemorrhagic, left * ischemic])


def test_a_patient_of_one_scan_has_what_is_said_of_it():
    p = np.array([[0.3, 0.6, 0.1], [1.0, 0.0, 0.0]])
    _, by_patient, _ = per_patient(["ischemic", "hemorrhagic"], p, CLASSES, ["a", "b"])
    np.testing.assert_allclose(by_patient, p, atol=1e-12)


def test_a_model_without_no_stroke_says_of_a_patient_the_mean_of_their_scans():
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    _, by_patient, _ = per_patient(["ischemic"] * 3, p, CLASSES[:2], ["a", "a", "b"])
    np.testing.assert_allclose(by_patient, [[0.7, 0.3], [0.2, 0.8]])


def test_two_models_are_compared_pair_by_pair():
    labels, p, known, patients = random_case(4, n=300, classes=2)
    better = 0.5 * p + 0.5 * np.eye(2)[[known.index(label) for label in labels]]
    gains = difference(labels, p, better, (known, known), patients=patients)
    assert set(gains) == {"accuracy", "auc hemorrhagic", "auc ischemic"}
    first, second = (evaluate(labels, q, known, patients=patients) for q in (p, better))
    assert gains["accuracy"].value == pytest.approx(second.accuracy.value - first.accuracy.value)
    assert 0 < gains["accuracy"].low < gains["accuracy"].value < gains["accuracy"].high
    same = difference(labels, p, p, (known, known), patients=patients)
    assert same["accuracy"].value == 0
    assert math.isnan(same["accuracy"].low), "that nothing varies does not say how much it would"


def test_a_paired_difference_is_mcnemars():
    """10 scans gained, 4 lost, of 100: variance of the mean difference ((10 + 4) - (10 - 4)^2 / 100) / 100^2
    (Agresti, Categorical Data Analysis, 2002, section 10.1.1), here with G / (G - 1)."""
    truth = ["ischemic"] * 100
    right, wrong = np.array([0.0, 1.0]), np.array([1.0, 0.0])
    first = np.array([wrong] * 10 + [right] * 90)
    second = np.array([right] * 10 + [wrong] * 4 + [right] * 86)
    gain = difference(truth, first, second, (CLASSES[:2], CLASSES[:2]))["accuracy"]
    assert gain.value == pytest.approx(0.06)
    error = np.sqrt(((10 + 4) - (10 - 4) ** 2 / 100) / 100**2 * 100 / 99)
    assert gain.high - gain.value == pytest.approx(1.984217 * error, rel=1e-5)


def test_a_report_becomes_plain_json():
    import json

    labels, p, known, patients = random_case(1, n=9)
    text = json.dumps(evaluate(labels, p, known, patients=patients).to_json(), allow_nan=False)
    assert json.loads(text)["n"] == 9


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(ValueError, match="not none"):
        evaluate([], np.empty((0, 2)), CLASSES[:2])
