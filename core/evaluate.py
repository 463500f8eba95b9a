"""Figures a reader may rely on: each with its interval and the number of scans and patients behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics

from core.labels import CLASSES

CONFIDENCE_Z = 1.959963984540054  # two-sided 95 % of the normal distribution
REPLICATES = 1000
_CHUNK = 100  # replicates weighed at once: bounds memory at _CHUNK x N numbers


@dataclass(frozen=True)
class Figure:
    """A value in [0, 1] with its 95 % interval; all NaN where it is undefined (no such scan)."""

    value: float
    low: float
    high: float
    n: int  # scans the value is a share of, or is computed on

    def to_json(self) -> dict[str, float | int | None]:
        return {"value": _number(self.value), "low": _number(self.low), "high": _number(self.high), "n": self.n}


@dataclass(frozen=True)
class ClassFigures:
    """One class against the rest. n: scans called it (precision), scans that are it (recall), all (the others)."""

    precision: Figure
    recall: Figure
    specificity: Figure
    f1: Figure
    auc: Figure


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic, from scikit-learn's `roc_curve`."""

    fpr: np.ndarray
    tpr: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True)
class Report:
    """What a model did on N labelled scans of P patients."""

    classes: tuple[str, ...]
    n: int
    patients: int | None  # None where the scans' patients are not known
    interval: str  # how the intervals were made
    accuracy: Figure
    balanced_accuracy: Figure
    macro_f1: Figure
    per_class: dict[str, ClassFigures]
    confusion: np.ndarray  # (C, C) int64, rows: label, columns: prediction
    roc: dict[str, Roc]  # only of classes with scans on both sides

    def to_json(self) -> dict[str, Any]:
        """Plain types; NaN and infinity become null."""
        return {
            "classes": list(self.classes),
            "n": self.n,
            "patients": self.patients,
            "interval": self.interval,
            "accuracy": self.accuracy.to_json(),
            "balanced_accuracy": self.balanced_accuracy.to_json(),
            "macro_f1": self.macro_f1.to_json(),
            "per_class": {
                name: {key: getattr(figures, key).to_json() for key in ClassFigures.__dataclass_fields__}
                for name, figures in self.per_class.items()
            },
            "confusion": self.confusion.tolist(),
            "roc": {
                name: {key: [_number(v) for v in getattr(curve, key)] for key in Roc.__dataclass_fields__}
                for name, curve in self.roc.items()
            },
        }


def evaluate(
    labels: Sequence[str],
    probabilities: np.ndarray,
    known: Sequence[str],
    *,
    patients: Sequence[str] | None = None,
    seed: int = 0,
) -> Report:
    """Metrics of the most probable class against the label.

    `labels` (N,) class names; `probabilities` (N, K) for the classes `known` to the model, rows summing to 1.
    A label the model does not know counts as an error, in a class of its own with probability 0.

    With `patients` (N,), intervals are percentiles of a bootstrap over patients (Efron & Tibshirani 1993, ch. 13;
    clusters: Field & Welsh 2007), else Wilson's for shares and a bootstrap over scans for the rest. Where every
    replicate gives the same value, Wilson's interval over the number of patients stands in: a handful of patients
    all read rightly is no proof of perfection.

    Raises ValueError where there is no scan or the shapes do not agree.
    """
    if not len(labels) or len(labels) != len(probabilities):
        raise ValueError(f"got {len(labels)} labels and {len(probabilities)} probabilities, must be as many, not none")
    classes = tuple(name for name in CLASSES if name in set(known) | set(labels))
    truth = np.array([classes.index(label) for label in labels])
    p = np.zeros((len(labels), len(classes)))
    for column, name in enumerate(known):
        p[:, classes.index(name)] = probabilities[:, column]
    called = p.argmax(axis=1)

    clusters = (
        np.unique(np.asarray(patients), return_inverse=True)[1] if patients is not None else np.arange(len(truth))
    )
    count = int(clusters.max()) + 1
    draws = _draws(count, seed)
    confusion = metrics.confusion_matrix(truth, called, labels=range(len(classes)))
    value = _from_confusion(confusion[None])
    spread = _from_confusion(_confusions(truth, called, clusters, len(classes), draws))

    def figure(key: tuple[str, int], n: int) -> Figure:
        share = key[0] != "f1" and key[0] != "macro_f1" and key[0] != "balanced_accuracy"
        if patients is None and share:
            return _wilson_figure(float(value[key][0]), n, n)
        return _figure(float(value[key][0]), spread[key], n, n if patients is None else min(n, count))

    per_class: dict[str, ClassFigures] = {}
    for index, name in enumerate(classes):
        is_it = truth == index
        auc, aucs = _auc(is_it, p[:, index], clusters, draws)
        per_class[name] = ClassFigures(
            precision=figure(("precision", index), int((called == index).sum())),
            recall=figure(("recall", index), int(is_it.sum())),
            specificity=figure(("specificity", index), int((~is_it).sum())),
            f1=figure(("f1", index), len(truth)),
            auc=_figure(auc, aucs, len(truth), count),
        )
    return Report(
        classes=classes,
        n=len(truth),
        patients=count if patients is not None else None,
        interval="bootstrap over patients" if patients is not None else "Wilson; bootstrap over scans for F1 and AUC",
        accuracy=figure(("accuracy", -1), len(truth)),
        balanced_accuracy=figure(("balanced_accuracy", -1), len(truth)),
        macro_f1=figure(("macro_f1", -1), len(truth)),
        per_class=per_class,
        confusion=confusion,
        roc={name: _roc(truth == i, p[:, i]) for i, name in enumerate(classes) if 0 < (truth == i).sum() < len(truth)},
    )


