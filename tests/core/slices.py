"""Synthetic heads to draw into."""

import numpy as np

from core.anatomy import anatomy
from core.phantom import phantom

SIDE = 160


def base(seed=0):
    hu = phantom("no_stroke", seed, SIDE).pixels
    return hu, anatomy(hu)


def drawn(make, seeds=range(12)):
    """The lesions of several draws, those without room left out."""
    found = []
    for seed in seeds:
        hu, brain = base(seed)
        lesion = make(hu, brain, np.random.default_rng(seed))
        if lesion:
            found.append((hu, brain, lesion))
    assert found
    return found


def change_inside(hu, lesion):
    inside = lesion.mask > 0.6
    return float((lesion.hu - hu)[inside].mean())
