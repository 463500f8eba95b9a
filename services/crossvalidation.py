"""How good a recipe is on a data set: k models, each tested on patients that neither trained nor tuned it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from core.calibrate import Calibration
from core.dataset import DatasetError, Examples
from core.evaluate import Report, evaluate, per_patient
from core.network import Classifier, build
from core.outlier import Typical
from core.settings import CalibrationSettings, Recipe
from core.train import Epoch, Progress, fit, predict
from services.training import Prepared, Rules, settle

VALIDATION_SHARE = 4
"""Of the patients a fold may train on, one in this many validates."""


@dataclass(frozen=True)
class Fold:
    """One model of a cross-validation: its rules, and what it says of patients it has never met."""

    number: int  # from 1
    test: tuple[int, ...]  # places in the data set
    network: Classifier
    rules: Rules
    best_epoch: int


@dataclass(frozen=True)
class CrossValidation:
    """All scans, each read once by the fold that had not met its patient."""

    examples: Examples
    classes: tuple[str, ...]
    folds: tuple[Fold, ...]
    table: pd.DataFrame  # file, patient, label, fold, p_<class>, raw_<class>, answered, flagged

    def report(self, *, raw: bool = False, answered_only: bool = False) -> Report:
        """Per scan; `raw`: before calibration; `answered_only`: where the model did not abstain."""
        rows = self.table[self.table["answered"]] if answered_only else self.table
        return evaluate(list(rows["label"]), self._p(rows, raw), self.classes, patients=list(rows["patient"]))

    def patient_report(self) -> Report:
        """Per patient."""
        patients = list(self.table["patient"])
        labels, p, keys = per_patient(list(self.table["label"]), self._p(self.table), self.classes, patients)
        return evaluate(labels, p, self.classes, patients=keys)

    def _p(self, rows: pd.DataFrame, raw: bool = False) -> np.ndarray:
        return rows[[f"{'raw' if raw else 'p'}_{name}" for name in self.classes]].to_numpy(np.float64)


Tell = Callable[[int, int, int, float, Epoch | None], None]
"""Told (fold, then as core.train.Progress)."""


def folds_of(examples: Examples, k: int, seed: int) -> list[tuple[list[int], list[int], list[int]]]:
    """(train, validation, test) places of each fold: patients apart, classes in proportion
    (scikit-learn's StratifiedGroupKFold). Raises DatasetError where there are too few patients."""
    people = len(set(examples.patients))
    if people < 2 * k:
        raise DatasetError(f"{k} folds need at least {2 * k} patients; {people} were found. Use fewer folds.")
    y, patients = examples.y.numpy(), np.array(examples.patients)
    outer = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    found = []
    for rest, test in outer.split(y, y, patients):
        inner = StratifiedGroupKFold(VALIDATION_SHARE, shuffle=True, random_state=seed)
        train, validation = next(iter(inner.split(y[rest], y[rest], patients[rest])))
        found.append((rest[train].tolist(), rest[validation].tolist(), test.tolist()))
    return found


def cross_validate(
    prepared: Prepared,
    recipe: Recipe,
    k: int,
    asked: CalibrationSettings,
    *,
    checkpoints: Path | None = None,
    tell: Tell = lambda fold, done, total, loss, epoch: None,
) -> CrossValidation:
    """Train and test `k` models by patient; copies of an image count once.

    With `checkpoints` (a path without suffix) an interrupted run goes on after the last whole epoch.
    """
    examples = without_copies(prepared.examples)
    folds, tables = [], []
    for number, (train, validation, test) in enumerate(folds_of(examples, k, recipe.seed), 1):
        parts = examples.at(train), examples.at(validation)
        kept = checkpoints.with_name(f"{checkpoints.name}-{number}.network") if checkpoints else None
        network, best = fit_once(kept, *parts, len(prepared.classes), recipe, partial(tell, number))
        rules = settle(network, *parts, prepared.classes, asked)
        folds.append(Fold(number, tuple(test), network, rules, best))
        tables.append(_answers(folds[-1], examples.at(test), prepared.classes))
    return CrossValidation(examples, prepared.classes, tuple(folds), pd.concat(tables, ignore_index=True))


def fit_once(
    kept: Path | None,
    train: Examples,
    validation: Examples,
    classes: int,
    recipe: Recipe,
    progress: Progress = lambda done, total, loss, epoch: None,
) -> tuple[Classifier, int]:
    """`core.train.fit`'s network and the epoch it is of, from the file `kept` where an earlier run has ended it."""
    if kept and kept.exists():
        saved = torch.load(kept, map_location="cpu", weights_only=True)
        network = build(recipe.arch, classes, width=recipe.width, dropout=recipe.dropout)
        network.load_state_dict(saved["network"])
        return network.eval(), int(saved["best_epoch"])
    checkpoint = kept.with_suffix(".pt") if kept else None
    result = fit(train, validation, classes, recipe, checkpoint=checkpoint, progress=progress)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(".tmp")
        torch.save({"network": result.network.state_dict(), "best_epoch": result.best_epoch}, temporary)
        temporary.replace(kept)
    return result.network, result.best_epoch


def without_copies(examples: Examples) -> Examples:
    """Each image once: the first file of it."""
    first: dict[str | None, int] = {}
    for place, sample in enumerate(examples.samples):
        first.setdefault(sample.content_hash, place)
    return examples.at(list(first.values()))


def _answers(fold: Fold, test: Examples, classes: Sequence[str]) -> pd.DataFrame:
    said = predict(fold.network, test.x)
    p, raw = fold.rules.probabilities(said), Calibration().probabilities(said.logits)
    flagged = _flagged(fold.rules.typical, said.profile)
    threshold = fold.rules.abstain_below or 0.0
    return pd.DataFrame(
        {
            "file": [str(sample.path) for sample in test.samples],
            "patient": test.patients,
            "label": test.labels,
            "fold": fold.number,
            **{f"p_{name}": p[:, i] for i, name in enumerate(classes)},
            **{f"raw_{name}": raw[:, i] for i, name in enumerate(classes)},
            "answered": (p.max(axis=1) >= threshold) & ~flagged,
            "flagged": flagged,
        }
    )


def _flagged(typical: Typical | None, profile: Tensor) -> np.ndarray:
    return typical.unlike(profile).numpy() if typical else np.zeros(len(profile), bool)
