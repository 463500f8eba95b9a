"""Lesions so large that the brain gives way as a whole: the midline is pushed over, by little or far.

What `core/hemorrhages.py` and `core/infarcts.py` draw moves only what lies around it; the scans of a trauma set hold
few that do more. A collection as drawn here pushes the midline by a quarter to a half of its thickness; within the
skull's bounds what is pushed is squeezed, not cut off.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from core.anatomy import BONE_HU, Anatomy
from core.hemorrhages import OLD, simulate_hemorrhage
from core.infarcts import simulate_infarct
from core.labels import HEMORRHAGIC, ISCHEMIC
from core.lesions import VISIBLE, Lesion, against_skull, clutter_of, contrast_to_noise, grain_of, mean_over, noise
from core.lookalikes import wide_ventricles


class _Side(NamedTuple):
    """The brain row by row, seen from the side opposite to the lesion."""

    away: np.ndarray  # (S, S) columns from the opposite inner table, 0 there
    wide: np.ndarray  # (S, 1) columns between the two tables; 0 in rows without brain
    back: np.ndarray  # (S, 1) how far down the brain a row lies: -1 at its front, +1 at its back
    sign: int  # +1: the lesion lies on the image's right


def massive_hemorrhage(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """A hemorrhage that pushes the midline over: mostly a thick collection of any age over one hemisphere, or a clot in
    it. None at the skull's base and towards the vertex."""
    if brain.low or not brain.wide:
        return None
    if rng.random() < 0.65:
        return _thick_subdural(hu, brain, rng)
    lesion = simulate_hemorrhage(hu, brain, rng, "parenchymal")
    return _swollen(hu, lesion, brain, rng) if lesion else None


