"""Confidence that means what it says, and where the model had better not answer. All of it from validation scans."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.intervals import Clusters, share_figure
from core.manifest import CALIBRATED_FROM, OPERATING_POINT_FROM, Calibration, OperatingPoint

FLOOR = 0.5
"""No answer is given with less confidence than this, whatever the validation scans say."""
ALWAYS = math.nextafter(1.0, 2.0)
"""Below this every confidence lies, also one that has been rounded to 1."""


def class_balance(labels: Tensor, classes: int) -> Tensor:
    """(N,) weights of mean 1 that make the classes that occur weigh alike."""
    counts = torch.bincount(labels, minlength=classes)
    return len(labels) / (int((counts > 0).sum()) * counts[labels].double())


def calibrate(logits: Tensor, labels: Tensor, patients: Sequence[str], weights: Tensor | None = None) -> Calibration:
    """Temperature scaling with a bias a class (Guo et al., ICML 2017, section 4.2; Alexandari, Kundaje & Shrikumar,
    ICML 2020): the bias takes back what weighing the rarer class in training does to its probability.

    `logits` (N, C), `labels` (N,), `patients` (N,) keys. The scans weigh as much as their patients, for slices of one
    head are no independent witnesses, against a standard normal prior on log temperature and biases; and the
    temperature is never below 1: the epoch was chosen on these patients, and that flatters it. A class that no scan
    has is left out of account, and has no bias: else it would be reckoned away, whatever the network knows of it.
    `weights` (N,), of mean 1: what a scan counts, such as `class_balance`.
    """
    people = len(set(patients))
    if len(labels) < CALIBRATED_FROM:
        return Calibration()
    parameters = torch.full((1 + logits.shape[1],), 0.1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=200, line_search_fn="strong_wolfe")
    z = logits.double()
    counts = torch.ones(len(labels), dtype=torch.float64) if weights is None else weights.double()
    occurs = torch.bincount(labels, minlength=logits.shape[1]) > 0
    among = (occurs.cumsum(0) - 1)[labels]

    def loss() -> Tensor:
        optimizer.zero_grad()
        scaled = z / parameters[0].clamp(min=0).exp() + parameters[1:]
        fit = (F.cross_entropy(scaled[:, occurs], among, reduction="none") * counts).mean()
        value = people * fit + (parameters**2).sum() / 2
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    log_t, *bias = parameters.detach().tolist()
    return Calibration(temperature=math.exp(max(0.0, log_t)), bias=tuple(bias), scans=len(labels), patients=people)


def abstention_threshold(
    probabilities: np.ndarray, labels: np.ndarray, error_rate: float, weights: np.ndarray | None = None
) -> float | None:
    """The lowest confidence, `FLOOR` at least, at which the scans at or above it hold at most `error_rate` errors.

    `probabilities` (N, C) calibrated, `labels` (N,) indices, `weights` (N,) what a scan counts. None where the set
    is too small to say; `ALWAYS` where no threshold keeps the promise, so that the model abstains from all.
    """
    if len(labels) < CALIBRATED_FROM:
        return None
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    counts = np.ones(len(labels)) if weights is None else weights[order]
    wrong = (probabilities.argmax(axis=1) != labels)[order]
    sorted_confidence = confidence[order]
    rate = np.cumsum(wrong * counts) / np.cumsum(counts)
    last_of_ties = np.append(sorted_confidence[1:] < sorted_confidence[:-1], True)
    above = sorted_confidence >= FLOOR
    kept = np.flatnonzero((rate <= error_rate) & last_of_ties & above)
    if len(kept) and kept[-1] == above.sum() - 1:
        return FLOOR  # the promise holds for every scan there
    return float(sorted_confidence[kept[-1]]) if len(kept) else ALWAYS


def operating_point(
    score: np.ndarray, is_it: np.ndarray, sensitivity: float, patients: Sequence[str]
) -> OperatingPoint | None:
    """The highest probability at which at least `sensitivity` of the findings are at or above it.

    `score` (N,) probability of the finding, or (k N,) of the same N scans sent in k ways, all of which it is found on;
    its figures are of the first way. `is_it` (N,) bool. None where there are too few findings to say.
    """
    if is_it.sum() < OPERATING_POINT_FROM:
        return None
    found = np.sort(score[np.tile(is_it, len(score) // len(is_it))])[::-1]
    threshold = float(found[math.ceil(sensitivity * len(found) - 1e-9) - 1])
    called, clusters = score[: len(is_it)] >= threshold, Clusters.of(patients, len(is_it))
    return OperatingPoint(
        asked_sensitivity=sensitivity,
        threshold=threshold,
        sensitivity=share_figure(called, is_it, clusters).to_json(),
        specificity=share_figure(~called, ~is_it, clusters).to_json(),
    )


def operating_points(
    probabilities: np.ndarray, labels: Sequence[str], classes: Sequence[str], asked: Mapping[str, float],
    patients: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """An operating point for every class in `asked` (class -> sensitivity) that the model knows and that allows one.
    `probabilities` (N, C), or (k N, C): see `operating_point`."""
    points = {}
    for name, sensitivity in asked.items():
        if name in classes:
            is_it = np.array([label == name for label in labels])
            point = operating_point(probabilities[:, list(classes).index(name)], is_it, sensitivity, patients)
            if point:
                points[name] = point
    return points
