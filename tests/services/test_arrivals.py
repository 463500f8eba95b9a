"""Whose an arriving scan is."""

import dataclasses
import io
from unittest.mock import patch

import numpy as np
import pydicom
import pytest
from PIL import Image
from sqlalchemy import select

from core.bundle import load
from core.formats import read
from core.labels import SPLITS
from core.predict import Predictor
from core.preprocess import WINDOWS, windowed
from core.pseudonym import unnamed
from core.reading import SEEN_IN_TRAINING
from db import models, queries
from services.arrivals import split_of
from services.models import promote, serving_model
from services.remarks import remarks
from services.removal import undo
from services.rereading import ensure_reading
from services.review import NoSuchScan, cases, new_click, record
from services.workspace import stored_scan
from tests.conftest import dicom, png
from tests.core.test_volume import nifti
from tests.services.conftest import take


def patients(ws):
    with ws.db.reading() as session:
        return {row.id: row.patient_key for row in queries.scans(session)}


def test_a_scan_that_comes_again_with_its_patients_name_joins_them(ws, predictor):
    [unnamed] = take(ws, predictor, [("export.png", png(1))])
    assert patients(ws)[unnamed.scan_id].startswith("image:")
    again, other = take(ws, predictor, [("77 (1).png", png(1)), ("77 (2).png", png(2))])
    assert again.outcome == "duplicate"
    assert again.reason.endswith(f"as scan {unnamed.scan_id}, which belongs to the patient named by this file now.")
    assert patients(ws) == dict.fromkeys([unnamed.scan_id, other.scan_id], ws.pseudonym.of("file", "77"))


def test_of_two_files_with_one_image_the_one_that_names_its_patient_counts(ws, predictor):
    first, second = take(ws, predictor, [("plain.png", png(1)), ("88 (1).png", png(1))])
    assert (first.outcome, second.outcome) == ("stored", "duplicate")
    assert patients(ws) == {first.scan_id: ws.pseudonym.of("file", "88")}


def test_a_volume_that_nearly_copies_a_patients_slices_is_theirs(ws, predictor):
    data = [dicom(i, patient="PX") for i in range(3)]
    hu = np.stack([read(one).pixels for one in data], axis=2)
    take(ws, predictor, ((f"I{i}", one) for i, one in enumerate(data)))
    received = take(ws, predictor, [("copy.nii", nifti((hu + 0.3).swapaxes(0, 1)[::-1, ::-1]))])
    assert {r.outcome for r in received} == {"stored"}
    assert all("Nearly the same" in r.reason for r in received)
    assert set(patients(ws).values()) == {ws.pseudonym.of("PatientID", "PX")}


def test_near_copies_of_two_studies_that_name_nobody_are_one_patient(ws, predictor):
    """The second one's first slice is like nothing known, so it begins as a patient of its own."""
    slices = [read(dicom(i)).pixels for i in (40, 1, 2)]

    def volume(*planes):
        return nifti(np.stack(planes, axis=2).swapaxes(0, 1)[::-1, ::-1])

    take(ws, predictor, [("first.nii", volume(*slices[1:]))])
    received = take(ws, predictor, [("second.nii", volume(slices[0], slices[1] + 0.3, slices[2] + 0.3))])
    assert [bool(one.reason) for one in received] == [False, True, True]
    assert len(set(patients(ws).values())) == 1


@pytest.mark.parametrize("drawn", [True, False])
def test_who_joins_a_patient_is_drawn_as_they_are(ws, predictor, drawn):
    """Else the answer to one slice would be shown while another is still to be read blind."""
    ws.settings.review.audit_share = float(drawn)
    [named] = take(ws, predictor, [("77 (2).png", png(2))])
    record(ws, named.scan_id, reader="R", verdict="unsure", expected_version=0, click_id=new_click())
    ws.settings.review.audit_share = float(not drawn)
    [unnamed] = take(ws, predictor, [("export.png", png(1))])
    [again] = take(ws, predictor, [("77 (1).png", png(1))])
    assert (unnamed.audit, again.audit) == (not drawn, drawn)
    with ws.db.reading() as session:
        assert {row.audit for row in queries.scans(session)} == {drawn}


