"""What the regions of a mask enclose."""

import numpy as np
from scipy import ndimage


def filled(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool -> the same with its holes: all that cannot be reached from the edge by steps up, down or sideways.
    The same as scipy.ndimage.binary_fill_holes, which peels a pixel at a time and takes several times as long."""
    around, count = ndimage.label(~mask)
    reached = np.zeros(count + 1, bool)
    for edge in (around[0], around[-1], around[:, 0], around[:, -1]):
        reached[edge] = True
    reached[0] = False  # the mask itself
    return np.asarray(~reached[around])
