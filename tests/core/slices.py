"""Synthetic heads to draw into."""

import numpy as np
from scipy import ndimage

from core.anatomy import Anatomy, anatomy
from core.phantom import phantom

SIDE = 160


def base(seed=0):
    hu = phantom("no_stroke", seed, SIDE).pixels
    return hu, anatomy(hu)


def at_the_base(seed=0, share=0.24):
    """A slice through the skull base: brain of a radius that is that share of the image, a cistern in front of its
    middle."""
    centre, radius = SIDE // 2, share * SIDE
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] - centre
    brain = np.hypot(rows, columns) < radius
    fluid = np.hypot(rows + 0.25 * radius, columns / 2) < 0.12 * radius
    hu = np.random.default_rng(seed).normal(35, 3, brain.shape)
    hu = np.where(brain, np.where(fluid, 8, ndimage.gaussian_filter(hu, 1)), 900).astype(np.float32)
    depth = ndimage.distance_transform_edt(brain) / radius
    return hu, Anatomy(brain, columns / radius, rows / radius, depth, fluid, low=True, radius=radius)


def drawn(make, seeds=range(12), of=base):
    """The lesions of several draws, those without room left out."""
    found = []
    for seed in seeds:
        hu, brain = of(seed)
        lesion = make(hu, brain, np.random.default_rng(seed))
        if lesion:
            found.append((hu, brain, lesion))
    assert found
    return found


def change_inside(hu, lesion):
    inside = lesion.mask > 0.6
    return float((lesion.hu - hu)[inside].mean())
