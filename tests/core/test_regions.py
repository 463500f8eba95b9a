import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from core.regions import filled


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans()))
def test_holes_are_what_scipy_takes_for_them(mask):
    np.testing.assert_array_equal(filled(mask), ndimage.binary_fill_holes(mask))


def test_a_ring_is_filled_and_one_with_a_gap_is_not():
    ring = np.zeros((20, 20), bool)
    ring[4:16, 4:16] = True
    whole = ring.copy()
    ring[6:14, 6:14] = False
    np.testing.assert_array_equal(filled(ring), whole)
    ring[4:6, 9] = False
    np.testing.assert_array_equal(filled(ring), ring)