def test_a_scan_that_joins_a_patient_who_was_trained_on_says_so(ws, predictor):
    key = ws.pseudonym.of("file", "77")
    manifest = predictor.manifest.model_copy(update={"patients": {"train": [key]}})
    trained = Predictor(dataclasses.replace(load(ws.models_dir / predictor.manifest.version), manifest=manifest))
    [unnamed] = take(ws, trained, [("export.png", png(1))])
    with patch("services.arrivals.trained_patients", return_value=frozenset([key])):
        take(ws, trained, [("77 (1).png", png(1))])
    with ws.db.reading() as session:
        reading = queries.readings(session, scan_ids=[unnamed.scan_id])[unnamed.scan_id]
    assert SEEN_IN_TRAINING in reading.flags


def test_a_patient_that_was_trained_on_is_said_to_be_also_where_no_file_names_them(ws, predictor):
    [first] = take(ws, predictor, [("plain.png", png(1, size=256))])
    key = patients(ws)[first.scan_id]
    manifest = predictor.manifest.model_copy(update={"patients": {"train": [key]}, "version": "2026-01-01-trained0"})
    with ws.db.writing() as session:
        queries.register_version(session, manifest.version, "0" * 64, None, False)
    trained = Predictor(dataclasses.replace(load(ws.models_dir / predictor.manifest.version), manifest=manifest))
    ensure_reading(ws, trained, first.scan_id)
    out = io.BytesIO()
    Image.open(io.BytesIO(png(1, size=256))).resize((200, 200)).save(out, "JPEG", quality=90)
    [copy] = take(ws, trained, [("copy.jpg", out.getvalue())])
    with ws.db.reading() as session:
        said = queries.readings(session, version=manifest.version, scan_ids=[first.scan_id, copy.scan_id])
    assert all(SEEN_IN_TRAINING in reading.flags for reading in said.values())
    assert len(said) == 2


def test_who_was_trained_on_without_a_name_stays_so_under_a_name(ws, publish_untrained):
    """`train.py` has dealt the image a part, as that of a patient of its own."""
    image = read(png(1)).content_hash
    with ws.db.writing() as session:
        queries.add_patients(session, {unnamed(image): "validation"})
    promote(ws, publish_untrained(patients={"train": [unnamed(image)]}), actor="a")
    model = serving_model(ws)
    [first] = take(ws, model, [("export.png", png(1))])
    take(ws, model, [("77 (1).png", png(1)), ("77 (2).png", png(2))])
    key = ws.pseudonym.of("file", "77")
    assert set(patients(ws).values()) == {key}
    with ws.db.reading() as session:
        assert queries.splits(session, [key]) == {key: "validation"}
        readings = queries.readings(session)
        assert SEEN_IN_TRAINING in readings[first.scan_id].flags
    assert all(SEEN_IN_TRAINING in reading.flags for reading in readings.values()), "the patient was, not an image"
    take(ws, model, [("77 (3).png", png(3)), ("78 (1).png", png(4))])
    with ws.db.reading() as session:
        flagged = {scan: SEEN_IN_TRAINING in reading.flags for scan, reading in queries.readings(session).items()}
    assert sorted(flagged.values()) == [False, True, True, True]
    assert patients(ws)[next(scan for scan in flagged if not flagged[scan])] == ws.pseudonym.of("file", "78")


def test_an_image_that_was_trained_on_is_not_given_to_a_patient_of_another_part(ws, publish_untrained):
    image = read(png(1)).content_hash
    with ws.db.writing() as session:
        queries.add_patients(session, {unnamed(image): "train", ws.pseudonym.of("file", "77"): "test"})
    promote(ws, publish_untrained(patients={"train": [unnamed(image)]}), actor="a")
    model = serving_model(ws)
    take(ws, model, [("export.png", png(1)), ("77 (2).png", png(2))])
    take(ws, model, [("77 (1).png", png(1))])
    assert set(patients(ws).values()) == {unnamed(image), ws.pseudonym.of("file", "77")}
    with ws.db.reading() as session:
        assert queries.splits(session) == {unnamed(image): "train", ws.pseudonym.of("file", "77"): "test"}


