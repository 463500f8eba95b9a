import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from filelock import FileLock
from sqlalchemy import select

from core import bundle
from core import manifest as manifests
from core.labels import CLASSES
from core.manifest import BadBundle, Manifest
from core.network import build
from core.preprocess import InputSpec
from core.pseudonym import UNNAMED
from core.settings import Settings
from db import models as tables
from services import learning
from services.corrections import labelled_scans, runs, snapshot_digest, to_keep, too_few
from services.demo import load_demo
from services.gate import decide
from services.jobs import Busy, lock_path
from services.learning import retrain
from services.models import champion, demonstration_model, folder_of, promote, serving_model, trained_elsewhere
from services.overview import overview
from services.publishing import _inherited
from services.questions import Question
from services.reporting import live_evaluation
from services.review import new_click, record
from services.workspace import open_workspace
from tests.conftest import bundle_facts
from tests.services.conftest import held_out


def test_retraining_publishes_a_version_with_its_lineage(reviewed):
    ws = reviewed
    before = champion(ws)
    said = []
    decision = retrain(ws, say=said.append)
    assert decision.decision in ("promoted", "kept")
    manifest = bundle.load(folder_of(ws, decision.candidate)).manifest
    items = labelled_scans(ws)
    assert manifest.parent == decision.champion == before
    assert manifest.lineage["snapshot"] == snapshot_digest(items)
    by_split = {split: {i.patient_key for i in items if i.split == split} for split in ("train", "validation", "test")}
    named = {split: {key for key in keys if not key.startswith(UNNAMED)} for split, keys in manifest.patients.items()}
    assert named == by_split
    assert not by_split["train"] & by_split["test"]
    assert decision.metrics["candidate"]["n"] == sum(i.split == "test" for i in items)
    assert champion(ws) == (decision.candidate if decision.decision == "promoted" else before)
    assert any(line.startswith("test: 10 scans of 10 patients") for line in said)
    json.dumps(asdict(decision), allow_nan=False)
    with ws.db.reading() as session:
        [run] = session.scalars(select(tables.TrainingRun)).all()
        assert (run.candidate, run.decision) == (decision.candidate, decision.decision)
        assert len(session.scalars(select(tables.SnapshotItem)).all()) == 40


def test_a_worse_candidate_does_not_serve(reviewed, monkeypatch):
    ws = reviewed
    items = labelled_scans(ws)
    truth = {i.content_hash: i.label for i in items}

    def champion_is_always_right(model, x):
        rows = [CLASSES.index(truth[i.content_hash]) for i in items if i.split == "test"]
        right = np.eye(3)[rows]
        said = right if model.manifest.version == before else np.roll(right, 1, axis=1)
        return said, np.ones(len(said), bool)

    monkeypatch.setattr("services.gate.answers_of", champion_is_always_right)
    before = champion(ws)
    decision = retrain(ws)
    assert decision.decision == "kept"
    assert decision.reason.startswith("The champion stays: on 10 held-out scans of 10 patients")
    assert champion(ws) == before
    assert folder_of(ws, decision.candidate).is_dir(), "the candidate is kept, to be looked at"


def test_a_dry_run_writes_nothing(reviewed):
    ws = reviewed
    versions = manifests.versions(ws.models_dir)
    assert retrain(ws, dry_run=True).reason.startswith("Dry run")
    assert manifests.versions(ws.models_dir) == versions
    with ws.db.reading() as session:
        assert session.scalars(select(tables.TrainingRun)).all() == []


def test_unsure_unusable_and_disputed_scans_are_no_labels(reviewed):
    ws = reviewed
    ids = [item.scan_id for item in labelled_scans(ws)]
    for scan_id, verdict, reader in ((ids[0], "unsure", "Ann"), (ids[1], "unusable", "Ann"), (ids[2], "unsure", "Ben")):
        record(ws, scan_id, reader=reader, verdict=verdict, expected_version=1, click_id=new_click())
    assert [item.scan_id for item in labelled_scans(ws)] == ids[3:]


def test_no_class_of_the_champion_is_unlearned(reviewed):
    """The reviewed scans may all be of two classes; a page that says so and a command that says so agree."""
    ws = reviewed
    for item in labelled_scans(ws):
        if item.label == "ischemic":
            record(ws, item.scan_id, reader="Ann", verdict="unsure", expected_version=1, click_id=new_click())
    reason = retrain(ws).reason
    assert "also knows the answer “ischemic”" in reason
    assert retrain(ws, dry_run=True).reason == reason
    assert too_few(ws, labelled_scans(ws), to_keep(serving_model(ws).manifest), serving_model(ws).manifest) == reason


def test_a_lost_image_is_named_by_its_scan(reviewed):
    lost = next(item for item in labelled_scans(reviewed) if item.split == "train")
    reviewed.images.path(lost.content_hash).unlink()
    outcome = retrain(reviewed)
    assert f"that of scan {lost.scan_id} for one" in outcome.reason
    assert f"file scan {lost.scan_id} as unusable" in outcome.reason


