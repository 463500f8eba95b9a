import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.scan import Scan, UnreadableScan, check, from_stored, to_stored
from tests.conftest import display_scan, png


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, (8, 9), elements=st.floats(-1e4, 1e4, width=32)),
    st.sampled_from(["HU", "display"]),
    st.booleans(),
)
def test_storing_loses_nothing(pixels, unit, whole):
    pixels = np.rint(pixels) if whole else pixels
    back = from_stored(to_stored(Scan(pixels, unit)))
    assert back.unit == unit
    np.testing.assert_array_equal(back.pixels, pixels)


def test_minus_nothing_is_nothing():
    pixels = np.where(np.eye(40) > 0, np.float32(-0.0), np.float32(7))
    scan = Scan(check(pixels), "HU")
    assert from_stored(to_stored(scan)).content_hash == scan.content_hash


@pytest.mark.parametrize("shape", [(33, 20000), (20000, 33), (100, 401)])
def test_a_strip_is_no_slice(shape):
    """Squared for the network, a file of a few kilobytes would fill the memory."""
    pixels = np.zeros(shape, np.float32)
    pixels[0] = 1
    with pytest.raises(UnreadableScan, match=f"{shape[1]} x {shape[0]} pixels, a strip"):
        check(pixels)


def test_a_stored_image_that_is_not_ours_is_refused():
    with pytest.raises(UnreadableScan):
        from_stored(png())
    assert from_stored(to_stored(display_scan(np.eye(40, dtype=np.float32)))).unit == "display"
