"""What a file lacks or is packed in is said, not that it is damaged."""

import bz2
import io
import lzma
import tarfile

import numpy as np
import pydicom
import pytest

from core.formats import read
from core.scan import UnreadableScan
from core.volume import read_all
from tests.conftest import changed_dicom, dicom
from tests.core.test_formats import TRANSFER_SYNTAXES, recoded

PIXELS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation"),
)


@pytest.mark.parametrize("tag", PIXELS)
@pytest.mark.parametrize("syntax", [None, "JPEG 2000", "RLE"])
def test_a_header_that_does_not_say_how_its_pixels_are_kept_is_no_damage(tag, syntax):
    data = recoded(dicom(), syntax) if syntax else dicom()
    with pytest.raises(UnreadableScan, match=rf"how its pixels are kept \(no {tag}\)\. Send the series"):
        read(changed_dicom(data, **{tag: None}))


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_of_how_pixels_are_kept_the_highest_bit_goes_without_saying(syntax):
    scan = read(changed_dicom(recoded(dicom(), syntax), HighBit=None))
    np.testing.assert_array_equal(scan.pixels, read(dicom()).pixels)


def in_decimals():
    header = pydicom.dcmread(io.BytesIO(dicom()))
    header.FloatPixelData = header.pixel_array.astype(np.float32).tobytes()
    header.BitsAllocated = 32
    del header.PixelData
    out = io.BytesIO()
    header.save_as(out)
    return out.getvalue()


def with_a_comma(tag):
    return changed_dicom(**{tag: "1.2345"}).replace(b"1.2345", b"1,2345")


def in_a_tar(data, packed=""):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{packed}") as archive:
        member = tarfile.TarInfo("a/1.dcm")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (changed_dicom(Modality=None), r"does not say what it shows \(no Modality\)\. Export"),
        (changed_dicom(Modality=""), r"does not say what it shows \(no Modality\)\. Export"),
        (changed_dicom(PixelData=b""), "damaged or cut off"),
        (in_decimals(), "decimals .float pixel data.*Send the series"),
        (changed_dicom(Rows=48), "more pixels than its header says. Export the series again"),
        (with_a_comma("RescaleSlope"), "not a usable number.*Send the series"),
        (with_a_comma("RescaleIntercept"), "not a usable number.*Send the series"),
        (in_a_tar(dicom()), "archive that is not read here.*as a zip"),
        (in_a_tar(dicom(), "gz"), "archive that is not read here.*as a zip"),
        (bz2.compress(dicom()), "archive that is not read here.*as a zip"),
        (lzma.compress(dicom()), "archive that is not read here.*as a zip"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "archive that is not read here.*as a zip"),
        (b"Rar!\x1a\x07\0" + bytes(600), "archive that is not read here.*as a zip"),
        (b"\0\0\0\x18ftypheic" + bytes(600), "HEIC or AVIF.*as JPG"),
    ],
)
def test_what_is_refused_is_called_what_it_is(data, word):
    with pytest.raises(UnreadableScan, match=word):
        list(read_all(data))
