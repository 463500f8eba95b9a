"""What may vary between two scans of the same finding: pose, side, how the window was set, and the hospital."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from core.artefacts import BONE, annotated, cupped, mark_margins, smeared, streaked
from core.settings import Augmentation

AIR = 0.004
"""A grey below this is the window's floor: nothing is known of how far below it lies."""
ANY_WAY_UP = 0.25
"""Share of the scans from elsewhere that are turned by any angle, a half of them by quarter turns and little more."""
POINTED_AT = 0.2
"""Share of them with arrows or the like."""


def augment(x: Tensor, ranges: Augmentation, generator: torch.Generator) -> Tensor:
    """Vary a batch. (N, 1, S, S) in [0, 1] -> the same shape and range; what turns in from outside is black.

    `generator` is on the CPU, so that a seed gives the same draws on every device.
    """
    return grey(moved(x, poses(len(x), ranges, generator)), ranges, generator)


def poses(n: int, ranges: Augmentation, generator: torch.Generator) -> Tensor:
    """(N, 2, 3) affine maps for `moved`, drawn from the ranges."""

    def draw(limit: float, *shape: int) -> Tensor:
        return (torch.rand(n, *shape, generator=generator) * 2 - 1) * limit

    angle = draw(math.radians(ranges.rotation))
    if ranges.elsewhere:
        any_way = torch.rand(n, generator=generator) < ANY_WAY_UP * ranges.elsewhere
        quarters = torch.randint(1, 4, (n,), generator=generator) * (math.pi / 2)
        turned = torch.where(torch.rand(n, generator=generator) < 0.5, angle + quarters, draw(math.pi))
        angle = torch.where(any_way, turned, angle)
    size = 1 + draw(ranges.scale)
    side = torch.where(torch.rand(n, generator=generator) < ranges.flip, -1.0, 1.0)
    shift = draw(2 * ranges.shift, 2)  # grid units: the image is 2 wide
    rows = [
        torch.stack([size * angle.cos() * side, -size * angle.sin(), shift[:, 0]], dim=1),
        torch.stack([size * angle.sin() * side, size * angle.cos(), shift[:, 1]], dim=1),
    ]
    return torch.stack(rows, dim=1)


