"""What may vary between two scans of the same finding: pose, side, and how the window was set."""

import math

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor


class Augmentation(BaseModel):
    """Ranges, each drawn uniformly and independently per scan; all zero means no change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rotation: float = Field(12.0, ge=0, le=180, description="degrees, either way")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a left-right mirror")
    shift: float = Field(0.05, ge=0, le=0.5, description="share of the side, either way")
    scale: float = Field(0.08, ge=0, lt=1, description="share of the size, either way")
    contrast: float = Field(0.15, ge=0, lt=1, description="share of the grey range, either way")
    brightness: float = Field(0.05, ge=0, lt=1, description="share of full white, either way")


def augment(x: Tensor, ranges: Augmentation, generator: torch.Generator) -> Tensor:
    """Vary a batch. (N, 1, S, S) in [0, 1] -> the same shape and range; what turns in from outside is black.

    `generator` is on the CPU, so that a seed gives the same draws on every device.
    """
    n = x.shape[0]

    def draw(limit: float, *shape: int) -> Tensor:
        return ((torch.rand(n, *shape, generator=generator) * 2 - 1) * limit).to(x.device)

    angle = draw(math.radians(ranges.rotation))
    size = 1 + draw(ranges.scale)
    side = torch.where(torch.rand(n, generator=generator).to(x.device) < ranges.flip, -1.0, 1.0)
    shift = draw(2 * ranges.shift, 2)  # grid units: the image is 2 wide
    rows = [
        torch.stack([size * angle.cos() * side, -size * angle.sin(), shift[:, 0]], dim=1),
        torch.stack([size * angle.sin() * side, size * angle.cos(), shift[:, 1]], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
    moved = F.grid_sample(x, grid, align_corners=False)
    contrast, brightness = 1 + draw(ranges.contrast, 1, 1, 1), draw(ranges.brightness, 1, 1, 1)
    return (moved * contrast + brightness).clamp(0, 1)


def as_elsewhere(x: Tensor, generator: torch.Generator) -> Tensor:
    """The same heads as another hospital might send them: other pose, window, resolution and noise.

    (N, 1, S, S) in [0, 1] -> the same. Much wider than what training varies; used to learn what is still a head CT.
    """
    n = x.shape[0]

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, 1, 1, generator=generator)

    pose = Augmentation(rotation=25, flip=0.5, shift=0.08, scale=0.15, contrast=0, brightness=0)
    moved = augment(x, pose, generator)
    centre, width = draw(0.2, 0.8), torch.exp(draw(-0.7, 0.9))
    x = torch.where(moved > 0.02, (moved - centre) / width + 0.5, 0).clamp(0, 1)  # air stays black
    coarse = F.interpolate(F.interpolate(x, scale_factor=0.5, mode="bilinear"), size=x.shape[-2:], mode="bilinear")
    x = torch.where(draw(0, 1) < 0.3, coarse, x)
    return (x + torch.randn(x.shape, generator=generator) * draw(0, 0.04)).clamp(0, 1)
