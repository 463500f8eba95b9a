import numpy as np
import pytest

from core.extent import LARGEST_HEAD_CM2, check_extent
from core.formats import read
from core.scan import UnreadableScan
from tests.conftest import changed_dicom, dicom


@pytest.mark.parametrize(
    ("spacing", "read_as"),
    [
        ([0.4, 0.4], "head"),
        ([0.8, 0.8], "body"),
        ([1, 1], "?"),
        ([5, 5], "?"),
        ([-1, 2], "?"),
        ([0, 0], "?"),
    ],
)
def test_what_is_larger_than_a_head_is_refused_where_its_size_is_known(spacing, read_as):
    data = changed_dicom(dicom(size=512), PixelSpacing=spacing)
    if read_as == "body":
        with pytest.raises(UnreadableScan, match="square centimetres"):
            read(data)
    else:
        assert read(data).unit == "HU"


def test_a_chest_is_as_large_as_it_is_with_its_lungs():
    rows, columns = np.mgrid[-1:1:256j, -1:1:256j]
    body = np.hypot(columns / 0.9, rows / 0.65) < 1
    lungs = np.hypot((np.abs(columns) - 0.42) / 0.3, rows / 0.42) < 1
    hu = np.where(body & ~lungs, 40.0, -900.0)
    assert (hu > 0).sum() * 0.16**2 < LARGEST_HEAD_CM2 < body.sum() * 0.16**2
    with pytest.raises(UnreadableScan, match="square centimetres"):
        check_extent(hu, (1.6, 1.6))


def test_of_a_head_whose_air_was_cut_off_the_size_is_not_known():
    check_extent(np.full((512, 512), -200.0), (0.5, 0.5))


def on_a_board(thick_mm):
    """(512, 512) HU of a head of 283 cm2 in a field of 35 cm, on a board of foam in a shell of 4 mm; mm of a pixel."""
    side = 350 / 512
    rows, columns = np.mgrid[:512, :512] * side
    hu = np.where(np.hypot((columns - 175) / 85, (rows - 140) / 106) < 1, 40.0, -1000.0)
    down, across = rows - 244, np.abs(columns - 175)
    inside = (down >= 0) & (down < thick_mm) & (across < 170)
    shell = inside & ((down < 4) | (down > thick_mm - 4) | (across > 166))
    return np.where(shell, -80.0, np.where(inside & (hu < 0), -900.0, hu)), side


@pytest.mark.parametrize("thick_mm", [45, 60])
def test_a_head_on_a_hollow_board_is_a_head(thick_mm):
    hu, side = on_a_board(thick_mm)
    check_extent(hu, (side, side))
