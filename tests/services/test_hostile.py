"""Sixty odd or hostile files among twenty good ones: each has its sentence or its image, none costs another."""

import gzip
import io
import struct
import zlib

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from db import queries
from services.intake import Incoming, receive
from tests.conftest import dicom, png
from tests.core.test_volume import multi_frame, nifti, volume
from tests.services.test_files import zipped

GREY = (np.arange(96 * 96).reshape(96, 96) % 251).astype(np.uint8)


def saved(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def changed(seed, **tags):
    header = pydicom.dcmread(io.BytesIO(dicom(seed)))
    for tag, value in tags.items():
        if value is None:
            delattr(header, tag)
        else:
            setattr(header, tag, value)
    out = io.BytesIO()
    header.save_as(out)
    return out.getvalue()


def in_syntax(uid, data=b"\x00" * 500):
    """A slice that claims a compression which its pixel data is not."""
    header = pydicom.dcmread(io.BytesIO(dicom(60)))
    header.file_meta.TransferSyntaxUID = uid
    header.PixelData = pydicom.encaps.encapsulate([data])
    header["PixelData"].VR = "OB"
    out = io.BytesIO()
    header.save_as(out)
    return out.getvalue()


def nested(depth):
    item = Dataset()
    item.PatientName = "DEEP"
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedImageSequence = Sequence([item])
        item = outer
    header = pydicom.dcmread(io.BytesIO(dicom(61)))
    header.ReferencedImageSequence = item.ReferencedImageSequence
    out = io.BytesIO()
    header.save_as(out)
    return out.getvalue()


def png_of_size(width, height):
    """A PNG whose header claims a size and whose data is short."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def odd_image(seed):
    return Image.fromarray(np.roll(GREY, seed * 7, axis=1))


def exif(seed):
    tags = Image.Exif()
    tags[0x0112] = 6
    return saved(odd_image(seed), "JPEG", quality=95, exif=tags)


def palette(seed):
    return saved(odd_image(seed).convert("P"))


def alpha(seed):
    rgba = odd_image(seed).convert("RGBA")
    rgba.putalpha(Image.new("L", rgba.size, 200))
    return saved(rgba)


NOWHERE = {"ImageOrientationPatient": [1, 0, 0, 0, 0.8, 0.6], "ImagePositionPatient": [0, -1.7e308, 1.7e308]}
"""Numbers all of them, and the place they come to is none."""
MAKES = {
    # what is no scan at all
    "empty.jpg": (lambda: b"", "refused"),
    "text.jpg": (lambda: b"hello", "refused"),
    "page.png": (lambda: b"<html><body>not a scan</body></html>", "refused"),
    "report.pdf": (lambda: b"%PDF-1.7\n" + b"x" * 900, "refused"),
    "noise.dcm": (lambda: np.random.default_rng(0).bytes(10_000), "refused"),
    "a.svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "refused"),
    "a.zip": (lambda: zipped(a=png(1)), "refused"),  # a zip in a batch of plain files: unpacked at the door, not here
    # images
    "cut.jpg": (lambda: saved(odd_image(2), "JPEG")[:400], "refused"),
    "cut.png": (lambda: png(51)[:700], "refused"),
    "bomb.png": (lambda: saved(Image.new("L", (13_000, 13_000))), "refused"),
    "claims.png": (lambda: png_of_size(60_000, 60_000), "refused"),
    "short.png": (lambda: png_of_size(512, 512), "refused"),
    "long.png": (lambda: saved(Image.new("L", (100_000, 1))), "refused"),
    "tiny.png": (lambda: saved(odd_image(3).resize((8, 8))), "refused"),
    "flat.png": (lambda: saved(Image.new("L", (96, 96), 7)), "refused"),
    "print.jpg": (lambda: saved(odd_image(4).convert("CMYK"), "JPEG"), "refused"),
    "a.gif": (lambda: saved(odd_image(10), "GIF"), "stored"),
    "a.bmp": (lambda: saved(odd_image(11), "BMP"), "stored"),
    "a.tif": (lambda: saved(odd_image(12), "TIFF"), "stored"),
    "a.webp": (lambda: saved(odd_image(13), "WEBP"), "stored"),
    "palette.png": (lambda: palette(5), "stored"),
    "alpha.png": (lambda: alpha(6), "stored"),
    "turned.jpg": (lambda: exif(7), "stored"),
    "deep.png": (lambda: saved(Image.fromarray(GREY.astype(np.uint16) * 200)), "stored"),
    "polyglot.png": (lambda: png(52) + zipped(a=b"x"), "stored"),
    "tail.jpg": (lambda: saved(odd_image(8), "JPEG") + b"\0" * 5000, "stored"),
    "../../etc/passwd.png": (lambda: png(53), "stored"),
    "nul\0name.png": (lambda: png(54), "stored"),
    "x" * 5000 + ".png": (lambda: png(55), "stored"),
    # DICOM: the wrong thing
    "mr.dcm": (lambda: changed(1, Modality="MR"), "refused"),
    "dose.dcm": (lambda: changed(1, Modality="SR"), "refused"),
    "scout.dcm": (lambda: changed(1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "refused"),
    "capture.dcm": (lambda: changed(1, SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), "refused"),
    "colour.dcm": (lambda: changed(1, SamplesPerPixel=3, PhotometricInterpretation="RGB"), "refused"),
    "nopixels.dcm": (lambda: changed(1, PixelData=None), "refused"),
    # DICOM: broken or absurd
    "dicm.dcm": (lambda: b"\0" * 128 + b"DICM", "refused"),
    "header.dcm": (lambda: dicom(2)[:300], "refused"),
    "cut.dcm": (lambda: dicom(2)[:-3000], "refused"),
    "nan.dcm": (lambda: changed(3, RescaleSlope="nan"), "refused"),
    "inf.dcm": (lambda: changed(3, RescaleSlope="inf"), "refused"),
    "vast.dcm": (lambda: changed(3, RescaleSlope="1e37"), "refused"),
    "nowhere.dcm": (lambda: changed(72, **NOWHERE), "stored"),
    "zero.dcm": (lambda: changed(3, RescaleSlope=0), "refused"),
    "norescale.dcm": (lambda: changed(3, RescaleSlope=None), "refused"),
    "huge.dcm": (lambda: changed(3, Rows=65_535, Columns=65_535), "refused"),
    "norows.dcm": (lambda: changed(3, Rows=0), "refused"),
    "bits.dcm": (lambda: changed(3, BitsAllocated=7), "refused"),
    "jpeg2000.dcm": (lambda: in_syntax("1.2.840.10008.1.2.4.90"), "refused"),
    "jpegls.dcm": (lambda: in_syntax("1.2.840.10008.1.2.4.80"), "refused"),
    "lossless.dcm": (lambda: in_syntax("1.2.840.10008.1.2.4.70"), "refused"),
    "baseline.dcm": (lambda: in_syntax("1.2.840.10008.1.2.4.50", saved(odd_image(9), "JPEG")[:200]), "refused"),
    "rle.dcm": (lambda: in_syntax(RLELossless), "refused"),
    "unknown.dcm": (lambda: in_syntax("1.2.3.4.5"), "refused"),
    "controls.dcm": (lambda: changed(70, PatientID="A\x01\x02\n' OR 1=1 --"), "stored"),
    "nested.dcm": (lambda: nested(60), "stored"),
    # volumes
    "frames.dcm": (lambda: multi_frame(SharedFunctionalGroupsSequence=[]), "refused"),
    "manyframes.dcm": (lambda: multi_frame(NumberOfFrames=99_999), "refused"),
    "mask.nii": (lambda: nifti((volume() > 0).astype(np.int16)), "refused"),
    "cut.nii": (lambda: nifti(volume())[:-9000], "refused"),
    "four.nii": (lambda: nifti(np.stack([volume()] * 2, axis=3)), "refused"),
    "bomb.nii.gz": (lambda: gzip.compress(bytes(1_100_000_000), compresslevel=1), "refused"),
    "cut.nii.gz": (lambda: gzip.compress(nifti(volume()))[:3000], "refused"),
}


def test_each_odd_file_has_its_outcome_and_none_costs_a_good_one(ws, predictor):
    assert len(MAKES) == 62
    good = [(f"good-{i}.png", png(300 + i)) for i in range(21)]
    odd = [(name, make()) for name, (make, _) in MAKES.items()]
    files = [file for i in range(21) for file in (good[i], *odd[i * 3 : i * 3 + 3])]
    found = list(receive(ws, predictor, (Incoming(*file) for file in files), source="ingest", actor="a"))
    outcomes = {one.file: one for one in found}
    assert [one.file for one in found] == [name for name, _ in files]
    wrong = {name: outcomes[name] for name, (_, wanted) in MAKES.items() if outcomes[name].outcome != wanted}
    assert not wrong
    assert all(outcomes[name].outcome == "stored" for name, _ in good)
    for one in found:
        if one.outcome == "refused":
            assert one.reason.endswith((".", ")."))
            assert 20 < len(one.reason) < 300
    with ws.db.reading() as session:
        rows = queries.scans(session)
    assert len(rows) == sum(one.outcome == "stored" for one in found)
    assert all(ws.images.path(row.content_hash).exists() for row in rows)
    assert "OR 1=1" not in repr(rows)
