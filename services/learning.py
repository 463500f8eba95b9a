"""Corrections become a new model: snapshot, train, compare with the champion, gate."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from filelock import FileLock, Timeout
from sqlalchemy import select
from torch import Tensor

from core import bundle
from core.bundle import Bundle
from core.dataset import DatasetError, Examples, Sample, check_classes, load
from core.evaluate import difference
from core.intervals import Figure
from core.labels import CLASSES, HEMORRHAGIC, SPLITS, counted, in_words
from core.manifest import BadBundle, Manifest
from core.network import build
from core.preprocess import InputSpec
from core.scan import from_stored
from core.settings import Recipe
from core.train import Progress, fit
from db import models
from services import models as versions
from services.corrections import Item, labelled_scans, to_keep, too_few
from services.jobs import Busy, lock_path
from services.publishing import Origin, answers_of, measure, publish_fit
from services.workspace import Workspace


@dataclass(frozen=True)
class Decision:
    """How a retraining ended."""

    decision: str  # promoted, kept, refused
    reason: str
    champion: str | None
    candidate: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "candidate": self.candidate,
            "champion": self.champion,
            "decision": self.decision,
            "reason": self.reason,
            "metrics": self.metrics,
        }


def retrain(
    ws: Workspace,
    *,
    dry_run: bool = False,
    synthetic: bool = False,
    progress: Progress = lambda done, total, loss, epoch: None,
    say: Callable[[str], None] = lambda text: None,
) -> Decision:
    """Snapshot, train, compare with the champion on the same held-out patients, let the better one serve.

    Raises Busy where another training runs, BadBundle where no champion loads.
    """
    lock_path(ws).parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock_path(ws)).acquire(timeout=0):
            return _retrain(ws, dry_run, synthetic, progress, say)
    except Timeout as error:
        raise Busy("Another retraining runs in this home. Wait for it to end.") from error


def _retrain(ws: Workspace, dry_run: bool, synthetic: bool, progress: Progress, say: Callable[[str], None]) -> Decision:
    serving = versions.serving_model(ws).manifest
    champion = versions.demonstration_model(ws).manifest if synthetic and not serving.demonstration else serving
    items = labelled_scans(ws, synthetic=synthetic)
    counts = Counter((item.split, item.label) for item in items)
    for split in SPLITS:
        per_class = ", ".join(f"{in_words(c).lower()} {counts[split, c]}" for c in CLASSES if counts[split, c])
        scans = counted(sum(item.split == split for item in items), "scan")
        patients = counted(len({item.patient_key for item in items if item.split == split}), "patient")
        say(f"{split}: {scans} of {patients} ({per_class or 'none'})")
    problem = too_few(ws, items, to_keep(champion, synthetic=synthetic), champion)
    if problem or dry_run:
        return Decision("refused", problem or "Dry run: nothing was trained.", champion.version)
    _end_interrupted_runs(ws)
    run_id = _start_run(ws, items, champion.version)
    try:
        decision = _train_and_judge(ws, items, champion, synthetic, progress, serve=champion is serving)
    except (DatasetError, BadBundle) as error:
        decision = Decision("refused", str(error), champion.version)
    _end_run(ws, run_id, decision)
    return decision


def _train_and_judge(
    ws: Workspace, items: Sequence[Item], champion: Manifest, synthetic: bool, progress: Progress, *, serve: bool
) -> Decision:
    model = bundle.load(versions.folder_of(ws, champion.version))
    from_scratch = champion.demonstration and not synthetic
    examples, classes = _examples(ws, items, model.spec, to_keep(champion, synthetic=synthetic))
    parts = {split: examples.of(split) for split in SPLITS}
    recipe = Recipe.model_validate(champion.lineage.get("recipe", {})).stages[-1]  # varies scans as it did at its end
    recipe = recipe.model_copy(
        update={
            "weights": "none",
            "epochs": ws.settings.retrain.epochs,
            "learning_rate": ws.settings.retrain.learning_rate,
            "patience": ws.settings.retrain.epochs,
            "keep": "best",
            "first_size": None,
            "simulation": None,
        }
    )
    start = None if from_scratch else _start_weights(model, classes)
    result = fit(parts["train"], parts["validation"], classes, recipe, start=start, progress=progress)
    patients = len(set(parts["train"].patients))
    basis = "from scratch" if from_scratch else f"on from {champion.version}"
    kind = "synthetic demo cases" if synthetic else "reviewed scans"
    candidate = publish_fit(
        ws,
        result,
        parts,
        classes,
        model.spec,
        recipe,
        Origin(
            f"{len(parts['train'])} {kind} of {patients} patients in this case log, {basis}",
            lineage={"snapshot": snapshot_digest(items), "from_scratch": from_scratch},
            parent=None if from_scratch else champion,
            demonstration=synthetic,
        ),
    )
    trained = bundle.load(versions.folder_of(ws, candidate.version))
    return decide(ws, model, trained, parts["test"], serve)


@dataclass(frozen=True)
class _Compared:
    """Champion and candidate, by these names, on the same held-out scans."""

    labels: Sequence[str]
    called: Mapping[str, Sequence[str]]
    answers: Mapping[str, int]  # how many scans each answers
    gain: Figure  # of accuracy
    metrics: dict[str, Any]


def decide(
    ws: Workspace,
    champion: Bundle,
    candidate: Bundle,
    test: Examples,
    serve: bool = True,
) -> Decision:
    """The gate: the candidate serves where it is not worse than the champion on the same held-out scans, finds no fewer
    of their hemorrhages, does not abstain on most that the champion answers, can say as much of its answers, and
    nobody has let another version serve since the training began.

    Without `serve` neither is the model that serves, and none of them will be: demonstrations beside a real one.
    """
    compared = _compare(champion, candidate, test)
    figures = _figures(ws, champion, candidate, test, compared)

    def ends(decision: str, reason: str) -> Decision:
        return Decision(decision, reason, champion.manifest.version, candidate.manifest.version, compared.metrics)

    if reason := _objection(ws, champion, candidate, compared, figures):
        return ends("kept", f"The champion stays: {reason}")
    if not serve:
        return ends("kept", f"For show: {figures}. A demonstration does not take the place of a model of real scans.")
    if lost := _lost(champion, candidate):
        return ends(
            "kept", f"The champion stays: {figures}, but too few scans were there to give the candidate {lost}."
        )
    try:
        versions.promote(ws, candidate.manifest.version, actor="retrain", instead_of=champion.manifest.version)
    except versions.ServesNoMore:
        return ends(
            "kept",
            f"Nothing changes: {figures}, but the champion does not serve any more: another version was let serve "
            "meanwhile, or its files were damaged. Retrain on what serves now.",
        )
    return ends("promoted", f"The candidate serves now: {figures}.")


def _compare(champion: Bundle, candidate: Bundle, test: Examples) -> _Compared:
    called, said, answers = {}, {}, {}
    metrics: dict[str, Any] = {}
    for role, model in (("champion", champion), ("candidate", candidate)):
        known = model.manifest.classes
        said[role], answered = answers_of(model, test.x)
        answers[role] = int(answered.sum())
        called[role] = [known[i] for i in said[role].argmax(axis=1)]
        metrics[role] = measure(said[role], test, known).to_json()
    both_know = champion.manifest.classes, candidate.manifest.classes
    gains = difference(test.labels, said["champion"], said["candidate"], both_know, patients=test.patients)
    metrics["answered"] = answers
    metrics["accuracy_gain"] = gains["accuracy"].to_json()
    metrics["gains"] = {name: figure.to_json() for name, figure in gains.items()}
    metrics["test_patients_the_champion_was_trained_on"] = _met(champion, test)
    metrics["test_patients_the_candidate_was_trained_on"] = _met(candidate, test)
    return _Compared(test.labels, called, answers, gains["accuracy"], metrics)


def _figures(ws: Workspace, champion: Bundle, candidate: Bundle, test: Examples, compared: _Compared) -> str:
    """What was found, and whom it flatters, as part of a sentence."""
    right, answers = {role: _right(test.labels, of) for role, of in compared.called.items()}, compared.answers
    figures = (
        f"on {len(test)} held-out scans of {len(set(test.patients))} patients the candidate is right on "
        f"{right['candidate']} and answers {answers['candidate']}, the champion is right on {right['champion']} and "
        f"answers {answers['champion']}"
    )
    seen, seen_too = (
        compared.metrics[f"test_patients_the_{role}_was_trained_on"] for role in ("champion", "candidate")
    )
    if seen or seen_too:
        figures += (
            f" (the champion was trained on {seen} of these patients, the candidate on {seen_too}: that flatters)"
        )
    if any(versions.trained_elsewhere(ws, model.manifest) for model in (champion, candidate)):
        figures += (
            " (whether the champion was trained on further ones of these patients cannot be told: it, or what it goes "
            "on from, is from another installation)"
        )
    return figures


def _objection(ws: Workspace, champion: Bundle, candidate: Bundle, compared: _Compared, figures: str) -> str | None:
    """Why what was found speaks for the champion; None where it does not."""
    rule, answers = ws.settings.retrain, compared.answers
    if compared.gain.value < -rule.margin:
        return f"{figures}."
    found, before = (_hemorrhages(compared.labels, compared.called[role]) for role in ("candidate", "champion"))
    if found < before:
        return (
            f"{figures}, but of {list(compared.labels).count(HEMORRHAGIC)} hemorrhagic ones the candidate finds "
            f"{found}, the champion {before}."
        )
    least = 0 if champion.manifest.demonstration else rule.min_answered * answers["champion"]
    if answers["candidate"] < max(1, least):  # a demonstration answers without grounds
        return f"{figures}. A model that answers so much less is of little use."
    return None


def _met(model: Bundle, test: Examples) -> int:
    """How many of the patients it was trained on."""
    return len(set(model.manifest.patients.get("train", [])) & set(test.patients))


def _lost(champion: Bundle, candidate: Bundle) -> str:
    """What the champion tells its readers that the candidate could not: a demonstration has nothing to lose."""
    if champion.manifest.demonstration:
        return ""
    has = [
        {
            "calibrated probabilities": bool(model.manifest.calibration.scans),
            "a confidence to abstain below": model.manifest.abstain_below is not None,
            "a point from which on hemorrhage is not excluded": HEMORRHAGIC in model.manifest.operating_points,
            "the flag for images that are no head CT": model.typical is not None,
        }
        for model in (champion, candidate)
    ]
    return ", ".join(what for what in has[0] if has[0][what] and not has[1][what])


def _hemorrhages(labels: Sequence[str], called: Sequence[str]) -> int:
    """How many of them are called so."""
    return sum(label == answer == HEMORRHAGIC for label, answer in zip(labels, called, strict=True))


def _right(labels: Sequence[str], called: Sequence[str]) -> int:
    return sum(label == answer for label, answer in zip(labels, called, strict=True))


def _examples(
    ws: Workspace, items: Sequence[Item], spec: InputSpec, known: Sequence[str]
) -> tuple[Examples, tuple[str, ...]]:
    """The snapshot's scans as `spec` wants them; classes are the `known` ones and those that occur."""
    samples = [
        Sample(ws.images.path(item.content_hash), item.label, item.patient_key, item.split, item.content_hash)
        for item in items
    ]
    loaded = load(samples, spec, reader=lambda path: from_stored(path.read_bytes()))
    check_classes(loaded)
    if loaded.refused:
        path, reason = loaded.refused[0]
        raise DatasetError(f"{len(loaded.refused)} stored images cannot be read, {path.name[:12]} for one: {reason}")
    classes = tuple(c for c in CLASSES if c in known or c in loaded.classes)
    y = torch.tensor([classes.index(sample.label) for sample in loaded.examples.samples])
    examples = loaded.examples
    return Examples(examples.x, y, examples.patients, examples.samples), classes


