"""NIfTI headers that say a thing twice, or say it oddly."""

import nibabel
import numpy as np
import pytest

from core.scan import UnreadableScan
from core.volume import read_all
from tests.core.test_volume import volume


def in_two_ways(qform, sform, pixdim=None):
    """A NIfTI file whose header says twice how it lies."""
    image = nibabel.Nifti1Image(volume(), np.diag([1.0, 1.0, 5.0, 1.0]))
    image.set_qform(np.diag(qform), code=1)
    image.set_sform(np.diag(sform), code=2)
    if pixdim:
        image.header["pixdim"][1:4] = pixdim
    return image.to_bytes()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (in_two_ways([1, 1, 5, 1], [-1, 1, 5, 1]), "qform and sform"),
        (in_two_ways([0.45, 0.45, 5, 1], [1, 1, 1, 1]), "how large its voxels are"),
        (in_two_ways([1, 1, 5, 1], [1, 1, 5, 1]).replace(b"n+1\0", b"ni1\0", 1), "one half of a NIfTI pair"),
        (nibabel.Nifti1Image(np.zeros((8, 8, 4), [(c, "u1") for c in "RGB"]), np.eye(4)).to_bytes(), "in colour"),
    ],
)
def test_a_nifti_header_that_contradicts_itself_is_refused(data, why):
    with pytest.raises(UnreadableScan, match=why):
        list(read_all(data))


def test_slices_lie_as_far_apart_as_the_affine_says_where_the_sizes_are_left_at_1():
    data = in_two_ways([1, 1, 5, 1], [1, 1, 5, 1], pixdim=(1, 1, 1))
    assert [scan.meta["position_mm"] for scan in read_all(data)] == [0, 5, 10, 15]


def test_trailing_dimensions_of_one_are_none():
    image = nibabel.Nifti1Image(volume()[..., None, None], np.diag([1, 1, 5, 1]))
    assert len(list(read_all(image.to_bytes()))) == 4
