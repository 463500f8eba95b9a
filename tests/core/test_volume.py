"""Multi-frame CT and NIfTI: densities, order, orientation, and what is refused."""

import gzip
import io

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from core.phantom import phantom
from core.pseudonym import Pseudonym
from core.scan import AVERAGED, UnreadableScan
from core.volume import read_all
from tests.conftest import dicom, png

KEY = Pseudonym(b"k")


def volume(slices=4, side=64):
    """(W, D, H) HU, right-front-up: each slice another, with a mark at the patient's right front."""
    hu = np.stack([phantom("no_stroke", i, side).pixels for i in range(slices)], axis=2)
    hu = np.rint(hu[::-1, ::-1].swapaxes(0, 1)[::1]).astype(np.int16)
    hu[-8:-4, -8:-4, :] = 500
    return hu


def nifti(hu, affine=None):
    affine = np.diag([1, 1, 5, 1]) if affine is None else affine
    return nibabel.Nifti1Image(hu, affine).to_bytes()


def leaning(degrees):
    """The affine of a volume turned about the axis from ear to ear."""
    sin, cos = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    affine = np.eye(4)
    affine[:3, :3] = turn
    return affine


def unoriented():
    data = bytearray(nifti(volume()))
    data[252:256] = bytes(4)  # qform_code and sform_code
    return bytes(data)


def multi_frame(slices=4, **tags):
    """An enhanced CT: rescale shared, positions a frame, in descending order."""
    frames = [pydicom.dcmread(io.BytesIO(dicom(i))) for i in range(slices)]
    header = frames[0]
    header.NumberOfFrames = slices
    header.PixelData = b"".join(frame.PixelData for frame in frames)
    header.PatientID = "HUTCHINSON"
    del header.RescaleSlope, header.RescaleIntercept
    shared, rescale, orientation = Dataset(), Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 2, -10
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelValueTransformationSequence = [rescale]
    shared.PlaneOrientationSequence = [orientation]
    header.SharedFunctionalGroupsSequence = [shared]
    per_frame = []
    for i in range(slices):
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 100 - 5 * i]
        group.PlanePositionSequence = [place]
        per_frame.append(group)
    header.PerFrameFunctionalGroupsSequence = per_frame
    for tag, value in tags.items():
        setattr(header, tag, value)
    out = io.BytesIO()
    header.save_as(out)
    return out.getvalue()


NOTHING = bytes(len(pydicom.dcmread(io.BytesIO(multi_frame())).PixelData))
"""Pixels of frames that are all black."""


def test_an_image_or_a_single_slice_is_one_scan():
    assert len(list(read_all(png(1)))) == 1
    assert len(list(read_all(dicom(1)))) == 1


def test_frames_whose_place_is_not_said_keep_their_order():
    scans = list(read_all(multi_frame(PerFrameFunctionalGroupsSequence=[])))
    assert [scan.meta["number"] for scan in scans] == [0, 1, 2, 3]
    assert not any("position_mm" in scan.meta for scan in scans)


def test_an_empty_frame_costs_no_other():
    header = pydicom.dcmread(io.BytesIO(multi_frame()))
    frame = len(header.PixelData) // 4
    header.PixelData = header.PixelData[:frame] + bytes(frame) + header.PixelData[2 * frame :]
    out = io.BytesIO()
    header.save_as(out)
    assert [scan.meta["number"] for scan in read_all(out.getvalue())] == [3, 2, 0]


@pytest.mark.parametrize("padding", [None, 0])
def test_an_empty_frame_costs_no_other_where_values_are_hounsfield_units_as_they_stand(padding):
    rescale = Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 1, 0
    shared = Dataset()
    shared.PixelValueTransformationSequence = [rescale]
    data = multi_frame(SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=[])
    header = pydicom.dcmread(io.BytesIO(data))
    frame = len(header.PixelData) // 4
    header.PixelData = header.PixelData[:frame] + bytes(frame) + header.PixelData[2 * frame :]
    if padding is not None:
        header.add_new(0x00280120, "SS", padding)
    out = io.BytesIO()
    header.save_as(out)
    assert [scan.meta["number"] for scan in read_all(out.getvalue())] == [0, 2, 3]


def test_frames_that_unpack_to_more_than_the_limit_are_refused():
    with pytest.raises(UnreadableScan, match=r"unpack to more than 0\.1 MB"):
        next(read_all(multi_frame(), megabytes=0.1))


@pytest.mark.parametrize("spacing", [np.nan, np.inf])
def test_a_nifti_volume_whose_slices_lie_nowhere_is_refused(spacing):
    data = bytearray(nifti(volume()))
    data[88:92] = np.float32(spacing).tobytes()  # pixdim[3]
    with pytest.raises(UnreadableScan, match=r"how large its voxels are|damaged"):
        list(read_all(bytes(data)))


