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
from core.augment import Augmentation, augment
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
from core.labels import CLASSES, SPLITS
from core.network import Network
from core.outlier import Typical
from core.preprocess import InputSpec
from core.settings import CalibrationSettings, Recipe
from core.simulated import Simulated, Simulation, simulate
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
    split: str  # "patient", "folders" or "none"
    loaded: Loaded
    audit: Audit  # of the data as it came, before `split` was applied
    grouped: int  # scans of unknown patients that were kept together because they show one image
    leaking_patients: int  # patients that stand in more than one part of the split used
    simulated: Simulated | None = None  # lesions simulated into the scans without stroke, where the recipe says so

    def with_missing_classes(self, part: Examples) -> Examples:
        """A part and, of a class that has no real scan anywhere, what was simulated into this part's patients."""
        if self.simulated is None:
            return part
        present = set(self.examples.y.tolist())
        for label in range(len(self.classes)):
            if label not in present:
                part = part.and_also(self.simulated.of(part.patients).examples(label))
        return part

    def with_lesions(self, part: Examples) -> Examples:
        """A part and as many simulated lesions in its patients: a stroke must not make a scan look like no head CT."""
        return part.and_also(self.simulated.of(part.patients).thinned(len(part))) if self.simulated else part

    def simulated_for(self, part: Examples) -> Simulated | None:
        """What was simulated into the scans of this part's patients."""
        return self.simulated.of(part.patients) if self.simulated else None

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
    spec = recipe.input_spec
    reader, auditor = file_reader(ws.pseudonym, ws.settings.limits.megapixels), Auditor(root)
    loaded = load(samples, spec, reader=reader, watcher=auditor, progress=progress)
    found = auditor.findings()
    examples, grouped = _with_groups(loaded.examples, groups_of_images(found, root))
    if split == "patient":
        examples = with_splits(examples, _sticky_splits(ws, examples))
    elif split == "folders" and any(sample.split is None for sample in examples.samples):
        raise NoSplit("Some scans are in no train, validation or test folder. Use --split patient.")
    leaking = len(patients_in_several_splits(examples.samples)) if split != "none" else 0
    classes, simulated = loaded.classes, None
    if recipe.simulation:
        examples, classes, simulated = _simulated(examples, recipe, recipe.simulation, progress)
    return Prepared(examples, classes, spec, split, loaded, found, grouped, leaking, simulated)


def _simulated(
    examples: Examples, recipe: Recipe, how: Simulation, progress: Callable[[int, int], None]
) -> tuple[Examples, tuple[str, ...], Simulated]:
    """All classes of the vocabulary, and lesions simulated into the scans without stroke."""
    y = torch.tensor([CLASSES.index(label) for label in examples.labels])
    examples = replace(examples, y=y)
    return examples, CLASSES, simulate(examples, CLASSES, recipe.window, how.per_slice, recipe.seed, progress)


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
    said: Prediction, part: Examples, classes: Sequence[str], asked: CalibrationSettings, *, balanced: bool = False
) -> Rules:
    """Calibration, abstention and operating points from what a network says of patients it was not trained on.

    `balanced`: each class counts alike, however many scans it has, for shares that were chosen say nothing of a ward.
    """
    weights = calibrate.class_balance(part.y, len(classes)) if balanced else None
    calibration = calibrate.calibrate(said.logits, part.y, part.patients, weights)
    p = calibration.probabilities(said.logits)
    counts = weights.numpy() if weights is not None else None
    return Rules(
        calibration,
        calibrate.abstention_threshold(p, part.y.numpy(), asked.error_rate, counts),
        calibrate.operating_points(p, part.labels, classes, asked.sensitivity, part.patients),
        None,
    )


def typical_of(network: Network, train: Examples, recipe: Recipe) -> Typical | None:
    """What head CT looks like to the network; it flags nothing yet.

    To one that was trained on scans as from elsewhere: as they look. To any other: as in this set, and, for a third of
    it, as another hospital might send it.
    """
    if recipe.augmentation.elsewhere:
        return outlier.describe(predict(network, from_elsewhere(train.x, seed=0)).profile)
    varied = from_elsewhere(train.x[::ELSEWHERE_STEP], seed=0)
    return outlier.describe(predict(network, torch.cat([train.x, varied])).profile)


def usual_distances(typical: Typical | None, network: Network, unmet: Examples, recipe: Recipe) -> torch.Tensor:
    """(N,) how far scans of unmet patients lie from what is usual, sent as those that describe it: the threshold is
    set on them."""
    if typical is None:
        return torch.empty(0)
    x = from_elsewhere(unmet.x, seed=1) if recipe.augmentation.elsewhere else unmet.x
    return typical.distance(predict(network, x).profile)


