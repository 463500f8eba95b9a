"""The network: convolutional features, global average pooling, dropout, one linear layer.

With that head the class-activation map is a by-product of the forward pass: the linear layer, applied to the
features before pooling instead of after (Zhou et al., CVPR 2016, eq. 2).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from core.vision import torchvision_models

BRAIN_GREY, BRAIN_SPREAD = 0.4, 0.25
"""What inputs are centred and scaled by: brain tissue in a brain window sits near 0.4."""


class Output(NamedTuple):
    """What one forward pass gives for N scans and C classes."""

    logits: Tensor  # (N, C)
    maps: Tensor  # (N, C, h, w); their mean over h, w plus the bias is the logit
    profile: Tensor  # (N, F), mean and spread of every channel at every depth: what the image looks like


_INCOMPLETE = (nn.Conv2d, nn.BatchNorm2d)
"""Stages whose activation is yet to come."""


def _look(features: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, 2 C): each channel's mean and standard deviation over the image."""
    flat = features.float().flatten(2)
    return torch.cat([flat.mean(dim=2), flat.std(dim=2, correction=0)], dim=1)


class Classifier(nn.Module):
    """Features -> average pooling -> dropout -> linear. Input (N, 1, S, S) in [0, 1].

    The profile is only made in evaluation mode; in training it is the pooled features.
    """

    def __init__(self, features: nn.Sequential, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Output:
        features, looks = (x - BRAIN_GREY) / BRAIN_SPREAD, []
        for stage in self.features:
            features = stage(features)
            if not self.training and not isinstance(stage, _INCOMPLETE):
                looks.append(_look(features))
        pooled = features.mean(dim=(2, 3))
        maps = torch.einsum("nfhw,cf->nchw", features, self.head.weight.to(features.dtype))
        return Output(self.head(self.dropout(pooled)), maps, torch.cat(looks, dim=1) if looks else pooled)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, added to a shortcut (He et al., CVPR 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _stroke_cnn(classes: int, dropout: float, pretrained: bool, width: int) -> Classifier:
    if pretrained:
        raise ValueError("stroke_cnn has no ImageNet weights. Leave --weights out, or choose another --arch.")
    features = nn.Sequential(
        nn.Conv2d(1, width, 5, 2, 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        ResidualBlock(width, 2 * width, 2),
        ResidualBlock(2 * width, 2 * width, 1),
        ResidualBlock(2 * width, 4 * width, 2),
        ResidualBlock(4 * width, 4 * width, 1),
        ResidualBlock(4 * width, 8 * width, 2),
        ResidualBlock(8 * width, 8 * width, 1),
    )
    return Classifier(features, 8 * width, classes, dropout)


def _to_one_channel(model: nn.Module) -> None:
    """Give the first convolution one grey input channel: the sum over RGB answers grey as it answered colour."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            shape: dict[str, Any] = {
                "kernel_size": module.kernel_size,
                "stride": module.stride,
                "padding": module.padding,
            }
            grey = nn.Conv2d(1, module.out_channels, **shape, bias=module.bias is not None)
            grey.weight.data = module.weight.data.sum(dim=1, keepdim=True)
            if module.bias is not None and grey.bias is not None:
                grey.bias.data = module.bias.data
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, grey)
            return


def _backbone(
    name: str, weights: str, cut: Callable[[nn.Module], nn.Sequential], channels: int
) -> Callable[..., Classifier]:
    def make(classes: int, dropout: float, pretrained: bool, _width: int) -> Classifier:
        models = torchvision_models()
        try:
            model = getattr(models, name)(weights=weights if pretrained else None)
        except OSError as error:  # URLError is one
            raise ConnectionError(
                f"The ImageNet weights for {name} could not be downloaded. Connect this machine to the network once, "
                "give the path of a downloaded state dict to --weights, or train from scratch without --weights."
            ) from error
        features = cut(model)
        _to_one_channel(features)
        return Classifier(features, channels, classes, dropout)

    return make


def _resnet_features(model: nn.Module) -> nn.Sequential:
    return nn.Sequential(*list(model.children())[:-2])  # all but the pooling and the ImageNet head


def _plain_features(model: nn.Module) -> nn.Sequential:
    return nn.Sequential(*model.get_submodule("features").children())


ARCHITECTURES: Mapping[str, Callable[..., Classifier]] = {
    "stroke_cnn": _stroke_cnn,
    "resnet18": _backbone("resnet18", "IMAGENET1K_V1", _resnet_features, 512),
    "resnet50": _backbone("resnet50", "IMAGENET1K_V2", _resnet_features, 2048),
    "efficientnet_b0": _backbone("efficientnet_b0", "IMAGENET1K_V1", _plain_features, 1280),
    "mobilenet_v3_small": _backbone("mobilenet_v3_small", "IMAGENET1K_V1", _plain_features, 576),
    "convnext_tiny": _backbone("convnext_tiny", "IMAGENET1K_V1", _plain_features, 768),
}


def build(
    arch: str, classes: int, *, width: int = 32, dropout: float = 0.3, weights: str | Path = "none"
) -> Classifier:
    """A network for `classes` classes. `width`: channels of stroke_cnn's first layer; the others have theirs.

    `weights`: "none" (from scratch), "imagenet" (torchvision's, downloaded), or the path of a state dict with
    torchvision's names for `arch`.

    Raises ValueError for an unknown architecture or a state dict that does not fit, ConnectionError where
    weights cannot be downloaded.
    """
    if arch not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {arch!r}, must be one of {', '.join(ARCHITECTURES)}")
    if str(weights) in ("none", "imagenet"):
        return ARCHITECTURES[arch](classes, dropout, str(weights) == "imagenet", width)
    return _from_state_dict(arch, classes, dropout, Path(weights))


def _from_state_dict(arch: str, classes: int, dropout: float, path: Path) -> Classifier:
    """A backbone from a downloaded torchvision state dict; its ImageNet head is left out."""
    if arch == "stroke_cnn":
        raise ValueError("a state dict of torchvision's needs one of torchvision's architectures: choose --arch")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"There is no weights file {path}.") from error
    except Exception as error:  # torch.load raises many kinds for a file that is not its own
        raise ValueError(f"{path} is not a PyTorch state dict.") from error
    model = getattr(torchvision_models(), arch)(weights=None)
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"The weights in {path} do not fit {arch}.") from error
    features = (_resnet_features if arch.startswith("resnet") else _plain_features)(model)
    _to_one_channel(features)
    return Classifier(features, build(arch, classes).head.in_features, classes, dropout)
