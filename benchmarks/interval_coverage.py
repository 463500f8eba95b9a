"""How often the 95 % intervals of core.evaluate hold the truth, in simulated studies.

    python -m benchmarks.interval_coverage [--studies 1000]

The scans of a patient are alike. Each study draws patients, some of whom bleed, a bias of the model for each patient,
and 1 to many scans of each. The truth is the same model on 30,000 patients. The calibration error has no interval with
few patients ("–"); with more, its interval errs on the side of holding the truth.
"""

import argparse
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import expit

from core.evaluate import evaluate
from core.intervals import Figure
from core.labels import HEMORRHAGIC, NO_STROKE
from services.tables import measured_percent

MANY = 30_000
DESIGNS = ((10, 8), (20, 12), (40, 30), (80, 5), (80, 30), (200, 3))
"""(patients, mean scans a patient)"""
_LIFT, _PATIENT_SPREAD, _CUT = 1.8, 0.7, 0.9


@dataclass(frozen=True)
class Study:
    """What is in the scans and what the model says."""

    patient: np.ndarray  # (N,)
    bleeding: np.ndarray  # (N,) bool
    p: np.ndarray  # (N,) probability of hemorrhage


def simulate(rng: np.random.Generator, patients: int, scans: int) -> Study:
    """One study; scans of a patient share whether the patient bleeds and how the model leans."""
    sizes = 1 + rng.poisson(scans - 1, patients)
    patient = np.repeat(np.arange(patients), sizes)
    bleeds = rng.random(patients) < 0.5
    bleeding = rng.random(len(patient)) < np.where(bleeds, 0.4, 0.03)[patient]
    lean = rng.normal(0, _PATIENT_SPREAD, patients)
    score = _LIFT * bleeding + lean[patient] + rng.normal(0, 1, len(patient))
    return Study(patient, bleeding, expit(2 * (score - _CUT)))


FIGURES = (
    "accuracy", "sensitivity", "AUC", "F1", "balanced accuracy", "MCC", "Brier", "average precision",
    "calibration error",
)  # fmt: skip


def figures_of(study: Study) -> dict[str, Figure]:
    """The product's own figures, of hemorrhage where they are of one class."""
    labels = np.where(study.bleeding, HEMORRHAGIC, NO_STROKE).tolist()
    p = np.stack([study.p, 1 - study.p], axis=1)
    report = evaluate(labels, p, (HEMORRHAGIC, NO_STROKE), patients=[str(key) for key in study.patient])
    of_it = report.per_class[HEMORRHAGIC]
    found = (
        report.accuracy, of_it.recall, of_it.auc, of_it.f1, report.balanced_accuracy, report.mcc, report.brier,
        of_it.average_precision, report.ece,
    )  # fmt: skip
    return dict(zip(FIGURES, found, strict=True))


@cache
def truth(scans: int) -> dict[str, float]:
    """What the intervals should hold."""
    study = simulate(np.random.default_rng(12345), MANY, scans)
    return {name: figure.value for name, figure in figures_of(study).items()}


def cover(*, studies: int, patients: int, scans: int, seed: int) -> dict[str, float]:
    """Share of `studies` whose interval holds the truth, of those where there is one; NaN where in none there is."""
    true, rng = truth(scans), np.random.default_rng(seed)
    held: dict[str, list[bool]] = {name: [] for name in FIGURES}
    for _ in range(studies):
        for name, figure in figures_of(simulate(rng, patients, scans)).items():
            if figure.low == figure.low:
                held[name].append(figure.low <= true[name] <= figure.high)
    return {name: float(np.mean(held[name])) if held[name] else math.nan for name in FIGURES}


def in_markdown(studies: int) -> str:
    """A row a design."""
    rows = [("Patients", "Scans a patient", *(name[0].upper() + name[1:] for name in FIGURES))]
    rows.append(("---",) * len(rows[0]))
    for patients, scans in DESIGNS:
        held = cover(studies=studies, patients=patients, scans=scans, seed=0)
        shares = ("–" if math.isnan(share) else measured_percent(share, 1) for share in held.values())
        rows.append((str(patients), str(scans), *shares))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    print(in_markdown(parser.parse_args().studies))


if __name__ == "__main__":
    main()
