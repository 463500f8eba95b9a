import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dataset import (
    DatasetError,
    Sample,
    assign_splits,
    check_classes,
    file_reader,
    load,
    patients_in_several_splits,
)
from core.labels import CLASSES, SHARES, SPLITS
from core.listing import ManifestColumns, from_folders, from_manifest
from core.preprocess import InputSpec
from core.pseudonym import Pseudonym
from tests.conftest import changed_dicom, dicom, png

KEY = Pseudonym(b"test")
SPEC = InputSpec(size=32)


def test_a_patient_has_the_key_by_which_intake_knows_their_files(tmp_path):
    for number, (patient, label) in enumerate(
        [("A", "ischemic"), ("A", "ischemic"), ("B", "hemorrhagic"), ("C", "ischemic")]
    ):
        (tmp_path / f"{number}.dcm").write_bytes(dicom(number, label, patient))
    rows = ["0.dcm,ischemic,one", "1.dcm,ischemic,one", "2.dcm,hemorrhagic,two", "3.dcm,ischemic,two"]
    (tmp_path / "m.csv").write_text("\n".join(["file,label,patient", *rows]))
    samples = from_manifest(tmp_path / "m.csv", tmp_path, ManifestColumns(), {}, KEY)
    found = load(samples, SPEC, reader=file_reader(KEY, 4)).examples.patients
    assert found[:2] == (KEY.of("PatientID", "A"),) * 2
    assert found[2:] == (KEY.of("file", "two"),) * 2, "where the list joins what the files part, the list decides"


def test_slices_of_one_study_are_one_patients_where_no_file_names_any(tmp_path):
    """PatientID taken out, StudyInstanceUID left, as anonymisers do."""
    rows = [
        (1, "1.2.3.1", "ANONYMOUS"),
        (2, "1.2.3.1", ""),
        (3, "1.2.3.2", ""),
        (4, "1.2.3.2", "HUTCHINSON"),
        (5, "", ""),
    ]
    for number, study, patient in rows:
        data = changed_dicom(dicom(number), StudyInstanceUID=study, PatientID=patient)
        (tmp_path / f"{number}.dcm").write_bytes(data)
    samples = [Sample(tmp_path / f"{number}.dcm", CLASSES[number % 2]) for number, *_ in rows]
    one, two, three, four, five = load(samples, SPEC, reader=file_reader(KEY, 4)).examples.patients
    assert one == two
    assert three == four == KEY.of("PatientID", "HUTCHINSON")
    assert len({one, three, five}) == 3


def test_files_that_cannot_be_read_are_left_out_and_listed(class_folders):
    bad = class_folders / "Train" / "hemorrhagic" / "99 (1).jpg"
    bad.write_text("text")
    copy = class_folders / "Test" / "hemorrhagic" / "98 (1).png"
    copy.write_bytes(png(1, "hemorrhagic"))
    loaded = load(from_folders(class_folders), SPEC, reader=file_reader(KEY, 16))
    assert [path for path, _ in loaded.refused] == [bad]
    assert len(loaded.examples) == 45
    assert loaded.classes == ("hemorrhagic", "ischemic")


def test_one_class_is_nothing_to_train_on(class_folders):
    samples = [s for s in from_folders(class_folders) if s.label == "ischemic"]
    loaded = load(samples, SPEC, reader=file_reader(KEY, 16))
    assert loaded.classes == ("ischemic",), "but there may be something to measure"
    with pytest.raises(DatasetError, match="two classes"):
        check_classes(loaded)


def test_where_no_file_can_be_read_the_first_says_why(tmp_path):
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(DatasetError, match=r"None of 1 files can be read. The first, a.png: .*not a JPG"):
        load([Sample(tmp_path / "a.png", "ischemic")], SPEC, reader=file_reader(KEY, 16))


patients = st.dictionaries(st.text("0123456789abcdef", min_size=1, max_size=8), st.sampled_from(CLASSES), max_size=80)


@given(patients)
def test_every_patient_has_one_split_whatever_the_order(found):
    splits = assign_splits(found, salt="s")
    backwards = assign_splits(dict(reversed(found.items())), salt="s")
    assert splits == backwards
    assert splits.keys() == found.keys()
    assert set(splits.values()) <= set(SPLITS)


@given(patients, patients)
def test_a_split_once_given_never_changes(first, more):
    known = assign_splits(first, salt="s")
    later = assign_splits({**more, **first}, salt="s", known=known)
    assert {key: later[key] for key in known} == known


@given(st.integers(20, 200))
def test_each_class_comes_near_its_shares(count):
    splits = list(assign_splits({str(i): "ischemic" for i in range(count)}, salt="s").values())
    for split, share in SHARES.items():
        assert abs(splits.count(split) - share * count) <= 1


def test_the_published_split_of_ct_ich_leaks_every_patient(real_data):
    samples = from_folders(real_data / "ct_ich")
    assert len(samples) == 2515
    named = [(s, s.path.stem.split(" ")[0]) for s in samples]
    from dataclasses import replace

    leaking = patients_in_several_splits([replace(s, patient=who) for s, who in named])
    assert len(leaking) == 82


def test_inputs_are_kept_as_one_byte_a_pixel(class_folders):
    loaded = load(from_folders(class_folders), SPEC, reader=file_reader(KEY, 16))
    assert loaded.examples.x.shape[1:] == (1, 32, 32)
    assert str(loaded.examples.x.dtype) == "torch.uint8"
    assert np.isin(loaded.examples.y.numpy(), [0, 1]).all()


def test_a_file_whose_name_is_no_utf8_is_refused_and_the_others_are_read(tmp_path):
    """As on disks that once were another system's; "\udcfc" is how Python names the byte of a Latin-1 ü."""
    (tmp_path / "a.png").write_bytes(png(1))
    samples = [Sample(tmp_path / name, "ischemic", KEY.of("file", name)) for name in ("M\udcfcller.png", "a.png")]
    loaded = load(samples, SPEC, reader=file_reader(KEY, 4))
    assert [path.name for path, why in loaded.refused if "no UTF-8: rename it" in why] == ["M\udcfcller.png"]
    assert loaded.examples.samples[0].path.name == "a.png"


def test_a_header_that_names_no_study_readably_is_refused_and_the_others_are_read(tmp_path):
    """pydicom converts what a header says only when it is asked for."""
    damaged = dicom(1).replace(b"\x20\x00\x0d\x00UI", b"\x20\x00\x0d\x00Q?", 1)
    assert damaged != dicom(1)
    (tmp_path / "a.dcm").write_bytes(damaged)
    (tmp_path / "b.dcm").write_bytes(dicom(2))
    loaded = load(
        [Sample(tmp_path / name, "ischemic") for name in ("a.dcm", "b.dcm")], SPEC, reader=file_reader(KEY, 4)
    )
    assert [path.name for path, _ in loaded.refused] == ["a.dcm"]
    assert len(loaded.examples) == 1
