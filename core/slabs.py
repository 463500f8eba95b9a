"""Thin slices of a series, put together to slices as thick as those that brain CT is read in."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from core.scan import AVERAGED, Scan

MANY = 48
"""Whoever sends fewer slices than this, however thin, has chosen them: each is a scan."""
THIN_MM = 3.0
"""A slice thinner than this is one of a thin series: two of 3 mm would already hide a bleed of one of them."""
SAME_MM = 0.01
"""Slices no further apart lie at one place, as those of two series do."""
ROUNDED_MM = 0.11
"""Distances that differ by no more may be one: places are often given to a tenth of a mm."""
TURNS = 4
"""So often may the numbers of a stack turn: numbering that begins anew turns twice."""


def slabs(
    places_mm: Sequence[float], thickness_mm: float, own_mm: float = 0, numbers: Sequence[float] = ()
) -> list[range]:
    """Slices that become one scan, in order: those that reach over about `thickness_mm` by a grid that is the same
    whichever others there are, so that a series sent in two parts becomes the same scans but for one or two.

    `places_mm`: where each slice lies, in ascending order. `own_mm`: how thick each is, where that is known and may be
    more than the way to the next one. `numbers`: of each, where they are known. Each slice is by itself where
    `thickness_mm` is 0, where two would be thicker still by half, where they are not thin (`THIN_MM`) or lie as far
    apart, where there are fewer than `MANY`, where two lie at one place, and where they are not of one stack.
    """
    gaps = np.diff(places_mm)
    if len(places_mm) < MANY or gaps.min() <= SAME_MM or not _one_stack(gaps, numbers):
        return alone(len(places_mm))
    step = round(float(np.median(gaps)), 3)
    together = round((thickness_mm - max(own_mm - step, 0)) / step)
    if together < 2 or max(step, own_mm) >= THIN_MM:
        return alone(len(places_mm))
    cells = np.floor((np.array(places_mm) + SAME_MM / 2) / (together * step))
    edges = [0, *(int(at) + 1 for at in np.flatnonzero(np.diff(cells))), len(places_mm)]
    return [range(begin, end) for begin, end in pairwise(edges)]


def _one_stack(gaps: np.ndarray, numbers: Sequence[float]) -> bool:
    """Whether slices were taken one after the other. Where one is missing the way to the next changes twice, where the
    spacing does once. Where slices of two acquisitions lie between one another nearly every way is another than the
    one before, and numbers go up and down."""
    changes = np.abs(np.diff(gaps)) > max(np.median(gaps) / 10, ROUNDED_MM)
    turns = np.diff(np.sign(np.diff(numbers)))
    return bool(changes.mean() <= 0.25 and np.count_nonzero(turns) <= TURNS)


def alone(count: int) -> list[range]:
    """Every slice by itself."""
    return [range(at, at + 1) for at in range(count)]


def put_together(groups: Sequence[range], slice_at: Callable[[int], Scan | None]) -> Iterator[Scan]:
    """Each group's mean, of those of its slices that `slice_at` gives; nothing where it gives none."""
    for group in groups:
        found = [scan for number in group if (scan := slice_at(number))]
        if found:
            yield mean(found)


def mean(scans: Sequence[Scan]) -> Scan:
    """Of slices of one series, one or more: of several in whole HU, in the middle of where they lie, and no longer as
    thick as a header says of each."""
    first = scans[0]
    if len(scans) == 1:
        return first
    pixels = np.rint(np.mean([scan.pixels for scan in scans], axis=0, dtype=np.float32))
    meta = {fact: value for scan in reversed(scans) for fact, value in scan.meta.items()}
    for fact in ("position_mm", "number"):
        if fact in first.meta:
            meta[fact] = float(np.mean([scan.meta[fact] for scan in scans]))
    meta.pop("SliceThickness", None)
    return Scan(pixels, first.unit, first.patient_key, first.study_key, meta | {AVERAGED: float(len(scans))})
