"""What surrounds a scan in a picture from a page, a slide or a web site: margins, captions, dividers, other panels."""

import numpy as np
from scipy import ndimage

HEAD = 0.08
"""What is brighter than this share of white is no air."""
LEAST = 0.04
"""No head covers less of an image."""
_COARSE = 160
"""A look at about so many pixels a side finds the same, many times faster."""
_EVEN, _LIGHT = 8 / 255, 20 / 255
"""Greys this close are one, and a page is lighter than the second."""
_MARGIN, _DIVIDER, _TEXT = 0.75, 0.97, 0.4
"""A line at the edge belongs to the page where this much of it is one light grey, a line between panels where this
much is, a line of a caption's letters where this much is the page's grey."""
_ALIKE = 0.3
"""A second region this large beside the largest is another panel."""
_SMALL, _MANY = 0.002, 12
"""A contact sheet's heads cover at least this share of it each. So many regions of about one size are no one head's:
where a window leaves nothing but bone, a skull base has fallen into up to 9."""
_FEW, _FILLED, _UNEVEN = 7, 0.7, 1.25
"""Of fewer than _MANY, so many that fill this share of a grid, whose lines' distances differ by no more than so many
times, are panels. A skull base's 7 to 9 lie 1.5 times unevenly."""


def step_of(grey: np.ndarray) -> int:
    """One pixel in this many is looked at."""
    return max(1, min(grey.shape) // _COARSE)


def without_page(grey: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1] -> the same with the page around a scan, and light lines right across it, black as air."""
    step = step_of(grey)
    found = _lines_of_page(grey[::step, ::step])
    if found is None:
        return grey
    black = grey.copy()
    for axis, lines in enumerate(found):
        of_image = np.repeat(lines, step)[: grey.shape[axis]]
        black[(of_image, slice(None)) if axis == 0 else (slice(None), of_image)] = 0
    return black


def _lines_of_page(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Which rows and which columns are page; None where there is none. Each time round the lines found before are left
    out of account, for a caption's margin is one only between the page's columns."""
    rows, columns = (np.zeros(side, bool) for side in grey.shape)
    looks = [_margins, _captions]
    while looks:
        before = rows.sum() + columns.sum()
        for lines, across, image in ((rows, columns, grey), (columns, rows, grey.T)):
            if not (lines.all() or across.all()):
                lines |= looks[0](image[:, ~across], lines)
        looks = looks[1:] if rows.sum() + columns.sum() == before else [_margins, _captions]
    return (rows, columns) if rows.any() or columns.any() else None


def _margins(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which rows of an image are page, some being `known`: those at the edges, whatever black lies around them, and
    those that cross it as one."""
    middle = np.median(image, axis=1, keepdims=True)
    share, light = (np.abs(image - middle) <= _EVEN).mean(axis=1), middle[:, 0] > _LIGHT
    margin = light & (share >= _MARGIN)
    inside = np.flatnonzero(~(known | margin | (image <= _EVEN).all(axis=1)))
    edge = np.ones(len(margin), bool)
    if len(inside):
        edge[inside[0] : inside[-1] + 1] = False
    return (edge & margin) | (light & (share >= _DIVIDER))


def _captions(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rows of text on a page that is `known` before it and goes on behind it."""
    found = np.zeros(len(known), bool)
    for way in (slice(None), slice(None, None, -1)):
        page = known[way]
        ends = int(np.argmin(page)) if page[0] else 0
        if not ends:
            continue
        like = (np.abs(image[way] - np.median(image[way][ends - 1])) <= _EVEN).mean(axis=1)
        text = ends + int(np.argmin(np.append(like[ends:] >= _TEXT, False)))
        behind = np.flatnonzero(like[ends:text] >= _MARGIN)
        if len(behind):
            found[way][ends : ends + behind[-1] + 1] = True
    return found


def several(grey: np.ndarray) -> bool:
    """Whether an image (H, W) in [0, 1] shows several images of about one size, page and dividers apart: two or three
    large ones, or a contact sheet's many small ones."""
    step = step_of(grey)
    regions, count = ndimage.label(without_page(grey)[::step, ::step] > HEAD)
    if not count:
        return False
    sizes = np.bincount(regions.ravel())[1:]
    alike = np.flatnonzero(sizes >= max(_SMALL * regions.size, _ALIKE * sizes.max()))
    if len(alike) < 2:
        return False
    found = ndimage.find_objects(regions)
    boxes = np.array([[(side.start, side.stop) for side in found[one]] for one in alike])
    large, small = _apart(boxes[sizes[alike] >= LEAST * regions.size]), _apart(boxes)
    return len(large) > 1 or len(small) >= _MANY or _in_a_grid(small)


def _apart(boxes: np.ndarray) -> np.ndarray:
    """Those of boxes (N, axis, start and stop) that share no row or no column with any other."""
    starts, stops = boxes[..., 0], boxes[..., 1]
    apart = ((stops[:, None] <= starts) | (stops <= starts[:, None])).any(axis=2)
    return boxes[(apart | np.eye(len(boxes), dtype=bool)).all(axis=1)]


def _in_a_grid(boxes: np.ndarray) -> bool:
    """Whether boxes lie in even rows and even columns, as a skull base's bones do not, and fill most of them."""
    if len(boxes) < _FEW:
        return False
    rows, columns = (_middles(boxes[:, axis]) for axis in (0, 1))
    places = len(rows) * len(columns)
    return places > _FEW and _FILLED * places <= len(boxes) <= places and _evenly(rows) and _evenly(columns)


def _middles(spans: np.ndarray) -> np.ndarray:
    """The middles of the lines that spans (N, start and stop) make up, those of one line overlapping."""
    spans = spans[np.argsort(spans[:, 0])]
    stops = np.maximum.accumulate(spans[:, 1])
    first = np.flatnonzero(np.append(True, spans[1:, 0] >= stops[:-1]))
    last = np.append(first[1:], len(spans)) - 1
    return (spans[first, 0] + stops[last]) / 2


def _evenly(middles: np.ndarray) -> bool:
    steps = np.diff(middles)
    return len(steps) > 0 and bool(steps.max() <= _UNEVEN * steps.min())
