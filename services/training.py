"""From labelled scans to a published candidate: what train.py and retrain.py have in common."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import bundle, calibrate, outlier
from core.augment import as_elsewhere
from core.bundle import Bundle, Manifest
from core.calibrate import Calibration, OperatingPoint
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
from core.dataset_audit import Audit, Auditor, groups_of_images
from core.evaluate import Report, evaluate
from core.labels import SPLITS
from core.network import Classifier
from core.outlier import Typical
from core.preprocess import InputSpec
from core.settings import CalibrationSettings, Recipe
from core.train import Fit, Prediction, Progress, fit, predict
from db import audit as audit_log
from db import queries
from services.workspace import Workspace

SPLIT_SALT = "second-read"
ELSEWHERE_STEP = 3
"""One training scan in this many also counts as usual in another pose, window and resolution."""


class NoSplit(ValueError):
    """The split asked for is not in the data."""


@dataclass(frozen=True)
class Prepared:
    """A data set read, audited, split and ready to train on."""

    examples: Examples
    classes: tuple[str, ...]
    spec: InputSpec
    split: str  # "patient" or "folders"
    loaded: Loaded
    audit: Audit  # of the data as it came, before `split` was applied
    grouped: int  # scans of unknown patients that were kept together because they show one image
    leaking_patients: int  # patients that stand in more than one part of the split used

    def table(self) -> list[tuple[str, int, int, dict[str, int]]]:
        """(split, scans, patients, scans by class) for the person who trains."""
        rows = []
        for split in SPLITS:
            part = self.examples.of(split)
            rows.append((split, len(part), len(set(part.patients)), dict(Counter(part.labels))))
        return rows


def prepare(
    ws: Workspace,
    samples: Sequence[Sample],
    recipe: Recipe,
    split: str,
    *,
    root: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Read and audit the files (named relative to `root`), and settle who is in which part.

    `split` "patient": by patient key, as the case log knows them or by salted hash; "folders": as published,
    whoever leaks; "none": left as it is, for cross-validation. Where no patient is known, files that show one image
    are kept together. Raises DatasetError, or NoSplit where "folders" is asked of data without parts.
    """
    spec = InputSpec(size=recipe.image_size, crop=recipe.crop)
    reader, auditor = file_reader(ws.pseudonym, ws.settings.limits.megapixels), Auditor(root)
    loaded = load(samples, spec, reader=reader, watcher=auditor, progress=progress)
    found = auditor.findings()
    examples, grouped = _with_groups(loaded.examples, groups_of_images(found, root))
    if split == "patient":
        examples = with_splits(examples, _sticky_splits(ws, examples))
    elif split == "folders" and any(sample.split is None for sample in examples.samples):
        raise NoSplit("Some scans are in no train, validation or test folder. Use --split patient.")
    leaking = len(patients_in_several_splits(examples.samples)) if split != "none" else 0
    return Prepared(examples, loaded.classes, spec, split, loaded, found, grouped, leaking)


def _with_groups(examples: Examples, groups: dict[Path, int]) -> tuple[Examples, int]:
    """Scans of unknown patients that show one image become one patient; also how many scans that are."""
    patients, grouped = list(examples.patients), 0
    first: dict[int, str] = {}
    for i, sample in enumerate(examples.samples):
        group = groups.get(sample.path)
        if group is not None and patients[i].startswith("image:"):
            patients[i] = first.setdefault(group, patients[i])
            grouped += 1
    samples = tuple(replace(s, patient=key) for s, key in zip(examples.samples, patients, strict=True))
    return Examples(examples.x, examples.y, tuple(patients), samples), grouped


def _sticky_splits(ws: Workspace, examples: Examples) -> dict[str, str]:
    """Every patient's split, stored before anything is trained on it, so that no intake meanwhile can differ."""
    with ws.db.writing() as session:
        known = queries.splits(session, set(examples.patients))
        assigned = assign_splits(patient_classes(examples.samples), salt=SPLIT_SALT, known=known)
        queries.add_patients(session, assigned)
    return assigned


def checkpoint_path(ws: Workspace, examples: Examples, recipe: Recipe) -> Path:
    """Where the training of these scans by this recipe, and no other, keeps its state."""
    rows = sorted(f"{s.content_hash} {s.label} {s.split}" for s in examples.samples)
    digest = hashlib.sha256("\n".join([recipe.model_dump_json(), *rows]).encode()).hexdigest()
    return ws.settings.training_dir / f"{digest[:16]}.pt"


