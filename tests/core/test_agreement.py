import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa as statsmodels_kappa

from core.agreement import cohens_kappa

WORDS = ("hemorrhagic", "ischemic", "no_stroke")


def verdicts(table):
    """Two readers' verdicts with these counts: rows the first, columns the second."""
    pairs = [(WORDS[i], WORDS[j]) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    return [a for a, _ in pairs], [b for _, b in pairs]


@pytest.mark.parametrize("table", [[[22, 2, 1], [3, 30, 4], [2, 5, 60]], [[10, 5], [4, 21]], [[0, 9], [8, 1]]])
def test_kappa_and_its_variance_are_statsmodels(table):
    first, second = verdicts(table)
    figure = cohens_kappa(first, second)
    theirs = statsmodels_kappa(np.array(table))
    assert figure.value == pytest.approx(theirs.kappa)
    assert figure.value == pytest.approx(cohen_kappa_score(first, second))
    n = len(first)  # Student's quantile and the factor G / (G - 1), in place of statsmodels' normal quantile
    expected = theirs.std_kappa * stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1))
    assert figure.high - figure.value == pytest.approx(expected, rel=1e-6)


def test_scans_of_one_patient_are_one_witness():
    first, second = verdicts([[22, 2, 1], [3, 30, 4], [2, 5, 60]])
    every = [str(i) for i in range(len(first))]
    alone = cohens_kappa(first, second, patients=every)
    tenfold = cohens_kappa(first * 10, second * 10, patients=every * 10)
    assert tenfold.low == pytest.approx(alone.low, abs=1e-9)
    assert tenfold.patients == len(first)


def test_agreeing_on_one_word_alone_says_nothing():
    assert np.isnan(cohens_kappa(["ischemic"] * 4, ["ischemic"] * 4).value)
    with pytest.raises(ValueError, match="as many"):
        cohens_kappa(["ischemic"], [])
