import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.phantom import phantom
from core.preprocess import InputSpec, head_box, to_input, to_input_with_box, windowed
from core.scan import Scan
from tests.conftest import display_scan


def test_fresh_blood_is_brighter_than_brain_after_windowing():
    hu = np.array([[0.0, 30.0, 65.0, 90.0]], np.float32)
    fluid, brain, blood, over = windowed(Scan(hu, "HU"), (40, 80))[0]
    assert fluid == 0 < brain < blood < over == 1
    assert brain == pytest.approx(30 / 80)


def test_a_display_scan_keeps_its_window():
    np.testing.assert_allclose(windowed(display_scan([[0, 51, 255]]), (40, 80))[0], [0, 0.2, 1])


@settings(max_examples=30, deadline=None)
@given(st.integers(32, 300), st.integers(32, 300), st.sampled_from([32, 64, 100]), st.sampled_from(["none", "head"]))
def test_any_size_becomes_the_same_square(height, width, size, crop):
    pixels = np.random.default_rng(height * width).uniform(0, 255, (height, width))
    x = to_input(display_scan(pixels), InputSpec(size=size, crop=crop))
    assert x.shape == (1, size, size)
    assert x.min() >= 0
    assert x.max() <= 1


def test_the_head_is_found_wherever_it_lies():
    grey = np.zeros((200, 300), np.float32)
    grey[120:180, 200:280] = 0.5
    grey[5:9, 5:60] = 1  # burned-in letters
    x0, y0, x1, y1 = head_box(grey, 0)
    centre = ((x0 + x1) / 2 * 300, (y0 + y1) / 2 * 200)
    assert centre == pytest.approx((240, 150), abs=2)
    assert (x1 - x0) * 300 == pytest.approx(80, abs=3)


def test_a_scan_on_a_page_is_read_as_the_scan_itself():
    scan = np.zeros((160, 120), np.float32)
    scan[30:130, 30:90] = 128
    spec = InputSpec(size=64, crop="head")
    alone, _ = to_input_with_box(display_scan(scan), spec)
    on_page, (x0, y0, x1, y1) = to_input_with_box(display_scan(np.pad(scan, 40, constant_values=255)), spec)
    np.testing.assert_allclose(on_page, alone, atol=0.02)
    assert ((x0 + x1) / 2 * 200, (y0 + y1) / 2 * 240) == pytest.approx((100, 120), abs=2)


def test_an_image_without_a_head_is_taken_whole():
    grey = np.zeros((100, 100), np.float32)
    grey[0, 0] = 1
    assert head_box(grey, 0.1) == (0, 0, 1, 1)


def test_the_box_says_where_the_input_was_cut_from():
    scan = phantom("no_stroke", 1, 128)
    scan.pixels[110:] = -1024  # without the burned-in mark
    for crop in ("none", "head"):
        x, (x0, _, x1, _) = to_input_with_box(scan, InputSpec(size=128, crop=crop))
        columns = np.flatnonzero(windowed(scan, (40, 80)).max(axis=0) > 0.9) / 128
        inside = np.flatnonzero(x[0].max(axis=0) > 0.9) / 128 * (x1 - x0) + x0
        assert inside.min() == pytest.approx(columns.min(), abs=0.03)
        assert inside.max() == pytest.approx(columns.max(), abs=0.03)


def test_a_pixel_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="non-finite"):
        to_input(Scan(np.full((40, 40), np.nan, np.float32), "HU"), InputSpec())


def test_the_spec_survives_the_manifest():
    spec = InputSpec(size=96, crop="head", head_margin=0.1)
    assert InputSpec.from_json(spec.to_json()) == spec
    with pytest.raises(ValueError, match="crop"):
        InputSpec.from_json({**spec.to_json(), "crop": "neck"})