def test_a_frame_that_is_a_projection_is_found_where_frames_say_so():
    kind, group = Dataset(), Dataset()
    kind.FrameType = ["DERIVED", "PRIMARY", "VOLUME", "MIP"]
    group.CTImageFrameTypeSequence = [kind]
    with pytest.raises(UnreadableScan, match="projection"):
        list(read_all(multi_frame(2, PerFrameFunctionalGroupsSequence=[group, group])))


def test_a_single_frame_described_as_one_of_several_is_read():
    [scan] = read_all(multi_frame(1))
    assert scan.meta["position_mm"] == 100


def test_frames_are_densities_in_anatomical_order():
    scans = list(read_all(multi_frame(), pseudonym=KEY))
    assert [scan.meta["position_mm"] for scan in scans] == [85, 90, 95, 100]
    for scan, number in zip(scans, (3, 2, 1, 0), strict=True):
        stored = pydicom.dcmread(io.BytesIO(dicom(number))).pixel_array
        np.testing.assert_array_equal(scan.pixels, stored * 2.0 - 10)
        assert scan.unit == "HU"
        assert scan.patient_key == KEY.of("PatientID", "HUTCHINSON")
    assert len({scan.study_key for scan in scans}) == 1
    assert "HUTCHINSON" not in repr(scans)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (multi_frame(SharedFunctionalGroupsSequence=[]), "no rescale"),
        (multi_frame(Modality="MR"), "an MR image"),
        (multi_frame(NumberOfFrames=5000), "limit is 2000"),
        (multi_frame()[:-4000], "damaged or cut off"),
        (nifti(volume())[:-4000], "damaged or cut off"),
        (gzip.compress(nifti(volume()))[:2000], "damaged or cut off"),
        (nifti(np.abs(volume())), "not in Hounsfield units"),
        (nifti(np.where(volume() > -900, volume() + 1024, -2000)), "not in Hounsfield units"),
        (nifti(np.where(np.arange(64)[:, None, None] < 3, np.nan, volume()).astype(np.float32)), "not numbers"),
        (nifti(np.minimum(volume(), -20)), "as dense as tissue"),
        (nifti(np.stack([volume()] * 3, axis=3)), r"4 dimensions.*\. Send one such volume a file"),
        (unoriented(), "how the head lies"),
        (nifti(volume(), np.diag([0.9, 5, 0.9, 1])), "coronal or sagittal"),
        (nifti(volume(), leaning(43)), "lies aslant"),
        (nifti(volume(), leaning(43)[:, [1, 2, 0, 3]][[1, 2, 0, 3]]), "lies aslant"),
        (nifti(volume(slices=64), leaning(50)), "lies aslant"),
        (
            multi_frame(PixelData=NOTHING),
            "Every frame has the same grey",
        ),
        (gzip.compress(bytes(3_000_000)), r"more than 2 MB.*raise limits\.volume_mb"),
    ],
)
def test_what_is_no_readable_volume_is_refused_with_its_reason(data, word):
    with pytest.raises(UnreadableScan, match=word):
        list(read_all(data, megabytes=2))


def test_a_nifti_volume_is_cut_axially_and_shown_as_radiologists_do():
    hu = volume()
    scans = list(read_all(nifti(hu)))
    assert len(scans) == 4
    for number, scan in enumerate(scans):
        assert scan.unit == "HU"
        assert scan.meta["position_mm"] == 5 * number
        np.testing.assert_array_equal(scan.pixels, hu[::-1, ::-1, number].T)
        assert (scan.pixels[4:8, 4:8] == 500).all(), "the patient's right front is at the image's upper left"
    assert len({scan.patient_key for scan in scans}) == 1, "slices of one volume belong together"


@pytest.mark.parametrize("codes", [("L", "P", "S"), ("P", "I", "R"), ("S", "A", "L")])
def test_however_a_nifti_volume_lies_on_disk_it_is_the_same(codes):
    plain = nibabel.Nifti1Image(volume(), np.diag([1, 1, 5, 1]))
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
    )
    for there, here in zip(read_all(plain.as_reoriented(turn).to_bytes()), read_all(plain.to_bytes()), strict=True):
        np.testing.assert_array_equal(there.pixels, here.pixels)


def test_a_volume_in_the_second_format_is_the_same():
    second = nibabel.Nifti2Image(volume(), np.diag([1, 1, 5, 1])).to_bytes()
    for data in (second, gzip.compress(second)):
        for there, here in zip(read_all(data), read_all(nifti(volume())), strict=True):
            np.testing.assert_array_equal(there.pixels, here.pixels)


def test_a_volume_that_leans_no_more_than_a_head_does_is_read():
    assert len(list(read_all(nifti(volume(), leaning(25))))) == 4


def test_many_thin_slices_are_put_together():
    hu = np.repeat(volume(12), 5, axis=2) + np.tile([-2, -1, 0, 1, 2], 12).astype(np.int16)
    thin, thick = nifti(hu, nibabel.affines.from_matvec(np.eye(3), [-32, -32, 7])), nifti(volume(12))
    assert len(list(read_all(thin))) == 60
    together = list(read_all(thin, slice_mm=5))
    assert [scan.meta[AVERAGED] for scan in together] == [5] * 12
    for found, wanted in zip(together, read_all(thick), strict=True):
        np.testing.assert_array_equal(found.pixels, wanted.pixels)
        assert found.meta["position_mm"] == wanted.meta["position_mm"] + 2
    [one] = {scan.study_key for scan in together}
    assert one == next(read_all(thin)).study_key


