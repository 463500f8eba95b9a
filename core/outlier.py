"""Does an image look like what the network was trained on? Asked of the network's own features.

The features of training scans are described by their principal components; how far an image lies from them, along
the components and beside them, is the Mahalanobis distance under probabilistic PCA (Tipping & Bishop, JRSS B 1999;
Lee et al., NeurIPS 2018, for the use). Features of all depths count: an image of another kind differs early.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.manifest import CALIBRATED_FROM

COMPONENTS = 48
_PREFIX = "typical."


@dataclass(frozen=True)
class Typical:
    """What training scans look like to the network, and how far from it a head CT may lie."""

    mean: Tensor  # (F,) of the standardised features; their scale is in `scale`
    scale: Tensor  # (F,)
    axes: Tensor  # (K, F), orthonormal
    spread: Tensor  # (K,) variance along each axis
    rest: Tensor  # (1,) variance beside the axes, per dimension
    threshold: Tensor  # (1,) distance above which an image is flagged

    def distance(self, profile: Tensor) -> Tensor:
        """(N, F) features of `Output.profile` -> (N,) squared distance per dimension; about 1 for training scans."""
        centred = (profile - self.mean) / self.scale
        along = centred @ self.axes.T  # (N, K)
        beside = (centred**2).sum(dim=1) - (along**2).sum(dim=1)
        distance = (along**2 / self.spread).sum(dim=1) + beside.clamp(min=0) / self.rest
        return torch.nan_to_num(distance / profile.shape[1], nan=math.inf)

    def unlike(self, profile: Tensor) -> Tensor:
        """(N, F) -> (N,) bool: further out than `threshold`."""
        return self.distance(profile) > self.threshold

    def state(self) -> dict[str, Tensor]:
        """As tensors to be kept with the network's weights; inverse: `from_state`."""
        return {_PREFIX + name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Typical | None":
        """From among a bundle's tensors; None where it keeps none."""
        found = {name.removeprefix(_PREFIX): value for name, value in state.items() if is_typical(name)}
        return cls(**found) if found else None


def is_typical(name: str) -> bool:
    """Whether a bundle's tensor of this name is part of a `Typical`, not of the network."""
    return name.startswith(_PREFIX)


def describe(train: Tensor) -> Typical:
    """Learn what is usual from `train` (N, F), N at least 4; it flags nothing yet."""
    mean, scale = train.mean(dim=0), train.std(dim=0).clamp(min=1e-4)
    centred = (train - mean) / scale
    components = min(COMPONENTS, len(train) // 4, train.shape[1] - 1)
    _, singular, axes = torch.linalg.svd(centred, full_matrices=False)
    variance = singular**2 / (len(train) - 1)
    rest = variance[components:].sum() / (train.shape[1] - components)
    return Typical(
        mean, scale, axes[:components].contiguous(), variance[:components].clamp(min=1e-6),
        rest.clamp(min=1e-6).reshape(1), torch.full((1,), math.inf),
    )  # fmt: skip


def with_threshold(typical: Typical | None, distances: Tensor, false_flags: float) -> Typical | None:
    """The same, flagging what lies further out than all but a share `false_flags` of scans of unmet patients, whose
    `distances` (M,) are given; of few, nearly what the furthest exceeds. None where these are too few to say."""
    if typical is None or len(distances) < CALIBRATED_FROM:
        return None
    return replace(typical, threshold=torch.quantile(distances, 1 - false_flags).reshape(1))