def accuracy_difference(
    labels: Sequence[str], first: Sequence[str], second: Sequence[str], patients: Sequence[str], *, seed: int = 0
) -> Figure:
    """Accuracy of `second` minus that of `first` on the same scans, in [-1, 1]; paired bootstrap over patients."""
    truth = np.asarray(labels)
    gain = (np.asarray(second) == truth).astype(float) - (np.asarray(first) == truth)
    clusters = np.unique(np.asarray(patients), return_inverse=True)[1]
    count = int(clusters.max()) + 1
    sums = np.bincount(clusters, gain, count)
    sizes = np.bincount(clusters, minlength=count)
    draws = _draws(count, seed)
    low, high = np.percentile(draws @ sums / (draws @ sizes), [2.5, 97.5])
    return Figure(float(gain.mean()), float(low), float(high), len(truth))


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval for a share (Wilson, JASA 1927; Brown, Cai & DasGupta 2001, eq. 4)."""
    if n <= 0:
        return math.nan, math.nan
    share, z2 = successes / n, CONFIDENCE_Z**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = CONFIDENCE_Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _wilson_figure(value: float, n: int, effective: int) -> Figure:
    low, high = wilson(value * effective, effective) if not math.isnan(value) else (math.nan, math.nan)
    return Figure(value, low, high, n)


def _figure(value: float, replicates: np.ndarray, n: int, effective: int) -> Figure:
    """Percentile interval; Wilson's over `effective` units where the replicates cannot vary."""
    replicates = replicates[~np.isnan(replicates)]
    if math.isnan(value) or not len(replicates):
        return Figure(value, math.nan, math.nan, n)
    if np.ptp(replicates) < 1e-12:
        return _wilson_figure(value, n, effective)
    low, high = np.percentile(replicates, [2.5, 97.5])
    return Figure(value, float(low), float(high), n)


def _draws(count: int, seed: int) -> np.ndarray:
    """(REPLICATES, count) how often each patient is drawn in each replicate."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), REPLICATES).astype(np.float64)


def _confusions(
    truth: np.ndarray, called: np.ndarray, clusters: np.ndarray, classes: int, draws: np.ndarray
) -> np.ndarray:
    """(REPLICATES, C, C): a replicate's matrix is the sum of its patients' matrices."""
    per_cluster = np.zeros((draws.shape[1], classes * classes))
    np.add.at(per_cluster, (clusters, truth * classes + called), 1)
    return (draws @ per_cluster).reshape(-1, classes, classes)


def _from_confusion(m: np.ndarray) -> dict[tuple[str, int], np.ndarray]:
    """Shares of (B, C, C) matrices, each (B,); NaN where the denominator is empty."""
    with np.errstate(invalid="ignore", divide="ignore"):
        diagonal = np.einsum("bii->bi", m)
        rows, columns, total = m.sum(axis=2), m.sum(axis=1), m.sum(axis=(1, 2))
        recall = diagonal / rows
        f1 = np.where(rows + columns > 0, 2 * diagonal / (rows + columns), np.nan)
        figures = {("accuracy", -1): diagonal.sum(axis=1) / total}
        seen = rows > 0
        figures[("balanced_accuracy", -1)] = np.where(seen, recall, 0).sum(axis=1) / seen.sum(axis=1)
        present = rows + columns > 0
        figures[("macro_f1", -1)] = np.where(present, f1, 0).sum(axis=1) / present.sum(axis=1)
        for i in range(m.shape[1]):
            figures[("precision", i)] = diagonal[:, i] / columns[:, i]
            figures[("recall", i)] = recall[:, i]
            negatives = total - rows[:, i]
            figures[("specificity", i)] = (negatives - columns[:, i] + diagonal[:, i]) / negatives
            figures[("f1", i)] = f1[:, i]
    return figures


def _auc(is_it: np.ndarray, score: np.ndarray, clusters: np.ndarray, draws: np.ndarray) -> tuple[float, np.ndarray]:
    """Area under the ROC and its replicates (REPLICATES,): the weighted share of pairs ranked rightly, ties half
    (Hanley & McNeil, Radiology 1982)."""
    if not 0 < is_it.sum() < len(is_it):
        return math.nan, np.empty(0)
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    positive, cluster = is_it[order], clusters[order]

    def areas(weights: np.ndarray) -> np.ndarray:
        w = weights[:, cluster]
        pos = np.add.reduceat(w * positive, starts, axis=1)
        neg = np.add.reduceat(w * ~positive, starts, axis=1)
        below = np.cumsum(neg, axis=1) - neg / 2
        with np.errstate(invalid="ignore"):
            return (pos * below).sum(axis=1) / (pos.sum(axis=1) * neg.sum(axis=1))

    parts = [areas(draws[i : i + _CHUNK]) for i in range(0, len(draws), _CHUNK)]
    return float(areas(np.ones((1, draws.shape[1])))[0]), np.concatenate(parts)


def _roc(is_it: np.ndarray, score: np.ndarray) -> Roc:
    return Roc(*metrics.roc_curve(is_it, score))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
