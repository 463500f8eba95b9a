"""What is settled after training, on scans of patients the network has not met: calibration, abstention, operating
points, and what counts as head CT."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core import calibrate, outlier
from core.augment import augment
from core.dataset import Examples
from core.manifest import CALIBRATED_FROM, TYPICAL_FROM, Calibration, OperatingPoint
from core.network import Network
from core.outlier import Typical
from core.settings import Augmentation, CalibrationSettings, Recipe
from core.train import Prediction, predict

ELSEWHERE_STEP = 3
"""One training scan in this many also counts as usual in another pose, window and resolution."""
ENOUGH = 1500
"""Scans that say what is usual: more would add time and nothing else."""


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

    def applied(self, prediction: Prediction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N, C) probabilities; (N,) whether a scan is flagged as no head CT; (N,) whether it is answered."""
        p = self.probabilities(prediction)
        flagged = self.typical.unlike(prediction.profile).numpy() if self.typical else np.zeros(len(p), bool)
        return p, flagged, (p.max(axis=1) >= (self.abstain_below or 0.0)) & ~flagged


def settle(
    said: Prediction,
    part: Examples,
    classes: Sequence[str],
    asked: CalibrationSettings,
    *,
    sent: Prediction | None = None,
    balanced: bool = False,
) -> Rules:
    """Calibration, abstention and operating points from what a network says of patients it was not trained on.

    `sent`: what it says of the same scans sent from elsewhere (`predict_sent`); rules then hold for both together, and
    the figures of an operating point are of the scans as they are. `balanced`: each class counts alike, however many
    scans it has, for shares that were chosen say nothing of a ward.
    """
    ways = [said, sent] if sent and len(part) >= CALIBRATED_FROM else [said]  # twice too few are too few
    logits, y = torch.cat([way.logits for way in ways]), part.y.repeat(len(ways))
    weights = calibrate.class_balance(y, len(classes)) if balanced else None
    calibration = calibrate.calibrate(logits, y, part.patients * len(ways), weights)
    calibration = calibration.model_copy(update={"scans": calibration.scans // len(ways), "balanced": balanced})
    p = calibration.probabilities(logits)
    counts = weights.numpy() if weights is not None else None
    return Rules(
        calibration,
        calibrate.abstention_threshold(p, y.numpy(), asked.error_rate, counts),
        calibrate.operating_points(p, part.labels, classes, asked.sensitivity, part.patients),
        None,
    )


def predict_sent(network: Network, part: Examples, recipe: Recipe) -> Prediction | None:
    """What a network says of scans sent as another hospital might, once each; None for one that has not been trained
    on such scans, whose rules are those of its own source."""
    if not recipe.augmentation.elsewhere or not len(part):
        return None
    return predict(network, from_elsewhere(part.x, seed=2))


def typical_of(network: Network, train: Examples, recipe: Recipe) -> Typical | None:
    """What head CT looks like to the network; it flags nothing yet.

    To one that was trained on scans as from elsewhere: as they look, in narrow windows too where it has ended on these.
    To any other: as in this set, and, for a third of it, as another hospital might send it. None where too few real
    scans of it were met to say: what is made of them says no more.
    """
    if sum(sample.synthetic is None for sample in train.samples) < TYPICAL_FROM:
        return None
    if recipe.augmentation.elsewhere:
        few = train.x[:: max(1, len(train) // ENOUGH)]
        return outlier.describe(predict(network, from_elsewhere(few, 0, _narrow(recipe))).profile)
    varied = from_elsewhere(train.x[::ELSEWHERE_STEP], seed=0)
    return outlier.describe(predict(network, torch.cat([train.x, varied])).profile)


def usual_distances(typical: Typical | None, network: Network, unmet: Examples, recipe: Recipe) -> torch.Tensor:
    """(N,) how far scans of unmet patients lie from what is usual, sent as those that describe it: the threshold is
    set on them."""
    if typical is None:
        return torch.empty(0)
    x = from_elsewhere(unmet.x, 1, _narrow(recipe)) if recipe.augmentation.elsewhere else unmet.x
    return typical.distance(predict(network, x).profile)


def _narrow(recipe: Recipe) -> float:
    return recipe.stages[-1].augmentation.narrow


ELSEWHERE = Augmentation(rotation=25, flip=0.5, shift=0.08, scale=0.15, contrast=0, brightness=0, elsewhere=1)


def from_elsewhere(x: torch.Tensor, seed: int, narrow: float = 0.0) -> torch.Tensor:
    """(N, 1, S, S) uint8 scans as other hospitals might send them; `narrow`: the share in narrow windows."""
    ranges = ELSEWHERE.model_copy(update={"narrow": narrow})
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([augment(part.float() / 255, ranges, generator).mul(255).round().byte() for part in x.split(256)])