def test_an_image_in_anothers_place_is_not_trained_on(reviewed):
    one, other = [item for item in labelled_scans(reviewed) if item.split == "train"][:2]
    reviewed.images.path(one.content_hash).write_bytes(reviewed.images.path(other.content_hash).read_bytes())
    reason = retrain(reviewed).reason
    assert f"that of scan {one.scan_id} for one (The stored image is not the one that was received" in reason


def test_only_one_retraining_at_a_time(reviewed):
    with FileLock(lock_path(reviewed)), pytest.raises(Busy):
        retrain(reviewed)


def test_a_run_that_was_interrupted_after_it_had_promoted_is_not_called_refused(reviewed, monkeypatch):
    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("services.gate._objection", lambda *_: None)
        patch.setattr("services.gate._lost", lambda *_: "")
        patch.setattr(learning, "_end_run", dies)
        with pytest.raises(KeyboardInterrupt):
            retrain(reviewed)
    serving = champion(reviewed)
    retrain(reviewed)
    *_, first = runs(reviewed)
    assert (first.candidate, first.decision) == (serving, "promoted")
    assert "interrupted" in first.reason


def test_a_candidate_that_cannot_be_let_serve_is_named_all_the_same(reviewed, monkeypatch):
    """It is published and has been compared, and can be let serve later."""
    for name in ("_objection", "_lost"):
        monkeypatch.setattr(f"services.gate.{name}", lambda *_: None)

    def too_little_memory(*_, **__):
        raise BadBundle("Too little memory.")

    monkeypatch.setattr("services.models.promote", too_little_memory)
    decision = retrain(reviewed)
    assert (decision.decision, decision.reason) == ("refused", "Too little memory.")
    assert folder_of(reviewed, decision.candidate).is_dir()
    assert runs(reviewed)[0].candidate == decision.candidate


@pytest.mark.parametrize("head", ["mean", "strongest"])
def test_a_class_that_is_new_leaves_the_others_their_weights(head):
    two, arch = (CLASSES[0], CLASSES[2]), {"arch": "lesion_cnn", "width": 8, "head": head}
    facts = bundle_facts(two, version="v", created_at="2026-01-01T00:00:00Z", weights_sha256="0", **arch)
    before = build("lesion_cnn", two, width=8, head=head)
    if head == "strongest":
        torch.nn.init.ones_(before.gain)
        torch.nn.init.ones_(before.bias)
    state = learning._start_weights(bundle.Bundle(Manifest(**facts), before, InputSpec(size=64)), CLASSES)
    after = build("lesion_cnn", CLASSES, width=8, head=head)
    after.load_state_dict(state)
    assert torch.equal(after.head.weight[[0, 2]], before.head.weight)
    assert torch.equal(after.head.bias[[0, 2]], before.head.bias)
    assert torch.equal(after.features[0].weight, before.features[0].weight)
    if head == "strongest":  # which has no gain and bias of the last class
        assert after.gain.tolist() == after.bias.tolist() == [1, 0]


def test_an_interrupted_run_is_closed_by_the_next(reviewed):
    with reviewed.db.writing() as session:
        session.add(tables.TrainingRun(champion="x"))
    retrain(reviewed)
    with reviewed.db.reading() as session:
        first = session.scalars(select(tables.TrainingRun).order_by(tables.TrainingRun.id)).first()
        assert (first.decision, first.reason) == ("refused", "The run was interrupted.")


def test_live_figures_are_scikit_learns_on_the_same_rows(reviewed, publish_untrained):
    from sklearn import metrics

    ws = reviewed
    result = live_evaluation(ws, Question(champion(ws)))
    assert result.report.n == len(result.rows) == 40
    expected = metrics.accuracy_score(result.rows["label"], result.rows["prediction"])
    assert result.report.accuracy.value == pytest.approx(expected, abs=1e-9)
    for name in CLASSES:
        auc = metrics.roc_auc_score(result.rows["label"] == name, result.rows[f"p_{name}"])
        assert result.report.per_class[name].auc.value == pytest.approx(auc, abs=1e-9)
    counts = overview(ws, "Ann")
    assert (counts.reviewed, counts.waiting, counts.comparable) == (40, 0, 40)
    assert counts.agreeing == metrics.accuracy_score(result.rows["label"], result.rows["prediction"], normalize=False)
    promote(ws, publish_untrained(seed=3), actor="test")
    assert overview(ws, "Ann").comparable == 0, "what a version said that no longer serves is not the model's"


