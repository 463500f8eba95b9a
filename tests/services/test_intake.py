import gzip
import io
import os
import signal

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from sqlalchemy import text

from core.labels import CLASSES
from db import queries
from db.images import ImageMissing
from services import intake
from services.arrivals import split_of
from services.remarks import remarks
from services.removal import undo
from services.review import cases
from services.workspace import stored_scan
from tests.conftest import changed_dicom, dicom, png
from tests.core.test_volume import nifti, volume
from tests.services.conftest import take


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


def as_jpg(data, side=200):
    out = io.BytesIO()
    Image.open(io.BytesIO(data)).resize((side, side)).save(out, "JPEG", quality=90)
    return out.getvalue()


def test_a_near_duplicate_is_stored_and_says_of_what(ws, predictor):
    ws.settings.review.audit_share = 0.0  # of what is read blind it is not told
    [first] = take(ws, predictor, [("a.png", png(1, size=256))])
    again, other = take(ws, predictor, [("b.jpg", as_jpg(png(1, size=256))), ("c.png", png(2, size=256))])
    assert again.outcome == "stored"
    assert f"as scan {first.scan_id}" in again.reason
    assert "Nearly" not in (other.reason or "")
    rows = {case.scan.id: case for case in cases(ws, "r")}
    assert rows[again.scan_id].scan.resembles_id == first.scan_id
    assert f"scan {first.scan_id}" in remarks(ws, rows[again.scan_id])[0]
    assert rows[again.scan_id].scan.patient_key == rows[first.scan_id].scan.patient_key  # copies stay in one split
    assert rows[other.scan_id].scan.patient_key != rows[first.scan_id].scan.patient_key


def test_near_duplicates_are_found_within_a_batch_and_outlive_what_they_resemble(ws, predictor):
    first, again = take(ws, predictor, [("a.png", png(1, size=256)), ("b.jpg", as_jpg(png(1, size=256)))])
    assert f"as scan {first.scan_id}" in again.reason
    [third] = take(ws, predictor, [("c.jpg", as_jpg(png(1, size=256), 180))])
    assert "Nearly" in third.reason
    undo(ws, first.scan_id, actor="a")
    [left] = cases(ws, "r")
    assert (left.scan.id, left.scan.resembles_id) == (third.scan_id, None)


def test_slices_of_one_study_are_no_copies_of_each_other(ws, predictor):
    received = take(ws, predictor, [("7 (1).png", png(1, size=256)), ("7 (2).jpg", as_jpg(png(1, size=256)))])
    assert not any("Nearly" in (one.reason or "") for one in received)


def test_letters_burned_in_are_pointed_out(ws, predictor):
    image = Image.open(io.BytesIO(png(1, size=256))).crop((0, 0, 256, 230))
    ImageDraw.Draw(image).text((4, 4), "DOE JANE", fill=255, font=ImageFont.load_default(12))
    out = io.BytesIO()
    image.save(out, "PNG")
    [received] = take(ws, predictor, [("a.png", out.getvalue())])
    assert received.outcome == "stored"
    assert "Letters" in received.reason
    assert "Letters" in remarks(ws, cases(ws, "r")[0])[0]


def test_slices_lie_in_anatomical_order_tilted_unevenly_spaced_and_misnumbered(ws, predictor):
    """Along the normal of a gantry tilted by 18.5 degrees, 4 mm then 7 mm apart, numbered at random."""
    tilt = np.radians(18.5)
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(tilt), np.sin(tilt)])
    places = np.concatenate([np.arange(4) * 4.0, 16 + np.arange(4) * 7.0])
    rng = np.random.default_rng(0)
    files = []
    for place, number in zip(places, rng.permutation(len(places)), strict=True):
        slice_ = changed_dicom(
            dicom(int(number), patient="T"),
            StudyInstanceUID="1.2.3",
            ImageOrientationPatient=[float(value) for value in (*row, *column)],
            ImagePositionPatient=[0, 0, float(place)],  # the table moves level
        )
        files.append((f"IM{number}", slice_))
    shuffled = [files[i] for i in rng.permutation(len(files))]
    received = {one.file: one.scan_id for one in take(ws, predictor, shuffled)}
    with ws.db.reading() as session:
        rows = queries.scans(session)
    assert len({row.study_key for row in rows}) == 1
    assert [row.id for row in rows] == [received[name] for name, _ in files]
    steps = np.diff([row.number for row in rows])
    np.testing.assert_allclose(steps, np.diff(places) * np.cos(tilt))


def test_slices_that_do_not_say_where_they_lie_are_ordered_by_their_numbers(ws, predictor):
    files = [
        (f"IM{number}", changed_dicom(dicom(number, patient="N"), StudyInstanceUID="1.2.3")) for number in (3, 10, 2)
    ]
    take(ws, predictor, files)
    titles = [case.title.rpartition(" · ")[2] for case in cases(ws, "r")]
    assert titles == ["image 2", "image 3", "image 10"], "in millimetres only where the place is known"


