"""From labelled files to a published candidate."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError
from sqlalchemy.orm import Session

from core.dataset import (
    DatasetError,
    Examples,
    Loaded,
    Sample,
    assign_splits,
    check_classes,
    file_reader,
    load,
    patient_classes,
    patients_in_several_splits,
    whose,
    with_splits,
)
from core.dataset_audit import Audit, Auditor, dealt_with, groups_of_images
from core.labels import CLASSES, NO_STROKE, SPLITS
from core.likeness import in_first_part
from core.manifest import Manifest
from core.preprocess import InputSpec
from core.pseudonym import UNNAMED
from core.settings import ROOT, Recipe, Simulation
from core.simulated import Simulated, simulate
from core.train import Progress, fit
from db import queries
from services.publishing import SIMULATED_LIMIT, UNTESTED, Origin, image_keys, publish_fit
from services.workspace import Workspace

SPLIT_SALT = "second-read"


class NoSplit(ValueError):
    """The split asked for is not in the data."""


def read_recipe(defaults: Recipe, path: Path | None, given: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe: what is `given`, over what a YAML file names, over the defaults. Raises DatasetError where the file
    cannot be read or the values do not hold."""
    given = {name: value for name, value in (given or {}).items() if value is not None}
    try:
        named = _over(defaults.model_dump(), _recipe_file(path) if path else {})
        return Recipe.model_validate({**named, **given})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DatasetError(f"The recipe{f' {path}' if path else ''} does not hold: {wrong}.") from error


