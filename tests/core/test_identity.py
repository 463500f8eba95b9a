"""What a file says of its patient: kept as keyed hashes, or not at all."""

import io

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.formats import read
from core.identity import is_taken_out
from core.pseudonym import Pseudonym
from core.scan import to_stored
from tests.conftest import changed_dicom, dicom, png
from tests.core.test_formats import KEY


@pytest.mark.parametrize("said", ["REMOVED", "0", "ANONYMIZED", "1.2", ""])
def test_what_stands_for_a_study_taken_out_makes_no_study(said):
    assert read(changed_dicom(StudyInstanceUID=said), pseudonym=Pseudonym(b"k")).study_key is None
    assert read(changed_dicom(StudyInstanceUID="1.2.840.9"), pseudonym=Pseudonym(b"k")).study_key


def test_a_patient_is_a_keyed_hash_and_the_header_is_dropped():
    scan = read(dicom(patient="HUTCHINSON"), pseudonym=KEY)
    assert scan.patient_key == KEY.of("PatientID", "HUTCHINSON")
    assert "HUTCHINSON" not in repr(scan.meta)
    assert set(scan.meta) <= {"format", "InstanceNumber"}


@pytest.mark.parametrize(
    "name",
    [
        "ANONYMOUS",
        "anon",
        "Anonymized",
        "unknown",
        "0000",
        "XXX",
        "NONE",
        "N/A",
        "***",
        " ",
        "REMOVED",
        "Anonymous^Patient",
        "no name",
        "PATIENT",
        "de-identified",
        "PatientID",
        "Anonymous Patient ID",
        "ANONYM",
        "undefined",
        "not available",
        "UNKNOWN^UNKNOWN",
        "[REDACTED]",
        "(none)",
        "PHI Removed",
        "Removed by CTP",
        "NOPID",
        "Pseudonymized",
        "999999999",
        *(
            "anonymisiert",
            "ANONYMIZE",
            "anonymisé",
            "ANONIMO",
            "anonimizado",
            "anonimizzato",
            "geanonimiseerd",
            "ANONIEM",
        ),
        *("desconocido", "sconosciuto", "onbekend", "unbekannter Patient", "NOTFALL", "Notfallpatient", "TRAUMA", "NN"),
        *("TEST PATIENT", "Unknown^Male", "N.N.", "99999", "AnonymizedPatient"),
    ],
)
def test_what_stands_for_a_patient_taken_out_is_no_patient(name):
    scan = read(dicom(patient=name), pseudonym=KEY)
    assert scan.patient_key is None
    assert "day" not in scan.meta


@pytest.mark.parametrize(
    "name",
    [
        *("ANON001", "100", "Xenia", "0012", "TEST01", "(12)", "Anonyma", "9999"),
        *("anonym-17", "ANON123", "anonymisiert-17", "TRAUMA-0017", "NOTFALL 3", "Unknown^Male^4", "NN12", "Anonimus"),
    ],
)
def test_a_pseudonym_that_resembles_one_is_a_patient(name):
    assert read(dicom(patient=name), pseudonym=KEY).patient_key == KEY.of("PatientID", name)


@given(
    st.sampled_from(
        ["anonym", "anonymisiert", "ANON", "geanonimiseerd", "Unbekannt", "TRAUMA", "TEST", "NN", "no name"]
    ),
    st.sampled_from(["", "-", " ", "_", "^"]),
    st.integers(0),
)
def test_what_stands_for_nobody_with_a_number_is_somebody(word, between, number):
    assert is_taken_out(word)
    assert is_taken_out(f"[{word.upper()}]")
    assert not is_taken_out(f"{word}{between}{number}")


def test_slices_of_one_patients_files_share_a_study():
    first, second = (read(png(i), f"49 ({i}).png", pseudonym=KEY) for i in (1, 2))
    other = read(png(3), "50 (1).png", pseudonym=KEY)
    assert first.patient_key == second.patient_key != other.patient_key
    assert first.study_key == second.study_key
    assert second.meta["number"] == 2


@pytest.mark.parametrize("name", [
        "IMG_0001.png", "IMG_0001 (2).png", "Screenshot (12).png", "brain (3).png", "7.png", "IM0001 (1).png",
        "I0000001 (2).png", "000001 (1).png", "download1 (1).png", "photo_2024-05-01_10-22-33 (2).png",
    ],
)  # fmt: skip
def test_a_file_that_names_no_patient_has_none(name):
    assert read(png(), name, pseudonym=KEY).patient_key is None


@pytest.mark.parametrize("name", ["49 (3).jpg", "49(3).JPG", "sub/49 (3).png", "49 (3) - Copy.jpg"])
def test_a_patients_number_is_taken_from_the_file_name(name):
    assert read(png(), name, pseudonym=KEY).patient_key == KEY.of("file", "49")


def test_of_a_header_numbers_are_kept_and_no_words():
    header = pydicom.dcmread(io.BytesIO(dicom()))
    header.KVP = "120"
    header.GantryDetectorTilt = "+18.5"
    header.add_new(0x00180050, "LO", "SMITH")  # where a slice's thickness belongs
    out = io.BytesIO()
    header.save_as(out)
    meta = read(out.getvalue(), pseudonym=KEY).meta
    assert (meta["KVP"], meta["GantryDetectorTilt"]) == (120, 18.5)
    assert "SMITH" not in str(meta)


def test_dates_keep_only_their_distance_within_a_patient():
    first, later, other = (
        read(changed_dicom(PatientID=patient, StudyDate=date), pseudonym=KEY).meta["day"]
        for patient, date in (("A", "20240227"), ("A", "20240302"), ("B", "20240227"))
    )
    assert later - first == 4  # 2024 has a 29th of February
    assert first != other
    assert "day" not in read(changed_dicom(StudyDate="20240227")).meta
    assert "day" not in read(changed_dicom(StudyDate="yesterday"), pseudonym=KEY).meta


def test_nothing_of_the_phantoms_header_survives(real_data):
    for path in (real_data / "dicom_philips_phantom").glob("I*"):
        scan = read(path.read_bytes(), path.name, pseudonym=KEY)
        kept = repr(scan.meta) + repr(to_stored(scan)) + str(scan.patient_key)
        assert not any(word in kept for word in ("QMC", "NOTTINGHAM", "CT4", "336067", "20150206", "PLASTIC"))