def test_days_between_two_studies_of_a_patient_are_told(ws, predictor):
    for seed, date in ((1, "20240227"), (2, "20240302")):
        header = pydicom.dcmread(io.BytesIO(dicom(seed, patient="D")))
        header.StudyDate, header.StudyInstanceUID = date, f"1.2.{seed}"
        out = io.BytesIO()
        header.save_as(out)
        [received] = take(ws, predictor, [(date, out.getvalue())])
    of = {case.scan.id: remarks(ws, case) for case in cases(ws, "r")}
    assert of.pop(received.scan_id) == ["4 days after this patient's first study here."]
    assert list(of.values()) == [[]]


def test_nothing_of_a_header_is_kept_anywhere(ws, predictor, real_data, caplog):
    files = [(file.name, file.read_bytes()) for file in sorted((real_data / "dicom_philips_phantom").iterdir())]
    files = [(f"file{i}", data) for i, (name, data) in enumerate(files) if data[128:132] == b"DICM"]
    assert len(files) == 4
    received = take(ws, predictor, files)
    kept = caplog.text + "".join(one.reason or "" for one in received)
    for path in ws.settings.home_dir.rglob("*"):
        if path.is_file():
            kept += path.read_bytes().decode("latin1")
    found = [word for word in ("QMC", "NOTTINGHAM", "336067", "20150206", "PLASTIC") if word in kept]
    assert found == []


def test_every_stored_scan_has_its_file_and_its_reading(ws, predictor):
    received = take(ws, predictor, [("a.png", png(1)), ("b.dcm", dicom(2))])
    with ws.db.reading() as session:
        rows = queries.scans(session)
    assert {row.id for row in rows} == {r.scan_id for r in received}
    for row in rows:
        scan = stored_scan(ws, row.content_hash)
        assert scan.unit == row.unit
    for r in received:
        assert r.reading.model_version == predictor.manifest.version
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


class Counting:
    """A model that tells how many scans it was asked to read."""

    def __init__(self, predictor):
        self.manifest, self.predictor, self.asked = predictor.manifest, predictor, []

    def read(self, scans):
        self.asked.append(len(scans))
        return self.predictor.read(scans)


def test_the_model_reads_no_scan_that_is_stored_already(ws, predictor):
    model = Counting(predictor)
    take(ws, model, [(f"{i}.dcm", dicom(i)) for i in range(3)])
    again = take(ws, model, [(f"{i}.dcm", dicom(i)) for i in range(4)])
    assert model.asked == [3, 1]
    assert [r.outcome for r in again] == ["duplicate"] * 3 + ["stored"]
    assert all(r.reading for r in again)


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


def test_nothing_of_a_name_or_header_is_stored(ws, predictor):
    take(ws, predictor, [("SMITH-7 (1).png", png(1)), ("scan-of-smith.dcm", dicom(2, patient="SMITH^JOHN"))])
    for path in ws.settings.home_dir.rglob("*"):
        if path.is_file():
            assert b"SMITH" not in path.read_bytes().upper(), path


def test_a_decoder_that_dies_costs_its_file_only(ws, predictor, monkeypatch):
    real = ws.decoder.read_all

    def dies(data, name, **limits):
        if name == "bad.dcm":
            os.kill(ws.decoder._child.pid, signal.SIGKILL)
        yield from real(data, name, **limits)

    list(real(png(9), "warm"))
    monkeypatch.setattr(ws.decoder, "read_all", dies)
    received = take(ws, predictor, [("1.png", png(1)), ("bad.dcm", b"\x08\x00\x05\x00" * 400_000), ("2.png", png(2))])
    assert [r.outcome for r in received] == ["stored", "refused", "stored"]


def test_large_scans_do_not_wait_for_others_in_memory(ws, predictor, monkeypatch):
    monkeypatch.setattr(intake, "CHUNK_PIXELS", 96 * 96 * 2)
    sizes = []
    real = predictor.read
    monkeypatch.setattr(predictor, "read", lambda scans: sizes.append(len(scans)) or real(scans))
    assert len(take(ws, predictor, [(f"{i}.png", png(i)) for i in range(7)])) == 7
    assert max(sizes) == 2


def test_the_slices_of_a_volume_are_scans_of_one_patient(ws, predictor):
    received = take(ws, predictor, [("a.nii.gz", gzip.compress(nifti(volume(5)))), ("1.png", png(1))])
    assert [r.file for r in received] == [*(f"a.nii.gz#{i}" for i in range(1, 6)), "1.png"]
    assert {r.outcome for r in received} == {"stored"}
    with ws.db.reading() as session:
        rows = queries.scans(session, ids=[r.scan_id for r in received[:5]])
    assert len({row.patient_key for row in rows}) == 1
    assert [row.number for row in sorted(rows, key=lambda row: row.id)] == [0, 5, 10, 15, 20]
    again = take(ws, predictor, [("b.nii", nifti(volume(5)))])
    assert {r.outcome for r in again} == {"duplicate"}
