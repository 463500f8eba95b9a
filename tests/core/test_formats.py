import io
import tempfile
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from core.burned_in import BURNED_IN
from core.formats import read
from core.phantom import phantom, to_dicom
from core.pseudonym import Pseudonym
from core.scan import AIR_HU, UnreadableScan
from tests.conftest import changed_dicom, dicom, png

KEY = Pseudonym(b"test secret")


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


GREY_16 = np.abs(pydicom.dcmread(io.BytesIO(dicom())).pixel_array).tobytes()
PADDED_GREY = (
    np.where(np.eye(96, dtype=bool), -2000, np.frombuffer(GREY_16, "<i2").reshape(96, 96)).astype("<i2").tobytes()
)
GRADIENT = np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)


def test_a_grey_png_keeps_every_value():
    scan = read(encoded(Image.fromarray(GRADIENT)))
    assert scan.unit == "display"
    np.testing.assert_array_equal(scan.pixels, GRADIENT)


def test_an_rgb_png_of_grey_is_the_grey():
    scan = read(encoded(Image.fromarray(np.dstack([GRADIENT] * 3))))
    np.testing.assert_array_equal(scan.pixels, GRADIENT)


def test_what_is_transparent_is_black():
    alpha = np.where(np.arange(48) < 24, 255, 0).astype(np.uint8) * np.ones((64, 1), np.uint8)
    scan = read(encoded(Image.fromarray(np.dstack([np.full_like(GRADIENT, 200)] * 3 + [alpha]))))
    assert scan.pixels[0, 0] == 200
    assert scan.pixels[0, 47] == 0


def test_a_photograph_on_its_side_is_turned_as_its_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise to show
    scan = read(encoded(Image.fromarray(GRADIENT), "JPEG", quality=100, exif=exif))
    np.testing.assert_allclose(scan.pixels, np.rot90(GRADIENT, -1), atol=3)


def test_a_png_with_a_palette_is_the_grey_of_its_colours():
    greys = np.arange(255, -1, -1, dtype=np.uint8)
    image = Image.fromarray(GRADIENT).convert("P")
    image.putpalette(np.repeat(greys, 3).tobytes())
    np.testing.assert_array_equal(read(encoded(image)).pixels, 255 - GRADIENT)


