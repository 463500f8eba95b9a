import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from core.page import several, without_page
from core.phantom import phantom
from core.preprocess import windowed


def head(seed=1, side=200):
    """A head as it is displayed, (S, S) in [0, 1]."""
    return windowed(phantom("no_stroke", seed, side), (40, 80))


def tight(grey):
    """Cut to the head, without air around it."""
    rows, columns = (np.flatnonzero((grey > 0.5).any(axis=axis)) for axis in (1, 0))
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def captioned(grey):
    """With a white strip of text below."""
    width = grey.shape[1]
    strip = Image.new("L", (width, 60), 255)
    ImageDraw.Draw(strip).text((10, 20), "Figure 2: axial CT", fill=0, font=ImageFont.load_default(16))
    return np.concatenate([grey, np.asarray(strip, np.float32) / 255])


PAGES = {
    "all round": (((30, 40), (50, 20)), 1.0),
    "left and right": (((0, 0), (90, 90)), 1.0),
    "a grey column": (((0, 0), (0, 150)), 0.3),
    "above, with a dark line around it": (((40, 0), (0, 0)), 1.0),
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("cut", [tight, lambda grey: grey])
def test_what_is_left_of_a_page_is_the_scan(page, cut):
    margins, tone = PAGES[page]
    scan = cut(head())
    whole = np.pad(scan, margins, constant_values=tone)
    if "dark line" in page:
        whole = np.pad(whole, 2)
    left = without_page(whole)
    expected = np.pad(np.pad(scan, margins), 2 if "dark line" in page else 0)
    assert (np.abs(left - expected) > 0.02).mean() < 0.02


def test_a_caption_goes_with_its_letters():
    scan = head()
    left = without_page(captioned(scan))
    assert left[len(scan) :].max() == 0
    np.testing.assert_array_equal(left[: len(scan)], scan)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(64, 300), st.booleans())
def test_a_scan_without_a_page_stays_as_it_is(seed, side, cut):
    scan = tight(head(seed, side)) if cut else head(seed, side)
    np.testing.assert_array_equal(without_page(scan), scan)
    assert not several(scan)


def test_an_image_of_one_light_grey_is_all_page():
    assert without_page(np.ones((50, 70), np.float32)).max() == 0
    assert not several(np.ones((50, 70), np.float32))
    assert not several(np.zeros((50, 70), np.float32))


@pytest.mark.parametrize("gap", [0.0, 1.0])
@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 1), (2, 2), (1, 3)])
def test_panels_are_found_whatever_parts_them(rows, columns, gap):
    panel = np.pad(head(), 4, constant_values=gap)
    assert several(np.tile(panel, (rows, columns)))


def test_panels_cut_tight_on_a_page_are_found():
    panel = np.pad(tight(head()), 6, constant_values=1)
    assert several(np.tile(panel, (1, 2)))


@pytest.mark.parametrize("gap", [0.0, 0.35, 1.0])
@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (4, 4), (5, 4), (6, 5), (8, 6)])
def test_a_contact_sheet_is_found_also_with_empty_places_and_small_slices(rows, columns, gap):
    scan = head(side=96)
    top = np.zeros_like(scan)
    top[20:84, 20:84] = scan[::3, ::3].repeat(2, axis=0).repeat(2, axis=1)  # two thirds as large
    panels = [[top if (row + column) % 3 else scan for column in range(columns)] for row in range(rows)]
    panels[-1][-1] = np.zeros_like(scan)
    sheet = np.block([[np.pad(panel, 2, constant_values=gap) for panel in line] for line in panels])
    assert several(sheet)


def islands(places, side=20):
    """Bright pieces on black, their corners at `places` of (320, 320)."""
    image = np.zeros((320, 320), np.float32)
    for y, x in places:
        image[y : y + side, x : x + side] = 0.8
    return image


def test_the_pieces_a_skull_base_falls_into_are_no_panels():
    left = [(30, 80), (70, 30), (110, 70), (150, 40)]
    pieces = [*left, *((y, 300 - x) for y, x in left), (200, 150)]
    assert not several(islands(pieces))
    assert several(islands([*pieces, (240, 90), (240, 210), (280, 150)])), "more than one head falls into"


def test_few_pieces_are_panels_only_in_even_rows_and_columns():
    grid = [(y, x) for y in (40, 140, 240) for x in (40, 140, 240)]
    assert several(islands(grid))
    assert several(islands(grid[:7]))
    assert not several(islands(grid[:6]))
    uneven = [(y, x) for y in (40, 140, 240) for x in (40, 80, 240)]
    assert not several(islands(uneven))


def test_what_lies_beside_a_head_is_no_panel():
    scan = head()
    scan[:60, :30] = 0.9  # a colour bar or the like
    scan[185:198, 20:180] = 0.8  # a head rest
    assert not several(scan)