def _over(values: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Values with those that are named in place of theirs, group by group."""
    groups = {
        name: _over(values[name], value)
        for name, value in named.items()
        if isinstance(value, dict) and isinstance(values.get(name), dict)
    }
    return {**values, **named, **groups}


def _recipe_file(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"The recipe {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise DatasetError(f"The recipe {path} must name values as config.yaml's training does.")
    return values


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
    shared: int  # scans left out, because an earlier part of "patient" has their image under another name
    leaking_patients: int  # patients that stand in more than one part of the split used
    units: Mapping[str, str] = field(default_factory=dict)  # patient -> who share images, see `dealt_with`
    simulated: Simulated | None = None  # lesions simulated into the scans without stroke, where the recipe says so

    @property
    def only_simulated(self) -> list[int]:
        """The classes that have no real scan anywhere, only simulated ones."""
        if self.simulated is None:
            return []
        present = set(self.examples.y.tolist())
        return [label for label in range(len(self.classes)) if label not in present]

    def with_missing_classes(self, part: Examples) -> Examples:
        """A part and, of a class that has no real scan anywhere, what was simulated into its scans."""
        if self.simulated is None:
            return part
        for label in self.only_simulated:
            part = part.and_also(self.simulated.of(part).examples(label))
        return part

    def with_lesions(self, part: Examples) -> Examples:
        """A part and as many simulated lesions in its scans: a stroke must not make a scan look like no head CT."""
        return part.and_also(self.simulated.of(part).thinned(len(part))) if self.simulated else part

    def simulated_for(self, part: Examples) -> Simulated | None:
        """What was simulated into the scans of this part."""
        return self.simulated.of(part) if self.simulated else None

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
    if NO_STROKE not in {sample.label for sample in samples} and (recipe.simulation or recipe.head == "strongest"):
        raise DatasetError(
            "No scan is labelled no_stroke, and this recipe needs such scans: lesions are simulated into them, or they "
            "show what a place without a finding looks like. Add some, or train without `simulation`, with head: mean."
        )
    spec = recipe.input_spec
    reader, auditor = file_reader(ws.pseudonym, ws.settings.limits.megapixels), Auditor(root)
    loaded = load(samples, spec, reader=reader, watcher=auditor, progress=progress)
    check_classes(loaded)
    found = auditor.findings()
    of_image = groups_of_images(found, root)
    groups = [of_image.get(sample.path) for sample in loaded.examples.samples]
    examples, grouped = _with_groups(loaded.examples, groups)
    units, shared = dealt_with(examples.patients, groups), 0
    if split == "patient":
        examples = with_splits(examples, _sticky_splits(ws, examples, units))
        keep = in_first_part([sample.split for sample in examples.samples], groups)
        examples, shared = examples.at(keep), len(examples) - len(keep)
    elif split == "folders" and any(sample.split is None for sample in examples.samples):
        raise NoSplit("Some scans are in no train, validation or test folder. Use --split patient.")
    leaking = len(patients_in_several_splits(examples.samples)) if split != "none" else 0
    classes, simulated = loaded.classes, None
    if recipe.simulation:
        examples, classes, simulated = _simulated(examples, recipe, recipe.simulation, progress)
    return Prepared(examples, classes, spec, split, loaded, found, grouped, shared, leaking, units, simulated)


def _simulated(
    examples: Examples, recipe: Recipe, how: Simulation, progress: Callable[[int, int], None]
) -> tuple[Examples, tuple[str, ...], Simulated]:
    """All classes of the vocabulary, and lesions simulated into the scans without stroke."""
    y = torch.tensor([CLASSES.index(label) for label in examples.labels])
    examples = replace(examples, y=y)
    return examples, CLASSES, simulate(examples, CLASSES, recipe.window, how, recipe.seed, progress)


def _with_groups(examples: Examples, groups: Sequence[int | None]) -> tuple[Examples, int]:
    """Scans of unknown patients become those of whoever shows the same image; also how many scans that are."""
    patients = whose(examples.patients, groups)
    grouped = sum(
        group is not None and patient.startswith(UNNAMED)
        for patient, group in zip(examples.patients, groups, strict=True)
    )
    samples = tuple(replace(s, patient=key) for s, key in zip(examples.samples, patients, strict=True))
    return replace(examples, samples=samples), grouped


def _sticky_splits(ws: Workspace, examples: Examples, unit: Mapping[str, str]) -> dict[str, str]:
    """Every patient's split, stored before anything is trained on it, so that no intake meanwhile can differ; their
    images' too, which may come in under another name. Patients of one `unit` are dealt one part, but for those who
    have one already."""
    units = [replace(sample, patient=unit[sample.patient or ""]) for sample in examples.samples]
    with ws.db.writing() as session:
        known = _known_splits(session, examples)
        of_units = {unit[patient]: split for patient, split in sorted(known.items(), reverse=True)}
        dealt = assign_splits(patient_classes(units), salt=SPLIT_SALT, known=of_units)
        assigned = {patient: known.get(patient, dealt[unit[patient]]) for patient in set(examples.patients)}
        of_images = {key: assigned[examples.patients[place]] for place, key in image_keys(examples).items()}
        queries.add_patients(session, of_images | assigned)
    return assigned


def _known_splits(session: Session, examples: Examples) -> dict[str, str]:
    """The splits that patients have in the case log; of who has none, the first of train, validation and test that one
    of their images has, which came in when nobody named it, or stood in another table under another name."""
    images = image_keys(examples)
    dealt = queries.splits(session, {*images.values(), *examples.patients})
    known = dict[str, str]()
    for place, key in sorted(images.items(), key=lambda one: [*SPLITS, None].index(dealt.get(one[1]))):
        if key in dealt:
            known.setdefault(examples.patients[place], dealt[key])
    return known | {patient: dealt[patient] for patient in set(examples.patients) & dealt.keys()}


def checkpoint_path(ws: Workspace, examples: Examples, recipe: Recipe) -> Path:
    """Where the training of these scans by this recipe and this code, and no other, keeps its state: what is simulated
    and how scans vary stands in no recipe."""
    rows = sorted(f"{s.content_hash} {s.label} {s.split}" for s in examples.samples)
    code = [torch.__version__, *(path.read_text("utf-8") for path in sorted((ROOT / "core").glob("*.py")))]
    digest = hashlib.sha256("\n".join([recipe.model_dump_json(), *rows, *code]).encode()).hexdigest()
    return ws.settings.training_dir / f"{digest[:16]}.pt"


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
        prepared.classes,
        recipe,
        simulated=prepared.simulated_for(parts["train"]),
        checkpoint=checkpoint,
        progress=progress,
    )
    counts = f"{len(parts['train'])} scans of {len(set(parts['train'].patients))} patients from {name}"
    limits = [UNTESTED]
    unnamed = sum(patient.startswith(UNNAMED) for patient in prepared.examples.patients)
    if unnamed:
        limits.append(
            f"No file names the patient of {unnamed} of its {len(prepared.examples)} scans: two of one patient may "
            "stand in two parts, which flatters it, and its intervals take each for a patient of its own."
        )
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
        Origin(counts, limits, {"split": prepared.split, "refused": len(prepared.loaded.refused)}),
        usual=usual,
    )