def frames_apart(step, thickness=None, count=48):
    """An enhanced CT of so many frames."""
    header = pydicom.dcmread(io.BytesIO(multi_frame(4)))
    header.NumberOfFrames, header.PixelData = count, header.PixelData * (count // 4)
    header.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(count)]
    for i, group in enumerate(header.PerFrameFunctionalGroupsSequence):
        place = Dataset()
        place.ImagePositionPatient = [0, 0, step * i]
        group.PlanePositionSequence = [place]
    if thickness is not None:
        measures = Dataset()
        measures.SliceThickness = thickness
        header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = [measures]
    out = io.BytesIO()
    header.save_as(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("step", "thickness", "found"), [(1.25, None, 12), (1.25, 1.25, 12), (1.25, 5, 48), (5, 5, 48)]
)
def test_many_thin_frames_are_put_together(step, thickness, found):
    scans = list(read_all(frames_apart(step, thickness), slice_mm=5))
    assert len(scans) == found
    if found == 12:
        pixels = [pydicom.dcmread(io.BytesIO(dicom(i))).pixel_array * 2.0 - 10 for i in range(4)]
        np.testing.assert_array_equal(scans[0].pixels, np.rint(np.mean(pixels, axis=0)))
        assert (scans[0].meta["number"], scans[0].meta["position_mm"]) == (1.5, pytest.approx(1.5 * step))


def without_its_place(group):
    del group.PlanePositionSequence


def tilted(group):
    plane = Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 0.94, -0.342]
    group.PlaneOrientationSequence = [plane]


def beside(group):
    group.PlanePositionSequence[0].ImagePositionPatient[1] = 12


def of_another_pixel_size(group):
    measures = Dataset()
    measures.PixelSpacing = [0.4, 0.4]
    group.PixelMeasuresSequence = [measures]


@pytest.mark.parametrize("change", [without_its_place, tilted, beside, of_another_pixel_size])
def test_frames_that_do_not_lie_alike_are_not_put_together(change):
    header = pydicom.dcmread(io.BytesIO(frames_apart(1.25)))
    change(header.PerFrameFunctionalGroupsSequence[7])
    out = io.BytesIO()
    header.save_as(out)
    assert len(list(read_all(out.getvalue(), slice_mm=5))) == 48


def test_a_frame_says_how_thick_it_is():
    assert {scan.meta.get("SliceThickness") for scan in read_all(frames_apart(1.25, 1.25))} == {1.25}
    assert {scan.meta.get("SliceThickness") for scan in read_all(frames_apart(1.25, 1.25), slice_mm=5)} == {None}


def test_shoulders_below_a_head_are_left_out():
    hu = volume(side=128)
    shoulders = hu.copy()
    shoulders[2:-2, 8:-8, 0] = 40
    scale = np.diag([2.3, 2.3, 5, 1])  # the heads: some 380 square centimetres
    assert len(list(read_all(nifti(hu, scale)))) == 4
    found = []
    with pytest.raises(UnreadableScan, match="Left out 1 of its slices"):
        found.extend(scan.meta["position_mm"] for scan in read_all(nifti(shoulders, scale)))
    assert found == [5, 10, 15]


@pytest.mark.parametrize("data", [nifti(volume(side=128), np.diag([4, 4, 5, 1])), multi_frame(PixelSpacing=[4, 4])])
def test_a_volume_of_nothing_but_body_is_refused(data):
    with pytest.raises(UnreadableScan, match="square centimetres"):
        list(read_all(data))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("spacing", "refused"), [([4, 4], True), ([0.5, 0.5], False), ("0,48\\0,48", False)])
def test_the_size_of_a_frames_pixel_stands_in_its_measures(shared, spacing, refused):
    header = pydicom.dcmread(io.BytesIO(multi_frame()))
    measures = Dataset()
    measures.add_new(0x00280030, "DS" if isinstance(spacing, list) else "LO", spacing)
    groups = header.SharedFunctionalGroupsSequence if shared else header.PerFrameFunctionalGroupsSequence
    for group in groups:
        group.PixelMeasuresSequence = [measures]
    out = io.BytesIO()
    header.save_as(out)
    if refused:
        with pytest.raises(UnreadableScan, match="square centimetres"):
            list(read_all(out.getvalue()))
    else:
        assert len(list(read_all(out.getvalue()))) == 4


def test_a_packed_volume_is_the_same():
    packed, plain = (list(read_all(data)) for data in (gzip.compress(nifti(volume())), nifti(volume())))
    for there, here in zip(packed, plain, strict=True):
        assert there.content_hash == here.content_hash
