"""NIfTI headers that say a thing twice, or say it oddly."""

import struct
import tracemalloc

import nibabel
import numpy as np
import pytest

from core.scan import AVERAGED, UnreadableScan
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
        (nibabel.Nifti1Image(np.zeros((8, 8, 4), np.complex64), np.diag([2, 2, 2, 1])).to_bytes(), "complex numbers"),
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


@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1.0, -1, 1, 1]), np.diag([-1.0, 1, 1, 1])])
def test_an_affine_that_is_a_programs_default_does_not_say_how_the_head_lies(affine):
    with pytest.raises(UnreadableScan, match="how the head lies"):
        list(read_all(nibabel.Nifti1Image(volume(), affine).to_bytes()))


@pytest.mark.parametrize(
    ("side", "zooms", "found"), [(64, (1, 1, 1), 10), (512, (1, 1, 1), 48), (512, (0.5, 0.5, 1), 10)]
)
def test_voxels_of_one_millimetre_are_not_believed_where_no_scanner_sees_as_far(side, zooms, found):
    hu = np.tile(volume(4), (1, 1, 12)).repeat(side // 64, 0).repeat(side // 64, 1)
    image = nibabel.Nifti1Image(hu, nibabel.affines.from_matvec(np.diag(zooms), [-40, -40, 0]))
    scans = list(read_all(image.to_bytes(), slice_mm=5))
    assert len(scans) == found
    assert (AVERAGED in scans[0].meta) == (found == 10)


def rescaled(hu, kind, slope, intercept):
    """A NIfTI file that stores other values than densities."""
    data = bytearray(nibabel.Nifti1Image(((hu - intercept) / slope).astype(kind), np.diag([1, 1, 5, 1])).to_bytes())
    struct.pack_into("<ff", data, 112, slope, intercept)
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "slope", "intercept"), [("<u2", 1, -1024), ("<i2", 0.5, 0), ("<f8", 1, 0), ("<f4", 2, -10), ("<i4", 1, 0)]
)
def test_densities_are_the_same_whatever_a_volume_stores(kind, slope, intercept):
    hu = np.clip(volume(), -1024, None)
    for number, scan in enumerate(read_all(rescaled(hu, kind, slope, intercept))):
        np.testing.assert_array_equal(scan.pixels, hu[::-1, ::-1, number].T)
        assert scan.pixels.dtype == np.float32


@pytest.mark.parametrize(("kind", "intercept"), [("<u2", -1024), ("<i2", 0)])
def test_a_volume_takes_no_more_memory_than_its_file(kind, intercept):
    hu = np.clip(volume(4), -1024, None).repeat(4, 0).repeat(4, 1).repeat(40, 2)
    data = rescaled(hu, kind, 1, intercept)
    tracemalloc.start()
    next(read_all(data))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < len(data)
