import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from benchmarks.interval_coverage import cover
from benchmarks.real_infarcts import auc_within_folds, heads
from core.intervals import (
    Clusters,
    Estimate,
    auc,
    auc_figure,
    bootstrap_figure,
    figure_within,
    of_totals,
    share,
    share_figure,
    wilson,
)

EVERY = np.ones(100, bool)


def test_wilson_is_the_published_interval():
    """Newcombe, Statistics in Medicine 1998;17:857, table I, method 3: 81/263 and 15/148 and 0/20."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@pytest.mark.parametrize(("hits", "n"), [(0, 9), (3, 9), (50, 51), (7, 7)])
def test_a_share_without_patients_has_statsmodels_wilson_interval(hits, n):
    figure = share_figure(np.arange(n) < hits, np.ones(n, bool), Clusters.of(None, n))
    assert (figure.low, figure.high) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-9)
    assert figure.patients is None


def test_the_variance_of_a_share_is_the_ratio_estimators():
    """Cochran 1977, section 6.3: sum (k - R n)^2 / (G - 1) x G / N^2, by hand for three patients."""
    patients, hits = list("aaabbccccc"), np.array([1, 1, 0, 1, 1, 0, 0, 1, 0, 0], bool)
    k, n = np.array([2, 2, 1]), np.array([3, 2, 5])
    ratio = 5 / 10
    by_hand = ((k - ratio * n) ** 2).sum() / 2 * 3 / 100
    assert share(hits, np.ones(10, bool), Clusters.of(patients, 10)).variance == pytest.approx(by_hand)


def test_copies_of_a_scan_tell_nothing_new():
    rng = np.random.default_rng(0)
    hits = rng.random(100) < 0.8
    once = share_figure(hits, EVERY, Clusters.of(np.arange(100), 100))
    tenfold = share_figure(np.repeat(hits, 10), np.ones(1000, bool), Clusters.of(np.repeat(np.arange(100), 10), 1000))
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high), abs=0.002)
    believed = share_figure(np.repeat(hits, 10), np.ones(1000, bool), Clusters.of(None, 1000))
    assert believed.high - believed.low < (tenfold.high - tenfold.low) / 2


def test_delongs_worked_example():
    """The variance of one AUC from DeLong's structural components, computed term by term (Biometrics 1988, eq. 5)."""
    rng = np.random.default_rng(3)
    is_it = np.arange(60) < 25
    score = np.round(rng.normal(is_it * 1.0, 1), 1)  # ties are likely
    x, y = score[is_it], score[~is_it]
    psi = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
    variance = v10.var(ddof=1) / len(x) + v01.var(ddof=1) / len(y)
    estimate = auc(score, is_it, Clusters.of(None, 60))
    assert estimate.value == pytest.approx(psi.mean())
    assert estimate.variance == pytest.approx(variance, rel=0.03)  # the factor G / (G - 1) is taken once, not per side


def test_at_the_edge_the_interval_says_how_few_there_were():
    figure = auc_figure(np.array([0.9, 0.8, 0.7, 0.1, 0.2]), np.array([1, 1, 1, 0, 0], bool), Clusters.of(None, 5))
    assert figure.value == figure.high == 1
    assert figure.low == pytest.approx(wilson(1, 2)[0])
    nothing = auc_figure(np.array([0.9, 0.8]), np.array([True, True]), Clusters.of(None, 2))
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.low)


def of_ten_patients(*wrong):
    """Of 100 scans each, so many wrong."""
    hits = np.concatenate([np.arange(100) >= (wrong[i] if i < len(wrong) else 0) for i in range(10)])
    return share_figure(hits, np.ones(1000, bool), Clusters.of(np.repeat(np.arange(10), 100), 1000))


def test_one_more_error_proves_no_more_than_none():
    """0 wrong: 0.722 to 1; 1 wrong: 0.993 to 1 it was."""
    none, one, two = of_ten_patients(), of_ten_patients(1), of_ten_patients(2)
    assert two.low < one.low < none.low == pytest.approx(0.722, abs=0.001)
    assert of_ten_patients(100, 100, 100, 100, 100, 100, 100, 100, 100, 99).high == pytest.approx(1 - one.low)


def test_the_interval_narrows_by_degrees_as_more_patients_have_errors():
    widths = [figure.high - figure.low for figure in (of_ten_patients(*[2] * g) for g in range(1, 7))]
    assert all(1 < wide / narrow < 4 for wide, narrow in pairwise(widths[:5]))
    assert widths[4] < 0.02, "five who share the errors evenly say how they vary"
    uneven = of_ten_patients(40, 1, 1, 1, 1)
    assert uneven.low < 0.7, "four with one error each do not"


