"""Multi-frame CT of which single frames have a fault of their own, or whose frames all have one place."""

import io
from copy import deepcopy

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import MPEG2MPML, JPEGLSLossless, RLELossless

from core.scan import AVERAGED, UnreadableScan
from core.volume import read_all
from tests.core.test_volume import frames_apart, multi_frame


def header_of(data):
    return pydicom.dcmread(io.BytesIO(data))


def saved(header):
    out = io.BytesIO()
    header.save_as(out)
    return out.getvalue()


def cut(*numbers, syntax=RLELossless, slices=4):
    """A compressed multi-frame CT of which these frames are cut off."""
    header = header_of(multi_frame(slices))
    header.compress(RLELossless)
    frames = list(generate_frames(header.PixelData, number_of_frames=slices))
    header.PixelData = encapsulate([frame[:70] if at in numbers else frame for at, frame in enumerate(frames)])
    header.file_meta.TransferSyntaxUID = syntax
    return saved(header)


def with_rescale_of_its_own(number, **tags):
    """A multi-frame CT of which one frame has another rescale than the others share."""
    header = header_of(multi_frame())
    own = deepcopy(header.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence)
    for tag, value in tags.items():
        setattr(own[0], tag, value)
    header.PerFrameFunctionalGroupsSequence[number].PixelValueTransformationSequence = own
    return saved(header)


def read(data):
    """Numbers of the frames that are in, and what is said at the end."""
    found = []
    with pytest.raises(UnreadableScan) as said:
        found.extend(scan.meta["number"] for scan in read_all(data))
    return found, str(said.value)


@pytest.mark.parametrize(("numbers", "left"), [([1], [3, 2, 0]), ([0, 3], [2, 1])])
def test_a_damaged_frame_costs_no_other(numbers, left):
    found, said = read(cut(*numbers))
    assert found == left
    assert said == (
        f"Left out {len(numbers)} of its slices, damaged or cut off; the others are in. Send the file again, or export "
        "the series again."
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (cut(0, 1, 2, 3), "The DICOM file is damaged, or compressed in a way"),
        (cut(syntax=JPEGLSLossless), "The DICOM file is damaged, or compressed in a way"),
        (cut(syntax=MPEG2MPML), "The DICOM file is compressed in a way this installation cannot decode"),
    ],
)
def test_where_no_frame_can_be_decoded_it_is_said_once(data, why):
    found, said = read(data)
    assert not found
    assert said.startswith(why)


def test_where_the_frames_that_can_be_decoded_are_empty_the_compression_is_not_to_blame():
    header = header_of(multi_frame())
    header.PixelData = bytes(len(header.PixelData))
    header.compress(RLELossless)
    frames = list(generate_frames(header.PixelData, number_of_frames=4))
    header.PixelData = encapsulate([frames[0][:66], *frames[1:]])
    assert read(saved(header)) == ([], "The DICOM file is damaged or cut off. Export the series again.")


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"RescaleType": "Z_EFF"}, "no Hounsfield units but Z_EFF"),
        ({"RescaleSlope": 1, "RescaleIntercept": 5000}, "not in Hounsfield units"),
    ],
)
def test_a_frame_that_is_not_in_hounsfield_units_costs_no_other(own, why):
    found, said = read(with_rescale_of_its_own(1, **own))
    assert found == [3, 2, 0]
    assert said.startswith("Left out 1 of its slices, unfit to read; the others are in. Why the first is unfit: ")
    assert why in said


def test_frames_are_left_out_for_several_reasons_at_once():
    header = header_of(cut(1))
    kind, wide = Dataset(), Dataset()
    kind.FrameType, wide.PixelSpacing = ["DERIVED", "PRIMARY", "VOLUME", "MIP"], [4, 4]
    header.PerFrameFunctionalGroupsSequence[0].CTImageFrameTypeSequence = [kind]
    header.PerFrameFunctionalGroupsSequence[2].PixelMeasuresSequence = [wide]
    found, said = read(saved(header))
    assert found == [3]
    for what in ("too large for a head", "damaged or cut off", "unfit to read"):
        assert f"1 of its slices, {what}" in said
    assert "projection" in said


def with_one_place(shared):
    """A multi-frame CT, head first, whose only place is the file's, or what each frame says; rows run to the right."""
    header = header_of(multi_frame())
    del header.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    header.ImageOrientationPatient, header.ImagePositionPatient = [-1, 0, 0, 0, 1, 0], [120, -120, 30]
    for group in header.PerFrameFunctionalGroupsSequence:
        if shared:
            del group.PlanePositionSequence
        else:
            group.PlanePositionSequence[0].ImagePositionPatient = [120, -120, 30]
    return header


@pytest.mark.parametrize("shared", [True, False])
def test_frames_that_all_have_one_place_lie_nowhere_but_the_same_way_round(shared):
    header = with_one_place(shared)
    scans = list(read_all(saved(header)))
    assert [scan.meta["number"] for scan in scans] == [0, 1, 2, 3]
    assert not any("position_mm" in scan.meta for scan in scans)
    for scan, stored in zip(scans, header.pixel_array, strict=True):
        np.testing.assert_array_equal(scan.pixels, stored[:, ::-1] * 2.0 - 10)


def test_frames_of_which_two_have_one_place_say_it():
    header = header_of(multi_frame())
    header.PerFrameFunctionalGroupsSequence[3] = header.PerFrameFunctionalGroupsSequence[2]
    assert [scan.meta["position_mm"] for scan in read_all(saved(header))] == [90, 90, 95, 100]


@pytest.mark.parametrize(("by", "averaged"), [(0.4, False), (0.5, False), (60, True)])
def test_two_acquisitions_in_one_file_are_not_averaged_into_each_other(by, averaged):
    """But where they lie one above the other."""
    header = header_of(frames_apart(1.0, 1.0, count=120))
    for i, group in enumerate(header.PerFrameFunctionalGroupsSequence):
        group.PlanePositionSequence[0].ImagePositionPatient = [0, 0, i if i < 60 else i - 60 + by]
    scans = list(read_all(saved(header), slice_mm=5))
    assert [scan.meta.get(AVERAGED) for scan in scans] == ([5] * 24 if averaged else [None] * 120)