def massive_infarct(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """An infarct of the whole middle cerebral artery's territory that has swollen. None at the skull's base and towards
    the vertex."""
    if brain.low or not brain.wide:
        return None
    lesion = simulate_infarct(hu, brain, rng, "MCA", str(rng.choice(["acute", "subacute"])))
    return _swollen(hu, lesion, brain, rng) if lesion else None


MASSIVE: Mapping[str, Callable[[np.ndarray, Anatomy, np.random.Generator], Lesion | None]] = {
    HEMORRHAGIC: massive_hemorrhage,
    ISCHEMIC: massive_infarct,
}


def _swollen(hu: np.ndarray, lesion: Lesion, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """The lesion and its side of the brain wider, at the cost of the other; None for one that is too small or in the
    middle."""
    weight = lesion.mask.sum() / brain.brain.sum()
    x = float((brain.x * lesion.mask).sum() / lesion.mask.sum())
    if weight < 0.03 or abs(x) < 0.15:
        return None
    side = _seen_from_opposite(brain, 1 if x > 0 else -1)
    rows = np.arange(len(hu))[:, None]
    where = lesion.mask.sum(axis=1)
    middle = float((rows[:, 0] * where).sum() / where.sum())
    most = rng.uniform(0.04, min(0.12, 0.06 + weight / 2))
    shift = side.wide * most * np.exp(-(((rows - middle) / (rng.uniform(0.6, 1.0) * brain.radius)) ** 2)) * _held(side)
    source = side.away + 4 * shift * _share(side) * (1 - _share(side))
    mask = ndimage.map_coordinates(lesion.mask, [np.broadcast_to(rows, hu.shape), _columns(source, side)], order=1)
    grain = grain_of(hu)
    swollen = wide_ventricles(lesion.hu, brain, rng, -side.sign) if rng.random() < 0.4 else lesion.hu
    moved = _drawn_from(swollen, grain, source, side, brain)
    return Lesion(moved.astype(np.float32), mask * brain.brain, f"{lesion.kind}, massive")


def _thick_subdural(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """A collection of up to half of the hemisphere's width, its inner border flat or bulging; fresh, or of weeks, then
    often in chambers, between membranes denser than what they hold."""
    side = _seen_from_opposite(brain, int(rng.choice([-1, 1])))
    middle, half = rng.uniform(-0.7, 0.4), rng.uniform(0.5, 1.4)
    profile = np.clip(1 - ((side.back - middle) / half) ** 2, 0, 1) ** rng.uniform(0.5, 1.2)
    thick = side.wide * rng.uniform(0.08, 0.26) * profile
    if rng.random() < 0.4:  # also before the pole of the frontal lobe, up to the falx
        before = rng.uniform(-0.7, -0.3)
        thick += side.wide * rng.uniform(0.1, 0.3) * np.clip((before - side.back) / 0.3, 0, 1)
    thick *= np.clip(1 + 0.12 * noise(rng, len(hu), brain.radius / 2)[:, :1], 0.5, 1.5)
    thick = np.minimum(ndimage.gaussian_filter1d(thick, len(hu) / 80, axis=0), 0.45 * side.wide)
    left = np.maximum(side.wide - thick, 1)
    source = side.away + thick * np.clip(side.away / left, 0, 1) ** rng.uniform(0.8, 2.0)
    inside = (side.away > left) & (thick > 1) & brain.brain
    mask = against_skull(inside, brain, rng)
    if inside.sum() < 0.03 * brain.brain.sum():
        return None
    old = rng.random() < 0.6
    density = _of_weeks(brain, rng, inside) if old else _fresh(brain, rng)
    grain = grain_of(hu)
    if rng.random() < 0.5:
        hu = wide_ventricles(hu, brain, rng, -side.sign)  # the other side's, whose way out is shut
    pushed = _drawn_from(hu, grain, source, side, brain)
    filled = np.where(hu > BONE_HU, hu, pushed * (1 - mask) + (density + grain) * mask).astype(np.float32)
    if abs(contrast_to_noise(hu, filled, mask, clutter_of(hu, brain))) < VISIBLE:
        return None
    return Lesion(filled, mask.astype(np.float32), f"{OLD if old else 'subdural'}, massive")


def _fresh(brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Clotted blood, or blood that is partly liquid or still flows, in swirls."""
    level = rng.uniform(50, 75) + rng.uniform(0.5, 4) * noise(rng, len(brain.x), brain.radius / 7)
    if rng.random() < 0.4:
        level = level - np.clip(0.5 + noise(rng, len(brain.x), brain.radius / 3), 0, 1) * rng.uniform(10, 35)
    return level


def _of_weeks(brain: Anatomy, rng: np.random.Generator, inside: np.ndarray) -> np.ndarray:
    """Fluid between blood and water; settled, or in chambers of their own densities, with membranes between them and
    along the brain."""
    size = len(brain.x)
    level = np.full_like(brain.x, rng.uniform(10, 34)) + rng.uniform(0.3, 2) * noise(rng, size, brain.radius / 6)
    if rng.random() < 0.35:
        settled = np.clip((brain.y - rng.uniform(-0.3, 0.5)) / rng.uniform(0.05, 0.6), 0, 1)
        level = level + settled * rng.uniform(5, 35)
    if rng.random() < 0.5:
        chambers = noise(rng, size, brain.radius / rng.uniform(1.2, 3))
        level = level + np.sign(chambers) * rng.uniform(0, 10)
        down, across = np.gradient(chambers)
        steep = np.hypot(down, across) + 1e-6
        wall = np.exp(-((chambers / steep / (brain.radius * rng.uniform(0.01, 0.035))) ** 2))
        level = level + wall * rng.uniform(10, 40)
    if rng.random() < 0.4:
        depth = ndimage.distance_transform_edt(inside) / brain.radius
        patchy = np.clip(0.5 + noise(rng, size, brain.radius / 3), 0, 1) * (brain.depth > 0.05)
        level = level + np.exp(-((depth / rng.uniform(0.02, 0.06)) ** 2)) * patchy * rng.uniform(5, 35)
    return level


def _seen_from_opposite(brain: Anatomy, sign: int) -> _Side:
    """Rows of the brain, from its first to its last column; their ends smoothed over the rows."""
    size = len(brain.brain)
    some = np.asarray(brain.brain.any(axis=1))
    left = np.where(some, brain.brain.argmax(axis=1), size / 2).astype(np.float32)
    right = np.where(some, size - brain.brain[:, ::-1].argmax(axis=1), size / 2).astype(np.float32)
    left, right = (ndimage.gaussian_filter1d(edge, size / 40)[:, None] for edge in (left, right))
    columns = np.broadcast_to(np.arange(size, dtype=np.float32), (size, size))
    away = columns - left if sign > 0 else right - 1 - columns
    first, last = np.nonzero(some)[0][[0, -1]]
    back = (np.arange(size)[:, None] - (first + last) / 2) / max(1.0, (last - first) / 2)
    return _Side(away, np.maximum(right - left, 0) * some[:, None], back, sign)


def _share(side: _Side) -> np.ndarray:
    """(S, S), 0 at the opposite inner table and beyond, 1 at the lesion's."""
    return np.clip(side.away / np.maximum(side.wide, 1), 0, 1)


def _held(side: _Side) -> np.ndarray:
    """(S, 1), how free the midline is: at both ends the falx holds it."""
    return np.clip((1 - np.abs(side.back)) / 0.35, 0, 1)


def _columns(source: np.ndarray, side: _Side) -> np.ndarray:
    """Of places seen from the opposite side, the columns of the image."""
    columns = np.arange(source.shape[1], dtype=np.float32)
    return columns + side.sign * (source - side.away)


def _drawn_from(hu: np.ndarray, grain: np.ndarray, source: np.ndarray, side: _Side, brain: Anatomy) -> np.ndarray:
    """Brain tissue from where it was; bone stays where it is, and none is drawn in from the skull."""
    inner = brain.brain & (brain.depth > 0.04)
    smooth = hu - grain
    tissue = np.where(inner, np.minimum(smooth, BONE_HU), mean_over(smooth, inner & ~brain.fluid, brain.radius * 0.1))
    rows = np.broadcast_to(np.arange(len(hu), dtype=np.float32)[:, None], hu.shape)
    moved = ndimage.map_coordinates(tissue, [rows, _columns(source, side)], order=1, mode="nearest") + grain
    far = np.clip(np.abs(source - side.away), 0, 1) * brain.brain  # what hardly moves stays as it is
    return moved * far + hu * (1 - far)
