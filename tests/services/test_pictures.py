import io

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from db import models, queries
from services.intake import Incoming, receive
from services.models import promote, serving_model
from services.pictures import REACH, heat_png, neighbours, scan_png, thumbnail
from tests.conftest import dicom, png


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


def test_of_a_reading_that_was_taken_back_there_is_no_heat_map(ws, scan):
    assert heat_png(ws, 12345) is None


def test_a_thumbnail_is_small_and_square(ws, scan):
    import base64

    uri = thumbnail(ws, scan.content_hash)
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert image.size == (96, 96)
    assert len(uri) < 6000


@pytest.fixture
def series(ws, publish_untrained):
    """Six slices of one study, by their number, beside another patient's slice and a picture of no study."""
    promote(ws, publish_untrained(), actor="test")
    files = [Incoming(f"{number}.dcm", dicom(number)) for number in (4, 1, 6, 3, 2, 5)]
    files += [Incoming("other.dcm", dicom(7, patient="P2")), Incoming("8.png", png(8))]
    list(receive(ws, serving_model(ws), files, source="upload", actor="a"))

    return lambda: {row.number: row for row in rows_of(ws)}


def rows_of(ws):
    with ws.db.reading() as session:
        return queries.scans(session)


def test_around_a_scan_lie_the_slices_of_its_study(ws, series):
    rows = series()
    assert [(n.step, n.content_hash) for n in neighbours(ws, rows[5])] == [
        (-3, rows[2].content_hash),
        (-2, rows[3].content_hash),
        (-1, rows[4].content_hash),
        (1, rows[6].content_hash),
    ]
    assert len(neighbours(ws, rows[4])) == REACH + 2
    assert neighbours(ws, rows[4])[0].away == "number 1 of its study instead of 4", "which way that is nobody knows"
    assert neighbours(ws, rows[7]) == neighbours(ws, rows[None]) == []


def test_around_a_scan_a_place_comes_once_and_in_slices_as_thick(ws, series):
    with ws.db.writing() as session:
        scans = {scan.number: scan for scan in session.scalars(select(models.Scan)) if scan.number}
        scans[1].number = 3  # the scan's own place, by another kernel
        scans[4].number = 5
        scans[6].meta = {**scans[6].meta, "SliceThickness": 0.625}
        wanted = scans[3].id
    scan = next(row for row in rows_of(ws) if row.id == wanted)
    assert [(n.step, n.away.split()[1]) for n in neighbours(ws, scan)] == [(-1, "2"), (1, "5")]


def test_of_two_series_at_the_same_places_the_scans_own_is_shown(ws, series):
    """Without and with contrast, one after the other in one study."""
    with ws.db.writing() as session:
        scans = [scan for scan in session.scalars(select(models.Scan).order_by(models.Scan.id)) if scan.number][:6]
        for i, scan in enumerate(scans):
            scan.number = i % 3 + 1
        without, contrast = ([scan.content_hash for scan in part] for part in (scans[:3], scans[3:]))
    rows = {row.content_hash: row for row in rows_of(ws)}
    for own in (without, contrast):
        assert [n.content_hash for n in neighbours(ws, rows[own[1]])] == [own[0], own[2]]


def test_how_far_a_slice_lies_is_said_where_its_header_tells(ws, series):
    with ws.db.writing() as session:
        for scan in session.scalars(select(models.Scan).where(models.Scan.number < 4)):
            scan.number, scan.meta = scan.number * 2.5 + 90, {"position_mm": scan.number * 2.5 + 90}
    rows = series()
    assert [(n.step, n.away) for n in neighbours(ws, rows[95.0])] == [(-1, "2.5 mm lower"), (1, "2.5 mm higher")]
    assert {n.content_hash for n in neighbours(ws, rows[4])} == {rows[5].content_hash, rows[6].content_hash}
