"""What lies before a network's head: convolutional features of our own, and torchvision's by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.vision import torchvision_models


class Features(NamedTuple):
    """What lies before a head."""

    stages: nn.Sequential
    channels: int  # that the last stage gives
    compared: int = 0  # how many of these, the last ones, come of comparing the two sides of a head


def features_of(arch: str, width: int, weights: str | Path) -> Features:
    """Features by name; `width` and `weights` as `core.network.build` takes them, and errors as it raises them."""
    if arch in OWN:
        if str(weights) != "none":
            raise ValueError(
                f"{arch} has no ImageNet weights and takes none of torchvision's. Leave --weights out, or choose "
                "another --arch."
            )
        return OWN[arch](width)
    if arch in BACKBONES:
        return _backbone(arch, weights)
    raise ValueError(f"unknown architecture {arch!r}, must be one of {', '.join(ARCHITECTURES)}")


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
                nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _trunk(width: int) -> list[nn.Module]:
    """What both of our own networks begin with: down to an eighth of the side, `4 * width` channels."""
    return [
        nn.Conv2d(1, width, 5, 2, 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        ResidualBlock(width, 2 * width, 2),
        ResidualBlock(2 * width, 2 * width, 1),
        ResidualBlock(2 * width, 4 * width, 2),
        ResidualBlock(4 * width, 4 * width, 1),
    ]


def _stroke_cnn(width: int) -> Features:
    features = nn.Sequential(
        *_trunk(width),
        ResidualBlock(4 * width, 8 * width, 2),
        ResidualBlock(8 * width, 8 * width, 1),
    )
    return Features(features, 8 * width)


class Context(nn.Module):
    """Adds to each place what a coarser look at its surroundings finds (Lin et al., CVPR 2017, one level)."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.around = nn.Sequential(ResidualBlock(inputs, inner, 2), ResidualBlock(inner, inner, 1))
        self.merge = nn.Sequential(
            nn.Conv2d(inputs + inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        around = F.interpolate(self.around(x), size=x.shape[-2:], mode="bilinear")
        if around.requires_grad:  # a slice of what comes back from `merge`, which is enlarged slowly as it lies
            around.register_hook(_channels_last)
        return self.merge(torch.cat([x, around], dim=1))


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


class Contralateral(nn.Module):
    """What a place looks like beside its mirror place across the head's midline, as a reader compares the two sides."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.context = Context(2 * inputs, inner, outputs)

    def forward(self, x: Tensor, across: Tensor) -> Tensor:
        """(N, F, h, w) features, and (N, 2, 3) where each place's mirror place lies (`reflection`)."""
        grid = F.affine_grid(across, [len(x), 1, *x.shape[-2:]], align_corners=False)
        mirrored = F.grid_sample(x.float(), grid, align_corners=False).to(x.dtype)
        return self.context(torch.cat([x, x - mirrored], dim=1))


class Sides(nn.Module):
    """What is seen at a place, and after it, in channels of its own, what comparing it with its mirror place adds."""

    def __init__(self, seen: Context, compared: Contralateral) -> None:
        super().__init__()
        self.seen, self.compared = seen, compared

    def forward(self, x: Tensor, across: Tensor) -> Tensor:
        return torch.cat([self.seen(x), self.compared(x, across)], dim=1)


def _lesion_cnn(width: int) -> Features:
    return Features(nn.Sequential(*_trunk(width), Context(4 * width, 8 * width, 6 * width)), 6 * width)


def _contralateral_cnn(width: int) -> Features:
    sides = Sides(Context(4 * width, 8 * width, 6 * width), Contralateral(4 * width, 4 * width, 3 * width))
    return Features(nn.Sequential(*_trunk(width), sides), 9 * width, 3 * width)


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


def _resnet_features(model: nn.Module) -> nn.Sequential:
    return nn.Sequential(*list(model.children())[:-2])  # all but the pooling and the ImageNet head


def _plain_features(model: nn.Module) -> nn.Sequential:
    return nn.Sequential(*model.get_submodule("features").children())


OWN: Mapping[str, Callable[[int], Features]] = {
    "stroke_cnn": _stroke_cnn,
    "lesion_cnn": _lesion_cnn,
    "contralateral_cnn": _contralateral_cnn,
}
BACKBONES: Mapping[str, tuple[str, Callable[[nn.Module], nn.Sequential], int]] = {
    "resnet18": ("IMAGENET1K_V1", _resnet_features, 512),
    "resnet50": ("IMAGENET1K_V2", _resnet_features, 2048),
    "efficientnet_b0": ("IMAGENET1K_V1", _plain_features, 1280),
    "mobilenet_v3_small": ("IMAGENET1K_V1", _plain_features, 576),
    "convnext_tiny": ("IMAGENET1K_V1", _plain_features, 768),
}
"""torchvision's: which ImageNet weights, what of it are features, how many channels."""
ARCHITECTURES = (*OWN, *BACKBONES)


def _backbone(arch: str, weights: str | Path) -> Features:
    kind, cut, channels = BACKBONES[arch]
    try:
        model = getattr(torchvision_models(), arch)(weights=kind if str(weights) == "imagenet" else None)
    except OSError as error:  # URLError is one
        raise ConnectionError(
            f"The ImageNet weights for {arch} could not be downloaded. Connect this machine to the network once, "
            "give the path of a downloaded state dict to --weights, or train from scratch without --weights."
        ) from error
    if str(weights) not in ("none", "imagenet"):
        _fill(model, arch, Path(weights))
    stages = cut(model)
    _to_one_channel(stages)
    return Features(stages, channels)


def _fill(model: nn.Module, arch: str, path: Path) -> None:
    """Load a downloaded torchvision state dict."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"There is no weights file {path}.") from error
    except Exception as error:  # torch.load raises many kinds for a file that is not its own
        raise ValueError(f"{path} is not a PyTorch state dict.") from error
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"The weights in {path} do not fit {arch}.") from error
