"""What a network does to an image before its first layer, so that pose and window matter little."""

import torch
import torch.nn.functional as F
from torch import Tensor

BRAIN_GREY, BRAIN_SPREAD = 0.4, 0.25
"""What inputs are centred and scaled by: brain tissue in a brain window sits near 0.4."""
HEAD_GREY, LYING = 0.08, 1.1
"""What is brighter than the first is head; a head this much wider than tall lies on its side."""


def lying(x: Tensor) -> Tensor:
    """(N, 1, S, S) in [0, 1] -> (N,) bool: whether the head is wider than tall, as one on its side is. Upright, an
    axial section is longer from front to back. Measured as the spread (standard deviation) of what is head."""
    head = (x[:, 0] > HEAD_GREY).float()
    line = torch.arange(x.shape[-1], device=x.device, dtype=torch.float32)

    def variance(profile: Tensor) -> Tensor:
        share = profile / profile.sum(dim=1, keepdim=True).clamp(min=1)
        centre = (share * line).sum(dim=1, keepdim=True)
        return (share * (line - centre) ** 2).sum(dim=1)

    return variance(head.sum(dim=1)) > LYING**2 * variance(head.sum(dim=2))


_PATCHES, _REACH = 40, 0.75
_USUAL_SPREAD, _TRUST = 0.045, 0.6


def centred(x: Tensor) -> Tensor:
    """(N, 1, S, S) in [0, 1] -> the same shape in [-1.5, 2]: brain tissue near 0, whatever the window.

    Brain is by far the most even tissue of a head: of small patches in the middle of the image, neither black nor
    white and of the more even ones, the shortest interval of grey that holds half of them gives its level and spread
    (the shorth; Andrews et al., Robust Estimates of Location, 1972). The spread is drawn towards that of a brain
    window 120 HU wide, for in a single slice it is a coarse measure.
    """
    mean = F.adaptive_avg_pool2d(x, _PATCHES)
    uneven = (F.adaptive_avg_pool2d(x * x, _PATCHES) - mean * mean).clamp(min=0).sqrt()
    line = torch.linspace(-1, 1, _PATCHES, device=x.device)
    middle = (line[:, None] ** 2 + line**2 < _REACH**2).flatten()
    mean, uneven = mean.flatten(1)[:, middle], uneven.flatten(1)[:, middle]
    top = x.flatten(1).amax(dim=1, keepdim=True)
    usable = (mean > 0.04 * top) & (mean < 0.9 * top)
    limit = torch.nanquantile(torch.where(usable, uneven, torch.nan), 0.6, dim=1, keepdim=True)
    usable &= uneven <= limit
    level, spread = _shorth(torch.where(usable, mean, torch.inf), usable.sum(dim=1))
    spread = _USUAL_SPREAD * (spread.clamp(0.008, 0.12) / _USUAL_SPREAD) ** _TRUST
    return ((x - level[:, None, None, None]) / (6 * spread[:, None, None, None])).clamp(-1.5, 2)


def _shorth(values: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Middle and length, (N,) each, of the shortest interval with half of each row's finite values, (N, K)."""
    ordered, half = values.sort(dim=1).values, (counts * 0.5).long().clamp(min=4)[:, None]
    first = torch.arange(values.shape[1], device=values.device)[None]
    last = (first + half).clamp(max=values.shape[1] - 1)
    length = torch.where(first + half < counts[:, None], ordered.gather(1, last) - ordered, torch.inf)
    shortest, at = length.min(dim=1)
    found = torch.isfinite(shortest)
    low = ordered.gather(1, at[:, None])[:, 0]
    return torch.where(found, low + shortest / 2, BRAIN_GREY), torch.where(found, shortest, _USUAL_SPREAD)
