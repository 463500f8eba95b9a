"""What a head that moved, a scanner or a hand leaves in an image without saying anything of a stroke: motion and thick
slices, streaks, cupping, arrows and measures, letters and scale bars. All classes meet them alike."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BONE = 0.97
"""A grey from here up is bone."""
CUP_CELLS = 32
"""Cells a side in which a bright rim is drawn."""


def smeared(x: Tensor, generator: torch.Generator) -> Tensor:
    """Heads that moved, or slices so thick that neighbours show through: each image with two others of nearly its
    pose. (N, 1, S, S) of any range -> the same."""
    n = len(x)
    if not n:
        return x

    def draw(limit: float, *shape: int) -> Tensor:
        return ((torch.rand(n, *shape, generator=generator) * 2 - 1) * limit).to(x.device)

    own = 0.4 + 0.5 * torch.rand(n, generator=generator).to(x.device)
    first = (1 - own) * torch.rand(n, generator=generator).to(x.device)
    mean = x * own[:, None, None, None]
    for weight in (first, 1 - own - first):
        angle, size, shift = draw(math.radians(3)), 1 + draw(0.05), draw(0.05, 2)
        rows = [
            torch.stack([size * angle.cos(), -size * angle.sin(), shift[:, 0]], dim=1),
            torch.stack([size * angle.sin(), size * angle.cos(), shift[:, 1]], dim=1),
        ]
        grid = F.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
        other = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        mean = mean + other * weight[:, None, None, None]
    return mean


def streaked(x: Tensor, generator: torch.Generator, lines: int = 3) -> Tensor:
    """Bright and dark streaks across the head, as from metal or between dense bones. (N, 1, S, S) in [0, 1] -> the
    same, a little beyond it."""
    n = len(x)
    across, down = _coordinates(x.shape[-1], x.device)
    head = (x > 0.02).float()
    for _ in range(lines):
        angle, row, column, fine, strong = torch.rand(5, n, 1, 1, 1, generator=generator).to(x.device)
        off = (across - column * 1.2 + 0.6) * (angle * math.pi).cos() + (down - row * 1.2 + 0.6) * (
            angle * math.pi
        ).sin()
        x = x + (strong - 0.5) * 0.3 * torch.exp(-((off / (0.01 + 0.05 * fine)) ** 2)) * head
    return x


def cupped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Heads whose brain grows brighter towards the skull, as hardened beams and blurred bone leave it (Barrett & Keat,
    RadioGraphics 2004;24:1679), or, where that was corrected too much, a little darker; near bone alone or far in, and
    most where bone lies all around. (N, 1, S, S) of a window that shows brain -> the same, a little beyond."""
    n, side = len(x), x.shape[-1]
    if not n:
        return x
    strong, far = torch.rand(2, n, 1, 1, 1, generator=generator).to(x.device)
    near = F.adaptive_avg_pool2d((x > BONE).float(), CUP_CELLS)
    wide = near
    for _ in range(4):
        wide = F.avg_pool2d(wide, 3, 1, 1, count_include_pad=False)
    rim = F.interpolate(torch.lerp(near, (2 * wide).clamp(max=1), far), size=(side, side), mode="bilinear")
    return x + (0.6 * strong - 0.1) * rim


def annotated(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images with arrows, arrow heads, measures or rings over some place, mostly white. (N, 1, S, S) -> the same."""
    x = x.clone()
    across, down = _coordinates(x.shape[-1], x.device)
    for image in x[:, 0]:
        draw = _KINDS[int(torch.randint(len(_KINDS), (), generator=generator))]
        shade, grey = torch.rand(2, generator=generator).tolist()
        colour = 1.0 if shade < 0.65 else grey
        for _ in range(int(torch.randint(1, 4, (), generator=generator))):
            at = (torch.rand(2, generator=generator) * 1.5 - 0.75).tolist()
            angle, length, width = torch.rand(3, generator=generator).tolist()
            sin, cos = math.sin(angle * 2 * math.pi), math.cos(angle * 2 * math.pi)
            u = (across - at[0]) * cos + (down - at[1]) * sin
            v = (down - at[1]) * cos - (across - at[0]) * sin
            inked = draw(u, v.abs(), 0.08 + 0.25 * length, 0.008 + 0.03 * width)
            image[inked] = colour
    return x


def _arrow(u: Tensor, v: Tensor, length: float, width: float) -> Tensor:
    tip = max(0.35 * length, 2.5 * width)
    return ((u > 0) & (u < tip) & (v < 0.5 * u)) | ((u >= tip) & (u < length) & (v < width / 2))


def _arrow_head(u: Tensor, v: Tensor, length: float, width: float) -> Tensor:
    return (u > 0) & (u < 0.5 * length) & (v < (0.25 + 10 * width) * u)


def _measure(u: Tensor, v: Tensor, length: float, width: float) -> Tensor:
    ends = ((u.abs() < width / 2) | ((u - length).abs() < width / 2)) & (v < 2.5 * width)
    return ends | ((u > 0) & (u < length) & (v < width / 2))


def _ring(u: Tensor, v: Tensor, length: float, width: float) -> Tensor:
    return (torch.hypot(u, v) - length).abs() < width / 2


_KINDS = (_arrow, _arrow, _arrow_head, _measure, _ring)


def _coordinates(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(1, S) and (S, 1), from -1 to 1 across and down an image."""
    line = torch.linspace(-1, 1, side, device=device)
    return line[None], line[:, None]


def mark_margins(x: Tensor, generator: torch.Generator, share: float = 0.15) -> None:
    """Burn small bright bars, as letters and scales have them, into the margins of some images. In place."""
    side = x.shape[-1]
    for i in torch.nonzero(torch.rand(len(x), generator=generator) < share)[:, 0].tolist():
        for _ in range(int(torch.randint(1, 6, (), generator=generator))):
            height, width = torch.randint(1, max(2, side // 16), (2,), generator=generator).tolist()
            row = int(torch.randint(0, side, (), generator=generator))
            column = int(torch.randint(0, max(1, side // 9), (), generator=generator))
            far, turned, bright = torch.rand(3, generator=generator).tolist()
            column = column if far < 0.5 else side - 1 - column
            row, column = (column, row) if turned < 0.3 else (row, column)
            x[i, 0, row : row + height, column : column + width] = 0.5 + bright / 2
