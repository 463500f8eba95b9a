"""From labelled scans to a published candidate: what train.py and retrain.py have in common."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import bundle, calibrate
from core.bundle import Bundle, Manifest
from core.dataset import (
    Examples,
    Loaded,
    Sample,
    assign_splits,
    file_reader,
    load,
    patient_classes,
    patients_in_several_splits,
    with_splits,
)
from core.evaluate import Report, evaluate
from core.labels import SPLITS
from core.network import Classifier
from core.preprocess import InputSpec
from core.settings import Recipe
from core.train import Fit, Progress, fit, predict_logits
from db import audit, queries
from services.workspace import Workspace

ABSTENTION_ERROR_RATE = 0.05
"""The model abstains below the confidence at which, on validation scans, this share of answers is wrong."""

SPLIT_SALT = "second-read"


class NoSplit(ValueError):
    """The split asked for is not in the data."""


@dataclass(frozen=True)
class Prepared:
    """A data set read, split and ready to train on."""

    examples: Examples
    classes: tuple[str, ...]
    spec: InputSpec
    split: str  # "patient" or "folders"
    loaded: Loaded
    leaking_patients: int  # patients that stand in more than one part

    def table(self) -> list[tuple[str, int, int, dict[str, int]]]:
        """(split, scans, patients, scans by class) for the person who trains."""
        rows = []
        for split in SPLITS:
            part = self.examples.of(split)
            by_class = Counter(sample.label for sample in part.samples)
            rows.append((split, len(part), len(set(part.patients)), dict(by_class)))
        return rows


def prepare(
    ws: Workspace,
    samples: Sequence[Sample],
    recipe: Recipe,
    split: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Read the files and settle who is in which part.

    `split` "patient": by patient key, as the case log knows them or by salted hash; "folders": as published,
    whoever leaks. Raises DatasetError, or NoSplit where "folders" is asked of data without parts.
    """
    spec = InputSpec(size=recipe.image_size, crop=recipe.crop)
    reader = file_reader(ws.pseudonym, ws.settings.limits.megapixels)
    loaded = load(samples, spec, reader=reader, progress=progress)
    examples = loaded.examples
    if split == "patient":
        examples = with_splits(examples, _sticky_splits(ws, examples))
    elif any(sample.split is None for sample in examples.samples):
        raise NoSplit("Some scans are in no train, validation or test folder. Use --split patient.")
    leaking = len(patients_in_several_splits(examples.samples))
    return Prepared(examples, loaded.classes, spec, split, loaded, leaking)


def _sticky_splits(ws: Workspace, examples: Examples) -> dict[str, str]:
    """Every patient's split, stored before anything is trained on it, so that no intake meanwhile can differ."""
    with ws.db.writing() as session:
        known = queries.splits(session, set(examples.patients))
        assigned = assign_splits(patient_classes(examples.samples), salt=SPLIT_SALT, known=known)
        queries.add_patients(session, assigned)
    return assigned


def train_dataset(
    ws: Workspace, prepared: Prepared, recipe: Recipe, *, name: str, checkpoint: Path | None, progress: Progress
) -> Manifest:
    """Train on a prepared data set and publish the candidate."""
    parts = {split: prepared.examples.of(split) for split in SPLITS}
    result = fit(
        parts["train"], parts["validation"], len(prepared.classes), recipe, checkpoint=checkpoint, progress=progress
    )
    counts = f"{len(parts['train'])} scans of {len(set(parts['train'].patients))} patients from {name}"
    limits = []
    if prepared.leaking_patients:
        limits.append(
            f"{prepared.leaking_patients} patients stand in more than one part: its test figures say how well it "
            "recognises patients it has seen, not how well it reads new ones."
        )
    return publish_fit(
        ws,
        result,
        parts,
        prepared.classes,
        prepared.spec,
        recipe,
        trained_on=counts,
        limits=limits,
        lineage={"split": prepared.split, "refused": len(prepared.loaded.refused)},
    )


def publish_fit(
    ws: Workspace,
    result: Fit,
    parts: dict[str, Examples],
    classes: tuple[str, ...],
    spec: InputSpec,
    recipe: Recipe,
    *,
    trained_on: str,
    limits: Sequence[str] = (),
    lineage: dict[str, Any] | None = None,
    parent: str | None = None,
    demonstration: bool = False,
    models_dir: Path | None = None,
) -> Manifest:
    """Calibrate on validation scans, measure on validation and test scans, publish."""
    validation = parts["validation"]
    logits = predict_logits(result.network, validation.x)
    temperature = calibrate.temperature(logits, validation.y)
    probabilities = torch.softmax(logits / temperature, dim=1).numpy()
    facts: dict[str, Any] = {
        "arch": recipe.arch,
        "width": recipe.width,
        "classes": classes,
        "input_spec": spec.to_json(),
        "temperature": temperature,
        "abstain_below": calibrate.abstention_threshold(probabilities, validation.y.numpy(), ABSTENTION_ERROR_RATE),
        "calibrated_on": len(validation) if len(validation) >= calibrate.MIN_SCANS else 0,
        "demonstration": demonstration,
        "parent": parent,
        "trained_on": trained_on,
        "limits": tuple([*limits, *_untested(classes)]),
        "lineage": {
            **(lineage or {}),
            "recipe": recipe.model_dump(mode="json"),
            "torch": torch.__version__,
            "best_epoch": result.best_epoch,
            "seconds": round(result.seconds, 1),
            "history": [asdict(epoch) for epoch in result.history],
        },
        "patients": {name: sorted(set(part.patients)) for name, part in parts.items()},
        "metrics": {
            name: measure(result.network, part, classes, temperature).to_json()
            for name, part in parts.items()
            if name != "train" and len(part)
        },
    }
    manifest = bundle.publish(models_dir or ws.models_dir, result.network, facts)
    with ws.db.writing() as session:
        audit.append(session, "training", "publish", {"version": manifest.version, "parent": parent})
    return manifest


def _untested(classes: tuple[str, ...]) -> list[str]:
    """What every bundle must say of itself until somebody has tested it."""
    sentences = ["Not tested on scans from other hospitals, scanners or windows than those it was trained on."]
    if "no_stroke" not in classes:
        sentences.append("It knows no class for a scan without stroke: it will call such a scan one of its classes.")
    return sentences


def measure(network: Classifier, part: Examples, classes: tuple[str, ...], temperature: float) -> Report:
    """Figures of a network on prepared scans, intervals over patients."""
    p = torch.softmax(predict_logits(network, part.x) / temperature, dim=1).double().numpy()
    labels = [sample.label for sample in part.samples]
    return evaluate(labels, p / p.sum(axis=1, keepdims=True), classes, patients=part.patients)


def evaluate_bundle(
    model: Bundle, samples: Sequence[Sample], ws: Workspace, progress: Callable[[int, int], None]
) -> tuple[Report, np.ndarray, Loaded]:
    """A published model on labelled files: report, calibrated probabilities (N, C), and what was loaded."""
    reader = file_reader(ws.pseudonym, ws.settings.limits.megapixels)
    loaded = load(samples, model.spec, reader=reader, progress=progress)
    logits: Tensor = predict_logits(model.network, loaded.examples.x)
    p = torch.softmax(logits / model.manifest.temperature, dim=1).double().numpy()
    p /= p.sum(axis=1, keepdims=True)
    labels = [sample.label for sample in loaded.examples.samples]
    report = evaluate(labels, p, model.manifest.classes, patients=loaded.examples.patients)
    return report, p, loaded
