import io

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from db import models
from services.intake import Incoming, receive
from services.models import promote, serving_model
from services.pictures import heat_png, scan_png, thumbnail
from tests.conftest import dicom


@pytest.fixture
def scan(ws, publish_untrained):
    promote(ws, publish_untrained(), actor="test")
    list(receive(ws, serving_model(ws), [Incoming("a.dcm", dicom(1))], source="upload", actor="a"))
    with ws.db.reading() as session:
        return session.scalars(select(models.Scan)).one()


def shown(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_window_changes_what_is_shown_not_what_is_stored(ws, scan):
    brain, bone = (shown(scan_png(ws, scan.content_hash, name)) for name in ("Brain", "Bone"))
    assert brain.shape == bone.shape == (scan.height, scan.width)
    assert brain.mean() != bone.mean()
    assert (brain == 255).any(), "the skull is white in a brain window"


def test_the_heat_map_is_strongest_where_the_evidence_is(ws, scan):
    with ws.db.writing() as session:
        reading = session.scalars(select(models.Reading)).one()
        level = np.zeros((4, 4), np.uint8)
        level[0, 3] = 255
        reading.heat, reading.heat_shape = level.tobytes(), {"shape": [4, 4], "box": [0, 0, 1, 1]}
    png, box, of = heat_png(ws, reading.id)
    assert of == reading.label, "what a reading of before shows, where it does not say"
    alpha = shown(png)[..., 3]
    assert box == (0, 0, 1, 1)
    assert alpha[:32, -32:].min() > 200
    assert alpha[128:, :128].max() == 0


def test_an_empty_heat_map_is_no_picture(ws, scan):
    with ws.db.writing() as session:
        reading = session.scalars(select(models.Reading)).one()
        reading.heat, reading.heat_shape = bytes(16), {"shape": [4, 4], "box": [0, 0, 1, 1]}
    assert heat_png(ws, reading.id) is None


def test_a_thumbnail_is_small_and_square(ws, scan):
    import base64

    uri = thumbnail(ws, scan.content_hash)
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert image.size == (96, 96)
    assert len(uri) < 6000
