"""One CT image as read, and how its pixels are stored."""

import hashlib
import io
import struct
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image, PngImagePlugin

Unit = Literal["HU", "display"]
Meta = dict[str, str | float]

AIR_HU = -1024.0
LOWEST_AIR_HU = -300.0
"""CT holds air: a slice whose darkest place is brighter is not in HU."""
PADDING_HU = -1100.0
"""Not even air is as dark: scanners fill with it what lies outside their field."""
ASSUMED_BITS = "assumed_bits"
"""How a 16-bit image's `meta` says of how many bits its grey was taken to be."""
COLOURED = "coloured_marks"
"""How a picture's `meta` says that a part of it is in colour: a drawn mark, whose grey is not the scan's."""
COLOURED_NOTE = "A part of the picture is coloured, as a mark is: it is shown in grey, and that grey is no density."
CONTRAST = "contrast"
"""How the `meta` of a scan says that contrast agent was given, as its header has it."""
CONTRAST_NOTE = "Taken with contrast agent, by its header: bright vessels look like blood to a model of plain CT."
AVERAGED = "averaged_slices"
"""How the `meta` of a scan says of how many slices of its series it is the mean."""
_STORED_KEY = "second-read"


class UnreadableScan(ValueError):
    """The file is not a scan that can be read; the message is for the person who sent it."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One CT image as read, not yet windowed."""

    pixels: np.ndarray  # (H, W) float32, in `unit`
    unit: Unit  # "display": 0-255 grey, the window already burned in
    patient_key: str | None = None  # keyed hash; None where the file names no patient
    study_key: str | None = None
    meta: Meta = field(default_factory=dict)  # technical only: position_mm, number, format, ...
    series_key: str | None = None  # of a single DICOM file, on its way in: it is not kept

    @property
    def content_hash(self) -> str:
        """SHA-256 over unit, shape and pixels: the same image in another container has the same hash. -0 and 0 are one
        density."""
        head = f"{self.unit} {self.pixels.shape}".encode()
        pixels = np.ascontiguousarray(self.pixels, np.float32) + np.float32(0)
        return hashlib.sha256(head + pixels.tobytes()).hexdigest()


def to_stored(scan: Scan) -> bytes:
    """The scan's pixels as a PNG without loss: 8-bit grey, 16-bit HU + 32768, or float32 bits where HU are not whole.

    Only pixels and their unit are written; no header survives. `from_stored` is the inverse.
    """
    info = PngImagePlugin.PngInfo()
    pixels = scan.pixels
    whole = np.array_equal(pixels, np.rint(pixels))
    if scan.unit == "display" and whole and pixels.min() >= 0 and pixels.max() <= 255:
        kind, image = "display-u8", Image.fromarray(pixels.astype(np.uint8))
    elif scan.unit == "HU" and whole and pixels.min() >= -32768 and pixels.max() <= 32767:
        kind, image = "HU-u16", Image.fromarray((pixels + 32768).astype(np.uint16))
    else:
        kind = f"{scan.unit}-f32"
        image = Image.fromarray(np.ascontiguousarray(pixels, "<f4").view(np.uint8).reshape(*pixels.shape, 4), "RGBA")
    info.add_text(_STORED_KEY, kind)
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info, compress_level=3)
    return out.getvalue()


def from_stored(data: bytes) -> Scan:
    """Inverse of `to_stored`. Raises UnreadableScan where the bytes are not of its making or damaged."""
    try:
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        image.load()
        kind = image.info[_STORED_KEY]
        unit: Unit = "HU" if kind.startswith("HU") else "display"
        raw = np.asarray(image)
        if kind.endswith("f32"):
            pixels = np.ascontiguousarray(raw).view("<f4")[..., 0]
        else:
            pixels = raw.astype(np.float32) - (32768 if kind == "HU-u16" else 0)
    except (KeyError, OSError, ValueError, SyntaxError, struct.error) as error:
        raise UnreadableScan("The stored image is damaged. Restore it from the backup.") from error
    return Scan(np.ascontiguousarray(pixels, np.float32), unit)


MIN_SIDE, MOST_OBLONG = 32, 4
"""Pixels of the shorter side, and how many times as long the longer one may be: it is read as a square."""


def check(pixels: np.ndarray) -> np.ndarray:
    """(H, W) pixels as float32, if they can be a scan at all. Raises UnreadableScan."""
    if min(pixels.shape) < MIN_SIDE:
        raise UnreadableScan(
            f"The image is {pixels.shape[1]} x {pixels.shape[0]} pixels, too small to read. Export the slice at its "
            "own resolution."
        )
    if max(pixels.shape) > MOST_OBLONG * min(pixels.shape):
        raise UnreadableScan(
            f"The image is {pixels.shape[1]} x {pixels.shape[0]} pixels, a strip and no slice of a head. "
            "Export the axial slices."
        )
    with np.errstate(over="ignore"):
        kept = np.ascontiguousarray(pixels, np.float32)
    if not np.isfinite(kept).all():
        raise UnreadableScan("The image holds values that are not numbers, or far too large. Export the series again.")
    if kept.min() == kept.max():
        raise UnreadableScan("Every pixel has the same grey: there is nothing to read in this image.")
    return kept


def check_size(width: int, height: int, megapixels: float) -> None:
    """Raise UnreadableScan above the limit."""
    if width * height > megapixels * 1e6:
        raise UnreadableScan(
            f"The image is {width} x {height} pixels; the limit is {megapixels:g} megapixels. "
            "Export the slice at its own resolution."
        )


def check_megabytes(what: str, size: int, megabytes: float) -> None:
    """Raise UnreadableScan where a volume has more bytes; `what` of it has, with its verb."""
    if size > megabytes * 1e6:
        raise UnreadableScan(
            f"{what} more than {megabytes:g} MB. Send the series as DICOM slices, or raise limits.volume_mb in "
            "config.yaml."
        )
