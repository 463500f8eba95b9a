"""What may happen to a scan on its way from another hospital, done to public scans: the robustness table's rows."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from core.scan import Scan

Grey = np.ndarray
"""(H, W) float32 in [0, 255], of a window 120 HU wide with its middle at 40 HU."""
BONE, AIR = 250, 1


def _window(centre: float, width: float) -> Callable[[Grey], Grey]:
    """Another window, in HU. What the first one has cut off stays white, black or, in the wide ones, fat grey."""

    def change(grey: Grey) -> Grey:
        hu = np.where(grey >= BONE, 1000, grey / 255 * 120 - 20)
        hu = np.where(grey <= AIR, -1000, hu)
        return np.clip((hu - centre) / width + 0.5, 0, 1) * 255

    return change


def _resized(side: int) -> Callable[[Grey], Grey]:
    return lambda grey: np.asarray(Image.fromarray(grey).resize((side, side), Image.Resampling.BICUBIC)).clip(0, 255)


def _padded(grey: Grey) -> Grey:
    height, width = grey.shape
    return np.pad(grey, ((height // 4, height // 2), (width // 2, width // 4)))


def _tight(grey: Grey) -> Grey:
    """Cut to the skull, through the scalp."""
    rows, columns = (np.flatnonzero((grey >= BONE).any(axis=axis)) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return grey
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _table(grey: Grey) -> Grey:
    """A head rest that touches the head."""
    height, width = grey.shape
    image = Image.fromarray(grey)
    box = (width * 0.1, height * 0.35, width * 0.9, height * 0.97)
    ImageDraw.Draw(image).arc(box, 20, 160, fill=230, width=max(2, width // 80))
    return np.asarray(image)


def _lettered(grey: Grey) -> Grey:
    image = Image.fromarray(grey)
    draw, (width, height) = ImageDraw.Draw(image), image.size
    for at, text in (
        ((0.02, 0.02), "A"),
        ((0.02, 0.5), "R"),
        ((0.62, 0.02), "SE 2 IM 14"),
        ((0.02, 0.9), "W 120 L 40"),
    ):
        draw.text((at[0] * width, at[1] * height), text, fill=255, font_size=max(8, width // 20))
    draw.line((width * 0.95, height * 0.3, width * 0.95, height * 0.7), fill=255, width=2)
    return np.asarray(image)


def _jpeg(quality: int) -> Callable[[Grey], Grey]:
    def change(grey: Grey) -> Grey:
        out = io.BytesIO()
        Image.fromarray(grey.astype(np.uint8)).save(out, "JPEG", quality=quality)
        return np.asarray(Image.open(out), np.float32)

    return change


def _turned(degrees: float) -> Callable[[Grey], Grey]:
    return lambda grey: ndimage.rotate(grey, degrees, reshape=False, order=1)


def _noisy(grey: Grey) -> Grey:
    """Noise of 6 HU, as grainy as the scan's pixels."""
    return np.clip(grey + np.random.default_rng(0).normal(0, 6 / 120 * 255, grey.shape), 0, 255)


def _grainy(grey: Grey) -> Grey:
    """Grain of 6 HU over a 240th of the width: coarse, and somewhat more than in the thin slices of a head of the PyPI
    package dicom2stl 0.5.0 by what a difference of Gaussians of 0.8 and 1.6 pixels of 192 leaves in brain."""
    grain = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=grey.shape), grey.shape[1] / 240)
    return np.clip(grey + grain / grain.std() * 6 / 120 * 255, 0, 255)


def _sharpened(grey: Grey) -> Grey:
    """As a bone kernel does."""
    return np.clip(grey + 1.5 * (grey - ndimage.gaussian_filter(grey, 1.2)), 0, 255)


def _moved(grey: Grey) -> Grey:
    """A head that turned and went sideways while it was scanned."""
    height, width = grey.shape
    turned = ndimage.rotate(grey, 2, reshape=False, order=1)
    return (grey + turned + ndimage.shift(grey, (height / 64, width / 96), order=1)) / 3


def _streaked(grey: Grey) -> Grey:
    """Streaks of 12 HU between the temporal bones, dark and bright, as a dense skull or metal leaves them."""
    height, width = grey.shape
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width) - 0.5
    streaks = sum(
        sign * np.exp(-(((rows - at) + slope * columns) ** 2) / (2 * 0.012**2))
        for sign, at, slope in ((1, -0.06, 0.3), (-1, 0.02, 0.0), (1, 0.1, -0.25))
    )
    return np.clip(grey + streaks * (grey > 5) * 12 / 120 * 255, 0, 255)


def _cupped(grey: Grey) -> Grey:
    """Brain that grows brighter towards the skull, as much as in a head of the PyPI package dicom2stl 0.5.0 beside
    CT-ICH: by 22 HU at the bone, a third of it a fortieth of the width further in."""
    away = ndimage.distance_transform_edt(grey < BONE)
    return np.clip(grey + (grey > AIR) * 22 / 120 * 255 * np.exp(-away / (0.0225 * grey.shape[1])), 0, 255)


def _pointed_at(grey: Grey) -> Grey:
    """Two white arrows into the brain, as a teaching file has them."""
    image = Image.fromarray(grey)
    draw, (width, height) = ImageDraw.Draw(image), image.size
    for x, y in ((0.36, 0.42), (0.62, 0.6)):
        tip, tail = (x * width, y * height), ((x - 0.09) * width, (y + 0.06) * height)
        draw.line((*tip, *tail), fill=255, width=max(2, width // 90))
        draw.polygon(
            [tip, (tip[0] - 0.045 * width, tip[1]), (tip[0] - 0.01 * width, tip[1] + 0.045 * height)], fill=255
        )
    return np.asarray(image)


DISTURBANCES: Mapping[str, Callable[[Grey], Grey]] = {
    "as it is": lambda grey: grey,
    "stroke window (width 40, level 40 HU)": _window(40, 40),
    "narrow window (width 60, level 35 HU)": _window(35, 60),
    "brain window (80, 40)": _window(40, 80),
    "wide window (200, 50)": _window(50, 200),
    "wide and dark window (300, 120)": _window(120, 300),
    "128 pixels a side": _resized(128),
    "1024 pixels a side": _resized(1024),
    "black margins": _padded,
    "cut to the skull": _tight,
    "head rest touching": _table,
    "letters and scale bar": _lettered,
    "JPEG, quality 25": _jpeg(25),
    "turned by 15 degrees": _turned(15),
    "turned by 90 degrees": _turned(90),
    "upside down": lambda grey: grey[::-1],
    "mirrored": lambda grey: grey[:, ::-1],
    "noise of 6 HU": _noisy,
    "coarse grain of 6 HU": _grainy,
    "sharp kernel": _sharpened,
    "head moved": _moved,
    "streaks": _streaked,
    "bright at the skull": _cupped,
    "arrows": _pointed_at,
}


def disturbed(scan: Scan, name: str) -> Scan:
    """A display scan, disturbed."""
    return Scan(np.ascontiguousarray(DISTURBANCES[name](scan.pixels), np.float32), "display")
