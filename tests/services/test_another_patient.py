"""A file that names another patient than the one it is filed under."""

import io

import pydicom
import pytest

from services.arrivals import ANOTHER_PATIENT_NOTE
from services.remarks import alarms, remarks
from services.review import case, cases, new_click, record
from tests.conftest import dicom, png
from tests.services.conftest import take


def of_study(seed, patient, date="20260105", study="1.2.3"):
    header = pydicom.dcmread(io.BytesIO(dicom(seed, patient=patient)))
    header.StudyDate, header.StudyInstanceUID = date, study
    out = io.BytesIO()
    header.save_as(out)
    return f"{patient} {seed}", out.getvalue()


def sent(ws, predictor, files, at_once):
    """In one upload, or in one each."""
    return [one for part in ([files] if at_once else [[file] for file in files]) for one in take(ws, predictor, part)]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_study_whose_patient_was_renamed_says_so_and_no_days(ws, predictor, at_once):
    files = [of_study(1, "0123"), of_study(2, "123")]
    received = sent(ws, predictor, files, at_once)
    assert [one.reason for one in received] == [None, ANOTHER_PATIENT_NOTE]
    found = [case(ws, one.scan_id, "r") for one in received]
    assert len({one.scan.patient_key for one in found}) == 1
    assert [alarms(ws, one) for one in found] == [[], [ANOTHER_PATIENT_NOTE]]
    assert not any(remarks(ws, one) for one in found)
    take(ws, predictor, [of_study(3, "0123", "20260109", "1.2.4")])
    days = [said for one in cases(ws, "r") for said in remarks(ws, one) if "days" in said]
    assert days == ["4 days after this patient's first study here."]


@pytest.mark.parametrize("at_once", [True, False])
def test_an_image_that_comes_again_under_another_name_says_so(ws, predictor, at_once):
    files = [(f"{patient}.dcm", dicom(1, patient=patient)) for patient in ("P1", "P2", "P1")]
    received = sent(ws, predictor, files, at_once)
    known = f"The same image is in the case log already, as scan {received[0].scan_id}."
    assert [one.reason for one in received] == [None, f"{known} {ANOTHER_PATIENT_NOTE}", known]


def test_of_two_names_for_an_image_of_nobody_one_is_its_own(ws, predictor):
    take(ws, predictor, [("export.png", png(1))])
    first, second, none = take(ws, predictor, [(f"{name}.png", png(1)) for name in ("77 (1)", "88 (1)", "export")])
    assert first.reason.endswith("which belongs to the patient named by this file now.")
    assert second.reason.endswith(f"as scan {first.scan_id}. {ANOTHER_PATIENT_NOTE}")
    assert none.reason.endswith(f"as scan {first.scan_id}.")


def test_a_scan_that_nobody_had_named_is_no_other_patients(ws, predictor):
    [first] = take(ws, predictor, [("export.png", png(1))])
    record(ws, first.scan_id, reader="A", verdict="unsure", expected_version=0, click_id=new_click())
    [again] = take(ws, predictor, [("77 (1).png", png(1))])
    assert again.reason.endswith(f"as scan {first.scan_id}.")
