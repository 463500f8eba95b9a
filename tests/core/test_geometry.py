import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.geometry import Plane, thickness_mm

PIXELS = np.arange(12).reshape(3, 4)


def plane(*orientation, corner=(0, 0, 0)):
    tags = {"ImageOrientationPatient": orientation, "ImagePositionPatient": corner}
    return Plane.of(tags.__getitem__)


def test_a_usual_slice_is_left_as_it_is():
    usual = plane(1, 0, 0, 0, 1, 0, corner=(-120, -120, 42.5))
    assert usual.axial
    assert usual.place_mm == 42.5
    np.testing.assert_array_equal(usual.upright(PIXELS), PIXELS)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ((-1, 0, 0, 0, 1, 0), PIXELS[:, ::-1]),
        ((1, 0, 0, 0, -1, 0), PIXELS[::-1]),
        ((-1, 0, 0, 0, -1, 0), PIXELS[::-1, ::-1]),
        ((0, 1, 0, 1, 0, 0), PIXELS.T),
    ],
)
def test_other_ways_round_are_turned_to_the_usual_one(orientation, expected):
    turned = plane(*orientation, corner=(0, 0, 7))
    assert turned.axial
    assert turned.place_mm == 7, "the head is up, whichever way the slice was laid out"
    np.testing.assert_array_equal(turned.upright(PIXELS), expected)


@given(hundredths=st.integers(-25_000, 25_000), by=st.floats(-0.004, 0.004))
@example(hundredths=-12_437, by=-0.0005)
def test_slices_whose_places_differ_by_rounding_lie_one_upon_the_other(hundredths, by):
    at = hundredths / 100
    usual, moved = (plane(1, 0, 0, 0, 1, 0, corner=(x, x, 7)) for x in (at, at + by))
    assert usual.stack == moved.stack


@given(st.floats(0, 30))
def test_a_tilted_gantry_is_axial_still(degrees):
    tilt = np.radians(degrees)
    assert plane(1, 0, 0, 0, np.cos(tilt), np.sin(tilt)).axial


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)])
def test_coronal_and_sagittal_are_not(orientation):
    assert not plane(*orientation).axial


@pytest.mark.parametrize("orientation", [("1,0", "0", "0", "0", "1", "0"), (np.nan,) * 6, (1, 0, 0), None])
def test_what_is_not_said_in_numbers_is_not_known(orientation):
    assert Plane.of({"ImageOrientationPatient": orientation}.get) is None


def test_a_place_beyond_all_numbers_is_none():
    tilted = plane(1, 0, 0, 0, 0.8, 0.6, corner=(0, -1.7e308, 1.7e308))
    assert tilted.place_mm is None


def test_a_slice_without_a_place_has_an_orientation_still():
    known = plane(-1, 0, 0, 0, 1, 0, corner=("-125,0", "-120,0", "30,5"))
    assert known.place_mm is None
    np.testing.assert_array_equal(known.upright(PIXELS), PIXELS[:, ::-1])


@pytest.mark.parametrize(
    ("said", "thickness"), [(2.5, 2.5), ("0.625", 0.625), (None, 0), ("thin", 0), ("", 0), (-5, 0), (np.inf, 0)]
)
def test_a_thickness_that_is_no_number_is_none(said, thickness):
    assert thickness_mm({"SliceThickness": said}.get) == thickness
