import numpy as np
import pytest

from core.curves import POINTS, reliability, risk_coverage, risk_coverage_area, roc
from core.intervals import Clusters


def test_risk_falls_as_the_least_sure_answers_are_left_out():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 5000)
    right = rng.random(5000) < confidence
    curve = risk_coverage(confidence, right)
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx((~right).mean())
    assert np.interp(0.3, curve.coverage, curve.risk) < np.interp(0.7, curve.coverage, curve.risk) < curve.risk[-1]
    assert len(curve.risk) <= POINTS
    assert risk_coverage_area(confidence, right) < (~right).mean()


def test_ties_are_answered_together():
    curve = risk_coverage(np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, False]))
    np.testing.assert_allclose(curve.coverage, [0.5, 1])
    np.testing.assert_allclose(curve.risk, [0.5, 0.5])


@pytest.mark.parametrize("right_first", [True, False])
def test_a_confidence_that_says_nothing_has_the_error_rate_as_its_area(right_first):
    right = np.repeat([right_first, not right_first], 50)
    assert risk_coverage_area(np.full(100, 0.7), right) == pytest.approx(0.5)
    confidence = np.random.default_rng(0).random(300)
    order = np.argsort(-confidence)
    right = np.arange(300) % 3 > 0
    plain = (np.cumsum(~right[order]) / np.arange(1, 301)).mean()
    assert risk_coverage_area(confidence, right) == pytest.approx(plain), "without ties as published"


def test_every_scan_is_in_one_reliability_bin():
    confidence, right = np.array([0.34, 0.5, 0.52, 0.99, 1.0]), np.array([0, 1, 0, 1, 1], bool)
    bins = reliability(confidence, right, Clusters.of(None, 5))
    assert sum(one.accuracy.n for one in bins) == 5
    assert bins[-1].accuracy.value == 1
    assert bins[-1].confidence == pytest.approx(0.995)


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    rng = np.random.default_rng(0)
    is_it = rng.random(20_000) < 0.3
    curve = roc(is_it, rng.normal(is_it * 1.0, 1))
    assert len(curve.fpr) <= POINTS
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
