"""Confidence that means what it says, and the point below which the model abstains. Both from validation scans."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MIN_SCANS = 20
"""Fewer validation scans than this calibrate nothing: the temperature stays 1 and there is no threshold."""

FLOOR = 0.5
"""No answer is given with less confidence than this, whatever the validation scans say."""
MAX_LOG_T = 3.0


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The T that minimises cross-entropy of softmax(logits / T) (Guo et al., ICML 2017, section 4.2).

    `logits` (N, C), `labels` (N,). Kept within 1..20: a small set read without error would have it near 0, and that
    is no proof of certainty.
    """
    if len(labels) < MIN_SCANS:
        return 1.0
    log_t = torch.full((1,), 0.5, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(logits / log_t.clamp(0, MAX_LOG_T).exp(), labels)
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return float(log_t.detach().clamp(0, MAX_LOG_T).exp())


def abstention_threshold(probabilities: np.ndarray, labels: np.ndarray, error_rate: float) -> float | None:
    """The lowest confidence, `FLOOR` at least, at which the scans at or above it hold at most `error_rate` errors.

    `probabilities` (N, C) calibrated, `labels` (N,) indices. None where the set is too small to say; 1.0 where
    no threshold keeps the promise, so that the model always abstains.
    """
    if len(labels) < MIN_SCANS:
        return None
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    wrong = (probabilities.argmax(axis=1) != labels)[order]
    sorted_confidence = confidence[order]
    rate = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    last_of_ties = np.append(sorted_confidence[1:] < sorted_confidence[:-1], True)
    kept = np.flatnonzero((rate <= error_rate) & last_of_ties)
    if len(kept) and kept[-1] == len(wrong) - 1:
        return FLOOR  # the promise holds for every scan
    return max(FLOOR, float(sorted_confidence[kept[-1]])) if len(kept) else 1.0
