"""What the models say of real infarcts: two small sets from other hospitals, never trained on. For the model card."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from core.dataset import to_bytes
from core.formats import read
from core.intervals import Clusters, Estimate, Figure, auc, figure_within
from core.labels import ISCHEMIC, NO_STROKE, in_words
from core.manifest import Calibration
from core.train import predict
from services.shipping import Trained

GE_BRAIN, GE_DARK = range(6, 27), range(12, 20)
"""Numbers of the GE series' files that show brain, and among them those with a dark area in the territory of the left
posterior cerebral artery, by eye: no diagnosis comes with the series."""
GE_OTHERS = [number for number in GE_BRAIN if number not in GE_DARK]
CPAISD_ONE_HEAD = {"10115", "10135", "10145"}
"""Slices of CPAISD that show one head, by eye (tilted alike, in one head rest). The files say nothing of patients."""


def on_cpaisd(trained: Trained, data: Path) -> tuple[float, float, Figure]:
    """The mean ischemic probability over the folds' models, beside slices without a finding, and the AUC within the
    folds."""
    files = _cpaisd(data)
    x, place = _inputs(trained, files), trained.found.classes.index(ISCHEMIC)
    said = [(fold, predict(fold.network, x)) for fold in trained.found.folds]
    table = trained.found.table
    none = table[(table["synthetic"] == "") & (table["label"] == NO_STROKE)]
    there = np.mean([fold.rules.probabilities(of)[:, place] for fold, of in said])
    raw = {fold.number: Calibration().probabilities(of.logits)[:, place] for fold, of in said}
    return float(there), float(none[f"p_{ISCHEMIC}"].mean()), auc_within_folds(none, raw, heads(files))


def heads(files: Sequence[Path]) -> list[str]:
    """Whose head each file of CPAISD shows, as far as can be seen."""
    return [min(CPAISD_ONE_HEAD) if path.stem in CPAISD_ONE_HEAD else path.stem for path in files]


def auc_within_folds(none: pd.DataFrame, theirs: dict[int, np.ndarray], patients: Sequence[str]) -> Figure:
    """AUC of scans that every fold's model has read, `theirs` by fold and of these `patients`, against those without a
    finding that the same model has read: the mean over the folds by the latter's number, for several models' answers
    are on no one scale."""
    scans = len(patients)
    keys = np.array([*none["patient"], *(f"stranger {patient}" for patient in patients)])
    everyone = Clusters.of(keys, len(keys))
    folds = none["fold"].to_numpy()
    total, influence = 0.0, np.zeros(everyone.count)
    for fold, score in theirs.items():
        here = folds == fold
        index = np.r_[everyone.index[: len(none)][here], everyone.index[len(none) :]]
        is_it = np.r_[np.zeros(here.sum(), bool), np.ones(scans, bool)]
        of = auc(
            np.r_[none[f"raw_{ISCHEMIC}"].to_numpy()[here], score], is_it, Clusters(index, everyone.count, known=True)
        )
        total, influence = total + of.value * here.mean(), influence + of.influence * here.mean()
    fewer = min(len({*patients}), none["patient"].nunique())
    return figure_within(Estimate(float(total), influence, fewer), len(keys), everyone)


def on_ge(trained: Trained, data: Path) -> tuple[float, float]:
    """The ischemic probability where the dark area is, and in the same patient's other slices of brain."""
    there, elsewhere = (_ischemic(trained, _ge(data, numbers)).mean() for numbers in (GE_DARK, GE_OTHERS))
    return float(there), float(elsewhere)


def answers(trained: Trained, data: Path) -> tuple[str, str, str]:
    """What readers see from the network that ships, which has met none of these: of CPAISD, of the GE series where the
    dark area is, and of its other slices of brain."""
    return (
        _answers(trained, _cpaisd(data)),
        _answers(trained, _ge(data, GE_DARK)),
        _answers(trained, _ge(data, GE_OTHERS)),
    )


def _answers(trained: Trained, files: list[Path]) -> str:
    p, flagged, answered = trained.rules.applied(predict(trained.whole.network, _inputs(trained, files)))
    called = np.array(trained.found.classes)[p.argmax(axis=1)]
    counts = [f"{in_words(name).lower()} {int((called[answered] == name).sum())}" for name in trained.found.classes]
    return f"{', '.join(counts)}, abstains on {int((~answered & ~flagged).sum())}, no head CT {int(flagged.sum())}"


def _ischemic(trained: Trained, files: list[Path]) -> np.ndarray:
    """(N,) the mean over the folds' models."""
    x, place = _inputs(trained, files), trained.found.classes.index(ISCHEMIC)
    said = [fold.rules.probabilities(predict(fold.network, x))[:, place] for fold in trained.found.folds]
    return np.mean(said, axis=0)


def _cpaisd(data: Path) -> list[Path]:
    return sorted((data / "cpaisd" / "images").glob("*.png"))


def _ge(data: Path, numbers: Iterable[int]) -> list[Path]:
    return [data / "dicom_ge_head" / f"{number:02}.dcm" for number in numbers]


def _inputs(trained: Trained, files: list[Path]) -> torch.Tensor:
    return torch.stack([to_bytes(read(path.read_bytes(), path.name), trained.prepared.spec) for path in files])
