"""The networks: convolutional features, dropout, one linear layer, pooling.

Their class-activation map is a by-product of the forward pass: the linear layer, applied to the features before
pooling instead of after (Zhou et al., CVPR 2016, eq. 2). Any features go with either head: `Classifier` pools by the
mean; `Localiser` by a soft maximum, for a small lesion must not drown in a large brain, and its map can be trained on
lesions' outlines.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from core.features import Features, Sides, features_of
from core.labels import ISCHEMIC, NO_STROKE
from core.normalise import BRAIN_GREY, BRAIN_SPREAD, CENTRINGS, centred, lying, reflection
from core.precision import mixed_precision

ENLARGED = 1.2
"""How much larger the mirror image is read, rounded to whole cells of 16 pixels: 224 of 192."""


class Output(NamedTuple):
    """What one forward pass gives for N scans and C classes."""

    logits: Tensor  # (N, C)
    maps: Tensor  # (N, C, h, w); pooled over h, w they give the logits (of one image: see `Network.mirror`)
    profile: Tensor  # (N, F), mean and spread of every channel at every depth: what the image looks like


_FLIPPED = torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])
"""What a reflection's map is multiplied by for the image's own mirror image."""
_INCOMPLETE = (nn.Conv2d, nn.BatchNorm2d)
"""Stages whose activation is yet to come."""


def _moments(features: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, 2 C): each channel's mean and standard deviation over the image, the latter by the mean of
    squares: `Tensor.std` of channels that lie last took a third of a forward pass."""
    features = features.float()
    mean, squares = features.mean(dim=(2, 3)), (features * features).mean(dim=(2, 3))
    return torch.cat([mean, (squares - mean * mean).clamp(min=0).sqrt()], dim=1)


class Network(nn.Module, ABC):
    """Features and what is common to all heads. Input (N, 1, S, S) in [0, 1].

    Intensity "window": grey as it is, centred on what brain has in a brain window. "brain": each image centred on its
    own brain (`centred`), so that the window it came with matters little; "image": the same by a coarser measure, by
    which earlier models were trained. Outside training, with `upright` it
    turns a head that lies on its side by a quarter before it reads it, and its map back; with `mirror` it reads each
    image and its mirror image, `ENLARGED`, and its answer is their mean: features learned from images that augmentation
    has enlarged and blurred read somewhat larger ones better (Touvron et al., NeurIPS 2019).
    """

    upright = False
    mirror = False

    def __init__(self, features: Features, classes: Sequence[str], intensity: str) -> None:
        super().__init__()
        self.features = features.stages
        self.intensity = intensity
        self._compares = bool(features.compared)
        self._heard: Tensor
        self.register_buffer("_heard", _heard(features, classes), persistent=False)

    def forward(self, x: Tensor) -> Output:
        with mixed_precision(x.device):
            out = self._turned(x)
        return Output(out.logits.float(), out.maps.float(), out.profile.float())

    def _turned(self, x: Tensor) -> Output:
        if self.training or not self.upright:
            return self._read(x)
        lies = lying(x)[:, None, None, None]
        out = self._read(torch.where(lies, x.rot90(1, (2, 3)), x))
        return out._replace(maps=torch.where(lies, out.maps.rot90(-1, (2, 3)), out.maps))

    def _read(self, x: Tensor) -> Output:
        how = CENTRINGS.get(self.intensity)
        image = centred(x, how) if how else (x - BRAIN_GREY) / BRAIN_SPREAD
        across = reflection(x, image) if self._compares else None
        out = self._answer(image, across)
        if self.training or not self.mirror:
            return out
        side = round(x.shape[-1] * ENLARGED / 16) * 16
        larger = F.interpolate(image.flip(3), size=(side, side), mode="bilinear")
        other = self._answer(larger, None if across is None else across * _FLIPPED.to(x.device))
        maps = F.interpolate(other.maps, size=out.maps.shape[-2:], mode="bilinear").flip(3)
        return Output((out.logits + other.logits) / 2, (out.maps + maps) / 2, (out.profile + other.profile) / 2)

    @abstractmethod
    def _answer(self, image: Tensor, across: Tensor | None) -> Output:
        """As `forward`, of an image as it is given, its greys made comparable; `across`: see `Contralateral`."""

    def _heard_by_class(self, weight: Tensor) -> Tensor:
        """A head's weights, (C, F) or (C, F, 1, 1), without what a class does not hear."""
        return weight * self._heard.view(*self._heard.shape, *weight.shape[2:]) if self._compares else weight

    def _look(self, image: Tensor, across: Tensor | None) -> tuple[Tensor, Tensor]:
        """(N, F, h, w) features, and the profile. The profile is only made in evaluation mode; in training it is the
        pooled features."""
        features, looks = image, []
        for stage in self.features:
            features = stage(features, across) if isinstance(stage, Sides) else stage(features)
            if not self.training and not isinstance(stage, _INCOMPLETE):
                looks.append(_moments(features))
        return features, torch.cat(looks, dim=1) if looks else features.mean(dim=(2, 3))


