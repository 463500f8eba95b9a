"""Where a slice lies in the patient: x towards the patient's left, y to the back, z to the head, in mm
(DICOM PS3.3 C.7.6.2.1.1)."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

AXIAL = 0.8
"""Share of the normal along the body: a gantry tilts by 30 degrees at most, which leaves 0.87. What is turned by 45
lies as near to a coronal or sagittal plane."""
SQUARE = 1.1
"""A pixel's sides may differ by this much."""


@dataclass(frozen=True)
class Plane:
    """The plane of a slice."""

    row: np.ndarray  # (3,) direction in which the column number grows
    column: np.ndarray  # (3,) direction in which the row number grows
    corner: np.ndarray | None  # (3,) mm, centre of the first pixel; None where it is not said

    @classmethod
    def of(cls, get: Callable[[str], Any]) -> "Plane | None":
        """From a header's tags; None where they do not say it in numbers."""
        orientation, corner = (numbers(get, f"Image{what}Patient") for what in ("Orientation", "Position"))
        if orientation is None or len(orientation) != 6:
            return None
        if not np.allclose([np.linalg.norm(orientation[:3]), np.linalg.norm(orientation[3:])], 1, atol=0.1):
            return None
        return cls(orientation[:3], orientation[3:], corner if corner is not None and len(corner) == 3 else None)

    @property
    def normal(self) -> np.ndarray:
        """(3,), towards the head."""
        across = np.cross(self.row, self.column)
        return np.asarray(-across if across[2] < 0 else across)

    @property
    def stack(self) -> tuple[float, ...] | None:
        """(8,) what slices have in common that lie one upon the other: the directions of rows and columns, to a
        thousandth, and where the first pixel lies in the plane, in steps of 0.8 mm that begin off hundredths of a mm,
        about which rounding moves it. Slices of a tilted gantry, whose table moves aslant, have nothing in common. None
        where no place is said.
        """
        if self.corner is None or self.place_mm is None:
            return None
        begins = [np.floor((np.dot(axis, self.corner) + 0.3745) / 0.8) for axis in (self.row, self.column)]
        return tuple((np.round([*self.row, *self.column, *begins], 3) + 0.0).tolist())  # -0.0 and 0.0 are one

    @property
    def axial(self) -> bool:
        """Whether the slice lies across the body, a tilted gantry's included."""
        return bool(self.normal[2] >= AXIAL)

    @property
    def place_mm(self) -> float | None:
        """How far towards the head, along the normal; None where that is not said, or is no number."""
        with np.errstate(over="ignore"):
            place = math.nan if self.corner is None else float(np.dot(self.normal, self.corner))
        return place if math.isfinite(place) else None

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W) as radiologists view it: front up, the patient's right at the image's left."""
        row, column = self.row, self.column
        if abs(row[0]) < abs(row[1]):
            pixels, row, column = pixels.T, column, row
        pixels = pixels[:, ::-1] if row[0] < 0 else pixels
        return pixels[::-1] if column[1] < 0 else pixels


def pixel_mm(get: Callable[[str], Any]) -> tuple[float, float] | None:
    """How far apart a header's rows and columns lie; None where it does not say so in numbers."""
    spacing = numbers(get, "PixelSpacing")
    return (float(spacing[0]), float(spacing[1])) if spacing is not None and len(spacing) == 2 else None


def thickness_mm(get: Callable[[str], Any]) -> float:
    """How thick a header's slice is; 0 where it does not say so in a number."""
    thickness = numbers(get, "SliceThickness")
    return 0.0 if thickness is None else max(0.0, float(thickness[0]))


def is_square(across: float, deep: float) -> bool:
    """Whether a pixel's sides are as good as alike."""
    return max(across, deep) <= SQUARE * min(across, deep)


def numbers(get: Callable[[str], Any], tag: str) -> np.ndarray | None:
    """(N,) what a header's tag says; None where that is nothing, or no number."""
    try:
        value = get(tag)
        several = isinstance(value, Iterable) and not isinstance(value, str)
        values = np.array(list(value) if several else [value], np.float64)
    except Exception:  # pydicom raises what it meets; some writers put commas into numbers
        return None
    return values if len(values) and np.isfinite(values).all() else None