def test_a_demonstration_does_not_take_the_place_of_a_model_of_real_scans(home):
    ws = open_workspace(Settings())
    ws.settings.retrain.epochs = 2
    ws.settings.retrain.min_test_scans = 2
    serving = champion(ws)
    load_demo(ws, demonstration_model(ws))
    decision = retrain(ws, synthetic=True)
    assert decision.decision == "kept", decision.reason
    assert decision.candidate is not None
    assert decision.champion == demonstration_model(ws).manifest.version
    assert champion(ws) == serving


def test_demo_cases_never_mix_with_real_ones(ws):
    from services.demo import CASES, REVIEWED

    assert load_demo(ws, serving_model(ws)) == CASES
    assert load_demo(ws, serving_model(ws)) == 0, "only an empty log is filled"
    assert live_evaluation(ws, Question(champion(ws))).report is None
    assert live_evaluation(ws, Question(champion(ws), synthetic=True)).report.n == REVIEWED
    assert labelled_scans(ws) == []
    assert len(labelled_scans(ws, synthetic=True)) == REVIEWED


def test_a_candidate_has_met_whom_its_parent_met(reviewed):
    """And takes over what is said of the parent's limits and of keys made elsewhere."""
    ws = reviewed
    parent = bundle.load(folder_of(ws, champion(ws)))
    facts = {
        "patients": {"train": ["stranger"]},
        "keyed_by": "elsewhere",
        "limits": ("It has met one hospital.",),
    }
    decision = retrain_from(ws, parent, facts)
    manifest = bundle.load(folder_of(ws, decision.candidate)).manifest
    assert "stranger" in manifest.patients["train"]
    assert manifest.keyed_by == "elsewhere"
    said_of_parent = f"Of {manifest.parent}, from which it was trained on, this holds: “It has met one hospital.”"
    assert said_of_parent in manifest.limits
    assert "It has met one hospital." not in manifest.limits, "it has met another since"
    again = _inherited(manifest)
    assert said_of_parent in again
    assert not any(limit.startswith("Of the labels") for limit in again), "those that its parent learned from"
    assert sum("answer in view" in limit for limit in again) == 1
    assert sum("one hospital" in limit for limit in again) == 1
    assert trained_elsewhere(ws, manifest)
    assert "cannot be told" in decision.reason, "silence would read as: on none of them"


def retrain_from(ws, parent, facts):
    kept = parent.manifest.model_dump(exclude={"version", "created_at", "weights_sha256"})
    version = bundle.publish(ws.models_dir, parent.network, {**kept, **facts}, parent.typical).version
    promote(ws, version, actor="test")
    return retrain(ws)


def test_a_candidate_that_could_say_less_of_its_answers_does_not_serve(reviewed):
    ws = reviewed
    parent = bundle.load(folder_of(ws, champion(ws)))
    decision = retrain_from(ws, parent, {"abstain_below": 0.5})
    assert decision.decision == "refused", "before it has trained for nothing"
    assert "At least 20 reviewed scans of patients kept for validation" in decision.reason
    before = bundle.load(folder_of(ws, champion(ws)))
    says_less = before.manifest.model_copy(update={"version": parent.manifest.version, "abstain_below": None})
    verdict = decide(ws, before, replace(before, manifest=says_less), *held_out(ws))
    assert verdict.decision == "kept"
    assert "a confidence to abstain below" in verdict.reason


def test_why_a_run_failed_is_kept_with_it(reviewed, monkeypatch):
    def without_memory(*args, **how):
        raise MemoryError("no memory is left")

    monkeypatch.setattr(learning, "fit", without_memory)
    with pytest.raises(MemoryError):
        retrain(reviewed)
    [run] = runs(reviewed)
    assert (run.decision, run.reason) == ("refused", "The run failed: no memory is left")


def test_a_version_says_how_many_of_its_labels_were_given_blind(reviewed):
    item = next(item for item in labelled_scans(reviewed) if item.split == "test")
    record(
        reviewed, item.scan_id, reader="Ann", verdict=item.label, expected_version=1, click_id=new_click(), blind=True
    )
    manifest = bundle.load(folder_of(reviewed, retrain(reviewed).candidate)).manifest
    [limit] = [limit for limit in manifest.limits if "answer in view" in limit]
    blind = {item.scan_id: item.blind for item in labelled_scans(reviewed)}
    parts = [[blind[i.scan_id] for i in labelled_scans(reviewed) if i.split == part] for part in ("train", "test")]
    for of in parts:
        assert f"{sum(of)} of {len(of)}" in limit


def test_a_retraining_on_demo_cases_can_begin_in_every_home(home):
    """Whatever the home's secret deals to its patients."""
    ws = open_workspace(Settings())
    load_demo(ws, demonstration_model(ws))
    items = labelled_scans(ws, synthetic=True)
    assert too_few(ws, items, CLASSES, demonstration_model(ws).manifest) is None
    of = {part: sum(item.split == part for item in items) for part in ("train", "validation", "test")}
    assert of == {"train": 13, "validation": 5, "test": 6}
