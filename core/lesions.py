"""Stroke simulated into real slices, so that finding and scanner cannot be confused. Always marked synthetic.

What `core/infarcts.py` and `core/hemorrhages.py` share: what a lesion is, how tissue varies, whether it can be seen.
Densities follow textbook values: fluid 0-15 HU, white matter 20-30, grey matter 32-40, an infarct a few HU below its
surroundings in the first hours (drawn from 3.5, for less is not seen), 6-16 after a day, near fluid when old, fresh
blood 50-85.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from core.anatomy import Anatomy

VISIBLE = 5.0
"""The contrast-to-noise ratio from which an observer can be sure that something is there (Rose, JOSA 1948;38:196)."""
DRAWS = 4
"""How often another shape is drawn where one would not be seen."""


@dataclass(frozen=True)
class Lesion:
    """A slice with a simulated lesion."""

    hu: np.ndarray  # (S, S) float32
    mask: np.ndarray  # (S, S) float32 in [0, 1]: where the lesion is, by how much
    kind: str  # such as "MCA, acute" or "subdural"


def noise(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
    """(S, S) smooth noise of unit spread; `scale` is its grain in pixels."""
    coarse = rng.normal(size=(int(size / scale) + 4,) * 2).astype(np.float32)
    whole = round(coarse.shape[0] * (size + 1) / (coarse.shape[0] - 3))
    fine = np.asarray(Image.fromarray(coarse).resize((whole, whole), Image.Resampling.BICUBIC))
    start = rng.integers(0, max(1, fine.shape[0] - size), 2)
    return fine[start[0] : start[0] + size, start[1] : start[1] + size] / 0.65


def grain_of(hu: np.ndarray) -> np.ndarray:
    """(S, S) a scan's noise, which does not move with what it shows."""
    return np.clip(hu - ndimage.gaussian_filter(hu, 0.9), -8, 8)


def against_skull(inside: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """(S, S) bool -> how much of each place is inside, its edge softened but towards the skull: blood does not fade
    there."""
    blur = rng.uniform(0.4, 0.8)
    whole = ndimage.gaussian_filter(brain.brain.astype(np.float32), blur)
    return ndimage.gaussian_filter(inside.astype(np.float32), blur) / np.maximum(whole, 0.2) * brain.brain


def angle_off(angle: np.ndarray, middle: float) -> np.ndarray:
    """Absolute angular distance, radians."""
    return np.abs((angle - middle + np.pi) % (2 * np.pi) - np.pi)


def mean_over(values: np.ndarray, where: np.ndarray, sigma: float) -> np.ndarray:
    """The local mean of the values where a mask holds."""
    weight = ndimage.gaussian_filter(where.astype(np.float32), sigma)
    return ndimage.gaussian_filter(np.where(where, values, 0), sigma) / np.maximum(weight, 1e-3)


def clutter_of(hu: np.ndarray, brain: Anatomy) -> float:
    """The spread of a slice's tissue: grey and white matter and noise as an eye averages them; infinite where there is
    none: nothing stands out from it."""
    eye = _eye(hu)
    tissue = brain.brain & ~brain.fluid & (brain.depth > 0.05)
    if not tissue.any():
        return np.inf
    seen = ndimage.gaussian_filter(hu, eye)
    return float((seen - mean_over(seen, tissue, 8 * eye))[tissue].std())


def contrast_to_noise(before: np.ndarray, after: np.ndarray, mask: np.ndarray, clutter: float) -> float:
    """How far a lesion stands out, darker or, below 0, brighter than what it replaces: its mean contrast over the
    `clutter` around, times the root of how many averages of an eye it holds (Rose 1948, eq. 5)."""
    if not mask.any():
        return 0.0
    contrast = ((before - after) * mask).sum() / mask.sum()
    return float(contrast / (clutter + 1e-6) * np.sqrt(mask.sum() / (4 * np.pi * _eye(before) ** 2)))


def _eye(hu: np.ndarray) -> float:
    """Pixels that an eye averages over, as a standard deviation."""
    return float(hu.shape[0] / 160)
