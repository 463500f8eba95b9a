import pytest

from core.dataset import DatasetError, Sample
from core.labels import SPLITS
from core.listing import ManifestColumns, from_folders, from_manifest, with_patients, write_manifest
from core.pseudonym import Pseudonym
from tests.conftest import dicom, png

KEY = Pseudonym(b"test")


def test_folders_are_read_as_they_are_named(class_folders):
    samples = from_folders(class_folders)
    assert len(samples) == 44
    assert {s.split for s in samples} == set(SPLITS)
    assert {s.label for s in samples} == {"hemorrhagic", "ischemic"}


def test_a_folder_without_classes_says_what_is_expected(tmp_path):
    with pytest.raises(DatasetError, match="hemorrhagic"):
        from_folders(tmp_path)
    with pytest.raises(DatasetError, match="no folder"):
        from_folders(tmp_path / "missing")


def test_folders_of_no_class_are_left_out_aloud_and_can_be_translated(tmp_path):
    for folder in ("train/Ischemic Stroke", "train/non-stroke", "train/bleed", "masks"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "1.png").write_bytes(png(1))
    said = []
    assert {s.label for s in from_folders(tmp_path, say=said.append)} == {"ischemic", "no_stroke"}
    assert [text.split(",")[0] for text in said] == ["left out: 1 file in masks", "left out: 1 file in bleed"]
    said.clear()
    samples = from_folders(tmp_path, {"bleed": "hemorrhagic", "masks": "skip"}, said.append)
    assert {s.label for s in samples} == {"ischemic", "no_stroke", "hemorrhagic"}
    assert not said


def test_links_to_folders_are_followed_once(tmp_path):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for folder in (data / "train" / "ischemic", elsewhere / "ischemic"):
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(png(1))
    (data / "test").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(data)
    assert sorted(s.split for s in from_folders(data)) == ["test", "train"]


def test_a_pattern_may_name_the_patients_folder(tmp_path):
    names = ("ischemic/PAT01/slice_1.png", "ischemic/PAT01/slice_2.png", "normal/PAT02/slice_1.png")
    samples = [Sample(tmp_path / name, "ischemic") for name in names]
    named = with_patients(samples, r"(PAT\d+)/", KEY, tmp_path)
    assert [s.patient for s in named] == [KEY.of("file", name) for name in ("PAT01", "PAT01", "PAT02")]
    with pytest.raises(DatasetError, match="names no patient in 3 of 3 files"):
        with_patients(samples, r"^(\d+)_", KEY, tmp_path)


def test_a_manifest_may_use_its_own_words_and_columns(tmp_path):
    (tmp_path / "m.csv").write_text("img,truth,who,part\na.png,bleed,7,val\nb.png,clean,8,train\nc.png,?,9,\n")
    columns = ManifestColumns("img", "truth", "who", "part")
    words = {"bleed": "hemorrhagic", "clean": "no_stroke", "?": "skip"}
    samples = from_manifest(tmp_path / "m.csv", tmp_path, columns, words, KEY)
    assert [(s.label, s.split, s.patient) for s in samples] == [
        ("hemorrhagic", "validation", KEY.of("file", "7")),
        ("no_stroke", "train", KEY.of("file", "8")),
    ]


def test_a_list_without_a_column_for_patients_is_said(tmp_path):
    (tmp_path / "m.csv").write_text("file,label,patient_id\na.png,ischemic,7\n")
    said = []
    for name in ("patient", "patient_id"):
        from_manifest(tmp_path / "m.csv", tmp_path, ManifestColumns(patient=name), {}, KEY, said.append)
    [one] = said
    assert "no column 'patient'" in one
    assert "--patient-column" in one


def test_a_list_that_was_written_here_names_the_same_patients(tmp_path):
    samples = [Sample(tmp_path / "a.png", "ischemic", KEY.of("PatientID", "7"), "train")]
    write_manifest(samples, tmp_path, tmp_path / "clean.csv")
    assert from_manifest(tmp_path / "clean.csv", tmp_path, ManifestColumns(), {}, KEY) == samples


@pytest.mark.parametrize("columns", [ManifestColumns(), ManifestColumns(patient="patient_key")])
def test_what_a_hospital_calls_a_patient_is_hashed_whatever_its_column_is_called(tmp_path, columns):
    for number in ("MRN 0047113", "0000000000471135"):
        rows = f"a.png,ischemic,{number},0\nb.png,ischemic,,False\n"
        (tmp_path / "m.csv").write_text("file,label,patient_key,synthetic\n" + rows)
        found = from_manifest(tmp_path / "m.csv", tmp_path, columns, {}, KEY)
        assert [sample.patient for sample in found] == [KEY.of("file", number), None]


def test_rows_about_simulated_images_list_no_file(tmp_path):
    """As in what `train.py --folds --predictions` writes."""
    rows = 'a.png,0123456789abcdef,no_stroke,\na.png,0123456789abcdef,ischemic,"MCA, acute"\n'
    (tmp_path / "m.csv").write_text("file,patient_key,label,synthetic\n" + rows)
    [real] = from_manifest(tmp_path / "m.csv", tmp_path, ManifestColumns(), {}, KEY)
    assert (real.label, real.patient) == ("no_stroke", "0123456789abcdef")


def test_a_file_that_lies_elsewhere_is_listed_by_its_own_path(tmp_path):
    samples = [Sample(tmp_path / "other" / "a.png", "ischemic", KEY.of("PatientID", "7"), "train")]
    write_manifest(samples, tmp_path / "data", tmp_path / "clean.csv")
    assert from_manifest(tmp_path / "clean.csv", tmp_path / "data", ManifestColumns(), {}, KEY) == samples


@pytest.mark.parametrize("name", ["1.2.840.113619.2.55.3", "IM-0001.IMA", "slice.DICOM", "no ending"])
def test_a_dicom_file_is_found_whatever_it_is_called(tmp_path, name):
    (tmp_path / "ischemic").mkdir()
    (tmp_path / "ischemic" / name).write_bytes(dicom())
    (tmp_path / "ischemic" / "photo.jfif").write_bytes(png())
    (tmp_path / "ischemic" / "notes.txt").write_text("a text")
    (tmp_path / "ischemic" / "damaged.dcm").write_text("a text, which has to be named")
    assert {sample.path.name for sample in from_folders(tmp_path)} == {name, "photo.jfif", "damaged.dcm"}


def test_a_manifest_with_unknown_words_or_columns_says_which(tmp_path):
    (tmp_path / "m.csv").write_text("file,label\na.png,bleed\n")
    with pytest.raises(DatasetError, match="'bleed'"):
        from_manifest(tmp_path / "m.csv", tmp_path, ManifestColumns(), {}, KEY)
    with pytest.raises(DatasetError, match="no column 'truth'"):
        from_manifest(tmp_path / "m.csv", tmp_path, ManifestColumns(label="truth"), {}, KEY)


def test_a_misspelt_split_is_not_taken_for_none(tmp_path):
    (tmp_path / "m.csv").write_text("file,label,split\na.png,ischemic,trian\n")
    with pytest.raises(DatasetError, match=r"split 'trian'.*--split-column none"):
        from_manifest(tmp_path / "m.csv", tmp_path, ManifestColumns(), {}, KEY)
    assert from_manifest(tmp_path / "m.csv", tmp_path, ManifestColumns(split="none"), {}, KEY)[0].split is None