def moved(x: Tensor, pose: Tensor, side: int | None = None) -> Tensor:
    """Images or masks (N, 1, S, S), each in its pose; with `side` pixels a side instead of S, where given."""
    shape = [*x.shape[:2], side, side] if side else list(x.shape)
    grid = F.affine_grid(pose.to(x.device), shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def grey(x: Tensor, ranges: Augmentation, generator: torch.Generator) -> Tensor:
    """Vary contrast and brightness, and for a share of the scans everything that another hospital may do."""
    n = len(x)

    def draw(limit: float) -> Tensor:
        return ((torch.rand(n, 1, 1, 1, generator=generator) * 2 - 1) * limit).to(x.device)

    contrast, brightness = 1 + draw(ranges.contrast), draw(ranges.brightness)
    varied = (x * contrast + brightness).clamp(0, 1)
    away = torch.rand(n, generator=generator) < ranges.elsewhere
    if away.any():
        varied[away] = as_elsewhere(x[away], ranges, generator)
    return varied


def as_elsewhere(x: Tensor, ranges: Augmentation, generator: torch.Generator) -> Tensor:
    """The same heads as another hospital might send them: cupping, motion, window narrow to wide and dark, streaks,
    resolution, kernel, noise, arrows, JPEG, marks burned in. (N, 1, S, S) in [0, 1], of a window that shows brain in
    the middle -> the same."""
    draws = _Draws(len(x), generator, x.device)
    shares = ranges.motion, ranges.smoothed, ranges.streaks, POINTED_AT
    moving, smoothed, streaky, pointed = (draws.some(share) for share in shares)
    y = _extended(x, draws)
    cups = draws.some(ranges.cupping)
    y[cups] = cupped(y[cups], generator)
    y[moving] = smeared(y[moving], generator)
    y = _rewindowed(y, ranges.narrow, draws)
    y[smoothed] = smeared(y[smoothed].clamp(0, 1), generator)  # as displayed: without what the window has cut off
    y[streaky] = streaked(y[streaky], generator)
    soft = _blurred(y)
    kind = draws.uniform(0, 1)
    coarse = F.interpolate(F.avg_pool2d(y, 2), size=x.shape[-2:], mode="bilinear")
    sharp = y + draws.uniform(0.3, 2.0) * (y - soft)
    y = torch.where(kind < 0.12, coarse, torch.where(kind < 0.3, soft, torch.where(kind < 0.5, sharp, y)))
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    noise = torch.where(draws.chance(0.5), noise, 2 * _blurred(noise))
    y = (y + noise * draws.uniform(0, 1) ** 3 * 0.09).clamp(1e-4, 1)
    gamma = torch.where(draws.chance(0.2), draws.log_uniform(0.75, 1.35), 1.0)
    y = y**gamma
    y[pointed] = annotated(y[pointed], generator)
    if x.shape[-1] % 8 == 0:
        y = torch.where(draws.chance(0.4), as_jpeg(y, draws.log_uniform(15, 90)), y)
    mark_margins(y, generator)
    return (y * 255).round() / 255


class _Draws:
    """Random numbers, one for each scan of a batch, shaped (N, 1, 1, 1)."""

    def __init__(self, n: int, generator: torch.Generator, device: torch.device) -> None:
        self._n, self._generator, self._device = n, generator, device

    def uniform(self, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(self._n, 1, 1, 1, generator=self._generator).to(self._device)

    def log_uniform(self, low: float, high: float) -> Tensor:
        return torch.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, probability: float) -> Tensor:
        return self.uniform(0, 1) < probability

    def some(self, share: float) -> Tensor:
        """(M,) the places of about that share of the batch."""
        if not share:
            return torch.empty(0, dtype=torch.int64)
        return torch.nonzero(self.chance(share).flatten())[:, 0]


def _extended(x: Tensor, draws: _Draws) -> Tensor:
    """What lies beyond the window that the scan came with, made up: bone far above it, fat or air below."""
    beyond = x > BONE
    x = x + _blurred(beyond.float()) * beyond * draws.uniform(0.8, 7.5)
    around = F.interpolate(F.avg_pool2d(x, 16), size=x.shape[-2:], mode="bilinear")
    fat = draws.uniform(-3.2, -0.15)
    return torch.where(x < AIR, torch.where(around < 0.06, -8.0, fat), x)


def _rewindowed(x: Tensor, narrow: float, draws: _Draws) -> Tensor:
    """Another window, 0.45 to 3.4 times as wide, brain not always in its middle, two in five much as brain is read in;
    a share of them `narrow`, as strokes are looked for in. May leave [0, 1] a little."""
    kind = draws.uniform(0, 1)
    usual = kind < 0.4 * (1 - narrow)
    width = torch.where(usual, draws.log_uniform(0.55, 1.2), draws.log_uniform(0.45, 3.4))
    off = torch.where(usual, draws.uniform(-0.12, 0.12), draws.uniform(-0.25, 0.3))
    if narrow:
        tight = kind >= 1 - narrow
        width = torch.where(tight, draws.log_uniform(0.3, 0.55), width)
        off = torch.where(tight, draws.uniform(-0.12, 0.12), off)
    return ((x - (0.46 + off * width)) / width + 0.5).clamp(-0.3, 1.3)


def _blurred(x: Tensor) -> Tensor:
    """The binomial kernel 1 2 1, both ways."""
    across = F.pad(x, (1, 1, 0, 0), mode="replicate")
    x = (across[..., :-2] + across[..., 2:]) / 4 + x / 2
    along = F.pad(x, (0, 0, 1, 1), mode="replicate")
    return (along[..., :-2, :] + along[..., 2:, :]) / 4 + x / 2


_FREQUENCY = torch.arange(8.0)
_COSINES = torch.cos((2 * _FREQUENCY[None] + 1) * _FREQUENCY[:, None] * math.pi / 16) / 2
_COSINES[0] /= math.sqrt(2)
_QUANTISATION = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float32,
)
"""The luminance table of ITU-T T.81, annex K.1."""


def as_jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """What JPEG at a quality of 1 to 100, (N, 1, 1, 1), leaves of images whose side is a multiple of 8."""
    n, _, height, width = x.shape
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[..., None] / 100
    table = (_QUANTISATION.to(x.device) * scale).clamp(min=1)
    cosines = _COSINES.to(x.device)
    blocks = x.reshape(n, height // 8, 8, width // 8, 8).transpose(2, 3) * 255 - 128
    kept = (cosines @ blocks @ cosines.T / table).round() * table
    back = (cosines.T @ kept @ cosines + 128) / 255
    return back.transpose(2, 3).reshape(x.shape).clamp(0, 1)
