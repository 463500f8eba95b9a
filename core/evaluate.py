"""Figures a reader may rely on: each with its interval and the number of scans and patients behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from sklearn import metrics

from core import curves
from core.curves import PrecisionRecall, ReliabilityBin, RiskCoverage, Roc
from core.intervals import (
    Clusters,
    Estimate,
    Figure,
    auc,
    auc_figure,
    bootstrap_figure,
    figure_within,
    of_totals,
    plain_figure,
    share,
    share_figure,
)
from core.labels import CLASSES, NO_STROKE

SCORE_LEVELS = 300
"""More distinct scores than these are binned by rank for an interval, never for the value itself."""
SLICES_THAT_SPEAK = 3
"""A patient's probability of a stroke type is the mean of this many of their scans, the most suspicious ones."""


@dataclass(frozen=True)
class ClassFigures:
    """One class against the rest. n: scans called it (precision), scans that are it (recall), all (the others)."""

    precision: Figure
    recall: Figure
    specificity: Figure
    f1: Figure
    auc: Figure
    average_precision: Figure


OVERALL = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "F1, mean of the classes",
    "mcc": "Matthews correlation",
    "brier": "Brier score (halved; 0 is best)",
    "ece": "Expected calibration error",
}
"""The figures of a report that are of no one class, and what they are called."""
BY_CLASS = {
    "precision": "Precision",
    "recall": "Recall (sensitivity)",
    "specificity": "Specificity",
    "f1": "F1",
    "auc": "AUC",
    "average_precision": "Average precision",
}


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
    mcc: Figure
    brier: Figure
    ece: Figure
    per_class: dict[str, ClassFigures]
    confusion: np.ndarray  # (C, C) int64, rows: label, columns: prediction
    roc: dict[str, Roc]  # only of classes with scans on both sides
    pr: dict[str, PrecisionRecall]
    reliability: tuple[ReliabilityBin, ...]
    risk_coverage: RiskCoverage
    risk_coverage_area: float

    def to_json(self, *, curves: bool = True) -> dict[str, Any]:
        """Plain types; NaN and infinity become null. Without `curves` the figures alone, which are a tenth of it."""
        figures = {
            "classes": list(self.classes),
            "n": self.n,
            "patients": self.patients,
            "interval": self.interval,
            **{key: getattr(self, key).to_json() for key in OVERALL},
            "per_class": {
                name: {f.name: getattr(figures, f.name).to_json() for f in fields(figures)}
                for name, figures in self.per_class.items()
            },
            "confusion": self.confusion.tolist(),
            "reliability": [one.to_json() for one in self.reliability],
            "risk_coverage_area": self.risk_coverage_area,
        }
        if not curves:
            return figures
        return {
            **figures,
            "roc": {name: curve.to_json() for name, curve in self.roc.items()},
            "pr": {name: curve.to_json() for name, curve in self.pr.items()},
            "risk_coverage": self.risk_coverage.to_json(),
        }


@dataclass(frozen=True)
class _Answers:
    """N labelled scans and what was said of them, over the classes that the model knows or that occur."""

    classes: tuple[str, ...]
    truth: np.ndarray  # (N,) index into classes
    p: np.ndarray  # (N, C), rows summing to 1
    known: tuple[bool, ...]  # (C,) whether the model knows the class
    clusters: Clusters

    @property
    def called(self) -> np.ndarray:
        return self.p.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        return self.called == self.truth


