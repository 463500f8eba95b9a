"""Values with their 95 % interval, patients being the units that vary, not their scans.

Every estimate here is known by its influence: how much each patient pulls it. The sum of their squares is its
variance however many scans a patient has and however alike they are (the cluster-robust or "sandwich" variance;
Liang & Zeger, Biometrika 1986). Two models on the same scans differ by the difference of their influences.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

LEVEL = 0.95
REPLICATES = 1000
ENOUGH_TO_DRAW = 60
ENOUGH_TO_VARY = 5
"""As many patients, with errors shared evenly among them, tell how errors vary from patient to patient."""
_NUDGE = 1e-4


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval; all NaN where it is undefined (no such scan)."""

    value: float
    low: float
    high: float
    n: int  # scans the value is a share of, or is computed on
    patients: int | None = None  # whose scans these are; None where that is not known

    def ends(self, digits: int, between: str) -> str:
        """The interval in words, also where there is none: with too few patients, or where nothing varies."""
        if self.low != self.low:
            return "no interval"
        return f"{self.low:.{digits}f}{between}{self.high:.{digits}f}"

    def to_json(self) -> dict[str, float | int | None]:
        """Plain types; NaN becomes null."""
        return {
            "value": number(self.value),
            "low": number(self.low),
            "high": number(self.high),
            "n": self.n,
            "patients": self.patients,
        }


def number(value: float) -> float | None:
    """A float that JSON can hold."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class Clusters:
    """Who the scans belong to. Where that is not known, every scan stands for itself."""

    index: np.ndarray  # (N,) int64, 0..count-1
    count: int
    known: bool

    @classmethod
    def of(cls, patients: object, n: int) -> "Clusters":
        """Of `n` scans with their patients' keys, or None."""
        if patients is None:
            return cls(np.arange(n), n, known=False)
        keys, index = np.unique(np.asarray(patients), return_inverse=True)
        return cls(index, len(keys), known=True)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(N,) -> (count,): each patient's total."""
        return np.bincount(self.index, np.asarray(values, np.float64), self.count)

    def among(self, mask: np.ndarray) -> int:
        """How many patients have a scan in `mask` (N,)."""
        return len(np.unique(self.index[mask]))

    @property
    def draws(self) -> np.ndarray:
        """(REPLICATES, count) float32: how often each patient is drawn in each replicate of a bootstrap; seeded."""
        return _draws(self.count)


