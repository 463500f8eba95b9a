"""Folds by patient, and what is measured on them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from core.dataset import DatasetError, Examples, Sample
from core.listing import from_folders
from core.settings import CalibrationSettings, Recipe
from services import crossvalidation
from services.crossvalidation import cross_validate, fit_once, folds_of, for_all_patients, kept_path, without_copies
from services.training import prepare
from tests.conftest import png

TINY = Recipe(image_size=32, width=8, epochs=1, batch_size=16)


def examples_of(patients, labels):
    samples = tuple(Sample(f"{i}", "x", str(p), None, str(i)) for i, p in enumerate(patients))
    y = torch.tensor(labels)
    return Examples(torch.zeros(len(y), 1, 4, 4, dtype=torch.uint8), y, samples)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(12, 40), st.integers(2, 5), st.integers(0, 99))
def test_no_patient_stands_on_two_sides_of_a_fold_and_every_scan_is_tested_once(data, people, k, seed):
    patients = data.draw(st.lists(st.integers(0, people - 1), min_size=80, max_size=120))
    patients += list(range(people))
    examples = examples_of(patients, [p % 2 for p in patients])
    tested = []
    for train, test in folds_of(examples, k, seed):
        parts = [{patients[i] for i in part} for part in (train, test)]
        assert all(parts)
        assert len(set.union(*parts)) == sum(map(len, parts))
        tested += test
    assert sorted(tested) == list(range(len(patients)))


def test_whoever_shows_the_same_image_is_in_the_same_fold():
    examples = examples_of([p for p in range(20) for _ in range(3)], [p % 2 for p in range(20) for _ in range(3)])
    units = {str(p): str(p // 2) for p in range(20)}
    for train, test in folds_of(examples, 5, 0, units):
        assert not {units[examples.patients[i]] for i in train} & {units[examples.patients[i]] for i in test}
    with pytest.raises(DatasetError, match="10 were found"):
        folds_of(examples, 6, 0, units)


def test_too_few_patients_for_the_folds_are_said():
    with pytest.raises(DatasetError, match="5 folds need at least 10 patients; 3 were found"):
        folds_of(examples_of([0, 1, 2], [0, 1, 0]), 5, 0)


def test_an_image_counts_once():
    examples = examples_of([0, 1, 2], [0, 1, 0])
    copied = examples.at([0, 1, 2, 1])
    assert len(without_copies(copied)) == 3


@pytest.fixture
def prepared(ws, tmp_path):
    """Thirty-six patients with one phantom each."""
    for i in range(36):
        label = ("hemorrhagic", "no_stroke")[i % 2]
        folder = tmp_path / "data" / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i} (1).png").write_bytes(png(i, label))
    return prepare(ws, from_folders(tmp_path / "data"), TINY, "none", root=tmp_path / "data")


@pytest.fixture
def prepared_with_simulation(ws, tmp_path):
    """The same, with infarcts that only the simulation knows."""
    for i in range(16):
        label = ("hemorrhagic", "no_stroke")[i % 2]
        folder = tmp_path / "more" / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i} (1).png").write_bytes(png(i, label))
    how = {"per_slice": 2}
    recipe = Recipe(
        arch="lesion_cnn", head="strongest", intensity="image", image_size=96, width=8, epochs=1, batch_size=12,
        window=(40, 80), crop="head", simulation=how,
    )  # fmt: skip
    return prepare(ws, from_folders(tmp_path / "more"), recipe, "none", root=tmp_path / "more"), recipe


def test_every_scan_is_answered_by_the_model_that_has_not_met_its_patient(prepared):
    found = cross_validate(prepared, TINY, 3, CalibrationSettings())
    assert found.report().n == 36
    assert found.patient_report().n == 36
    assert sorted(found.table["file"]) == sorted(str(sample.path) for sample in prepared.examples.samples)
    for column in ("p", "raw"):
        p = found.table[[f"{column}_hemorrhagic", f"{column}_no_stroke"]].to_numpy()
        np.testing.assert_allclose(p.sum(axis=1), 1)
    assert found.table.groupby("fold")["patient"].nunique().sum() == 36


def test_a_class_of_too_few_patients_is_said_before_anything_is_trained(prepared, monkeypatch):
    first = prepared.examples.patients[0]
    y = [0 if patient == first else 1 for patient in prepared.examples.patients]
    monkeypatch.setattr(crossvalidation, "fit", None)
    with pytest.raises(DatasetError, match="Too few patients are hemorrhagic for 3 folds"):
        cross_validate(
            replace(prepared, examples=replace(prepared.examples, y=torch.tensor(y))), TINY, 3, CalibrationSettings()
        )


def test_scans_sent_from_elsewhere_are_answered_too_and_rules_settled_on_both(prepared, monkeypatch):
    settled = []
    real = crossvalidation.settle

    def note(said, part, *args, sent=None, **kwargs):
        settled.append((len(said.logits), len(sent.logits)))
        return real(said, part, *args, sent=sent, **kwargs)

    monkeypatch.setattr(crossvalidation, "settle", note)
    elsewhere = TINY.model_copy(update={"augmentation": TINY.augmentation.model_copy(update={"elsewhere": 0.5})})
    found = cross_validate(prepared, elsewhere, 3, CalibrationSettings())
    np.testing.assert_allclose(found.table[["sent_hemorrhagic", "sent_no_stroke"]].sum(axis=1), 1)
    assert not np.allclose(found.table["sent_hemorrhagic"], found.table["p_hemorrhagic"])
    assert found.table["sent_answered"].dtype == bool
    assert all(said == sent for said, sent in settled)
    assert settled[-1][0] == 36, "the model of all patients is settled on all folds"


def test_what_no_model_answers_is_not_answered_from_elsewhere_either(prepared):
    samples = prepared.examples.samples
    marked = replace(prepared.examples, samples=(replace(samples[0], withheld=True), *samples[1:]))
    elsewhere = TINY.model_copy(update={"augmentation": TINY.augmentation.model_copy(update={"elsewhere": 0.5})})
    sure_of_all = CalibrationSettings(error_rate=0.99)
    table = cross_validate(replace(prepared, examples=marked), elsewhere, 3, sure_of_all).table.set_index("file")
    for column in ("answered", "sent_answered"):
        assert table.index[~table[column]].tolist() == [str(samples[0].path)]


def test_scans_of_several_folds_are_ranked_by_the_networks_own_answers(prepared):
    found = cross_validate(prepared, TINY, 3, CalibrationSettings())
    of = {column: found.table[f"{column}_hemorrhagic"].to_numpy() for column in ("p", "raw")}
    is_it = (found.table["label"] == "hemorrhagic").to_numpy()
    report = found.report()
    assert report.per_class["hemorrhagic"].auc.value == pytest.approx(roc_auc_score(is_it, of["raw"]))
    assert report.accuracy.value == pytest.approx(((of["p"] > 0.5) == is_it).mean())


def test_what_is_kept_of_a_fold_is_of_its_patients_only(prepared, tmp_path):
    first, second = (prepared.examples.at(folds_of(prepared.examples, k, 0)[0][0]) for k in (2, 3))
    kept = {kept_path(tmp_path / "run", part, "1") for part in (first, second)}
    others = replace(first, samples=tuple(replace(s, patient=f"other {s.patient}") for s in first.samples))
    assert len(kept | {kept_path(tmp_path / "run", others, "1")}) == 3
    assert kept_path(tmp_path / "run", first, "1") in kept


def test_a_fold_is_judged_by_rules_from_the_other_folds(prepared, monkeypatch):
    """The labels of a fold's patients have no part in its calibration."""
    settled = []
    real = crossvalidation.settle

    def note(said, part, *args, **kwargs):
        settled.append(set(part.patients))
        return real(said, part, *args, **kwargs)

    monkeypatch.setattr(crossvalidation, "settle", note)
    found = cross_validate(prepared, TINY, 3, CalibrationSettings())
    for fold, patients in zip(found.folds, settled, strict=False):
        assert not patients & set(fold.test.patients)
    assert settled[-1] == set(prepared.examples.patients), "the model of all patients is settled on all folds"


