"""How good a recipe is on a data set: k models, each tested on patients it has not met; and the model of all patients.

What is settled after training (calibration, abstention, operating points, what counts as head CT) is settled for each
fold on the answers of the other folds' models, which are of patients that neither the fold tests nor they have met;
and for the model of all patients on the answers of all folds (as scikit-learn's CalibratedClassifierCV with
ensemble=False does).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from core.dataset import DatasetError, Examples
from core.evaluate import Report, evaluate, evaluate_patients
from core.labels import in_words
from core.manifest import Calibration
from core.network import Network
from core.outlier import Typical, with_threshold
from core.settings import CalibrationSettings, Recipe
from core.simulated import Simulated
from core.train import Epoch, Fit, Prediction, Progress, build_for, fit, predict
from services.rules import Rules, predict_sent, settle, typical_of, usual_distances
from services.training import Prepared


@dataclass(frozen=True)
class Fold:
    """One model of a cross-validation, its rules, and the scans of patients it has never met."""

    number: int  # from 1
    test: Examples
    network: Network
    rules: Rules


@dataclass(frozen=True)
class CrossValidation:
    """All scans, each read once by the fold that had not met its patient.

    What ranks scans of several folds against each other (AUC, average precision and their curves) is always of the
    networks' own probabilities: each fold is calibrated by rules of its own, whose differences are none between scans.
    """

    examples: Examples
    classes: tuple[str, ...]
    folds: tuple[Fold, ...]
    table: pd.DataFrame  # file, patient, label, synthetic, fold, p_<class>, raw_<class>, answered, flagged; where the
    # network was trained on scans as from elsewhere, of the same scans sent so: sent_<class>, sent_answered
    rules: Rules  # for a model of all patients; its `typical` is of no network but holds the threshold

    @property
    def real(self) -> pd.DataFrame:
        """The rows of `table` about real scans."""
        return self.table[self.table["synthetic"] == ""]

    @property
    def simulated_classes(self) -> tuple[str, ...]:
        """The classes that were tested on simulated scans, for want of real ones."""
        made = set(self.table.loc[self.table["synthetic"] != "", "label"])
        return tuple(name for name in self.classes if name in made)

    def report(self, *, raw: bool = False) -> Report:
        """Per real scan; `raw`: before calibration."""
        before = self._of_scans(self.real, raw=True)
        return before if raw else _ranked_as(self._of_scans(self.real), before)

    def patient_report(self) -> Report:
        """Per patient, of their real scans."""
        return _ranked_as(self._of_patients(self.real), self._of_patients(self.real, raw=True))

    def simulated_report(self, label: str) -> Report:
        """Scans with a lesion of `label` simulated into them against real scans without stroke."""
        simulated = (self.table["label"] == label) & (self.table["synthetic"] != "")
        rows = self.table[simulated | (self.table["label"] == self.classes[-1])]
        return _ranked_as(self._of_scans(rows), self._of_scans(rows, raw=True))

    def _of_scans(self, rows: pd.DataFrame, *, raw: bool = False) -> Report:
        return evaluate(list(rows["label"]), self._p(rows, raw), self.classes, patients=list(rows["patient"]))

    def _of_patients(self, rows: pd.DataFrame, *, raw: bool = False) -> Report:
        return evaluate_patients(list(rows["label"]), self._p(rows, raw), self.classes, list(rows["patient"]))

    def _p(self, rows: pd.DataFrame, raw: bool) -> np.ndarray:
        return rows[[f"{'raw' if raw else 'p'}_{name}" for name in self.classes]].to_numpy(np.float64)


def _ranked_as(report: Report, raw: Report) -> Report:
    per_class = {
        name: replace(figures, auc=raw.per_class[name].auc, average_precision=raw.per_class[name].average_precision)
        for name, figures in report.per_class.items()
    }
    return replace(report, per_class=per_class, roc=raw.roc, pr=raw.pr)


Tell = Callable[[int, int, int, float, Epoch | None], None]
"""Told (fold, then as core.train.Progress)."""


def folds_of(
    examples: Examples, k: int, seed: int, units: Mapping[str, str] = MappingProxyType({})
) -> list[tuple[list[int], list[int]]]:
    """(train, test) places of each fold: patients apart, and with each whoever shows the same image (`Prepared.units`),
    classes in proportion (scikit-learn's StratifiedGroupKFold). Raises DatasetError where there are too few."""
    together = [units.get(patient, patient) for patient in examples.patients]
    people = len(set(together))
    if people < 2 * k:
        raise DatasetError(f"{k} folds need at least {2 * k} patients; {people} were found. Use fewer folds.")
    y, patients = examples.y.numpy(), np.array(together)
    splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    return [(train.tolist(), test.tolist()) for train, test in splitter.split(y, y, patients)]


def cross_validate(
    prepared: Prepared,
    recipe: Recipe,
    k: int,
    asked: CalibrationSettings,
    *,
    checkpoints: Path | None = None,
    tell: Tell = lambda fold, done, total, loss, epoch: None,
) -> CrossValidation:
    """Train and test `k` models by patient; copies of an image count once. Nothing is chosen by a validation part:
    each keeps the end of its training.

    With `checkpoints` (a path without suffix) an interrupted run goes on after the last whole epoch.
    """
    examples = without_copies(prepared.examples)
    folded = folds_of(examples, k, recipe.seed, prepared.units)
    for train, _ in folded:
        _check_has_all(prepared, examples.at(train), k)
    unmet = []
    for number, (train, test) in enumerate(folded, 1):
        part = examples.at(train)
        network = train_part(prepared, part, recipe, str(number), checkpoints, partial(tell, number)).network
        tested = prepared.with_missing_classes(examples.at(test))
        typical = typical_of(network, prepared.with_lesions(part), recipe)
        distances = usual_distances(typical, network, prepared.with_lesions(examples.at(test)), recipe)
        said, sent = predict(network, tested.x), predict_sent(network, tested, recipe)
        unmet.append(_Unmet(network, tested, said, sent, typical, distances))
    rules = [_settled([one for one in unmet if one is not this], prepared, asked) for this in unmet]
    folds = tuple(
        Fold(number, one.test, one.network, replace(of, typical=_with_limit_of(one.typical, of.typical)))
        for number, (one, of) in enumerate(zip(unmet, rules, strict=True), 1)
    )
    tables = [_answers(fold, one.said, one.sent, prepared.classes) for fold, one in zip(folds, unmet, strict=True)]
    table = pd.concat(tables, ignore_index=True)
    return CrossValidation(examples, prepared.classes, folds, table, _settled(unmet, prepared, asked))


def _check_has_all(prepared: Prepared, part: Examples, k: int) -> None:
    """Raise DatasetError where a class would not be learned: before anything is trained."""
    simulated = prepared.simulated_for(part)
    learned = {*part.y.tolist(), *(simulated.y.tolist() if simulated else ())}
    for label, name in enumerate(prepared.classes):
        if label not in learned:
            raise DatasetError(
                f"Too few patients are {in_words(name).lower()} for {k} folds: one of these would have none to learn "
                "from. Use fewer folds, or add patients."
            )


@dataclass(frozen=True)
class _Unmet:
    """A network and what it says of scans of patients it has not met."""

    network: Network
    test: Examples
    said: Prediction
    sent: Prediction | None  # of the same scans sent from elsewhere
    typical: Typical | None
    distances: Tensor  # of its scans from what is usual


def _settled(unmet: Sequence[_Unmet], prepared: Prepared, asked: CalibrationSettings) -> Rules:
    """Rules from the answers of several networks. Their `typical` is the last one's, for its threshold."""
    part = unmet[0].test
    for one in unmet[1:]:
        part = part.and_also(one.test)
    said = _joined([one.said for one in unmet])
    sent = _joined([one.sent for one in unmet if one.sent])
    assert said is not None
    rules = settle(said, part, prepared.classes, asked, sent=sent, balanced=prepared.simulated is not None)
    distances = torch.cat([one.distances for one in unmet])
    return replace(rules, typical=with_threshold(unmet[-1].typical, distances, asked.false_flags))


def _joined(said: Sequence[Prediction]) -> Prediction | None:
    """What several networks say; its profiles are the last one's."""
    return Prediction(torch.cat([one.logits for one in said]), said[-1].profile) if said else None


def _with_limit_of(typical: Typical | None, other: Typical | None) -> Typical | None:
    return replace(typical, threshold=other.threshold) if typical and other else None


def for_all_patients(found: CrossValidation, prepared: Prepared, network: Network, recipe: Recipe) -> Rules:
    """The rules a network trained on all patients answers by."""
    usual = typical_of(network, prepared.with_lesions(found.examples), recipe)
    return replace(found.rules, typical=_with_limit_of(usual, found.rules.typical))


def train_part(
    prepared: Prepared,
    part: Examples,
    recipe: Recipe,
    name: str,
    checkpoints: Path | None,
    progress: Progress = lambda done, total, loss, epoch: None,
) -> Fit:
    """Train on a part of the patients, with what was simulated into them, to the end; or take what is kept of it."""
    kept = kept_path(checkpoints, part, name) if checkpoints else None
    return fit_once(kept, part, None, prepared.classes, recipe, prepared.simulated_for(part), progress)


def kept_path(checkpoints: Path, part: Examples, name: str) -> Path:
    """Where what was trained on these scans of these patients, and no others, is kept."""
    rows = sorted(f"{s.content_hash} {s.label} {key}" for s, key in zip(part.samples, part.patients, strict=True))
    digest = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return checkpoints.with_name(f"{checkpoints.name}-{name}-{digest[:8]}.network")


def forget_kept(checkpoints: Path) -> None:
    """Remove what is kept of a cross-validation."""
    for path in checkpoints.parent.glob(f"{checkpoints.name}-*"):
        path.unlink(missing_ok=True)


def fit_once(
    kept: Path | None,
    train: Examples,
    validation: Examples | None,
    classes: Sequence[str],
    recipe: Recipe,
    simulated: Simulated | None = None,
    progress: Progress = lambda done, total, loss, epoch: None,
) -> Fit:
    """`core.train.fit`'s result, from the file `kept` where an earlier run has ended it."""
    if kept and kept.exists():
        saved = torch.load(kept, map_location="cpu", weights_only=True)
        network = build_for(recipe.model_copy(update={"weights": "none"}), classes)
        network.load_state_dict(saved["network"])
        return Fit(network.eval(), int(saved["best_epoch"]), (), float(saved["seconds"]))
    checkpoint = kept.with_suffix(".pt") if kept else None
    result = fit(train, validation, classes, recipe, simulated=simulated, checkpoint=checkpoint, progress=progress)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(".tmp")
        state = {"network": result.network.state_dict(), "best_epoch": result.best_epoch, "seconds": result.seconds}
        torch.save(state, temporary)
        temporary.replace(kept)
    return result


def without_copies(examples: Examples) -> Examples:
    """Each image once: the first file of it."""
    first: dict[str | None, int] = {}
    for place, sample in enumerate(examples.samples):
        first.setdefault(sample.content_hash, place)
    return examples.at(list(first.values()))


def _answers(fold: Fold, said: Prediction, sent: Prediction | None, classes: Sequence[str]) -> pd.DataFrame:
    test = fold.test
    p, flagged, answered = fold.rules.applied(said)
    raw = Calibration().probabilities(said.logits)
    table = pd.DataFrame(
        {
            "file": [str(sample.path) for sample in test.samples],
            "patient": test.patients,
            "label": test.labels,
            "synthetic": [sample.synthetic or "" for sample in test.samples],
            "fold": fold.number,
            **{f"p_{name}": p[:, i] for i, name in enumerate(classes)},
            **{f"raw_{name}": raw[:, i] for i, name in enumerate(classes)},
            "answered": answered & ~test.withheld,
            "flagged": flagged,
        }
    )
    if sent:
        p, _, answered = fold.rules.applied(sent)
        table = table.assign(
            **{f"sent_{name}": p[:, i] for i, name in enumerate(classes)}, sent_answered=answered & ~test.withheld
        )
    return table