def evaluate(
    labels: Sequence[str], probabilities: np.ndarray, known: Sequence[str], *, patients: Sequence[str] | None = None
) -> Report:
    """Metrics of the most probable class against the label.

    `labels` (N,) class names; `probabilities` (N, K) for the classes `known` to the model, rows summing to 1.
    A label the model does not know counts as an error, in a class of its own with probability 0.

    With `patients` (N,) the intervals take patients, not scans, as what varies (see core.intervals): Wilson's for
    shares, DeLong's for the AUC, a bootstrap for the calibration error, for the rest the infinitesimal jackknife.
    Without, every scan stands for itself.

    Raises ValueError where there is no scan or the shapes do not agree.
    """
    answers = _answers(labels, probabilities, known, patients)
    clusters, everything = answers.clusters, np.ones(len(labels), bool)
    confusion = metrics.confusion_matrix(answers.truth, answers.called, labels=range(len(answers.classes)))
    both = [i for i, scored in enumerate(answers.known) if scored and 0 < (answers.truth == i).sum() < len(labels)]
    confidence = answers.p.max(axis=1)
    return Report(
        classes=answers.classes,
        n=len(labels),
        patients=clusters.count if clusters.known else None,
        interval=f"{'patients' if clusters.known else 'scans'} as the units that vary; “no interval” where these are "
        "too few for one, or nothing varies",
        accuracy=share_figure(answers.right, everything, clusters),
        balanced_accuracy=_of_confusion(answers, "balanced_accuracy"),
        macro_f1=_of_confusion(answers, "macro_f1"),
        mcc=_of_confusion(answers, "mcc", low=-1.0),
        brier=_brier(answers),
        ece=_ece(answers),
        per_class={name: _class_figures(answers, i) for i, name in enumerate(answers.classes)},
        confusion=confusion,
        roc={answers.classes[i]: curves.roc(answers.truth == i, answers.p[:, i]) for i in both},
        pr={answers.classes[i]: curves.precision_recall(answers.truth == i, answers.p[:, i]) for i in both},
        reliability=curves.reliability(confidence, answers.right, clusters),
        risk_coverage=curves.risk_coverage(confidence, answers.right),
        risk_coverage_area=curves.risk_coverage_area(confidence, answers.right),
    )


def _answers(
    labels: Sequence[str], probabilities: np.ndarray, known: Sequence[str], patients: Sequence[str] | None
) -> _Answers:
    if not len(labels) or len(labels) != len(probabilities):
        raise ValueError(f"got {len(labels)} labels and {len(probabilities)} probabilities, must be as many, not none")
    if patients is not None and len(patients) != len(labels):
        raise ValueError(f"got {len(patients)} patients for {len(labels)} scans, must be as many")
    occurring = set(known) | set(labels)
    classes = tuple(name for name in CLASSES if name in occurring)
    place: dict[str, int] = {name: index for index, name in enumerate(classes)}
    p = np.zeros((len(labels), len(classes)))
    p[:, [place[name] for name in known]] = probabilities
    truth = np.array([place[label] for label in labels])
    return _Answers(classes, truth, p, tuple(name in known for name in classes), Clusters.of(patients, len(labels)))


def _class_figures(answers: _Answers, index: int) -> ClassFigures:
    is_it, called, clusters = answers.truth == index, answers.called == index, answers.clusters
    score = answers.p[:, index]
    return ClassFigures(
        precision=share_figure(is_it, called, clusters),
        recall=share_figure(called, is_it, clusters),
        specificity=share_figure(~called, ~is_it, clusters),
        f1=_of_confusion(answers, f"f1 {index}", clusters.among(is_it) or clusters.among(called)),
        auc=auc_figure(score, is_it, clusters) if answers.known[index] else _undefined(answers),
        average_precision=_average_precision(score, is_it, clusters) if answers.known[index] else _undefined(answers),
    )


def _undefined(answers: _Answers) -> Figure:
    """A model gives no score for a class it does not know."""
    clusters, nan = answers.clusters, float("nan")
    return Figure(nan, nan, nan, len(answers.truth), clusters.count if clusters.known else None)


def _of_confusion(answers: _Answers, key: str, patients: int | None = None, low: float = 0.0) -> Figure:
    """A figure of the confusion matrix, see `_from_confusions`; it depends on `patients`, or on those of the rarest
    class that occurs."""
    clusters, size = answers.clusters, len(answers.classes)
    parts = np.zeros((clusters.count, size, size))
    np.add.at(parts, (clusters.index, answers.truth, answers.called), 1)
    if patients is None:
        patients = min(clusters.among(answers.truth == i) for i in set(answers.truth.tolist()))
    estimate = of_totals(lambda totals: _from_confusions(totals)[key], parts, patients)
    return figure_within(estimate, len(answers.truth), clusters, low)


