"""What a report draws: ROC, precision-recall, reliability and risk-coverage. Each thinned to what a screen can show."""

from dataclasses import dataclass, fields

import numpy as np
from sklearn import metrics

from core.intervals import Clusters, Figure, number, share_figure

POINTS = 400
BINS = 15
"""Equal-width confidence bins, as in Guo et al., ICML 2017, section 2."""


class _Curve:
    """Arrays of one length, as plain lists for JSON; infinity becomes null."""

    def to_json(self) -> dict[str, list[float | None]]:
        return {f.name: [number(v) for v in getattr(self, f.name)] for f in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class Roc(_Curve):
    """Receiver operating characteristic, from scikit-learn's `roc_curve`."""

    fpr: np.ndarray
    tpr: np.ndarray


@dataclass(frozen=True)
class PrecisionRecall(_Curve):
    """From scikit-learn's `precision_recall_curve`."""

    precision: np.ndarray
    recall: np.ndarray


@dataclass(frozen=True)
class RiskCoverage(_Curve):
    """Were only the surest answers given: their share, and how many of them are wrong (El-Yaniv & Wiener 2010)."""

    coverage: np.ndarray
    risk: np.ndarray
    confidence: np.ndarray  # of the least sure answer given


@dataclass(frozen=True)
class ReliabilityBin:
    """Scans whose confidence falls into one bin: what the model said on average, and how often it was right."""

    confidence: float
    accuracy: Figure

    def to_json(self) -> dict[str, object]:
        return {"confidence": self.confidence, "accuracy": self.accuracy.to_json()}


def roc(is_it: np.ndarray, score: np.ndarray) -> Roc:
    """`is_it` (N,) bool with both sides, `score` (N,)."""
    fpr, tpr, _ = metrics.roc_curve(is_it, score)
    return Roc(*_thinned(fpr, tpr))


def precision_recall(is_it: np.ndarray, score: np.ndarray) -> PrecisionRecall:
    """`is_it` (N,) bool with at least one scan, `score` (N,)."""
    precision, recall, _ = metrics.precision_recall_curve(is_it, score, drop_intermediate=True)
    return PrecisionRecall(*_thinned(precision, recall))


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """`confidence` (N,), `right` (N,) bool. Scans of one confidence are answered together or not at all."""
    order = np.argsort(-confidence, kind="stable")
    sure = confidence[order]
    last_of_ties = np.append(sure[1:] < sure[:-1], True)
    answered = np.arange(1, len(sure) + 1)
    curve = (answered / len(sure), np.cumsum(~right[order]) / answered, sure)
    return RiskCoverage(*_thinned(*(values[last_of_ties] for values in curve)))


def risk_coverage_area(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean risk over all coverages (AURC; Geifman, Uziel & El-Yaniv, ICLR 2019). Lower is better.

    A confidence that says nothing has the error rate as its area: scans of one confidence count as answered in random
    order.
    """
    _, of, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    answered, ends = np.arange(1, len(right) + 1), np.append(0, np.cumsum(counts))
    wrong_by_then = np.append(0, np.cumsum(np.bincount(of, weights=~right)))
    return float((np.interp(answered, ends, wrong_by_then) / answered).mean())


def reliability(confidence: np.ndarray, right: np.ndarray, clusters: Clusters) -> tuple[ReliabilityBin, ...]:
    """The bins that hold a scan, by rising confidence."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return tuple(
        ReliabilityBin(float(confidence[bins == b].mean()), share_figure(right, bins == b, clusters))
        for b in np.unique(bins)
    )


def _thinned(*curve: np.ndarray) -> list[np.ndarray]:
    """At most POINTS points, the first and the last among them."""
    keep = np.unique(np.linspace(0, len(curve[0]) - 1, min(POINTS, len(curve[0]))).round().astype(int))
    return [np.asarray(values, np.float64)[keep] for values in curve]
