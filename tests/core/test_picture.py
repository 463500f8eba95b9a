import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.formats import read
from core.phantom import phantom
from core.preprocess import windowed
from core.scan import ASSUMED_BITS, COLOURED, UnreadableScan
from tests.core.test_formats import GRADIENT, KEY, encoded


def sixteen_bits_a_colour():
    """A PNG with an alpha channel, 16 bits each, which Pillow would read as 8."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + struct.pack(">HH", 4000, 65535) * 64 for _ in range(64))
    head = struct.pack(">IIBBBBB", 64, 64, 16, 4, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("top", "bits"), [(200, 8), (255, 8), (4000, 12), (60000, 16)])
def test_a_16_bit_png_keeps_its_shades_whatever_depth_it_uses(top, bits):
    values = np.linspace(0, top, 64 * 48).reshape(64, 48).astype(np.uint16)
    scan = read(encoded(Image.fromarray(values)))
    assert scan.unit == "display"
    np.testing.assert_allclose(scan.pixels, values / (2**bits - 1) * 255, rtol=1e-6)


@pytest.mark.parametrize(("kind", "how"), [("TIFF", {}), ("BMP", {}), ("GIF", {}), ("WEBP", {"lossless": True})])
def test_other_pictures_give_the_same_greys(kind, how):
    out = io.BytesIO()
    Image.fromarray(GRADIENT).save(out, kind, **how)
    scan = read(out.getvalue(), "49 (1).tif", pseudonym=KEY)
    np.testing.assert_array_equal(scan.pixels, GRADIENT.astype(np.float32))
    assert scan.unit == "display"
    assert scan.meta["format"] == kind
    assert scan.patient_key is not None


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_a_16_bit_tiff_keeps_its_shades(order):
    values = np.linspace(0, 4095, 64 * 48).reshape(64, 48).astype(order)
    out = io.BytesIO()
    Image.fromarray(values).save(out, "TIFF")
    scan = read(out.getvalue())
    np.testing.assert_allclose(scan.pixels, values.astype(float) / 4095 * 255, rtol=1e-6)
    assert scan.meta[ASSUMED_BITS] == 12


def several_images(kind):
    out = io.BytesIO()
    slices = [Image.fromarray(np.roll(GRADIENT, i, 0)) for i in range(3)]
    slices[0].save(out, kind, save_all=True, append_images=slices[1:])
    return out.getvalue()


def tiff(values, **tags):
    out = io.BytesIO()
    Image.fromarray(values).save(out, "TIFF", tiffinfo={int(tag[1:]): value for tag, value in tags.items()})
    return out.getvalue()


def with_sides(bmp, side):
    """A BMP that says it is of another size."""
    return bmp[:18] + 2 * side.to_bytes(4, "little") + bmp[26:]


def without_tag(data, tag):
    """A little-endian TIFF with one entry of its directory renamed to a private tag."""
    at = int.from_bytes(data[4:8], "little")
    for entry in range(at + 2, at + 2 + 12 * int.from_bytes(data[at : at + 2], "little"), 12):
        if int.from_bytes(data[entry : entry + 2], "little") == tag:
            return data[:entry] + (65000).to_bytes(2, "little") + data[entry + 2 :]
    raise AssertionError(tag)


def with_alpha():
    """A TIFF of 16-bit grey that says it has two samples a pixel, which Pillow does not know."""
    planar, samples = (struct.pack("<HHII", tag, 3, 1, value) for tag, value in ((284, 1), (277, 2)))
    data = tiff(GRADIENT.astype(np.uint16))
    assert planar in data
    return data.replace(planar, samples)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (with_alpha(), "damaged or cut off, or keeps its pixels in a way that is not read here. Export it again"),
        (encoded(Image.new("CMYK", (64, 64), (1, 2, 3, 4)), "JPEG"), "CMYK"),
        (several_images("TIFF"), "holds 3 images"),
        (several_images("GIF"), "holds 3 images"),
        (several_images("WEBP"), "holds 3 images"),
        (several_images("PNG"), "holds 3 images"),
        (tiff(GRADIENT.astype(np.float32) - 1000), "plain greys"),
        (tiff(GRADIENT.astype(np.int32) - 1000), "plain greys"),
        (tiff(GRADIENT.astype(np.int16) - 1000), "plain greys"),
        (tiff(GRADIENT.astype(np.uint32) * 1000), "plain greys"),
        (tiff(GRADIENT, t339=2), "plain greys"),
        (tiff(GRADIENT.astype(np.uint16) * 16, t262=0), "plain greys"),
        (without_tag(tiff(GRADIENT), 262), "plain greys"),
        (encoded(Image.new("LAB", (64, 64), (9, 2, 3)), "TIFF"), "plain greys"),
        (encoded(Image.fromarray(GRADIENT > 128), "TIFF"), "black and white only"),
        (encoded(Image.fromarray(GRADIENT > 128), "BMP"), "black and white only"),
        (tiff(GRADIENT)[:200], "damaged or cut off"),
        (encoded(Image.fromarray(GRADIENT), "BMP")[:300], "damaged or cut off"),
        (with_sides(encoded(Image.fromarray(GRADIENT), "BMP"), 60000), "far beyond the limit"),
        (sixteen_bits_a_colour(), "16 bits a colour"),
    ],
)
def test_a_picture_that_holds_no_plain_greys_is_refused_with_its_reason(data, word):
    with pytest.raises(UnreadableScan, match=word) as refusal:
        read(data)
    assert str(refusal.value).endswith((".", ")."))


def marked(draw):
    """A head in grey, drawn over in colour."""
    image = Image.fromarray(np.uint8(255 * windowed(phantom("no_stroke", 1, 240), (40, 80)))).convert("RGB")
    draw(ImageDraw.Draw(image))
    return image


@pytest.mark.parametrize("colour", [(255, 0, 0), (200, 200, 90), (40, 60, 160)])
def test_a_coloured_mark_over_the_head_is_told_from_lines_and_from_grey(colour):
    disc = marked(lambda pen: pen.ellipse((90, 90, 105, 105), fill=colour))
    assert COLOURED in read(encoded(disc)).meta
    assert COLOURED in read(encoded(disc.quantize(64))).meta
    lines = marked(
        lambda pen: [pen.ellipse((80, 80, 130, 130), outline=colour, width=3), pen.text((90, 60), "ICH", fill=colour)]
    )
    assert COLOURED not in read(encoded(lines)).meta
    beside = marked(lambda pen: pen.rectangle((0, 0, 18, 18), fill=colour))
    assert COLOURED not in read(encoded(beside)).meta
    assert COLOURED not in read(encoded(marked(lambda pen: None), "JPEG", quality=30)).meta


def test_several_panels_in_one_picture_are_refused():
    head = np.uint8(255 * windowed(phantom("hemorrhagic", 1, 160), (40, 80)))
    assert read(encoded(Image.fromarray(head))).pixels.shape == (160, 160)
    with pytest.raises(UnreadableScan, match=r"several images in one.*Save each"):
        read(encoded(Image.fromarray(np.tile(head, (1, 2)))))