ELSEWHERE = Augmentation(rotation=25, flip=0.5, shift=0.08, scale=0.15, contrast=0, brightness=0, elsewhere=1)


def from_elsewhere(x: torch.Tensor, seed: int) -> torch.Tensor:
    """(N, 1, S, S) uint8 scans as other hospitals might send them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat(
        [augment(part.float() / 255, ELSEWHERE, generator).mul(255).round().byte() for part in x.split(256)]
    )


def train_dataset(
    ws: Workspace, prepared: Prepared, recipe: Recipe, *, name: str, checkpoint: Path | None, progress: Progress
) -> Manifest:
    """Train on a prepared data set and publish the candidate."""
    parts = {split: prepared.examples.of(split) for split in SPLITS}
    others = {split: prepared.with_missing_classes(part) for split, part in parts.items() if split != "train"}
    usual = {split: prepared.with_lesions(part) for split, part in parts.items()}
    result = fit(
        parts["train"],
        others["validation"],
        len(prepared.classes),
        recipe,
        simulated=prepared.simulated_for(parts["train"]),
        checkpoint=checkpoint,
        progress=progress,
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
    if prepared.simulated:
        limits.append(SIMULATED_LIMIT)
    return publish_fit(
        ws,
        result,
        {**parts, **others},
        prepared.classes,
        prepared.spec,
        recipe,
        trained_on=counts,
        limits=limits,
        usual=usual,
        lineage={"split": prepared.split, "refused": len(prepared.loaded.refused)},
    )


SIMULATED_LIMIT = (
    "Its infarcts, and part of its hemorrhages, are simulated into real scans without a finding; probabilities take "
    "each class to be as common as the others."
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
    usual: dict[str, Examples] | None = None,
    models_dir: Path | None = None,
) -> Manifest:
    """Settle the rules on validation scans, measure on validation and test scans, publish.

    `usual`: what the flag "not a head CT" is to take for usual, where that is more than the parts' own scans.
    A demonstration has only met synthetic images: it has nothing to tell head CT from other images by.
    """
    asked = ws.settings.calibration
    said = {name: predict(result.network, part.x) for name, part in parts.items() if name != "train" and len(part)}
    rules = settle(said["validation"], parts["validation"], classes, asked, balanced=recipe.simulation is not None)
    if not demonstration:
        of = usual or parts
        typical = typical_of(result.network, of["train"], recipe)
        distances = usual_distances(typical, result.network, of["validation"], recipe)
        rules = replace(rules, typical=outlier.with_threshold(typical, distances, asked.false_flags))
    metrics = {name: measure(rules.probabilities(of), parts[name], classes) for name, of in said.items()}
    return publish_model(
        ws, result, parts, classes, spec, recipe, rules, metrics, trained_on=trained_on, limits=limits,
        lineage=lineage, parent=parent, demonstration=demonstration, models_dir=models_dir,
    )  # fmt: skip


def publish_model(
    ws: Workspace,
    result: Fit,
    parts: dict[str, Examples],
    classes: tuple[str, ...],
    spec: InputSpec,
    recipe: Recipe,
    rules: Rules,
    metrics: dict[str, Report],
    *,
    trained_on: str,
    limits: Sequence[str] = (),
    lineage: dict[str, Any] | None = None,
    parent: str | None = None,
    demonstration: bool = False,
    models_dir: Path | None = None,
) -> Manifest:
    """Publish a network with the rules it answers by and what was measured of it."""
    facts: dict[str, Any] = {
        "arch": recipe.arch,
        "width": recipe.width,
        "head": recipe.head,
        "intensity": recipe.intensity,
        "classes": classes,
        "input_spec": spec.to_json(),
        "calibration": rules.calibration,
        "abstain_below": rules.abstain_below,
        "operating_points": rules.operating_points,
        "false_flags": ws.settings.calibration.false_flags if rules.typical else None,
        "simulated_classes": _only_simulated(classes, parts["train"]) if recipe.simulation else (),
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
        "metrics": {name: report.to_json() for name, report in metrics.items()},
    }
    manifest = bundle.publish(models_dir or ws.models_dir, result.network, facts, rules.typical)
    with ws.db.writing() as session:
        audit_log.append(session, "training", "publish", {"version": manifest.version, "parent": parent})
    return manifest


def _only_simulated(classes: tuple[str, ...], train: Examples) -> tuple[str, ...]:
    met = set(train.y.tolist())
    return tuple(name for place, name in enumerate(classes) if place not in met)


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
