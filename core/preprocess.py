"""Scan -> network input. The only such path, for training and serving alike; its spec travels in the bundle."""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from core.page import HEAD, LEAST, step_of, without_page
from core.scan import Scan

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 as shares of the scan's width and height; may reach beyond 0..1, where there is air."""

WINDOWS = {
    "Brain": (40.0, 80.0),
    "Subdural": (75.0, 215.0),
    "Stroke": (32.0, 40.0),
    "Bone": (600.0, 2800.0),
}
"""Window presets for viewing, (centre, width) in HU."""


@dataclass(frozen=True)
class InputSpec:
    """What a network expects to be fed."""

    size: int = 128
    window: tuple[float, float] = WINDOWS["Brain"]  # centre, width in HU; display scans come windowed
    crop: Literal["none", "head"] = "none"  # "none": the whole image, squared
    head_margin: float = 0.03  # with crop "head": air kept around it, as a share of its longer side

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, object]) -> "InputSpec":
        window = values["window"]
        if not isinstance(window, list | tuple) or len(window) != 2:
            raise ValueError(f"window must be [centre, width], got {window!r}")
        if values["crop"] not in ("none", "head"):
            raise ValueError(f"crop must be none or head, got {values['crop']!r}")
        return cls(
            size=int(str(values["size"])),
            window=(float(window[0]), float(window[1])),
            crop="head" if values["crop"] == "head" else "none",
            head_margin=float(str(values["head_margin"])),
        )


def windowed(scan: Scan, window: tuple[float, float]) -> np.ndarray:
    """(H, W) float32 in [0, 1]; 0 is the window's floor. A display scan keeps the window it came with."""
    if scan.unit == "display":
        return np.clip(scan.pixels / 255, 0, 1)
    centre, width = window
    return np.clip((scan.pixels - (centre - width / 2)) / width, 0, 1)


def head_box(grey: np.ndarray, margin: float) -> Box:
    """The square around the largest bright region of a windowed image, (H, W) in [0, 1].

    Where no region covers at least 4 % of the image there is no head to crop to: the whole image, squared.
    """
    height, width = grey.shape
    step = step_of(grey)
    regions, count = ndimage.label(grey[::step, ::step] > HEAD)
    if count:
        sizes = np.bincount(regions.ravel())[1:]
        if sizes.max() >= LEAST * regions.size:
            rows, columns = ndimage.find_objects(regions)[int(sizes.argmax())]
            top, bottom = rows.start * step, min(rows.stop * step, height)
            left, right = columns.start * step, min(columns.stop * step, width)
            return _square(left, top, right, bottom, grey.shape, margin)
    return _square(0, 0, width, height, grey.shape, 0)


def _square(left: float, top: float, right: float, bottom: float, shape: tuple[int, ...], margin: float) -> Box:
    """The smallest square around a rectangle in pixels, grown by `margin` of its side on every side."""
    height, width = shape
    half = max(bottom - top, right - left) * (0.5 + margin)
    centre_y, centre_x = (top + bottom) / 2, (left + right) / 2
    return (
        (centre_x - half) / width,
        (centre_y - half) / height,
        (centre_x + half) / width,
        (centre_y + half) / height,
    )


def to_input_with_box(scan: Scan, spec: InputSpec) -> tuple[np.ndarray, Box]:
    """`to_input`, and where in the scan the input was cut from, so that a heat map can be laid over it."""
    if not np.isfinite(scan.pixels).all():
        raise ValueError("the scan holds a non-finite pixel")
    grey = windowed(scan, spec.window)
    height, width = grey.shape
    if spec.crop == "head":
        grey = without_page(grey)
        box = head_box(grey, spec.head_margin)
    else:
        box = _square(0, 0, width, height, grey.shape, 0)
    x0, y0, x1, y1 = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    across, down = (int(np.ceil(max(0, -low, high - side))) for low, high, side in ((x0, x1, width), (y0, y1, height)))
    padded = np.pad(grey, ((down, down), (across, across)))
    cut = Image.fromarray(np.ascontiguousarray(padded, np.float32)).resize(
        (spec.size, spec.size), Image.Resampling.BILINEAR, box=(x0 + across, y0 + down, x1 + across, y1 + down)
    )
    return np.array(cut, np.float32)[None], box


def to_input(scan: Scan, spec: InputSpec) -> np.ndarray:
    """Window, crop, resize. (H, W) -> (1, S, S) float32 in [0, 1]; 0 is the window's floor.

    Raises ValueError where the scan holds a non-finite pixel.
    """
    return to_input_with_box(scan, spec)[0]
