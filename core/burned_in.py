"""Whether letters seem to be burned into an image: a name in the corner is no header, and no header filter takes it
out. A line of small bright shapes of one height, side by side, outside the head."""

import numpy as np
from scipy import ndimage

from core.regions import filled

BURNED_IN = "burned_in_letters"
"""How a scan's `meta` says so."""
BRIGHT = 0.45
"""Of the brightest grey: letters are drawn to be read."""
LETTERS = 4
"""So many in a row are a word."""
SHAPES, MOST = 20_000, 1500
"""More bright shapes, and more that could be letters, are noise or a page of text; looking at all takes too long."""
SMALLEST, LARGEST = 5, 0.06
"""A letter's height: pixels, and share of the image's."""


def letters_in(grey: np.ndarray) -> bool:
    """(H, W) grey -> whether a word seems to stand outside the head."""
    bright = grey > BRIGHT * float(grey.max())
    regions, count = ndimage.label(bright, np.ones((3, 3)))
    if count < LETTERS:
        return False
    sizes = np.bincount(regions.ravel())[1:]
    head = filled(regions == int(sizes.argmax()) + 1)
    kept = sizes >= SMALLEST  # of so few pixels no letter is
    if not LETTERS <= kept.sum() <= SHAPES:
        return False
    regions, sizes = np.append(0, np.where(kept, kept.cumsum(), 0))[regions], sizes[kept]
    boxes = np.array([(r.start, r.stop, c.start, c.stop) for r, c in ndimage.find_objects(regions)])
    top, bottom, left, right = boxes.T
    height, width = bottom - top, right - left
    fill = sizes / (height * width)
    middle = head[(top + bottom) // 2, (left + right) // 2]
    usual = (height >= SMALLEST) & (height <= LARGEST * grey.shape[0]) & (width <= 1.6 * height) & (fill > 0.15)
    rows = boxes[usual & ~middle]
    if len(rows) > MOST:
        return False
    return any(_is_a_word(rows, seed) for seed in rows)


def _is_a_word(boxes: np.ndarray, seed: np.ndarray) -> bool:
    """Whether enough boxes of the seed's height follow it on its line, each close to the one before."""
    tall = seed[1] - seed[0]
    alike = (np.abs(boxes[:, 0] - seed[0]) <= 0.3 * tall) & (np.abs(boxes[:, 1] - seed[1]) <= 0.3 * tall)
    line = boxes[alike][np.argsort(boxes[alike][:, 2])]
    close = (line[1:, 2] - line[:-1, 3] <= 0.9 * tall).astype(int)
    widths = line[:, 3] - line[:, 2]
    run = longest = 1
    for step in close:
        run = run + 1 if step else 1
        longest = max(longest, run)
    return longest >= LETTERS and float(widths.max()) > 0.35 * tall