def fused(network: Network) -> Network:
    """The same network for reading only: batch normalisation right after a convolution becomes part of its weights
    (Jacob et al., CVPR 2018, section 3.2)."""
    network = copy.deepcopy(network).eval()
    for parent in [module for module in network.modules() if not isinstance(module, nn.Sequential)]:
        for name, child in parent.named_children():
            if isinstance(child, nn.Sequential):
                setattr(parent, name, _fused(child))
    return network


def _fused(stages: nn.Sequential) -> nn.Sequential:
    kept: list[nn.Module] = []
    for stage in stages:
        if isinstance(stage, nn.BatchNorm2d) and kept and isinstance(kept[-1], nn.Conv2d):
            kept[-1] = fuse_conv_bn_eval(kept[-1], stage)
        else:
            kept.append(_fused(stage) if isinstance(stage, nn.Sequential) else stage)
    return nn.Sequential(*kept)


def _heard(features: Features, classes: Sequence[str]) -> Tensor:
    """(C, F): 1 where a class hears a channel. Only ischemia is told by comparing the two sides; blood is seen by
    itself, and what hemorrhages were found to differ by in some heads from the other side does not hold for others."""
    heard = torch.ones(len(classes), features.channels)
    if features.compared:
        heard[[label != ISCHEMIC for label in classes], -features.compared :] = 0
    return heard


class Classifier(Network):
    """Features -> average pooling -> dropout -> linear."""

    def __init__(
        self,
        features: Features,
        classes: Sequence[str],
        dropout: float,
        intensity: str = "window",
    ) -> None:
        super().__init__(features, classes, intensity)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features.channels, len(classes))

    def _answer(self, image: Tensor, across: Tensor | None) -> Output:
        features, profile = self._look(image, across)
        weight = self._heard_by_class(self.head.weight)
        maps = torch.einsum("nfhw,cf->nchw", features, weight.to(features.dtype))
        return Output(F.linear(self.dropout(features.mean(dim=(2, 3))), weight, self.head.bias), maps, profile)


class Localiser(Network):
    """Features -> dropout -> a linear layer at every place -> a soft maximum over places.

    The last class is what a place shows where it shows no other: a logit is how much, at its strongest places, a class
    stands out from it; log-mean-exp pooling of sharpness `SHARPNESS` (Pinheiro & Collobert, CVPR 2015, eq. 6).
    """

    SHARPNESS = 4.0

    def __init__(
        self,
        features: Features,
        classes: Sequence[str],
        dropout: float,
        intensity: str = "window",
    ) -> None:
        super().__init__(features, classes, intensity)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(features.channels, len(classes), 1)
        self.gain = nn.Parameter(torch.zeros(len(classes) - 1))  # log of what a pooled value is multiplied by
        self.bias = nn.Parameter(torch.zeros(len(classes) - 1))

    def _answer(self, image: Tensor, across: Tensor | None) -> Output:
        features, profile = self._look(image, across)
        weight = self._heard_by_class(self.head.weight)
        maps = F.conv2d(self.dropout(features), weight, self.head.bias).float()
        outstanding = (maps[:, :-1] - maps[:, -1:]).flatten(2) * self.SHARPNESS
        pooled = (torch.logsumexp(outstanding, dim=2) - math.log(outstanding.shape[2])) / self.SHARPNESS
        logits = pooled * self.gain.exp() + self.bias
        return Output(torch.cat([logits, torch.zeros_like(logits[:, :1])], dim=1), maps, profile)


HEADS: Mapping[str, type[Classifier] | type[Localiser]] = {"mean": Classifier, "strongest": Localiser}


def build(
    arch: str,
    classes: Sequence[str],
    *,
    width: int = 32,
    dropout: float = 0.3,
    weights: str | Path = "none",
    head: str = "mean",
    intensity: str = "window",
    upright: bool = False,
    mirror: bool = False,
) -> Network:
    """A network for these classes, in this order. `width`: channels of our own networks' first layer; the others have
    theirs.

    `weights`: "none" (from scratch), "imagenet" (torchvision's, downloaded), or the path of a state dict with
    torchvision's names for `arch`. `head`, `intensity`, `upright` and `mirror`: see `HEADS` and
    `Network`.

    Raises ValueError for an unknown architecture, a state dict that does not fit, or classes that the head or the
    architecture cannot tell apart, ConnectionError where weights cannot be downloaded.
    """
    features = features_of(arch, width, weights)
    if head == "strongest" and classes[-1] != NO_STROKE:
        raise ValueError(
            "A head that looks for the strongest place (head: strongest) needs scans without stroke, which show what a "
            "place without a finding looks like. Add a class no_stroke, or choose head: mean."
        )
    if features.compared and ISCHEMIC not in classes:
        raise ValueError(
            f"{arch} compares the sides of a head for the ischemic class alone, which is not among "
            f"{', '.join(classes)}. Choose --arch lesion_cnn."
        )
    network = HEADS[head](features, classes, dropout, intensity)
    network.upright, network.mirror = upright, mirror
    return network
