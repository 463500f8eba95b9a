"""Corrections become a new model: snapshot, train, compare with the champion, gate."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from filelock import FileLock, Timeout
from sqlalchemy import select
from sqlalchemy.orm import Session
from torch import Tensor

from core import bundle
from core import manifest as manifests
from core.bundle import Bundle
from core.dataset import DatasetError, Examples, Sample, check_classes, load
from core.labels import CLASSES, SPLITS, counted
from core.manifest import BadBundle, Manifest
from core.network import build
from core.preprocess import InputSpec
from core.scan import Scan, UnreadableScan
from core.settings import Recipe
from core.train import Progress, fit
from db import audit, models
from db.images import ImageMissing
from services import models as versions
from services.corrections import Item, by_part, labelled, snapshot_digest, to_keep, too_few
from services.gate import ACTOR, Decision, decide
from services.jobs import Busy, lock_path
from services.publishing import UNTESTED, Origin, publish_fit
from services.workspace import Workspace, stored_scan


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
    items, copies, withheld = labelled(ws, synthetic=synthetic)
    for line in by_part(items):
        say(line)
    if copies:
        say(f"Left out: {counted(copies, 'scan')} for validation or testing that nearly copy one of another part.")
    if withheld:
        say(f"Left out: {counted(withheld, 'scan')} with coloured marks or contrast agent, which no version answers.")
    problem = too_few(ws, items, to_keep(champion, synthetic=synthetic), champion)
    if problem or dry_run:
        return Decision("refused", problem or "Dry run: nothing was trained.", champion.version)
    _end_interrupted_runs(ws)
    run_id, candidate = _start_run(ws, items, champion.version), None
    try:
        trained = _train(ws, items, champion, synthetic, progress)
        candidate = trained.candidate.manifest.version
        _note_candidate(ws, run_id, candidate)
        decision = decide(ws, trained.champion, trained.candidate, trained.test, serve=champion is serving)
    except (DatasetError, BadBundle) as error:
        decision = Decision("refused", str(error), champion.version, candidate)
    except Exception as error:
        _end_run(ws, run_id, Decision("refused", f"The run failed: {error}", champion.version, candidate))
        raise
    _end_run(ws, run_id, decision)
    return decision


class _Trained(NamedTuple):
    """Two to compare, and on what."""

    champion: Bundle
    candidate: Bundle
    test: Examples


def _train(ws: Workspace, items: Sequence[Item], champion: Manifest, synthetic: bool, progress: Progress) -> _Trained:
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
            limits=(UNTESTED, _in_view(items)),
            lineage={"snapshot": snapshot_digest(items), "from_scratch": from_scratch},
            parent=None if from_scratch else champion,
            demonstration=synthetic,
        ),
    )
    return _Trained(model, bundle.load(versions.folder_of(ws, candidate.version)), parts["test"])


def _examples(
    ws: Workspace, items: Sequence[Item], spec: InputSpec, known: Sequence[str]
) -> tuple[Examples, tuple[str, ...]]:
    """The snapshot's scans as `spec` wants them; classes are the `known` ones and those that occur."""
    samples = [
        Sample(ws.images.path(item.content_hash), item.label, item.patient_key, item.split, item.content_hash)
        for item in items
    ]
    loaded = load(samples, spec, reader=lambda path: _as_received(ws, path.stem))
    check_classes(loaded)
    if loaded.refused:
        path, reason = loaded.refused[0]
        scan = next(item.scan_id for item in items if ws.images.path(item.content_hash) == path)
        raise DatasetError(
            f"{counted(len(loaded.refused), 'stored image')} cannot be read, that of scan {scan} for one "
            f"({reason.rstrip('.')}). Restore it from the backup, or file scan {scan} as unusable."
        )
    classes = tuple(c for c in CLASSES if c in known or c in loaded.classes)
    y = torch.tensor([classes.index(label) for label in loaded.examples.labels])
    return replace(loaded.examples, y=y), classes


def _as_received(ws: Workspace, content_hash: str) -> Scan:
    """A stored scan. Raises UnreadableScan also where it is missing."""
    try:
        return stored_scan(ws, content_hash)
    except ImageMissing as error:
        raise UnreadableScan(str(error)) from error


def _start_weights(champion: Bundle, classes: tuple[str, ...]) -> dict[str, Tensor]:
    """The champion's weights, its head's rows moved to where `classes` has them; a new class starts untrained."""
    state = dict(champion.network.state_dict())
    of = champion.manifest
    fresh = build(of.arch, classes, width=of.width, head=of.head, intensity=of.intensity).state_dict()
    for name in ("head.weight", "head.bias", "gain", "bias"):
        if name not in fresh:
            continue
        rows = fresh[name].clone()
        for index, label in enumerate(champion.manifest.classes[: len(state[name])]):  # gain and bias: all but the last
            rows[classes.index(label)] = state[name][index]
        state[name] = rows
    return state


def _in_view(items: Sequence[Item]) -> str:
    """How far its labels may follow the model that it is compared with."""
    blind = Counter(item.split for item in items if item.blind)
    of = Counter(item.split for item in items)
    return (
        f"Of the labels it learned from {blind['train']} of {of['train']} were given without a model's answer in view, "
        f"of those it was tested on {blind['test']} of {of['test']}: the others favour the model that gave the answer."
    )


def _start_run(ws: Workspace, items: Sequence[Item], champion: str) -> int:
    with ws.db.writing() as session:
        snapshot = models.Snapshot(digest=snapshot_digest(items))
        rows = [{name: value for name, value in vars(item).items() if name != "blind"} for item in items]
        snapshot.items = [models.SnapshotItem(**row) for row in rows]
        session.add(snapshot)
        session.flush()
        run = models.TrainingRun(snapshot_id=snapshot.id, champion=champion)
        session.add(run)
        session.flush()
        return run.id


def _note_candidate(ws: Workspace, run_id: int, candidate: str) -> None:
    """Before it may serve: should the run be interrupted then, it can be told that it does."""
    with ws.db.writing() as session:
        session.get_one(models.TrainingRun, run_id).candidate = candidate


def _end_run(ws: Workspace, run_id: int, decision: Decision) -> None:
    with ws.db.writing() as session:
        run = session.get_one(models.TrainingRun, run_id)
        run.candidate, run.decision, run.reason = decision.candidate, decision.decision, decision.reason
        run.ended_at = models.now()


def _end_interrupted_runs(ws: Workspace) -> None:
    """Runs without an end, while nobody else holds the lock, were killed."""
    bundle.sweep(ws.models_dir)
    with ws.db.writing() as session:
        promoted = _that_came_to_serve(ws, session)
        for run in session.scalars(select(models.TrainingRun).where(models.TrainingRun.decision.is_(None))):
            run.decision, run.reason = "refused", "The run was interrupted."
            if run.candidate in promoted:
                run.decision, run.reason = "promoted", "The run was interrupted after it had let the candidate serve."
            run.ended_at = models.now()


def _that_came_to_serve(ws: Workspace, session: Session) -> set[str]:
    """Versions that retrainings let serve. The event comes before the pointer is moved; that it then was, the next
    event tells by what it replaced, or the pointer itself."""
    events, first = audit.details(session, "promote", "rollback"), dict[str, str | None]()
    serving = next((version for version, _ in manifests.pointer(ws.models_dir)), None)
    for event, then in zip(events, [*(event.get("replaced") for event in events[1:]), serving], strict=False):
        first.setdefault(event["version"], then)
    return {e["version"] for e in audit.details(session, "promote", actor=ACTOR) if first[e["version"]] == e["version"]}
