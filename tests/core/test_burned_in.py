import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from core.burned_in import letters_in


def head(side=400):
    """A bright ring with grey inside, as a head's outline."""
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).ellipse((60, 40, side - 60, side - 40), fill=100, outline=255, width=12)
    return image


def written(text, size, at=(6, 6), fill=255):
    image = head()
    ImageDraw.Draw(image).text(at, text, fill=fill, font=ImageFont.load_default(size))
    return np.asarray(image, np.float32)


@pytest.mark.parametrize("size", [12, 16, 22])
@pytest.mark.parametrize("text", ["SMITH JOHN", "Doe, Jane", "ID 471122"])
@pytest.mark.parametrize("fill", [255, 170])
def test_a_word_beside_the_head_is_seen(size, text, fill):
    assert letters_in(written(text, size, fill=fill))


def test_a_head_alone_has_no_letters():
    assert not letters_in(np.asarray(head(), np.float32))


@pytest.mark.parametrize("text", ["R", "L 3"])
def test_a_side_marker_names_nobody(text):
    assert not letters_in(written(text, 16))


def test_a_ruler_is_no_word():
    image = head()
    for i in range(12):
        ImageDraw.Draw(image).line((20 + 12 * i, 380, 20 + 12 * i, 390), fill=255, width=1)
    assert not letters_in(np.asarray(image, np.float32))


def test_bright_speckle_inside_the_head_is_none():
    rng = np.random.default_rng(0)
    grey = np.asarray(head(), np.float32).copy()
    rows, columns = rng.integers(150, 250, (2, 200))
    grey[rows, columns] = 255
    assert not letters_in(grey)


def test_real_slices_hold_no_letters(real_data):
    files = sorted((real_data / "ct_ich" / "Test").rglob("*.jpg"))[::12]
    assert len(files) > 20
    assert not [file.name for file in files if letters_in(np.asarray(Image.open(file).convert("L"), np.float32))]


def test_a_name_among_specks_is_seen_and_specks_alone_are_counted_no_further(monkeypatch):
    specks = written("SMITH JOHN", 16)
    specks[300::4, ::4] = 255
    assert letters_in(specks)
    everywhere = np.zeros((1000, 1000), np.float32)
    for row in range(3):
        for column in range(2):
            everywhere[row::5, column::5] = 255
    everywhere[:, 500:503] = 255

    def looked_at(*_):
        pytest.fail("a million shapes were looked at one by one")

    monkeypatch.setattr("core.burned_in.ndimage.find_objects", looked_at)
    assert not letters_in(everywhere)