def _start_weights(champion: Bundle, classes: tuple[str, ...]) -> dict[str, Tensor]:
    """The champion's weights, its head's rows moved to where `classes` has them; a new class starts untrained."""
    state = dict(champion.network.state_dict())
    of = champion.manifest
    fresh = build(of.arch, classes, width=of.width, head=of.head, intensity=of.intensity).state_dict()
    for name in ("gain", "bias"):
        if name in fresh and fresh[name].shape != state[name].shape:
            state[name] = fresh[name]
    for name in ("head.weight", "head.bias"):
        rows = fresh[name].clone()
        for index, label in enumerate(champion.manifest.classes):
            rows[classes.index(label)] = state[name][index]
        state[name] = rows
    return state


def snapshot_digest(items: Sequence[Item]) -> str:
    """SHA-256 over what was trained on: scan, label, review, split."""
    rows = sorted([item.content_hash, item.label, item.review_id, item.split] for item in items)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _start_run(ws: Workspace, items: Sequence[Item], champion: str) -> int:
    with ws.db.writing() as session:
        snapshot = models.Snapshot(digest=snapshot_digest(items))
        snapshot.items = [models.SnapshotItem(**vars(item)) for item in items]
        session.add(snapshot)
        session.flush()
        run = models.TrainingRun(snapshot_id=snapshot.id, champion=champion)
        session.add(run)
        session.flush()
        return run.id


def _end_run(ws: Workspace, run_id: int, decision: Decision) -> None:
    with ws.db.writing() as session:
        run = session.get_one(models.TrainingRun, run_id)
        run.candidate, run.decision, run.reason = decision.candidate, decision.decision, decision.reason
        run.ended_at = models.now()


def _end_interrupted_runs(ws: Workspace) -> None:
    """Runs without an end, while nobody else holds the lock, were killed."""
    bundle.sweep(ws.models_dir)
    with ws.db.writing() as session:
        for run in session.scalars(select(models.TrainingRun).where(models.TrainingRun.decision.is_(None))):
            run.decision, run.reason, run.ended_at = "refused", "The run was interrupted.", models.now()
