"""Slices of a thin series that come as single files are put together, as those of one volume are (`core.slabs`)."""

from collections.abc import Iterable, Iterator

from core.scan import Scan, UnreadableScan
from core.slabs import THIN_MM, put_together, slabs

HELD_PIXELS = 100_000_000
"""So many wait for the rest of their series, 380 slices of 512 x 512 (400 MB); what is there then becomes scans."""

_Key = tuple[object, ...]
_Slice = tuple[tuple[str, ...], Scan]


def together(
    found: Iterable[tuple[str, Scan | UnreadableScan]], slice_mm: float
) -> Iterator[tuple[tuple[str, ...], Scan | UnreadableScan]]:
    """The same with the names of all files that became one scan, about `slice_mm` thick (0: none do).

    Thin slices come when their series is whole, which is at the end, all others at once. Few, slices of which two
    differ at one place, and those that do not say where they lie or of which series they are stay as they are.
    """
    held: dict[_Key, dict[tuple[float, str], _Slice]] = {}
    for name, scan in found:
        key = _series_of(scan) if isinstance(scan, Scan) and slice_mm else None
        if key is None or isinstance(scan, UnreadableScan):
            yield (name,), scan
            continue
        here = held.setdefault(key, {})
        at = _place(scan), scan.content_hash
        here[at] = (*here.get(at, ((), scan))[0], name), scan
        if sum(scan.pixels.size * len(series) for series in held.values()) > HELD_PIXELS:
            yield from _scans_of(held.pop(max(held, key=lambda key: len(held[key]))), slice_mm)
    for series in held.values():
        yield from _scans_of(series, slice_mm)


def _series_of(scan: Scan) -> _Key | None:
    """What slices that may be put together have in common; None where this one may not."""
    thick = scan.meta.get("SliceThickness")
    if scan.series_key is None or "position_mm" not in scan.meta:
        return None
    if not isinstance(thick, float) or not 0 < thick < THIN_MM:
        return None
    return scan.series_key, scan.study_key, scan.patient_key, scan.pixels.shape


def _place(scan: Scan) -> float:
    return float(scan.meta["position_mm"])


def _scans_of(series: dict[tuple[float, str], _Slice], slice_mm: float) -> Iterator[_Slice]:
    """Of one series: the scans it becomes, each with the files it is made of."""
    slices = [series[at] for at in sorted(series)]
    thickness = max(float(scan.meta["SliceThickness"]) for _, scan in slices)
    for group in slabs([_place(scan) for _, scan in slices], slice_mm, thickness):
        names = [name for number in group for name in slices[number][0]]
        [scan] = put_together([group], lambda number: slices[number][1])
        if len(group) > 1:
            yield tuple(names), scan
        else:  # the same slice twice is a duplicate
            yield from (((name,), scan) for name in names)
