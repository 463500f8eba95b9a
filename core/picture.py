"""Pictures -> Scan: JPG, PNG, TIFF, BMP, GIF and WebP, with the window burned in."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from core.burned_in import BURNED_IN, letters_in
from core.page import several, without_page
from core.preprocess import head_box
from core.scan import ASSUMED_BITS, COLOURED, Meta, Scan, UnreadableScan, check, check_size


def read_picture(data: bytes, megapixels: float) -> Scan:
    """A picture's greys as a display scan. Raises UnreadableScan."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of decompression bombs, whose size is checked, and of odd TIFF tags
            image = Image.open(io.BytesIO(data), formats=_PICTURES)
            check_size(*image.size, megapixels)
            _check_is_one_grey(image, data)
            upright = ImageOps.exif_transpose(image)
            meta: Meta = {"format": image.format or "image", "mode": image.mode}
            if image.mode.startswith("I"):
                grey, meta[ASSUMED_BITS] = _deep_grey(upright)
                brightest = grey
            else:
                shown = _on_black(upright)
                grey = np.asarray(shown.convert("L"), np.float32)
                brightest = grey if shown.mode == "L" else np.asarray(shown).max(axis=2)  # red letters are dark in grey
                meta |= {COLOURED: 1.0} if _colour_on_head(shown, grey) else {}
    except UnreadableScan:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableScan(
            f"The image is far beyond the limit of {megapixels:g} megapixels. Export the slice at its own resolution."
        ) from error
    except UnidentifiedImageError as error:  # though it begins like one
        raise UnreadableScan(
            "The image is damaged or cut off, or keeps its pixels in a way that is not read here. Export it again, as "
            "8-bit grey."
        ) from error
    except Exception as error:  # Pillow's decoders raise whatever they meet; all of it means the same here
        raise UnreadableScan("The image is damaged or cut off. Export or copy it again.") from error
    pixels = check(grey)
    if several(pixels / 255):
        raise UnreadableScan(
            "The picture seems to show several images in one, and one answer cannot be about all of them. "
            "Save each as a picture of its own."
        )
    return Scan(pixels, "display", meta={**meta, BURNED_IN: 1.0} if _lettered(brightest / 255) else meta)


def _lettered(grey: np.ndarray) -> bool:
    """Whether letters seem to be burned in: a page's frame would be taken for a head that holds all it frames."""
    alone = without_page(grey)
    return letters_in(grey) or (alone is not grey and letters_in(alone))


COLOUR, MARK = 48, 30
"""A pixel whose colours differ by more than the first, of 255, is coloured; a square of such pixels with that share of
the head's side is more than a line, an arrow or a letter, which a model may have learned to overlook."""
_PICTURES = ["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"]
_GREY_OR_COLOUR = ("L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I", "I;16", "I;16L", "I;16B", "I;16N")
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF 6.0, sections 8 and 19
_BLACK_IS_ZERO, _UNSIGNED = 1, 1


def _check_is_one_grey(image: Image.Image, data: bytes) -> None:
    """Raise UnreadableScan for several images in one file (but a phone's picture with its preview), for masks, and for
    values that are no greys as they stand."""
    kind, frames = image.format, getattr(image, "n_frames", 1)
    if frames > 1 and kind != "MPO":
        raise UnreadableScan(
            f"The {kind} holds {frames} images. Export each slice as a file of its own, or the series as DICOM."
        )
    if image.mode == "1":
        raise UnreadableScan(f"The {kind} is black and white only, as a mask or a fax is. Export the slice in grey.")
    if image.mode == "CMYK":
        name = "JPG" if kind == "JPEG" else kind
        raise UnreadableScan(
            f"The {name} is in print colours (CMYK), whose greys are not the scan's. Export it in grey."
        )
    tags = getattr(image, "tag_v2", {})
    bits, sample = (
        max(np.atleast_1d(tags.get(tag, usual)).tolist()) for tag, usual in ((_BITS, 8), (_SAMPLE_FORMAT, 1))
    )
    photometric = tags.get(_PHOTOMETRIC) if kind == "TIFF" else _BLACK_IS_ZERO
    deep = bits > 8 or (kind == "PNG" and data[24:25] == b"\x10")
    if deep and image.mode.startswith(("RGB", "P")):
        raise UnreadableScan(f"The {kind} has 16 bits a colour, which would be cut to 8. Export it as 16-bit grey.")
    inverted = photometric is None or (deep and photometric != _BLACK_IS_ZERO)
    if image.mode not in _GREY_OR_COLOUR or sample != _UNSIGNED or bits > 16 or inverted:
        raise UnreadableScan(
            f"The {kind} does not hold plain greys, or does not say which is black: its values are signed, decimal, "
            "inverted or deeper than 16 bits. Export the series as DICOM or NIfTI, or the slice as 8-bit grey."
        )


def _deep_grey(image: Image.Image) -> tuple[np.ndarray, float]:
    """A 16-bit PNG or TIFF as 0-255 with its fractions, and of how many bits. It does not say how many are used: 8, 12
    or 16, whatever holds its brightest pixel, for 12-bit scans saved in 16 bits are common and would else be nearly
    black."""
    values = np.asarray(image).astype(np.float64)
    bits = next(bits for bits in (8, 12, 16, 32) if values.max() < 2**bits)
    return (values / (2**bits - 1) * 255).astype(np.float32), float(bits)


def _on_black(image: Image.Image) -> Image.Image:
    """8-bit grey or colour; what is transparent is black."""
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if not rgba.getchannel("A").getextrema()[1]:  # nobody sends an image that cannot be seen
            return image.convert("RGB")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return image if image.mode == "L" else image.convert("RGB")


def _colour_on_head(image: Image.Image, grey: np.ndarray) -> bool:
    """Whether a coloured mark lies over the head of an image whose greys, (H, W) in [0, 255], are given."""
    if image.mode == "L":
        return False
    channels = np.asarray(image)
    coloured = channels.max(axis=2) - channels.min(axis=2) > COLOUR
    if not coloured.any():
        return False
    height, width = grey.shape
    x0, y0, x1, y1 = np.clip(head_box(without_page(grey / 255), 0), 0, 1) * (width, height, width, height)
    head = coloured[int(y0) : int(y1), int(x0) : int(x1)]
    side = max(2, max(head.shape) // MARK)
    return bool(ndimage.minimum_filter(head, side, mode="constant").any())