@pytest.mark.parametrize("scans", [30, 100])
def test_rare_patients_read_badly_are_held_too(scans):
    """Half wrong in one patient of ten, one in a thousand wrong in the others: it was 89 and 78 %."""
    rng, held = np.random.default_rng(0), []
    clusters = Clusters.of(np.repeat(np.arange(10), scans), 10 * scans)
    for _ in range(400):
        rate = np.where(rng.random(10) < 0.1, 0.5, 0.001)
        figure = share_figure(rng.random(10 * scans) >= np.repeat(rate, scans), np.ones(10 * scans, bool), clusters)
        held.append(figure.low <= 1 - 0.0509 <= figure.high)
    assert np.mean(held) > 0.93


def test_one_patient_cannot_say_how_patients_vary():
    figure = share_figure(np.arange(100) < 90, EVERY, Clusters.of(["a"] * 100, 100))
    assert figure.value == 0.9
    assert figure.low < 0.3
    assert figure.patients == 1


def test_a_value_at_its_bound_proves_as_little_as_its_patients():
    clusters = Clusters.of(np.arange(100), 100)
    rare, common = (figure_within(Estimate(1.0, np.zeros(100), patients), 100, clusters) for patients in (1, 100))
    assert rare.low < 0.3 < 0.9 < common.low
    between = figure_within(Estimate(-1.0, np.zeros(100), 3), 100, clusters, low=-1.0)
    assert between.low == -1.0
    assert 0 < between.high < 0.5


def test_a_function_of_totals_has_the_variance_of_its_formula():
    """A share is such a function, whose influences are known in closed form."""
    rng = np.random.default_rng(0)
    patients, hits = rng.integers(0, 30, 400), rng.random(400) < 0.7
    clusters = Clusters.of(patients, 400)
    parts = np.stack([clusters.sums(hits), clusters.sums(np.ones(400))], axis=1)
    known, found = share(hits, np.ones(400, bool), clusters), of_totals(lambda t: t[:, 0] / t[:, 1], parts, 30)
    assert found.value == pytest.approx(known.value)
    np.testing.assert_allclose(found.influence, known.influence, atol=1e-8)


def test_the_bootstrap_has_the_spread_of_a_mean_and_makes_room_for_chance():
    """Where one bin has a mean far from 0 its interval is the mean's, lower by the mean size of what chance adds."""
    gaps = np.random.default_rng(0).normal(0.7, 0.5, (100, 1))
    figure = bootstrap_figure(gaps, Clusters.of(range(100), 100), varies=True)
    error = gaps.std() / 10
    assert figure.value == pytest.approx(gaps.mean())
    assert figure.high - figure.value == pytest.approx(1.984 * error, rel=0.1)
    assert figure.value - figure.low == pytest.approx((1.984 + math.sqrt(2 / math.pi)) * error, rel=0.1)


def test_the_bootstrap_is_not_asked_of_few_patients():
    gaps = np.random.default_rng(0).normal(0.7, 0.5, (60, 3))
    enough, few = (bootstrap_figure(gaps[:g], Clusters.of(range(g), g), varies=True) for g in (60, 59))
    assert enough.low < enough.value < enough.high
    assert few.value > 0
    assert math.isnan(few.low)
    assert math.isnan(few.high)


@pytest.mark.parametrize(("patients", "studies"), [(20, 700), (80, 400)])
def test_intervals_cover_the_truth_as_often_as_they_say(patients, studies):
    """The binomial error of a coverage of 95 % is 0.8 % in 700 simulated studies, 1.1 % in 400."""
    for name, share_covered in cover(studies=studies, patients=patients, scans=12, seed=1).items():
        if name != "calibration error":
            assert 0.93 <= share_covered <= 0.97, name
        else:
            assert math.isnan(share_covered) if patients < 60 else share_covered >= 0.93


def test_slices_that_show_one_head_are_one_patient_in_the_auc_of_real_infarcts():
    names = ["10115", "10135", "10145", "10337", "10538", "10745", "11199", "11406"]
    patients = heads([Path(f"{name}.png") for name in names])
    assert len({*patients}) == 6
    rng = np.random.default_rng(0)
    none = pd.DataFrame({"patient": [f"p{i}" for i in range(40)], "fold": 1, "raw_ischemic": rng.random(40)})
    theirs = {1: np.array([0.1, 0.2, 0.15, *np.linspace(0.5, 1.0, 5)])}
    together, apart = (auc_within_folds(none, theirs, of) for of in (patients, names))
    assert together.value == apart.value
    assert together.high - together.low > apart.high - apart.low