@lru_cache(maxsize=2)  # a report per scan and one per patient have as many
def _draws(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn = (np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(REPLICATES))
    return np.array([row.astype(np.float32) for row in drawn])


@dataclass(frozen=True)
class Estimate:
    """A value and what each patient adds to its error."""

    value: float
    influence: np.ndarray  # (patients,), summing to about 0
    patients: int  # those with a scan the value depends on

    @property
    def variance(self) -> float:
        """Sum of squared influences, with the small-sample factor G / (G - 1)."""
        return float((self.influence**2).sum()) * self.patients / (self.patients - 1) if self.patients > 1 else math.nan

    @property
    def t(self) -> float:
        """Student's quantile for as many degrees of freedom as there are patients, less one."""
        return float(special.stdtrit(self.patients - 1, (1 + LEVEL) / 2)) if self.patients > 1 else math.nan

    def minus(self, other: "Estimate") -> "Estimate":
        """The paired difference: both on the same scans of the same patients."""
        return Estimate(self.value - other.value, self.influence - other.influence, min(self.patients, other.patients))


def wilson(share: float, n: float, z: float = float(special.ndtri((1 + LEVEL) / 2))) -> tuple[float, float]:
    """Wilson's score interval for a share of `n` (Wilson, JASA 1927; Brown, Cai & DasGupta 2001, eq. 4)."""
    if not n > 0 or math.isnan(share) or math.isnan(z):
        return math.nan, math.nan
    z2 = z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def share(hits: np.ndarray, among: np.ndarray, clusters: Clusters) -> Estimate:
    """The share of the scans in `among` that are in `hits`, both (N,) bool, or the mean of values `hits` there: a ratio
    of patients' totals (Cochran, Sampling Techniques, 1977, section 6.3)."""
    n = int(among.sum())
    value = float(hits[among].mean()) if n else math.nan
    influence = clusters.sums(among * (hits - value)) / n if n else np.zeros(clusters.count)
    return Estimate(value, influence, clusters.among(among))


def share_figure(hits: np.ndarray, among: np.ndarray, clusters: Clusters) -> Figure:
    """`share` with Wilson's interval over the effective number of scans: as many independent ones as would vary as
    much (Rao & Scott, Biometrics 1992), with Student's quantile for few patients (Korn & Graubard 1998).

    Where nothing varies the patients are the effective number: a handful of them all read rightly is no proof of
    perfection. Nor is one error more: where one patient has all scans of the rarer outcome, the effective number is at
    most that of the patients; the limit rises to that of the scans as `ENOUGH_TO_VARY` come to share it. Where patients
    are not known it is Wilson's interval as it stands.
    """
    estimate, n = share(hits, among, clusters), int(among.sum())
    if not clusters.known:
        return Figure(estimate.value, *wilson(estimate.value, n), n)
    spread = estimate.value * (1 - estimate.value)
    if estimate.patients < 2 or not estimate.variance > 1e-12:
        return Figure(estimate.value, *wilson(estimate.value, estimate.patients), n, estimate.patients)
    rare = clusters.sums(among & (hits if estimate.value < 0.5 else ~hits))
    sharing = float(rare.sum() ** 2 / (rare**2).sum())  # Kish's effective number of the patients who have them
    limit = estimate.patients * (n / estimate.patients) ** min(1.0, (sharing - 1) / (ENOUGH_TO_VARY - 1))
    effective = min(limit, spread / estimate.variance)
    return Figure(estimate.value, *wilson(estimate.value, effective, estimate.t), n, estimate.patients)


def _midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing the mean of theirs, as scipy.stats.rankdata gives them; that module alone would double
    what a process loads that only reads scans."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def auc(score: np.ndarray, is_it: np.ndarray, clusters: Clusters) -> Estimate:
    """Area under the ROC, ties half (Hanley & McNeil, Radiology 1982), with DeLong's components summed by patient
    (Obuchowski, Biometrics 1997; DeLong, DeLong & Clarke-Pearson, Biometrics 1988, where each scan is a patient).

    `score` (N,), higher for the finding; `is_it` (N,) bool. NaN where one side has no scan.
    """
    m, n = int(is_it.sum()), int((~is_it).sum())
    if not m or not n:
        return Estimate(math.nan, np.zeros(clusters.count), 0)
    ranks = _midranks(score)
    above = (ranks[is_it] - _midranks(score[is_it])) / n  # share of the others each finding outranks
    below = 1 - (ranks[~is_it] - _midranks(score[~is_it])) / m
    value = float(above.mean())
    pull = np.empty(len(score))
    pull[is_it], pull[~is_it] = (above - value) / m, (below - value) / n
    if clusters.known:
        return Estimate(value, clusters.sums(pull), min(clusters.among(is_it), clusters.among(~is_it)))
    return Estimate(value, pull, min(m, n))


def auc_figure(score: np.ndarray, is_it: np.ndarray, clusters: Clusters) -> Figure:
    """`auc` with its interval (Pepe 2003, section 5.2.3)."""
    return figure_within(auc(score, is_it, clusters), len(score), clusters)


def of_totals(of: Callable[[np.ndarray], np.ndarray], parts: np.ndarray, patients: int) -> Estimate:
    """A smooth function `of` (B, ...) totals -> (B,), of which `parts` (count, ...) holds what each patient adds; a
    patient's influence is how the value answers where theirs weigh a little more: the infinitesimal jackknife (Efron,
    The Jackknife, the Bootstrap and Other Resampling Plans, 1982, ch. 6). `patients`: those the value depends on."""
    whole = parts.sum(axis=0, keepdims=True)
    influence = (of(whole + _NUDGE * parts) - of(whole - _NUDGE * parts)) / (2 * _NUDGE)
    return Estimate(float(of(whole)[0]), influence, patients)


def figure_within(estimate: Estimate, n: int, clusters: Clusters, low: float = 0.0, high: float = 1.0) -> Figure:
    """A value that lies between two bounds, with an interval on the logit scale, so that it stays within them.

    At a bound, or where nothing varies, Wilson's interval over the patients that the value depends on stands in.
    """
    patients, wide = clusters.count if clusters.known else None, high - low
    place = (estimate.value - low) / wide
    if math.isnan(place):
        return Figure(math.nan, math.nan, math.nan, n, patients)
    spread = place * (1 - place)
    if spread < 1e-12 or not estimate.variance > 1e-20:
        ends = wilson(place, estimate.patients)
    else:
        half, middle = estimate.t * math.sqrt(estimate.variance) / wide / spread, float(special.logit(place))
        ends = float(special.expit(middle - half)), float(special.expit(middle + half))
    return Figure(estimate.value, low + ends[0] * wide, low + ends[1] * wide, n, patients)


def plain_figure(estimate: Estimate, n: int, clusters: Clusters) -> Figure:
    """Value plus and minus Student's quantile times the standard error, cut off at -1 and 1: for differences and
    kappa. No interval where nothing varies."""
    varies = estimate.patients > 1 and estimate.variance > 1e-20
    half = estimate.t * math.sqrt(estimate.variance) if varies else math.nan
    patients = clusters.count if clusters.known else None
    low, high = (float(np.clip(estimate.value + side * half, -1, 1)) for side in (-1, 1))
    return Figure(estimate.value, low, high, n, patients)


def bootstrap_figure(gaps: np.ndarray, clusters: Clusters, varies: bool) -> Figure:
    """How far from 0 the mean over scans lies in each bin, summed; `gaps` (count, bins): each patient's totals.

    Percentiles of a bootstrap over patients (Efron & Tibshirani 1993, ch. 13; clusters: Field & Welsh 2007), widened
    for few patients (the expanded percentile interval of Hesterberg, The American Statistician 2015) and moved by the
    bias of resampling. Chance inflates the value itself, at most by what it would make of gaps that are all 0: the
    lower end lies lower by as much. None where nothing `varies`, or for fewer than `ENOUGH_TO_DRAW` patients, with
    whom it held the truth too rarely.
    """
    n, patients, whole = len(clusters.index), clusters.count if clusters.known else None, gaps.sum(axis=0)
    value = float(np.abs(whole).sum()) / n
    if clusters.count < ENOUGH_TO_DRAW or not varies:
        return Figure(value, math.nan, math.nan, n, patients)
    drawn = (clusters.draws @ gaps) / (clusters.draws @ clusters.sums(np.ones(n)))[:, None]
    replicates, chance = np.abs(drawn).sum(axis=1), float(np.abs(drawn - whole / n).sum(axis=1).mean())
    tail = float(special.stdtrit(clusters.count - 1, (1 - LEVEL) / 2))
    widened = float(special.ndtr(tail * math.sqrt(clusters.count / (clusters.count - 1))))
    low, high = np.quantile(replicates, [widened, 1 - widened]) - (float(replicates.mean()) - value)
    return Figure(value, max(0.0, float(low) - chance), max(value, float(high)), n, patients)