@dataclass(frozen=True)
class Rules:
    """What is settled on validation scans before a model may answer."""

    calibration: Calibration
    abstain_below: float | None
    operating_points: dict[str, OperatingPoint]
    typical: Typical | None

    def probabilities(self, prediction: Prediction) -> np.ndarray:
        """(N, C) calibrated, rows summing to 1."""
        return self.calibration.probabilities(prediction.logits)


def settle(
    network: Classifier,
    train: Examples,
    validation: Examples,
    classes: Sequence[str],
    asked: CalibrationSettings,
    *,
    flag_others: bool = True,
) -> Rules:
    """Calibration, abstention, operating points and what counts as head CT. No test patient is looked at."""
    said, patients = predict(network, validation.x), validation.patients
    calibration = calibrate.calibrate(said.logits, validation.y, patients)
    p = calibration.probabilities(said.logits)
    return Rules(
        calibration,
        calibrate.abstention_threshold(p, validation.y.numpy(), asked.error_rate),
        calibrate.operating_points(p, validation.labels, classes, asked.sensitivity, patients),
        _typical(network, train, validation, asked.false_flags) if flag_others else None,
    )


def _typical(network: Classifier, train: Examples, validation: Examples, false_flags: float) -> Typical | None:
    """What head CT looks like: as in this set, and, for a third of it, as another hospital might send it.

    The threshold is set on validation scans as they are.
    """
    generator, elsewhere = torch.Generator().manual_seed(0), train.x[::ELSEWHERE_STEP]
    varied = [as_elsewhere(x.float() / 255, generator).mul(255).round().byte() for x in elsewhere.split(256)]
    usual = torch.cat([predict(network, x).profile for x in (train.x, *varied)])
    return outlier.describe(usual, predict(network, validation.x).profile, false_flags)


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
    for cut in prepared.audit.shortcuts:
        limits.append(f"In its training data the {cut.feature} alone tells the classes apart (AUC {cut.auc:.2f}).")
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
    """Settle the rules on validation scans, measure on validation and test scans, publish.

    A demonstration has only met synthetic images: it has nothing to tell head CT from other images by.
    """
    asked = ws.settings.calibration
    rules = settle(result.network, parts["train"], parts["validation"], classes, asked, flag_others=not demonstration)
    facts: dict[str, Any] = {
        "arch": recipe.arch,
        "width": recipe.width,
        "classes": classes,
        "input_spec": spec.to_json(),
        "calibration": rules.calibration,
        "abstain_below": rules.abstain_below,
        "operating_points": rules.operating_points,
        "false_flags": asked.false_flags if rules.typical else None,
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
        "keyed_by": ws.pseudonym.fingerprint,
        "metrics": {
            name: measure(rules.probabilities(predict(result.network, part.x)), part, classes).to_json()
            for name, part in parts.items()
            if name != "train" and len(part)
        },
    }
    manifest = bundle.publish(models_dir or ws.models_dir, result.network, facts, rules.typical)
    with ws.db.writing() as session:
        audit_log.append(session, "training", "publish", {"version": manifest.version, "parent": parent})
    return manifest


def _untested(classes: tuple[str, ...]) -> list[str]:
    """What every bundle must say of itself until somebody has tested it."""
    sentences = ["Not tested on scans from other hospitals, scanners or windows than those it was trained on."]
    if "no_stroke" not in classes:
        sentences.append("It knows no class for a scan without stroke: it will call such a scan one of its classes.")
    return sentences


def measure(probabilities: np.ndarray, part: Examples, classes: Sequence[str]) -> Report:
    """Figures on prepared scans, patients as the units that vary."""
    return evaluate(part.labels, probabilities, classes, patients=part.patients)


def probabilities_of(model: Bundle, x: torch.Tensor) -> np.ndarray:
    """A published model's calibrated probabilities, (N, C), for scans prepared as its spec says."""
    return model.manifest.calibration.probabilities(predict(model.network, x).logits)


def load_for(model: Bundle, samples: Sequence[Sample], ws: Workspace, progress: Callable[[int, int], None]) -> Loaded:
    """Labelled files, prepared as `model` wants them."""
    reader = file_reader(ws.pseudonym, ws.settings.limits.megapixels)
    return load(samples, model.spec, reader=reader, progress=progress)