def test_who_was_dealt_a_part_without_a_name_has_it_under_the_name_they_come_with(ws, predictor):
    for number, split in enumerate(SPLITS):
        image = unnamed(read(png(number)).content_hash)
        with ws.db.writing() as session:
            queries.add_patients(session, {image: split})
        take(ws, predictor, [(f"{number} (2).png", png(10 + number)), (f"{number} (1).png", png(number))])
        with ws.db.reading() as session:
            assert queries.splits(session)[ws.pseudonym.of("file", str(number))] == split


def test_what_was_taken_back_leaves_its_number_to_nobody(ws, predictor):
    [kept] = take(ws, predictor, [("0.png", png(0))])
    [gone] = take(ws, predictor, [("1.png", png(1))])
    undo(ws, gone.scan_id, actor="a")
    one, two = take(ws, predictor, [("2.png", png(2)), ("3.png", png(3))])
    assert kept.scan_id < gone.scan_id < one.scan_id < two.scan_id
    with pytest.raises(NoSuchScan):
        record(ws, gone.scan_id, reader="R", verdict="unsure", expected_version=0, click_id=new_click())


def test_a_16_bit_png_says_what_it_was_taken_for(ws, predictor):
    out = io.BytesIO()
    Image.fromarray((np.arange(64 * 64, dtype=np.uint16) % 4000).reshape(64, 64)).save(out, "PNG")
    [received] = take(ws, predictor, [("deep.png", out.getvalue())])
    assert received.outcome == "stored"
    assert "taken for 12 bits" in received.reason


def test_a_study_joins_the_patient_that_a_later_slice_of_it_nearly_copies(ws, predictor):
    """Its first slice is like nothing known."""
    data = [dicom(i, patient="PY") for i in range(2)]
    take(ws, predictor, ((f"I{i}", one) for i, one in enumerate(data)))
    hu = np.stack([read(dicom(40)).pixels, *(read(one).pixels + 0.3 for one in data)], axis=2)
    received = take(ws, predictor, [("copy.nii", nifti(hu.swapaxes(0, 1)[::-1, ::-1]))])
    assert "Nearly" not in (received[0].reason or "")
    assert "Nearly" in received[1].reason
    assert set(patients(ws).values()) == {ws.pseudonym.of("PatientID", "PY")}


def slice_of(seed, study, patient=None, size=256, **tags):
    header = pydicom.dcmread(io.BytesIO(dicom(seed, patient=patient or "X", size=size)))
    header.StudyInstanceUID = study
    if patient is None:
        del header.PatientID
    for tag, value in tags.items():
        setattr(header, tag, value)
    out = io.BytesIO()
    header.save_as(out)
    return out.getvalue()


def jpg_of(data):
    """What an export of the slice in the brain window looks like."""
    grey = windowed(read(data), WINDOWS["Brain"]) * 255
    out = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(out, "JPEG", quality=92)
    return out.getvalue()


def owners(ws):
    with ws.db.reading() as session:
        keys = [row.patient_key for row in queries.scans(session)]
        known = {row.key for row in session.scalars(select(models.Patient))}
    assert set(keys) == known, "no patient is left without a study"
    return keys


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", ["slices first", "copies first"])
@pytest.mark.parametrize("patient", [None, "P7"])
def test_a_study_and_copies_of_its_slices_are_one_patients(ws, predictor, together, order, patient):
    slices = [(f"{i}.dcm", slice_of(i, "1.2.9", patient)) for i in range(3)]
    copies = [(f"{name}.jpg", jpg_of(data)) for name, data in slices]
    files = [slices, copies] if order == "slices first" else [copies, slices]
    for part in [files[0] + files[1]] if together else files:
        take(ws, predictor, part)
    found = owners(ws)
    assert len(found) == 6
    assert len(set(found)) == 1


def test_a_study_whose_first_slice_names_nobody_is_its_patients(ws, predictor):
    take(ws, predictor, [("1", slice_of(1, "1.2.9")), ("2", slice_of(2, "1.2.9", "P7"))])
    take(ws, predictor, [("3", slice_of(3, "1.2.8", "P7")), ("4", slice_of(4, "1.2.9"))])
    assert len(set(owners(ws))) == 1


