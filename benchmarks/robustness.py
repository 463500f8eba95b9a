"""How the figures hold when the same scans come as another hospital might send them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.disturbances import DISTURBANCES, disturbed
from core.dataset import Examples, file_reader, to_bytes
from core.labels import HEMORRHAGIC, ISCHEMIC, NO_STROKE
from core.manifest import Calibration
from core.preprocess import InputSpec
from core.scan import Scan
from core.train import predict
from services.crossvalidation import CrossValidation, Fold
from services.shipping import PUBLIC
from services.tables import measured_percent

REAL_STEP, SIMULATED_STEP = 3, 4
"""One real slice in this many, and one simulated infarct, is disturbed."""


@dataclass(frozen=True)
class Robustness:
    """Under one disturbance, over all folds."""

    name: str
    hemorrhage: float  # AUC of real hemorrhages against none
    infarct: float  # AUC of simulated infarcts against none
    recognised: float  # share of these scans that are not flagged as no head CT
    answered: float  # share that it answered
    wrong: float  # of these, weighing the classes alike


@dataclass(frozen=True)
class _Answers:
    labels: list[str]
    raw: np.ndarray  # (N, C), before calibration: each fold's is its own
    p: np.ndarray
    flagged: np.ndarray
    answered: np.ndarray


def robustness(found: CrossValidation, spec: InputSpec) -> list[Robustness]:
    """Every disturbance, each fold's model on the patients it has not met."""
    samples = [_some(fold) for fold in found.folds]
    scans = [list(_scans(part)) for part in samples]
    rows = []
    for name in DISTURBANCES:
        answers = [
            _read(fold, part, [disturbed(scan, name) for scan in of], spec)
            for fold, part, of in zip(found.folds, samples, scans, strict=True)
        ]
        rows.append(_measured(name, answers, found.classes))
        print(rows[-1], flush=True)
    return rows


def _some(fold: Fold) -> Examples:
    real = [i for i, sample in enumerate(fold.test.samples) if sample.synthetic is None]
    made = [i for i, sample in enumerate(fold.test.samples) if sample.synthetic is not None]
    return fold.test.at(real[::REAL_STEP] + made[::SIMULATED_STEP])


def _scans(part: Examples) -> Iterator[Scan]:
    """Real slices as they lie in the data set; simulated ones as they were made."""
    read = file_reader(PUBLIC, 16)
    for x, sample in zip(part.x, part.samples, strict=True):
        if sample.synthetic is None:
            yield read(Path(sample.path))
        else:
            yield Scan(x[0].numpy().astype(np.float32), "display")


def _read(fold: Fold, part: Examples, scans: list[Scan], spec: InputSpec) -> _Answers:
    x = torch.stack([to_bytes(scan, spec) for scan in scans])
    said = predict(fold.network, x)
    return _Answers(part.labels, Calibration().probabilities(said.logits), *fold.rules.applied(said))


def _measured(name: str, answers: list[_Answers], classes: tuple[str, ...]) -> Robustness:
    labels = np.array([label for one in answers for label in one.labels])
    raw, p = (np.concatenate(parts) for parts in ([one.raw for one in answers], [one.p for one in answers]))
    flagged = np.concatenate([one.flagged for one in answers])
    answered = np.concatenate([one.answered for one in answers])

    def against_none(label: str) -> float:
        keep = np.isin(labels, [label, NO_STROKE])
        return float(roc_auc_score(labels[keep] == label, raw[keep, classes.index(label)]))

    right = np.array(classes)[p.argmax(axis=1)] == labels
    wrong = [1 - right[answered & (labels == name)].mean() for name in classes if (answered & (labels == name)).any()]
    return Robustness(
        name,
        against_none(HEMORRHAGIC),
        against_none(ISCHEMIC),
        float(1 - flagged.mean()),
        float(answered.mean()),
        float(np.mean(wrong)) if wrong else float("nan"),
    )


def in_markdown(rows: list[Robustness]) -> str:
    """The rows of the card's table; beside each AUC what it loses."""
    first = rows[0]

    def beside(value: float, usual: float) -> str:
        return f"{value:.3f} ({value - usual:+.3f})".replace("-", "−")

    return "\n".join(
        f"| {row.name} | {beside(row.hemorrhage, first.hemorrhage)} | {beside(row.infarct, first.infarct)} | "
        f"{measured_percent(row.recognised)} | {measured_percent(row.answered)} | {measured_percent(row.wrong, 1)} |"
        for row in rows
    )
