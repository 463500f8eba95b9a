"""What is settled after training, on scans of patients the network has not met: calibration, abstention, operating
points, and what counts as head CT."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core import calibrate, outlier
from core.augment import augment
from core.dataset import Examples
from core.manifest import Calibration, OperatingPoint
from core.network import Network
from core.outlier import Typical
from core.settings import Augmentation, CalibrationSettings, Recipe
from core.train import Prediction, predict

ELSEWHERE_STEP = 3
"""One training scan in this many also counts as usual in another pose, window and resolution."""


@dataclass(frozen=True)
class Rules:
    """What is settled on validation scans before a model may answer."""

    calibration: Calibration
    abstain_below: float | None
    operating_points: dict[str, OperatingPoint]
    typical: Typical | None

    def probabilities(self, prediction: Prediction) -> np.ndarray:
        """(N, C) calibrated, rows summing to 1."""
        return self.calibration.probabilities(prediction.logits)


def settle(
    said: Prediction, part: Examples, classes: Sequence[str], asked: CalibrationSettings, *, balanced: bool = False
) -> Rules:
    """Calibration, abstention and operating points from what a network says of patients it was not trained on.

    `balanced`: each class counts alike, however many scans it has, for shares that were chosen say nothing of a ward.
    """
    weights = calibrate.class_balance(part.y, len(classes)) if balanced else None
    calibration = calibrate.calibrate(said.logits, part.y, part.patients, weights)
    p = calibration.probabilities(said.logits)
    counts = weights.numpy() if weights is not None else None
    return Rules(
        calibration,
        calibrate.abstention_threshold(p, part.y.numpy(), asked.error_rate, counts),
        calibrate.operating_points(p, part.labels, classes, asked.sensitivity, part.patients),
        None,
    )


def typical_of(network: Network, train: Examples, recipe: Recipe) -> Typical | None:
    """What head CT looks like to the network; it flags nothing yet.

    To one that was trained on scans as from elsewhere: as they look. To any other: as in this set, and, for a third of
    it, as another hospital might send it.
    """
    if recipe.augmentation.elsewhere:
        return outlier.describe(predict(network, from_elsewhere(train.x, seed=0)).profile)
    varied = from_elsewhere(train.x[::ELSEWHERE_STEP], seed=0)
    return outlier.describe(predict(network, torch.cat([train.x, varied])).profile)


def usual_distances(typical: Typical | None, network: Network, unmet: Examples, recipe: Recipe) -> torch.Tensor:
    """(N,) how far scans of unmet patients lie from what is usual, sent as those that describe it: the threshold is
    set on them."""
    if typical is None:
        return torch.empty(0)
    x = from_elsewhere(unmet.x, seed=1) if recipe.augmentation.elsewhere else unmet.x
    return typical.distance(predict(network, x).profile)


ELSEWHERE = Augmentation(rotation=25, flip=0.5, shift=0.08, scale=0.15, contrast=0, brightness=0, elsewhere=1)


def from_elsewhere(x: torch.Tensor, seed: int) -> torch.Tensor:
    """(N, 1, S, S) uint8 scans as other hospitals might send them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat(
        [augment(part.float() / 255, ELSEWHERE, generator).mul(255).round().byte() for part in x.split(256)]
    )