def _from_confusions(m: np.ndarray) -> dict[str, np.ndarray]:
    """Figures of (B, C, C) matrices, each (B,); NaN where a denominator is empty.

    Balanced accuracy: mean recall of the classes that occur (Brodersen et al., ICPR 2010). MCC for several classes:
    the R_K statistic (Gorodkin 2004, eq. 2).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        diagonal = np.einsum("bii->bi", m)
        rows, columns, total = m.sum(axis=2), m.sum(axis=1), m.sum(axis=(1, 2))
        f1 = np.where(rows + columns > 0, 2 * diagonal / (rows + columns), np.nan)
        seen, present = rows > 0, rows + columns > 0
        agreement = diagonal.sum(axis=1) * total - (rows * columns).sum(axis=1)
        spread = (total**2 - (rows**2).sum(axis=1)) * (total**2 - (columns**2).sum(axis=1))
        return {
            "balanced_accuracy": np.where(seen, diagonal / rows, 0).sum(axis=1) / seen.sum(axis=1),
            "macro_f1": np.where(present, f1, 0).sum(axis=1) / present.sum(axis=1),
            "mcc": np.where(spread > 0, agreement / np.sqrt(spread), np.nan),
            **{f"f1 {i}": f1[:, i] for i in range(m.shape[1])},
        }


def _brier(answers: _Answers) -> Figure:
    """Mean squared distance of the probabilities from the label (Brier 1950), halved: for two classes the familiar
    (p - y)^2, for any number between 0 and 1."""
    truth = np.eye(len(answers.classes))[answers.truth]
    error = ((answers.p - truth) ** 2).sum(axis=1) / 2
    mean = share(error, np.ones(len(error), bool), answers.clusters)
    return figure_within(mean, len(error), answers.clusters)


def _ece(answers: _Answers) -> Figure:
    """Expected calibration error: the gap between confidence and accuracy, averaged over equal-width bins of
    confidence by their scans (Naeini, Cooper & Hauskrecht, AAAI 2015; Guo et al., ICML 2017, eq. 3).

    No interval where all are right, or all wrong: how often others would be wrong cannot be drawn from them.
    """
    clusters, confidence = answers.clusters, answers.p.max(axis=1)
    bins = np.minimum((confidence * curves.BINS).astype(int), curves.BINS - 1)
    gaps = np.zeros((clusters.count, curves.BINS))
    np.add.at(gaps, (clusters.index, bins), confidence - answers.right)
    return bootstrap_figure(gaps, clusters, varies=0 < answers.right.sum() < len(confidence))


def _average_precision(score: np.ndarray, is_it: np.ndarray, clusters: Clusters) -> Figure:
    """Precision averaged over the steps in recall, not interpolated (scikit-learn's `average_precision_score`)."""
    patients = clusters.among(is_it)
    if not 0 < is_it.sum() < len(is_it):
        return figure_within(Estimate(math.nan, np.zeros(clusters.count), patients), len(is_it), clusters)
    level = np.unique(-score, return_inverse=True)[1]  # 0: the highest score
    if level.max() >= SCORE_LEVELS:
        level = np.minimum(np.argsort(np.argsort(level)) * SCORE_LEVELS // len(level), SCORE_LEVELS - 1)
    parts = np.zeros((clusters.count, 2, int(level.max()) + 1))  # without the finding and with it, at each level
    np.add.at(parts, (clusters.index, is_it.astype(int), level), 1)
    value = float(metrics.average_precision_score(is_it, score))
    estimate = replace(of_totals(_precision_averaged, parts, patients), value=value)
    return figure_within(estimate, len(is_it), clusters)


def _precision_averaged(totals: np.ndarray) -> np.ndarray:
    """(B, 2, levels) scans without and with the finding at each level of the score -> (B,)."""
    false, found = np.cumsum(totals, axis=2).transpose(1, 0, 2)
    with np.errstate(invalid="ignore"):
        precision = np.where(found + false > 0, found / (found + false), 0)
    return (precision * totals[:, 1]).sum(axis=1) / found[:, -1]


def per_patient(
    labels: Sequence[str], probabilities: np.ndarray, known: Sequence[str], patients: Sequence[str]
) -> tuple[list[str], np.ndarray, list[str]]:
    """Scans -> patients: (label, probabilities, key) of each.

    A patient has the first class in the vocabulary's order that any of their scans has: one slice with a hemorrhage
    is a patient with a hemorrhage. Their probability of hemorrhage is the mean over the `SLICES_THAT_SPEAK` scans where
    it is highest; of ischemia, in the same way, its share of what that leaves; of "no stroke" the rest. So a patient of
    one scan has what is said of it. A model without "no stroke" gives the mean of all scans.
    """
    keys, index, sizes = np.unique(np.asarray(patients), return_inverse=True, return_counts=True)
    order = np.array([CLASSES.index(label) for label in labels])
    first = np.full(len(keys), len(CLASSES))
    np.minimum.at(first, index, order)
    theirs = np.split(probabilities[np.argsort(index, kind="stable")], np.cumsum(sizes)[:-1])
    return [CLASSES[i] for i in first], np.array([_of_patient(p, known) for p in theirs]), [str(key) for key in keys]


def evaluate_patients(
    labels: Sequence[str], probabilities: np.ndarray, known: Sequence[str], patients: Sequence[str]
) -> Report:
    """`evaluate` of patients instead of scans, see `per_patient`."""
    theirs, p, keys = per_patient(labels, probabilities, known, patients)
    return evaluate(theirs, p, known, patients=keys)


def _of_patient(p: np.ndarray, known: Sequence[str]) -> np.ndarray:
    """(n, K) of one patient's scans -> (K,)."""
    if NO_STROKE not in known:
        return p.mean(axis=0)
    shares, left, rest = dict.fromkeys(known, 0.0), 1.0, np.ones(len(p))
    for name in (name for name in CLASSES if name in known and name != NO_STROKE):
        of = p[:, list(known).index(name)]
        speak = np.argsort(-of, kind="stable")[:SLICES_THAT_SPEAK]
        shares[name] = left * min(1.0, of[speak].sum() / max(rest[speak].sum(), 1e-12))
        left, rest = left - shares[name], rest - of
    shares[NO_STROKE] = left
    return np.array(list(shares.values()))


def difference(
    labels: Sequence[str],
    first: np.ndarray,
    second: np.ndarray,
    known: tuple[Sequence[str], Sequence[str]],
    *,
    patients: Sequence[str] | None = None,
) -> dict[str, Figure]:
    """What a second model gains over a first on the same scans, paired, each in [-1, 1].

    `first` (N, K1) and `second` (N, K2) are probabilities for the classes `known` to each. Keys: "accuracy"
    and "auc CLASS" of each class both models know, with scans on both sides (DeLong's paired comparison, by patient).
    """
    a, b = (_answers(labels, p, names, patients) for p, names in zip((first, second), known, strict=True))
    n, everything, clusters = len(labels), np.ones(len(labels), bool), a.clusters
    gains = {"accuracy": share(b.right, everything, clusters).minus(share(a.right, everything, clusters))}
    for name in CLASSES:
        is_it = np.array([label == name for label in labels])
        if name in known[0] and name in known[1] and 0 < is_it.sum() < n:
            scores = (m.p[:, m.classes.index(name)] for m in (b, a))
            second_auc, first_auc = (auc(score, is_it, clusters) for score in scores)
            gains[f"auc {name}"] = second_auc.minus(first_auc)
    return {name: plain_figure(gain, n, clusters) for name, gain in gains.items()}
