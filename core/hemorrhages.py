"""Hemorrhages by compartment, drawn into real slices."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from core.anatomy import BONE_HU, Anatomy
from core.lesions import (
    DRAWS,
    VISIBLE,
    Lesion,
    against_skull,
    angle_off,
    clutter_of,
    contrast_to_noise,
    grain_of,
    mean_over,
    noise,
)

COMPARTMENTS = ("parenchymal", "contusions", "subdural", "epidural", "subarachnoid", "intraventricular")
OLD = "old subdural"
"""What a part of the subdural ones are; a compartment that can be asked for, and is not drawn at random beside them."""


def simulate_hemorrhage(
    hu: np.ndarray, brain: Anatomy, rng: np.random.Generator, compartment: str | None = None
) -> Lesion | None:
    """A hemorrhage of one compartment, now and then of two; None where it finds no room or does not stand out from what
    it replaces, as blood that is as dense as brain or a rim no thicker than the skull's edge is blurred; brighter,
    but for what is left of blood after weeks."""
    clutter = clutter_of(hu, brain)
    for _ in range(DRAWS):
        lesion = _hemorrhage(hu, brain, rng, compartment)
        if not lesion:
            continue
        darker = contrast_to_noise(hu, lesion.hu, lesion.mask, clutter)
        if (darker if lesion.kind == OLD else -darker) > VISIBLE:
            return lesion
    return None


def _hemorrhage(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator, compartment: str | None) -> Lesion | None:
    """One draw of a hemorrhage; None where the slice has no room for it."""
    weights = [0.3, 0.1, 0.22, 0.16, 0.12, 0.1]
    chosen = compartment or str(rng.choice(COMPARTMENTS, p=weights))
    first = _BLEEDS[chosen](hu, brain, rng)
    if first is None or compartment or rng.random() > 0.15:
        return first
    second = str(rng.choice([c for c in COMPARTMENTS if c != chosen]))
    more = _BLEEDS[second](first.hu, brain, rng)
    return Lesion(more.hu, np.maximum(first.mask, more.mask), f"{chosen} and {second}") if more else first


def _blood(
    hu: np.ndarray, mask: np.ndarray, brain: Anatomy, rng: np.random.Generator, level: float, kind: str
) -> Lesion | None:
    """Blood of a density where the mask is, a little uneven."""
    if mask.max(initial=0) < 0.5 or (mask > 0.5).sum() < 0.004 * brain.brain.sum():
        return None
    density = level + rng.uniform(0.5, 4) * noise(rng, hu.shape[0], brain.radius / 7)
    bled = hu * (1 - mask) + (density + grain_of(hu)) * mask
    return Lesion(np.where(hu > BONE_HU, hu, bled).astype(np.float32), mask.astype(np.float32), kind)


def _pushed(hu: np.ndarray, brain: Anatomy, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Brain tissue moved by (rows, columns) pixels; bone stays where it is, and none is drawn in from the skull."""
    inner = brain.brain & (brain.depth > 0.04)
    tissue = np.where(inner, np.minimum(hu, BONE_HU), mean_over(hu, inner & ~brain.fluid, brain.radius * 0.1))
    grid = np.mgrid[0 : hu.shape[0], 0 : hu.shape[1]].astype(np.float32)
    moved = ndimage.map_coordinates(tissue, [grid[0] - rows, grid[1] - columns], order=1, mode="nearest")
    far = np.clip(np.hypot(rows, columns), 0, 1) * brain.brain  # what hardly moves stays as it is
    return moved * far + hu * (1 - far)


