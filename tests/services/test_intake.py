import os

import numpy as np
import pytest
from sqlalchemy import text

from core.labels import CLASSES
from db import queries
from db.images import ImageMissing
from services.files import incoming
from services.intake import Incoming, receive, split_of, stored_scan
from services.models import promote, serving_predictor
from tests.conftest import dicom, png


@pytest.fixture
def predictor(ws, publish_untrained):
    promote(ws, publish_untrained(), actor="test")
    return serving_predictor(ws)


def take(ws, predictor, files):
    return list(receive(ws, predictor, (Incoming(name, data) for name, data in files), source="upload", actor="a"))


def test_bad_files_cost_the_good_ones_nothing(ws, predictor):
    good = [(f"{i} (1).png", png(i)) for i in range(20)]
    bad = [("empty.jpg", b""), ("text.jpg", b"hello"), ("cut.png", png(50)[:900]), ("again.png", png(3))]
    files = good[:7] + bad + good[7:]
    received = take(ws, predictor, files)
    assert [r.file for r in received] == [name for name, _ in files]
    outcomes = {r.file: r for r in received}
    assert all(outcomes[name].outcome == "stored" for name, _ in good)
    assert "empty" in outcomes["empty.jpg"].reason
    assert "not a JPG" in outcomes["text.jpg"].reason
    assert "damaged" in outcomes["cut.png"].reason
    assert outcomes["again.png"].outcome == "duplicate"
    assert outcomes["again.png"].scan_id == outcomes["3 (1).png"].scan_id
    assert len({outcomes[name].reason for name, _ in bad}) == 4


def test_every_stored_scan_has_its_file_and_its_reading(ws, predictor):
    received = take(ws, predictor, [("a.png", png(1)), ("b.dcm", dicom(2))])
    with ws.db.reading() as session:
        rows = queries.scans(session)
    assert {row.id for row in rows} == {r.scan_id for r in received}
    for row in rows:
        scan = stored_scan(ws, row.content_hash)
        assert scan.unit == row.unit
    for r in received:
        assert r.reading.model_version == predictor.version
        assert set(r.reading.probabilities) == set(CLASSES)
        assert sum(r.reading.probabilities.values()) == pytest.approx(1)


def test_a_second_delivery_adds_no_row(ws, predictor):
    files = [(f"{i}.dcm", dicom(i)) for i in range(5)]
    take(ws, predictor, files)
    again = take(ws, predictor, files)
    assert [r.outcome for r in again] == ["duplicate"] * 5
    with ws.db.reading() as session:
        assert len(queries.scans(session)) == 5
        assert session.scalar(text("select count(*) from batches")) == 1


def test_an_image_lost_from_the_store_is_said(ws, predictor):
    take(ws, predictor, [("a.png", png(1))])
    with ws.db.reading() as session:
        [row] = queries.scans(session)
    os.remove(ws.images.path(row.content_hash))
    with pytest.raises(ImageMissing):
        stored_scan(ws, row.content_hash)


def test_what_the_model_read_is_what_was_stored(ws, predictor):
    [received] = take(ws, predictor, [("a.dcm", dicom(4))])
    with ws.db.reading() as session:
        [row] = queries.scans(session)
    [again] = predictor.read([stored_scan(ws, row.content_hash)])
    assert again.probabilities == pytest.approx(received.reading.probabilities, abs=1e-6)


def test_patients_keep_the_split_they_were_first_given(ws, predictor):
    take(ws, predictor, [("7 (1).png", png(1))])
    with ws.db.writing() as session:
        [(key, split)] = queries.splits(session).items()
        session.execute(text("update patients set split = 'validation'"))
    assert split == split_of(key)
    take(ws, predictor, [("7 (2).png", png(2))])
    with ws.db.reading() as session:
        assert queries.splits(session) == {key: "validation"}


def test_new_patients_fall_into_the_splits_in_their_shares():
    splits = [split_of(str(i)) for i in range(4000)]
    assert np.mean([s == "train" for s in splits]) == pytest.approx(0.70, abs=0.03)
    assert np.mean([s == "test" for s in splits]) == pytest.approx(0.15, abs=0.03)


def test_nothing_of_a_name_or_header_is_stored(ws, predictor):
    take(ws, predictor, [("SMITH-7 (1).png", png(1)), ("scan-of-smith.dcm", dicom(2, patient="SMITH^JOHN"))])
    for path in ws.settings.home_dir.rglob("*"):
        if path.is_file():
            assert b"SMITH" not in path.read_bytes().upper(), path


def test_folders_and_zips_are_walked_and_every_file_is_named(tmp_path):
    import zipfile

    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.png").write_bytes(png())
    with zipfile.ZipFile(tmp_path / "in" / "pack.zip", "w") as archive:
        archive.writestr("x/b.png", png(2))
        archive.writestr("__MACOSX/x/._b.png", b"litter")
    (tmp_path / "empty").mkdir()
    found = list(incoming([tmp_path / "in", tmp_path / "empty", tmp_path / "no.png"], file_mb=1))
    assert [f.file for f in found] == [
        f"{tmp_path}/in/deep/a.png",
        f"{tmp_path}/in/pack.zip/x/b.png",
        f"{tmp_path}/empty",
        f"{tmp_path}/no.png",
    ]
    assert [f.problem for f in found[:2]] == [None, None]
    assert "no file" in found[2].problem
    assert "no such file" in found[3].problem


def test_a_zip_that_lies_about_its_size_is_cut_off(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.png", b"\0" * 3_000_000)
    [found] = incoming([tmp_path / "bomb.zip"], file_mb=1)
    assert "limit" in found.problem
    assert found.data == b""
