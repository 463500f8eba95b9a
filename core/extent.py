"""How large what a slice shows is, where its header gives the size of a pixel."""

import numpy as np
from scipy import ndimage

from core.regions import filled
from core.scan import LOWEST_AIR_HU, UnreadableScan

LARGEST_HEAD_CM2 = 450.0
"""Of one slice: an oval of 25 x 20 cm has 390 cm2, a grown person's chest, abdomen or shoulders 550 and more."""
SURELY_BODY_CM2 = 550.0
"""From here on it is no head on a board either."""
_SHELL_MM = 5.0
"""A spine board's or head holder's shell is thinner than twice this, a body's wall is not."""
LARGEST_FIELD_CM2 = 2000.0
"""What a scanner sees at once, 50 cm across: where more is shown, the size of a pixel is not what the header says."""


def check_extent(hu: np.ndarray, spacing: tuple[float, float] | None) -> None:
    """Raise UnreadableScan where what (H, W) densities show, in one piece, lungs and all, is larger than a head.

    `spacing`: mm between rows and between columns. Nothing is made of exactly 1 mm, which programs write that do not
    know, nor of one that makes the body larger than a scanner's field; nor of an image without air, which has no edge.
    """
    step = max(1, min(hu.shape) // 128)  # as finely as need be
    body = hu[::step, ::step] > LOWEST_AIR_HU
    if spacing in (None, (1.0, 1.0)) or body.all():
        return
    sides = spacing[0] * step, spacing[1] * step
    area = _largest_cm2(body, sides)
    if LARGEST_HEAD_CM2 < area < SURELY_BODY_CM2:  # a head on a board, the foam in it and all, is as large
        area = _largest_cm2(_without_shells(body, sides), sides)
    if LARGEST_HEAD_CM2 < area < LARGEST_FIELD_CM2:
        raise UnreadableScan(
            f"Too large for a head, by the size that the header gives a pixel: {area:.0f} square centimetres, where a "
            "head has some 250. It seems to be another part of the body. Upload the axial slices of the head."
        )


def _largest_cm2(body: np.ndarray, sides: tuple[float, float]) -> float:
    """Of the largest region of (H, W) pixels, with all that it encloses; `sides` of a pixel in mm."""
    if not body.any():
        return 0.0
    regions, _ = ndimage.label(body)
    whole = filled(regions == np.bincount(regions[body]).argmax())
    return float(whole.sum() * sides[0] * sides[1] / 100)


def _without_shells(body: np.ndarray, sides: tuple[float, float]) -> np.ndarray:
    """The same pixels, but for what is nowhere thick."""
    reach = [max(1, round(_SHELL_MM / side)) for side in sides]
    rows, columns = np.mgrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    disc = (rows / reach[0]) ** 2 + (columns / reach[1]) ** 2 <= 1.1
    return np.asarray(ndimage.binary_opening(body, disc))