def _parenchymal(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """A clot in the tissue: irregular, often with an oedema rim and with its surroundings pushed aside."""
    room = np.argwhere(brain.brain & (brain.depth > (0.12 if rng.random() < 0.8 else 0.05)))
    if not len(room):
        return None
    row, column = room[rng.integers(len(room))]
    size = hu.shape[0]
    grow = rng.choice([rng.uniform(0.06, 0.15), rng.uniform(0.15, 0.42)])
    stretch, turn = rng.uniform(0.55, 1.0), rng.uniform(0, np.pi)
    dy, dx = (np.mgrid[0:size, 0:size] - np.array([row, column])[:, None, None]) / brain.radius
    u, v = dx * np.cos(turn) + dy * np.sin(turn), -dx * np.sin(turn) + dy * np.cos(turn)
    distance = np.hypot(u / grow, v / (grow * stretch))
    distance += rng.uniform(0.08, 0.28) * noise(rng, size, brain.radius * grow / rng.uniform(0.8, 2))
    if rng.random() < 0.6:  # what is around moves outwards, by less the farther it is
        push = rng.uniform(0.1, 0.4) * grow * brain.radius * np.exp(-np.maximum(distance - 1, 0) / 1.2) * brain.brain
        push *= np.clip(brain.depth / 0.2, 0, 1)
        away = np.hypot(dx, dy) + 1e-6
        hu = _pushed(hu, brain, push * dy / away, push * dx / away)
    if rng.random() < 0.65:
        rim = 1 + rng.uniform(0.15, 0.7)
        swollen = ndimage.gaussian_filter(((distance < rim) & brain.brain & ~brain.fluid).astype(np.float32), 1.2)
        hu = hu - swollen * brain.brain * rng.uniform(3, 12)
    inside = (distance < 1) & brain.brain & (brain.depth > 0.01)
    mask = ndimage.gaussian_filter(inside.astype(np.float32), rng.uniform(0.5, 1.2)) * brain.brain
    return _blood(hu, mask, brain, rng, rng.uniform(52, 84), "parenchymal")


def _contusions(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """Several small clots close together near the surface, in an oedematous patch."""
    room = np.argwhere(brain.brain & (brain.depth > 0.04) & (brain.depth < 0.25) & ~(np.abs(brain.y) < 0.2))
    if not len(room):
        return None
    centre, size = room[rng.integers(len(room))], hu.shape[0]
    dy, dx = (np.mgrid[0:size, 0:size] - centre[:, None, None]) / brain.radius
    patch = np.exp(-((np.hypot(dx, dy) / rng.uniform(0.1, 0.28)) ** 2))
    grain = noise(rng, size, brain.radius / rng.uniform(8, 14))
    hu = hu - ndimage.gaussian_filter(patch, 1.5) * brain.brain * ~brain.fluid * rng.uniform(2, 10)
    inside = (grain * np.sqrt(patch) > rng.uniform(0.35, 0.7)) & (patch > 0.2) & brain.brain
    mask = ndimage.gaussian_filter(inside.astype(np.float32), rng.uniform(0.5, 1.0)) * brain.brain
    return _blood(hu, mask, brain, rng, rng.uniform(48, 75), "contusions")


def _along_skull(
    hu: np.ndarray, brain: Anatomy, rng: np.random.Generator, thickness: np.ndarray, level: float, kind: str
) -> Lesion | None:
    """A collection between skull and brain, (S, S) thickness by direction; the brain gives way to it."""
    grid = np.gradient(ndimage.gaussian_filter(brain.depth, 2.0))
    steep = np.hypot(*grid) + 1e-6
    if rng.random() < 0.8:
        push = thickness * brain.radius * np.exp(-brain.depth / rng.uniform(0.15, 0.5)) * brain.brain
        push = ndimage.gaussian_filter(push, 1.5)
        hu = _pushed(hu, brain, push * grid[0] / steep, push * grid[1] / steep)
    inside = brain.brain & (brain.depth < thickness)
    return _blood(hu, against_skull(inside, brain, rng), brain, rng, level, kind)


def _subdural(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """A crescent over one hemisphere, or a band along the falx; fresh, mixed, paler, or of many weeks."""
    if rng.random() < 0.3:
        return _old_subdural(hu, brain, rng)
    if rng.random() < 0.15:
        part = (brain.y < rng.uniform(-0.4, 0.1)) if rng.random() < 0.5 else (brain.y > rng.uniform(0.2, 0.4))
        wide = rng.uniform(0.015, 0.045) * (1 + 0.3 * noise(rng, hu.shape[0], brain.radius / 3))
        inside = part & (np.abs(brain.x + rng.choice([-1, 1]) * wide * 0.7) < wide) & brain.brain
        mask = ndimage.gaussian_filter(inside.astype(np.float32), 0.6) * brain.brain
        return _blood(hu, mask, brain, rng, rng.uniform(52, 75), "subdural")
    half, thick = rng.uniform(0.5, 1.5), rng.choice([rng.uniform(0.028, 0.1), rng.uniform(0.1, 0.26)])
    middle = rng.choice([0.0, np.pi]) + rng.uniform(-0.7, 0.7)
    share = np.clip(1 - (angle_off(brain.angle, middle) / half) ** 2, 0, 1) ** 0.5
    thickness = thick * share * (1 + 0.15 * noise(rng, hu.shape[0], brain.radius / 2))
    fresh = rng.random() < 0.75
    level = rng.uniform(50, 78) if fresh else rng.uniform(40, 52)
    lesion = _along_skull(hu, brain, rng, thickness, level, "subdural")
    if lesion and fresh and rng.random() < 0.3:  # older and newer blood together
        paler = np.clip(0.5 + noise(rng, hu.shape[0], brain.radius / 3), 0, 1) * rng.uniform(5, 25) * lesion.mask
        return Lesion(lesion.hu - paler.astype(np.float32), lesion.mask, "subdural")
    return lesion


def _old_subdural(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """A crescent after weeks: as dark as fluid or little brighter, thick and one-sided, the brain pushed away, as wide
    fluid spaces do not; denser parts may have settled at its back. None at the base, where it is hard to draw."""
    if brain.low:
        return None
    half, thick = rng.uniform(0.5, 1.5), rng.uniform(0.07, 0.26)
    middle = rng.choice([0.0, np.pi]) + rng.uniform(-0.7, 0.7)
    share = np.clip(1 - (angle_off(brain.angle, middle) / half) ** 2, 0, 1) ** 0.5
    thickness = thick * share * (1 + 0.1 * noise(rng, hu.shape[0], brain.radius / 2))
    lesion = _along_skull(hu, brain, rng, thickness, rng.uniform(6, 26), OLD)
    if lesion and rng.random() < 0.3:
        settled = np.clip((brain.y - rng.uniform(-0.3, 0.5)) / rng.uniform(0.05, 0.6), 0, 1) * rng.uniform(5, 30)
        return Lesion(lesion.hu + (settled * lesion.mask).astype(np.float32), lesion.mask, OLD)
    return lesion


def _epidural(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """A lens against the skull."""
    half, thick = rng.uniform(0.25, 0.7), rng.choice([rng.uniform(0.035, 0.14), rng.uniform(0.14, 0.4)])
    middle = rng.uniform(-np.pi, np.pi)
    share = np.clip(1 - (angle_off(brain.angle, middle) / half) ** 2, 0, 1) ** 0.8
    thickness = thick * share * (1 + 0.06 * noise(rng, hu.shape[0], brain.radius / 2))
    return _along_skull(hu, brain, rng, thickness, rng.uniform(52, 80), "epidural")


def _subarachnoid(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """Blood where fluid was: sulci of a region, or the cisterns at the base, as far as they show."""
    size = hu.shape[0]
    spaces = brain.fluid & ((brain.depth < 0.45) | brain.low)
    folds = (np.abs(noise(rng, size, brain.radius / rng.uniform(5, 8))) < rng.uniform(0.06, 0.14)) & (
        brain.depth < rng.uniform(0.12, 0.3)
    )
    here = np.exp(-((angle_off(brain.angle, rng.uniform(-np.pi, np.pi)) / rng.uniform(0.25, 1.6)) ** 2))
    patchy = here * (1 + 0.5 * noise(rng, size, brain.radius / 2.5)) > 0.45
    inside = brain.brain & patchy & (ndimage.binary_dilation(spaces) | folds)
    # the cisterns in the middle, where ventricles are not; at the base also their rims, which are blurred with tissue
    if not brain.at_ventricles and rng.random() < 0.4:
        cisterns = brain.fluid & (brain.r < 0.5)
        rims = ndimage.binary_dilation(cisterns, iterations=max(1, round(size / 100)))
        inside |= brain.brain & (rims if brain.low else cisterns)
    mask = ndimage.gaussian_filter(inside.astype(np.float32), rng.uniform(0.6, 1.0)) * brain.brain
    return _blood(hu, np.clip(mask * 1.3, 0, 1), brain, rng, rng.uniform(45, 70), "subarachnoid")


def _intraventricular(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> Lesion | None:
    """Blood in the ventricles: filling them, or settled at their back. None where the slice shows none."""
    if not (brain.at_ventricles or brain.low):
        return None
    middle = brain.fluid & (np.abs(brain.x) < 0.5) & (brain.depth > 0.3)
    regions, count = ndimage.label(ndimage.binary_dilation(middle))
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    inside = np.zeros_like(middle)
    for i in range(1, count + 1):
        if sizes[i] > 0.003 * brain.brain.sum():
            region = regions == i
            level = np.quantile(brain.y[region], rng.uniform(0, 0.6)) if rng.random() < 0.6 else -9
            inside |= region & (brain.y >= level)
    mask = ndimage.gaussian_filter(inside.astype(np.float32), 0.7)
    return _blood(hu, np.clip(mask * 1.2, 0, 1), brain, rng, rng.uniform(50, 80), "intraventricular")


Bleed = Callable[[np.ndarray, Anatomy, np.random.Generator], Lesion | None]
_BLEEDS: dict[str, Bleed] = {
    "parenchymal": _parenchymal,
    "contusions": _contusions,
    "subdural": _subdural,
    OLD: _old_subdural,
    "epidural": _epidural,
    "subarachnoid": _subarachnoid,
    "intraventricular": _intraventricular,
}
