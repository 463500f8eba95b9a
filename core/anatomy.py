"""Where the brain is in one slice, and where in the brain a place is."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from core.regions import filled

BONE_HU, FLUID_HU = 88.0, 17.0


class Window(NamedTuple):
    """How grey in [0, 1] stands for density: `floor` HU is 0, `floor + width` is 1."""

    floor: float
    width: float

    @classmethod
    def of(cls, window: tuple[float, float]) -> "Window":
        """From centre and width in HU."""
        centre, width = window
        return cls(centre - width / 2, width)

    def hu(self, grey: np.ndarray) -> np.ndarray:
        return grey * self.width + self.floor

    def grey(self, hu: np.ndarray) -> np.ndarray:
        return np.clip((hu - self.floor) / self.width, 0, 1)


@dataclass(frozen=True)
class Anatomy:
    """Where the brain is in one slice, (S, S) each. Distances are in units of the brain's mean radius."""

    brain: np.ndarray  # bool: inside the skull, fluid included
    x: np.ndarray  # across the brain: -1 at its left border in the image, +1 at its right
    y: np.ndarray  # along it: -1 at the front, +1 at the back
    depth: np.ndarray  # from the inner table of the skull
    fluid: np.ndarray  # bool: cerebrospinal fluid
    low: bool  # bone reaches in between: skull base, with posterior fossa
    radius: float  # the brain's mean radius in pixels

    @property
    def angle(self) -> np.ndarray:
        """Around the brain's centre, in radians: 0 to the image's right, pi/2 to the back."""
        return np.arctan2(self.y, self.x)

    @property
    def r(self) -> np.ndarray:
        return np.hypot(self.x, self.y)

    @property
    def wide(self) -> bool:
        """Whether the slice shows more than what lies towards the vertex or, low, in the posterior fossa."""
        return self.radius > 0.3 * self.brain.shape[0]

    @property
    def at_ventricles(self) -> bool:
        """Whether the slice shows the lateral ventricles, and so the deep grey matter beside them: wide fluid deep in
        the brain, off its midline, where sulci do not reach."""
        deep = self.fluid & (self.depth > 0.42) & (np.abs(self.x) > 0.05) & (np.abs(self.x) < 0.4)
        return bool(self.wide and not self.low and deep.sum() > 0.004 * self.brain.sum())


def anatomy(hu: np.ndarray, ceiling: float = np.inf) -> Anatomy | None:
    """The brain in a slice of densities, front up; None where none is enclosed by bone (neck, face, vertex).

    `ceiling`: the highest density that the slice can show, where it came through a window.
    """
    size = hu.shape[0]
    smooth = ndimage.gaussian_filter(hu, size / 160)
    bone_hu = min(BONE_HU, ceiling - 2)
    bone = hu > bone_hu
    shut = ndimage.binary_closing(np.pad(bone, 8), iterations=max(1, round(size / 55)))[8:-8, 8:-8]
    inside = filled(shut) & ~bone & (smooth > -5) & (smooth < bone_hu)
    inside = ndimage.binary_opening(inside, iterations=max(1, round(size / 70)))
    regions, count = ndimage.label(inside)
    brain = np.zeros_like(inside)
    for i in range(1, count + 1):
        region = regions == i
        if region.sum() > 0.015 * size**2 and 18 < np.median(hu[region]) < 50:
            brain |= region
    brain = filled(brain)
    if brain.sum() < 0.06 * size**2:
        return None
    return _coordinates(brain, smooth, smooth > bone_hu)


def _coordinates(brain: np.ndarray, smooth: np.ndarray, bone: np.ndarray) -> Anatomy:
    rows, columns = np.nonzero(brain)
    centre = np.array([rows.mean(), columns.mean()])
    spread = np.cov(np.stack([rows, columns]))
    values, vectors = np.linalg.eigh(spread)
    long = vectors[:, 1] * np.sign(vectors[0, 1])  # towards the back, which is down
    if values[1] < 1.08 * values[0] or long[0] < 0.85:  # round, or not upright: no axis to go by
        long = np.array([1.0, 0.0])
    across = np.array([-long[1], long[0]])
    grid = np.mgrid[0 : brain.shape[0], 0 : brain.shape[1]] - centre[:, None, None]
    half_long, half_across = (2 * np.sqrt(max(axis @ spread @ axis, 1.0)) for axis in (long, across))
    x = np.tensordot(across, grid, 1) / half_across
    y = np.tensordot(long, grid, 1) / half_long
    radius = float(np.sqrt(half_long * half_across))
    depth = ndimage.distance_transform_edt(brain) / radius
    solid = brain.sum() / max(1, ((x**2 + y**2) < 1.1).sum())
    head = np.nonzero(ndimage.gaussian_filter(smooth, 2) > -15)[0]
    behind = (centre[0] - (head.min() + head.max()) / 2) / brain.shape[0]
    between = (bone & (np.hypot(x, y) < 0.8)).sum() / brain.sum()
    low = bool(behind > 0.03 and solid < 0.93 and (between > 0.015 or behind > 0.1))
    eroded = depth > 0.06
    fluid = brain & (smooth < FLUID_HU) & (eroded | (smooth > -5))
    return Anatomy(brain, x, y, depth, fluid, low, radius)