def test_a_class_without_real_scans_is_tested_on_what_was_simulated_into_unmet_patients(prepared_with_simulation):
    prepared, recipe = prepared_with_simulation
    found = cross_validate(prepared, recipe, 2, CalibrationSettings())
    made = found.table[found.table["synthetic"] != ""]
    assert set(made["label"]) == {"ischemic"}
    assert set(made["patient"]) <= set(prepared.examples.patients)
    assert made.groupby("patient")["fold"].nunique().max() == 1
    assert found.simulated_classes == ("ischemic",)
    assert found.report().n == found.report(raw=True).n == len(found.real) == len(prepared.examples)
    assert found.simulated_report("ischemic").n == len(made) + prepared.examples.labels.count("no_stroke")
    rules = for_all_patients(found, prepared, found.folds[0].network, recipe)
    assert rules.calibration.scans == len(found.table)


def test_a_fold_that_was_trained_is_not_trained_again(prepared, tmp_path, monkeypatch):
    kept = tmp_path / "kept" / "x"
    first = cross_validate(prepared, TINY, 2, CalibrationSettings(), checkpoints=kept)
    monkeypatch.setattr(crossvalidation, "fit", lambda *a, **k: pytest.fail("trained again"))
    again = cross_validate(prepared, TINY, 2, CalibrationSettings(), checkpoints=kept)
    pd.testing.assert_frame_equal(first.table, again.table, rtol=1e-4)
    assert len(list(kept.parent.glob("*.network"))) == 2
    assert not list(kept.parent.glob("*.pt"))


def test_without_a_place_to_keep_it_nothing_is_written(prepared, tmp_path):
    train, _ = folds_of(prepared.examples, 2, 0)[0]
    fit_once(None, prepared.examples.at(train), None, prepared.classes, TINY)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("data", "home")] == []
