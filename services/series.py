"""Slices of a thin series that come as single files are put together, as those of one volume are (`core.slabs`)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from core.scan import Scan, UnreadableScan
from core.slabs import THIN_MM, mean, slabs

HELD_BYTES = 400_000_000
"""So many slices wait for the rest of their series: 760 of 512 x 512. A longer series stays as it is."""


class Found(NamedTuple):
    """What files hold, or why not."""

    files: tuple[str, ...]  # several where they became one scan
    scan: Scan | UnreadableScan
    parts: tuple[str, ...] = ()  # the content hashes of the slices that this scan is the mean of


_Key = tuple[object, ...]
_Series = dict[tuple[float, str], Found]
"""By place and content hash."""


def together(
    found: Iterable[tuple[str, Scan | UnreadableScan]],
    slice_mm: float,
    known: Callable[[Collection[str]], Collection[str]],
) -> Iterator[Found]:
    """The same, thin slices of one series as scans that are about `slice_mm` thick (0: as they are).

    They come when their series is whole, which is at the end, or when too many wait: then the longest series ends that
    this file is not of, and what comes of it later is a part of its own. All others come at once. `known`: which of
    some content hashes the case log has already, as scans or as parts of one: these stay as they are. So do few, those
    of which two differ at one place, those of two acquisitions, and those that do not say where they lie or of which
    series they are.
    """
    held: dict[_Key, _Series] = {}
    passing: set[_Key] = set()
    ended: set[str] = set()  # content hashes of which the log may not know yet
    size = 0

    def there(hashes: Collection[str]) -> Collection[str]:
        return {*known(hashes), *ended.intersection(hashes)}

    for name, scan in found:
        key = _series_of(scan) if isinstance(scan, Scan) and slice_mm else None
        if key is None or key in passing or isinstance(scan, UnreadableScan):
            yield Found((name,), scan)
            continue
        packed, at = _packed(scan), (float(scan.meta["position_mm"]), scan.content_hash)
        here = held.setdefault(key, {})
        before = here.get(at)
        here[at] = Found((*(before.files if before else ()), name), packed)
        size += 0 if before else packed.pixels.nbytes
        while size > HELD_BYTES:
            longest = max((other for other in held if other != key), key=lambda one: len(held[one]), default=key)
            size -= sum(_scan(one).pixels.nbytes for one in held[longest].values())
            if longest == key:
                passing.add(key)
                for one in held.pop(key).values():
                    yield from _as_it_is(one)
            else:
                digests = [digest for _, digest in held[longest]]
                yield from _scans_of(held.pop(longest), slice_mm, there)
                ended.update(digests)
    for series in held.values():
        yield from _scans_of(series, slice_mm, there)


def _series_of(scan: Scan) -> _Key | None:
    """What slices that may be put together have in common; None where this one may not."""
    thick = scan.meta.get("SliceThickness")
    if scan.series_key is None or "position_mm" not in scan.meta:
        return None
    if not isinstance(thick, float) or not 0 < thick < THIN_MM:
        return None
    return scan.series_key, scan.study_key, scan.patient_key, scan.pixels.shape


def _scans_of(series: _Series, slice_mm: float, known: Callable[[Collection[str]], Collection[str]]) -> Iterator[Found]:
    """Of one series: the scans it becomes."""
    slices = sorted(series)
    there = known([digest for _, digest in slices])
    thickness = max(float(_scan(one).meta["SliceThickness"]) for one in series.values())
    for group in slabs([place for place, _ in slices], slice_mm, thickness, _numbers([series[at] for at in slices])):
        of_group = [slices[number] for number in group]
        new = [at for at in of_group if at[1] not in there]
        for at in of_group if len(new) < 2 else [at for at in of_group if at[1] in there]:
            yield from _as_it_is(series[at])
        if len(new) > 1:
            files = tuple(file for at in new for file in series[at].files)
            yield Found(files, mean([_scan(series[at]) for at in new]), tuple(digest for _, digest in new))


def _numbers(slices: Sequence[Found]) -> list[float]:
    """Of each slice; none where one has none."""
    numbers = [_scan(one).meta.get("InstanceNumber") for one in slices]
    said = [number for number in numbers if isinstance(number, float)]
    return said if len(said) == len(numbers) else []


def _scan(found: Found) -> Scan:
    assert isinstance(found.scan, Scan)
    return found.scan


def _packed(scan: Scan) -> Scan:
    """Half as large in memory where its densities are whole."""
    whole = scan.pixels.astype(np.int16) if np.abs(scan.pixels).max() < np.iinfo(np.int16).max else scan.pixels
    return replace(scan, pixels=whole) if np.array_equal(whole, scan.pixels) else scan


def _as_it_is(found: Found) -> Iterator[Found]:
    """Of each of its files: the same slice twice is a duplicate."""
    scan = replace(_scan(found), pixels=_scan(found).pixels.astype(np.float32))
    yield from (Found((file,), scan) for file in found.files)