def test_densities_do_not_depend_on_how_a_slice_asks_to_be_shown():
    inverse = read(changed_dicom(PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(inverse.pixels, read(dicom()).pixels)


def test_a_slice_in_lossy_jpeg_has_the_densities_of_its_decoded_pixels():
    jpeg = encoded(Image.fromarray(np.repeat(GRADIENT, 2, 1)), "JPEG", quality=90)
    header = pydicom.dcmread(io.BytesIO(dicom()))
    header.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    header.Rows, header.Columns = 64, 96
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.RescaleSlope, header.RescaleIntercept = 0.5, -20
    header.PixelData = pydicom.encaps.encapsulate([jpeg])
    header["PixelData"].VR = "OB"
    out = io.BytesIO()
    header.save_as(out)
    decoded = np.asarray(Image.open(io.BytesIO(jpeg)), np.float64)
    np.testing.assert_allclose(read(out.getvalue()).pixels, decoded * 0.5 - 20, atol=1)  # decoders may round apart


def test_a_dicom_slice_is_read_in_hounsfield_units():
    slice_ = phantom("ischemic", 3, 96)
    scan = read(to_dicom(slice_, "P1"))
    assert scan.unit == "HU"
    np.testing.assert_array_equal(scan.pixels, slice_.pixels)


TRANSFER_SYNTAXES = {
    "implicit": gdcm.TransferSyntax.ImplicitVRLittleEndian,
    "big endian": gdcm.TransferSyntax.ExplicitVRBigEndian,
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "RLE": gdcm.TransferSyntax.RLELossless,
}


def recoded(data, name):
    """A DICOM slice in another transfer syntax."""
    with tempfile.TemporaryDirectory() as folder:
        plain, encoded_ = (str(Path(folder) / part) for part in ("plain.dcm", "encoded.dcm"))
        Path(plain).write_bytes(data)
        reader = gdcm.ImageReader()
        reader.SetFileName(plain)
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(TRANSFER_SYNTAXES[name]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(encoded_)
        assert writer.Write()
        return Path(encoded_).read_bytes()


@pytest.mark.parametrize("name", TRANSFER_SYNTAXES)
@pytest.mark.parametrize("signed", [True, False])
def test_every_lossless_encoding_of_dicom_gives_the_same_densities(name, signed):
    header = pydicom.dcmread(io.BytesIO(dicom()))
    if not signed:
        stored = header.pixel_array.astype(np.int32) + 1024
        header.PixelData = stored.astype("<u2").tobytes()
        header.PixelRepresentation, header.RescaleIntercept = 0, -1024
    out = io.BytesIO()
    header.save_as(out)
    scan = read(recoded(out.getvalue(), name))
    np.testing.assert_array_equal(scan.pixels, read(dicom()).pixels)


def test_a_dicom_file_without_its_preamble_is_read():
    whole = dicom()
    scan = read(whole[132:])
    np.testing.assert_array_equal(scan.pixels, read(whole).pixels)


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("group_length", [True, False])
def test_a_data_set_that_names_no_transfer_syntax_is_read_by_the_one_it_has(implicit, group_length):
    header = pydicom.dcmread(io.BytesIO(dicom()))
    out = io.BytesIO()
    pydicom.filewriter.write_dataset(_writer(out, implicit), header)
    data = out.getvalue()
    if group_length:
        data = b"\x08\0\0\0" + (b"\4\0\0\0" if implicit else b"UL\4\0") + b"\0\0\0\0" + data
    np.testing.assert_array_equal(read(data).pixels, read(dicom()).pixels)


def _writer(out, implicit):
    writer = pydicom.filebase.DicomFileLike(out)
    writer.is_implicit_VR, writer.is_little_endian = implicit, True
    return writer


def test_a_volume_is_nothing_that_one_label_is_of():
    for data in (b"\0" * 344 + b"n+1\0", b"\x1f\x8b" + bytes(400)):
        with pytest.raises(UnreadableScan, match="Export one image a slice to train on"):
            read(data)


def test_rescale_and_padding_are_applied():
    scan = read(changed_dicom(RescaleSlope=2, RescaleIntercept=-10, PixelPaddingValue=-1024))
    plain = read(dicom()).pixels
    np.testing.assert_array_equal(scan.pixels, np.where(plain == -1024, AIR_HU, plain * 2 - 10))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"not an image at all", "not a JPG, PNG, TIFF, BMP, GIF, WebP, DICOM or NIfTI"),
        (encoded(Image.fromarray(GRADIENT), "JPEG")[:300], "damaged or cut off"),
        (png()[: len(png()) // 2], "damaged or cut off"),
        (dicom()[:-500], "damaged or cut off"),
        (dicom()[:200], "damaged or cut off"),
        (encoded(Image.new("L", (64, 64), 7)), "same grey"),
        (encoded(Image.fromarray(GRADIENT[:8])), "too small.*own resolution"),
        (encoded(Image.new("L", (5000, 4000))), "megapixels"),
        (b"BMI,age,label\n" * 30, "not a JPG"),
        (changed_dicom(Modality="MR"), "an MR image"),
        (changed_dicom(Modality="SR"), "a dose report"),
        (changed_dicom(Modality="XY"), "another kind of image .modality XY"),
        (changed_dicom(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), "secondary capture"),
        (changed_dicom(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "scout"),
        *(
            (changed_dicom(ImageType=["DERIVED", "SECONDARY", said]), "projection")
            for said in ("MIP", "MINIP", "CT_SOM5 MIP", "CSA MIP", "MIP_THICK", "MAXIMUM", "MAX_IP", "MAX IP")
        ),
        (changed_dicom(VolumeBasedCalculationTechnique="MAX_IP"), "projection"),
        (changed_dicom(ImageType="MIP"), "projection"),
        (changed_dicom(DirectoryRecordSequence=[], Modality=None), "list of a DICOM folder"),
        (changed_dicom(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "coronal or sagittal"),
        (changed_dicom(PhotometricInterpretation="PALETTE COLOR"), "in colour"),
        (b"PK\x03\x04" + b"x" * 300, "a zip inside a zip"),
        (changed_dicom(RescaleType="Z_EFF"), "no Hounsfield units but Z_EFF"),
        (changed_dicom(RescaleSlope="1", RescaleIntercept="0", PixelData=GREY_16), "nothing in it is as dark as air"),
        (
            changed_dicom(
                RescaleSlope="1",
                RescaleIntercept="0",
                PixelData=GREY_16,
                PixelPaddingValue=int.from_bytes(GREY_16[:2], "little"),
            ),
            "nothing in it is as dark as air",
        ),
        (
            changed_dicom(RescaleSlope="1", RescaleIntercept="0", PixelData=PADDED_GREY, PixelPaddingValue=-2000),
            "nothing in it is as dark as air",
        ),
        (changed_dicom(RescaleSlope="1", RescaleIntercept="-1", PixelData=GREY_16), "nothing in it is as dark as air"),
        (changed_dicom(RescaleSlope=None), r"no rescale\)\. Send the series"),
        (changed_dicom(ImageType=["DERIVED", "SECONDARY", "PERFUSION", "CBF"]), "a map computed"),
        (changed_dicom(PixelSpacing=[0.5, 1.0]), "not square"),
        (changed_dicom(HighBit=15, BitsStored=12), "upper bits"),
        (changed_dicom(RescaleIntercept="-9000"), "as dense as tissue"),
        (changed_dicom(RescaleSlope=0), "not a usable number.*Send the series"),
        (changed_dicom(NumberOfFrames=2), "several frames"),
        (changed_dicom(Rows=20000, Columns=20000), "megapixels"),
    ],
)
def test_what_is_no_readable_scan_is_refused_with_its_reason(data, word):
    with pytest.raises(UnreadableScan, match=word) as refusal:
        read(data)
    assert str(refusal.value).endswith((".", ")."))


@pytest.mark.parametrize("tags", [{"RescaleType": "Hounsfield"}, {"Modality": "ct"}, {"BitsStored": 16, "HighBit": 11}])
def test_a_header_that_says_it_in_its_own_way_is_read(tags):
    np.testing.assert_array_equal(read(changed_dicom(**tags)).pixels, read(dicom()).pixels)


def test_a_range_of_padding_is_air():
    plain = read(dicom()).pixels
    header = pydicom.dcmread(io.BytesIO(dicom()))
    header.add_new(0x00280120, "SS", 30)
    header.add_new(0x00280121, "SS", 34)
    out = io.BytesIO()
    header.save_as(out)
    padded = (plain >= 30) & (plain <= 34)
    assert padded.any()
    np.testing.assert_array_equal(read(out.getvalue()).pixels, np.where(padded, AIR_HU, plain))


def test_padding_that_is_given_unsigned_is_that_of_signed_pixels():
    """-2000 as 63536, as some scanners write it."""
    header = pydicom.dcmread(io.BytesIO(dicom()))
    stored = header.pixel_array.copy()
    stored[:4] = -2000
    header.PixelData = stored.tobytes()
    header.add_new(0x00280120, "US", 63536)
    out = io.BytesIO()
    header.save_as(out)
    assert (read(out.getvalue()).pixels[:4] == AIR_HU).all()


def test_densities_beyond_what_is_kept_are_refused():
    with pytest.raises(UnreadableScan, match="far too large"):
        read(changed_dicom(RescaleSlope="1e37"))


def test_a_name_with_an_endless_number_names_no_place():
    assert "number" not in read(png(), f"49 ({'9' * 400}).png", pseudonym=Pseudonym(b"k")).meta


def test_red_letters_are_noticed():
    scan = Image.open(io.BytesIO(png(size=256))).crop((0, 0, 256, 230)).convert("RGB")
    ImageDraw.Draw(scan).text((4, 4), "DOE JANE", fill=(255, 0, 0), font=ImageFont.load_default(12))
    assert BURNED_IN in read(encoded(scan)).meta


def test_letters_are_noticed_on_a_page_too():
    scan = Image.open(io.BytesIO(png(size=256))).crop((0, 0, 256, 230))
    ImageDraw.Draw(scan).text((4, 4), "DOE JANE", fill=255, font=ImageFont.load_default(12))
    page = Image.new("L", (336, 310), 255)
    page.paste(scan, (40, 40))
    assert BURNED_IN in read(encoded(page)).meta


def test_a_slice_seen_from_above_is_turned_over():
    np.testing.assert_array_equal(
        read(changed_dicom(ImageOrientationPatient=[-1, 0, 0, 0, 1, 0])).pixels, read(dicom()).pixels[:, ::-1]
    )


def test_letters_burned_in_are_noticed():
    scan = Image.open(io.BytesIO(png(size=256))).crop((0, 0, 256, 230))  # without the phantom's own "SYNTHETIC"
    assert BURNED_IN not in read(encoded(scan)).meta
    ImageDraw.Draw(scan).text((4, 4), "DOE JANE", fill=255, font=ImageFont.load_default(12))
    assert BURNED_IN in read(encoded(scan)).meta
    assert BURNED_IN in read(changed_dicom(BurnedInAnnotation="YES")).meta


def test_the_same_pixels_in_another_container_have_the_same_hash():
    image = Image.fromarray(GRADIENT)
    rgb = Image.fromarray(np.dstack([GRADIENT] * 3))
    assert read(encoded(image)).content_hash == read(encoded(rgb)).content_hash
    assert read(encoded(image)).content_hash != read(encoded(Image.fromarray(GRADIENT[::-1].copy()))).content_hash


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", png()[:200], dicom()[:400], encoded(Image.fromarray(GRADIENT), "JPEG")]),
)
def test_any_bytes_are_a_scan_or_a_sentence(tail, head):
    try:
        scan = read(head + tail)
    except UnreadableScan:
        return  # refused, in a sentence: its words are looked at above
    assert np.isfinite(scan.pixels).all()


def test_the_real_series_is_read_exactly_and_in_one_study(real_data):
    folder = real_data / "dicom_ge_head"
    scans = [read(path.read_bytes(), path.name, pseudonym=KEY) for path in sorted(folder.glob("*.dcm"))]
    assert len(scans) == 28
    assert len({scan.study_key for scan in scans}) == len({scan.patient_key for scan in scans}) == 1
    header = pydicom.dcmread(folder / "01.dcm")
    stored = header.pixel_array
    expected = np.where(
        stored == header.PixelPaddingValue, AIR_HU, stored * float(header.RescaleSlope) + float(header.RescaleIntercept)
    )
    np.testing.assert_array_equal(scans[0].pixels, expected.astype(np.float32))
    gaps = np.diff(sorted(scan.meta["position_mm"] for scan in scans))
    assert gaps[0] == pytest.approx(4, abs=0.01)
    assert gaps[-1] == pytest.approx(7, abs=0.01)
