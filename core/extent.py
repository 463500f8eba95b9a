"""How large what a slice shows is, where its header gives the size of a pixel."""

import numpy as np
from scipy import ndimage

from core.regions import filled
from core.scan import LOWEST_AIR_HU, UnreadableScan

LARGEST_HEAD_CM2 = 450.0
"""Of one slice: an oval of 25 x 20 cm has 390 cm2, a grown person's chest, abdomen or shoulders 550 and more."""
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
    pixel_cm2 = spacing[0] * spacing[1] * step**2 / 100
    regions, _ = ndimage.label(body)
    whole = filled(regions == np.bincount(regions[body]).argmax()) if body.any() else body
    area = float(whole.sum() * pixel_cm2)
    if LARGEST_HEAD_CM2 < area < LARGEST_FIELD_CM2:
        raise UnreadableScan(
            f"Too large for a head, by the size that the header gives a pixel: {area:.0f} square centimetres, where a "
            "head has some 250. It seems to be another part of the body. Upload the axial slices of the head."
        )