def test_a_patient_with_a_verdict_stays_who_they_are(ws, predictor):
    [first] = take(ws, predictor, [("1.jpg", jpg_of(slice_of(1, "1.2.9")))])
    record(ws, first.scan_id, reader="R", verdict="unsure", expected_version=0, click_id=new_click())
    take(ws, predictor, [("1.dcm", slice_of(1, "1.2.9", "P7"))])
    assert len(set(owners(ws))) == 2


def test_alike_slices_of_its_own_study_do_not_hide_what_a_scan_copies(ws, predictor):
    """Several reconstructions of one place are more alike than an export of it."""
    take(ws, predictor, [("export.jpg", jpg_of(slice_of(1, "1.2.9")))])
    again = [(f"{i}.dcm", slice_of(1, "1.2.9", "P7", RescaleIntercept=i * 0.2)) for i in range(6)]
    received = take(ws, predictor, again)
    assert [one.reason and one.reason[:15] for one in received] == ["Nearly the same"] * 6
    assert len(set(owners(ws))) == 1


def test_near_empty_slices_are_no_copies(ws, predictor):
    files = []
    for place in (20, 60, 90):
        grey = np.zeros((128, 128), np.uint8)
        grey[place : place + 9, place : place + 9] = 200
        out = io.BytesIO()
        Image.fromarray(grey).save(out, "PNG")
        files.append((f"{place}.png", out.getvalue()))
    assert not any("Nearly" in (one.reason or "") for one in take(ws, predictor, files))


def test_new_patients_fall_into_the_splits_in_their_shares():
    splits = [split_of(str(i)) for i in range(4000)]
    assert np.mean([s == "train" for s in splits]) == pytest.approx(0.70, abs=0.03)
    assert np.mean([s == "test" for s in splits]) == pytest.approx(0.15, abs=0.03)


def test_thin_slices_of_a_volume_become_one_scan_and_say_so(ws, predictor):
    hu = np.stack([np.rint(read(dicom(i // 5)).pixels) + i % 5 for i in range(60)], axis=2)
    received = take(ws, predictor, [("thin.nii", nifti(hu.swapaxes(0, 1)[::-1, ::-1], np.diag([0.9, 0.9, 1, 1])))])
    assert [(one.file, one.outcome) for one in received] == [(f"thin.nii#{i}", "stored") for i in range(1, 13)]
    assert {one.reason for one in received} == {"The mean of 5 neighbouring thin slices."}
    assert remarks(ws, cases(ws, "r")[0]) == ["The mean of 5 neighbouring thin slices."]
    for case in cases(ws, "r"):
        stored_scan(ws, case.scan.content_hash)  # raises where it is not what was received


def test_every_slice_of_a_volume_is_a_scan_where_that_is_wanted(ws, predictor, monkeypatch):
    monkeypatch.setattr(ws.settings.limits, "slice_mm", 0)
    hu = np.stack([np.rint(read(dicom(i // 5)).pixels) + i % 5 for i in range(60)], axis=2)
    assert (
        len(take(ws, predictor, [("thin.nii", nifti(hu.swapaxes(0, 1)[::-1, ::-1], np.diag([0.9, 0.9, 1, 1])))])) == 60
    )


@pytest.mark.parametrize(
    ("thickness", "thin"), [("0.625", True), ("2.5", True), ("3", False), ("5.0", False), ("", False)]
)
def test_a_thin_slice_says_that_a_thicker_series_is_better(ws, predictor, thickness, thin):
    header = pydicom.dcmread(io.BytesIO(dicom(1)))
    header.SliceThickness = thickness
    out = io.BytesIO()
    header.save_as(out)
    [one] = take(ws, predictor, [("I1", out.getvalue())])
    said = f"Only {thickness} mm thick, so it is noisy: where there is a series of about 5 mm, upload that."
    assert one.reason == (said if thin else None)
    assert remarks(ws, cases(ws, "r")[0]) == ([said] if thin else [])
