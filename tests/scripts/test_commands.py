"""The commands as a user runs them, on real parts: the first of each kind in a process of its own, the rest in this
one, which spares the import of torch."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sqlalchemy import text

from core import bundle
from core import manifest as manifests
from core.pseudonym import UNNAMED
from core.settings import ROOT, Settings
from services.models import champion
from services.workspace import DEMO_BUNDLES, open_workspace
from tests.conftest import as_in_tests, make_class_folders, png, run, run_apart

FAST = ["--image-size", "32", "--epochs", "2", "--batch-size", "8"]


@pytest.fixture(scope="module")
def _trained_once(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        as_in_tests(patch)
        patch.setenv("STROKE_HOME", str(root / "home"))
        data = make_class_folders(root)
        return root / "home", run_apart("train", "--data", data, "--split", "folders", *FAST).stdout.split()[-1]


@pytest.fixture
def trained(home, class_folders, _trained_once):
    """A candidate that was trained on `class_folders`."""
    shutil.copytree(_trained_once[0], home)
    return _trained_once[1]


def test_train_publishes_a_candidate_and_prints_its_version_last(home, class_folders, trained):
    manifest = bundle.load(home / "models" / trained).manifest
    assert manifest.classes == ("hemorrhagic", "ischemic")
    assert manifest.metrics["test"]["n"] == 10
    assert manifest.lineage["recipe"]["epochs"] == 2
    assert manifest.lineage["split"] == "folders"
    assert champion(open_workspace(Settings())) != trained, "a candidate does not serve by itself"


def test_train_by_patient_keeps_patients_apart_and_remembers_it(home, class_folders):
    trained = run("train", "--data", class_folders, *FAST)
    assert "Patients are dealt to parts here, not as the data names them" in trained.stderr
    version = trained.stdout.split()[-1]
    patients = bundle.load(home / "models" / version).manifest.patients
    everyone = [key for keys in patients.values() for key in keys]
    assert len(everyone) == len(set(everyone))
    assert sum(not key.startswith(UNNAMED) for key in everyone) == 44
    again = run("train", "--data", class_folders, *FAST, "--seed", 5).stdout.split()[-1]
    assert bundle.load(home / "models" / again).manifest.patients == patients


def test_evaluate_gives_the_figures_the_bundle_was_published_with(home, class_folders, trained, tmp_path):
    out = tmp_path / "figures.json"
    plots = tmp_path / "plots"
    said = run_apart(
        "evaluate", "--model_path", home / "models" / trained, "--data", class_folders, "--json", out, "--plots", plots
    )
    figures = json.loads(out.read_text())
    published = bundle.load(home / "models" / trained).manifest.metrics["test"]
    assert figures["accuracy"] == published["accuracy"]
    assert figures["confusion"] == published["confusion"]
    assert "trained on" not in said.stdout
    assert figures["per_patient"]["n"] == 10
    assert f"It answers {figures['answered']} of these 10 scans" in said.stdout
    assert "Brier score" in said.stdout
    assert (plots / "confusion.html").stat().st_size > 1e6
    args = ["--model-path", trained, "--data", class_folders, "--part", "all", "--against", trained]
    everything = run("evaluate", *args).stdout
    met = f"Note: {trained} was trained on 24 of these 44 patients. That flatters it."
    assert everything.count(met) == 2, "of both models that are compared"
    assert everything.index(met) < everything.index("Accuracy"), "before any figure"
    assert f"gained over {trained}, paired" in everything
    assert "cannot be told" not in everything


def test_evaluate_measures_one_class_and_says_where_a_part_is_empty(home, class_folders, trained):
    (class_folders / "Train" / "hemorrhagic").rename(class_folders / "left out")
    said = run("evaluate", "--model-path", trained, "--data", class_folders / "Train").stdout
    assert re.search(r"Note: (\d+) of these \1 files name no part, and are measured too", said)
    assert "Accuracy" in said
    shutil.rmtree(class_folders / "Test")
    failed = run("evaluate", "--model-path", trained, "--data", class_folders, check=False)
    assert failed.returncode == 2
    assert "No file is in the part test" in failed.stderr


def test_a_model_from_another_home_cannot_say_whom_it_was_trained_on(home, class_folders, trained, monkeypatch):
    monkeypatch.setenv("STROKE_HOME", str(home.with_name("other")))
    args = ["--model-path", home / "models" / trained, "--data", class_folders, "--part", "all"]
    said = run("evaluate", *args).stdout
    assert f"{trained} was trained on 24 of these 44 patients" in said, "by their images"
    assert f"whether {trained} was trained on more of these patients cannot be told" in said


def test_folds_measure_a_recipe_and_publish_nothing(home, class_folders, tmp_path):
    out, table, recipe = tmp_path / "folds.json", tmp_path / "folds.csv", tmp_path / "recipe.yaml"
    recipe.write_text("width: 8\nimage_size: 32\nepochs: 1\naugmentation: {flip: 0}\n")
    args = ["--data", class_folders, "--folds", 3, "--recipe", recipe, "--json", out, "--predictions", table]
    said = run("train", *args).stdout
    assert "Nothing is published" in said
    assert not manifests.versions(home / "models")
    figures = json.loads(out.read_text())
    assert figures["scans"]["n"] == 44
    assert figures["patients"]["n"] == 44
    assert set(figures) == {"scans", "before calibration", "patients"}
    assert len(table.read_text().splitlines()) == 45
    assert not list((home / "training").glob("*")), "what was kept for --resume goes when it has ended"
    recipe.write_text("widht: 8\n")
    failed = run("train", *args, check=False)
    assert failed.returncode == 2
    assert "widht" in failed.stderr


def test_options_that_would_be_ignored_or_lost_are_refused_first(home, class_folders, tmp_path):
    nowhere = tmp_path / "gone" / "x.json"
    for args, word in (
        (["--folds", 0], "at least 2"),
        (["--folds", 1], "at least 2"),
        (["--folds", 3, "--split", "folders"], "leave --split folders out"),
        (["--folds", 3, "--json", nowhere], "cannot be written"),
        (["--json", tmp_path / "x.json"], "go with --folds"),
    ):
        failed = run("train", "--data", class_folders, *FAST, *args, check=False)
        assert failed.returncode == 2
        assert word in failed.stderr.replace("\n", " ")
    for option in ("--json", "--report", "--write-clean"):
        failed = run("audit_data", "--data", class_folders, option, nowhere, check=False)
        assert failed.returncode == 2, "1 would mean a leak"
        assert "cannot be written" in failed.stderr.replace("\n", " ")
    assert not manifests.versions(home / "models")


def test_an_audit_of_nothing_is_no_clean_bill(home, tmp_path):
    (tmp_path / "list.csv").write_text("file,label\nnotes.png,hemorrhagic\n")
    (tmp_path / "notes.png").write_bytes(b"notes")
    failed = run("audit_data", "--manifest", tmp_path / "list.csv", check=False)
    assert failed.returncode == 2
    assert re.search(r"None of 1 files can be read\. The first, notes\.png: .*not a JPG", failed.stderr)
    failed = run("audit_data", "--manifest", tmp_path / "no.csv", check=False)
    assert failed.returncode == 2
    assert "cannot be read" in failed.stderr.replace("\n", " ")


def test_training_says_what_the_audit_finds_first(home, class_folders):
    copy = next((class_folders / "Train" / "hemorrhagic").iterdir())
    (class_folders / "Test" / "ischaemic" / "300 (1).png").write_bytes(copy.read_bytes())
    said = run("train", "--data", class_folders, "--split", "folders", *FAST).stderr
    assert "1 files are copies of others, 1 of them across parts" in said
    assert "1 images stand under two labels" in said
    assert "The split leaks" in said


def test_a_clean_split_can_be_written_and_passes_the_audit(home, class_folders, tmp_path):
    copy = next((class_folders / "Train" / "ischaemic").rglob("*.png"))
    (class_folders / "Test" / "ischaemic" / f"{copy.stem.split()[0]} (2).png").write_bytes(copy.read_bytes())
    clean = tmp_path / "clean.csv"
    found = run("audit_data", "--data", class_folders, "--write-clean", clean, check=False)
    assert found.returncode == 1
    assert "44 scans" in found.stdout
    again = run("audit_data", "--data", class_folders, "--manifest", clean)
    assert "No leak was found" in again.stdout
    version = run("train", "--data", class_folders, "--manifest", clean, "--split", "folders", *FAST).stdout.split()[-1]
    patients = bundle.load(home / "models" / version).manifest.patients
    assert not set(patients["train"]) & set(patients["test"])


def test_patients_can_be_named_by_a_pattern_of_the_users_own(home, tmp_path):
    for i in range(8):
        folder = tmp_path / ("train" if i < 5 else "test") / ("hemorrhagic", "ischemic")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"CT_{i // 2}_slice_{i}.png").write_bytes(png(i))
    found = run("audit_data", "--data", tmp_path, "--patient-pattern", r"^CT_(\d+)_", check=False)
    assert found.returncode == 1
    assert "1 patients stand in more than one part" in found.stdout
    assert "No file names a patient" in run("audit_data", "--data", tmp_path).stdout
    for pattern, word in ((r"^XX(\d+)", "names no patient in 8 of 8"), ("CT", "needs a group"), ("(", "no regular")):
        failed = run("audit_data", "--data", tmp_path, "--patient-pattern", pattern, check=False)
        assert failed.returncode == 2
        assert word in failed.stderr.replace("\n", " ")


def test_ingest_says_what_became_of_every_file(home, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(1))
    (folder / "b.png").write_bytes(png(1))
    (folder / "text.jpg").write_text("hello")
    ended = run_apart("ingest", folder, tmp_path / "gone.png", "--json", check=False)
    assert ended.returncode == 1, "a path that is not there is an error of whoever called"
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line["outcome"] for line in lines] == ["stored", "duplicate", "refused", "refused"]
    assert lines[0]["file"] == f"{folder}/a.png"
    assert lines[0]["scan_id"] == lines[1]["scan_id"]
    assert set(lines[0]) == {
        "file", "outcome", "reason", "scan_id", "model", "label", "confidence", "probabilities", "flags",
    }  # fmt: skip
    assert "demonstration" not in lines[0]["flags"], "a model of real scans serves"
    assert lines[0]["model"] == champion(open_workspace(Settings()))
    assert lines[0]["confidence"] == max(lines[0]["probabilities"].values())
    assert all(line["reason"] for line in lines[1:])
    assert run("ingest", folder, check=False).returncode == 0, "what is there already is no error"
    assert run("ingest", folder / "text.jpg", check=False).returncode == 1, "nothing could be read"


@pytest.mark.parametrize("blind_first", ["false", "true"])
def test_ingest_tells_no_answer_that_readers_are_to_see_after_their_verdict(home, tmp_path, monkeypatch, blind_first):
    monkeypatch.setenv("STROKE_REVIEW__AUDIT_SHARE", "0")
    monkeypatch.setenv("STROKE_REVIEW__BLIND_FIRST", blind_first)
    noise = np.random.default_rng(0).integers(0, 255, (96, 96), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    said = run("ingest", tmp_path / "noise.png").stdout
    assert "1 stored" in said
    assert ("Perhaps no head CT" in said) == (blind_first == "false")


def test_a_log_that_cannot_be_used_is_a_sentence(home, tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    with open_workspace(Settings()).db.writing() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    newer = run("ingest", tmp_path / "a.png", check=False)
    (home / "second_read.sqlite").write_bytes(b"x" * 4096)
    damaged = run("models", "list", check=False)
    for failed, word in ((newer, "Use the version that wrote it"), (damaged, "Restore it from the backup")):
        assert failed.returncode == 2
        assert "Traceback" not in failed.stderr
        assert word in failed.stderr
    assert "damaged" in run("check_log", check=False).stdout


def test_a_file_whose_name_cannot_be_shown_costs_nothing(home, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9 5.png")).write_bytes(png(1))
    (folder / "new\nline: stored\x1b[31m.png").write_bytes(png(2))
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    lines = run_apart("ingest", folder).stdout.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "2 stored"
    assert not any("\x1b" in line for line in lines)


def test_models_can_be_listed_promoted_and_rolled_back(home, trained):
    assert json.loads(run("models", "promote", trained, "--json").stdout) == {"serving": trained}
    listed = json.loads(run("models", "list", "--json").stdout)
    assert [v["version"] for v in listed if v["serving"]] == [trained]
    assert json.loads(run("models", "show", trained).stdout)["version"] == trained
    back = json.loads(run("models", "rollback", "--json").stdout)["serving"]
    assert back != trained
    said = run("models", "promote", manifests.versions(DEMO_BUNDLES)[-1].name)
    assert "means nothing" in " ".join(said.stderr.split())
    run("models", "rollback")
    failed = run("models", "promote", "no-such-version", check=False)
    assert failed.returncode == 2
    assert "no model version" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_retrain_without_labels_says_why_not(home):
    decision = json.loads(run("retrain", "--json").stdout)
    assert decision["decision"] == "refused"
    assert decision["candidate"] is None
    assert "At least 20" in decision["reason"]


def test_wrong_data_is_a_sentence_not_a_traceback(home, tmp_path):
    for args in (
        ["--data", tmp_path / "gone"],
        ["--data", tmp_path],
        [],
        ["--data", tmp_path, "--arch", "stroke_cnn", "--weights", "imagenet"],
    ):
        failed = run("train", *args, check=False)
        assert failed.returncode == 2
        assert "Traceback" not in failed.stderr
        assert failed.stderr.strip()


def test_a_killed_training_leaves_no_version_and_resumes(home, class_folders):
    args = ["--data", str(class_folders), "--split", "folders", "--image-size", "32", "--batch-size", "8"]
    slow = [*args, "--epochs", "15", "--patience", "40"]
    process = subprocess.Popen(
        [sys.executable, ROOT / "scripts" / "train.py", *slow], stderr=subprocess.PIPE, text=True, env=os.environ
    )
    for line in process.stderr:
        if line.startswith("epoch 2:"):
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    assert manifests.versions(home / "models") == []
    resumed = run("train", *slow, "--resume")
    assert "Going on" in resumed.stderr
    assert not re.search("^epoch [12]:", resumed.stderr, re.MULTILINE)
    assert "epoch 15:" in resumed.stderr
    assert len(manifests.versions(home / "models")) == 1


def test_demo_cases_fill_an_empty_log_once(home):
    assert "40 synthetic demo cases" in run_apart("demo").stdout
    assert "not empty" in run("demo").stdout


def test_a_part_of_the_real_set_is_read_as_it_is_published(home, tmp_path, real_data):
    """Ten patients, all who have copies among them, one epoch at a tiny size: what is checked is that the folder works
    and what is said about it."""
    published = pd.read_csv(real_data / "ct_ich" / "findings.csv")
    few = published[published.patient.isin([49, 50, 51, 58, 62, 64, 66, 67, 68, 85])]
    for name in few.file:
        (tmp_path / "few" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "few" / name).symlink_to((real_data / "ct_ich" / name).resolve())
    result = run("train", "--data", tmp_path / "few", "--split", "folders", "--image-size", "32", "--epochs", "1")
    for part in ("train", "test"):
        assert f"{part}: {(few.published_split == part).sum()} scans of 10 patients" in result.stderr
    assert "10 patients stand in more than one part (10 in train and test" in result.stderr
    assert "The split leaks" in result.stderr
    assert few.duplicate.sum() == 14
    assert "14 files are copies" in result.stderr


def test_the_case_log_is_checked(home):
    nothing = run("check_log", check=False)
    assert nothing.returncode == 2
    assert "There is no case log at" in nothing.stderr
    assert not (home / "patient.key").exists(), "asking makes nothing"
    run("demo")
    assert re.search(
        r"Checked \d+ scans and \d+ events, the last of .* UTC.\nWhat was checked is whole:", run("check_log").stdout
    )
    next((home / "images").glob("*/*.png")).unlink()
    found = run("check_log", check=False)
    assert found.returncode == 1
    assert "Restore it from the backup" in found.stdout
