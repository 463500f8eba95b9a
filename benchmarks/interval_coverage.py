"""How often the 95 % intervals of core.intervals hold the truth, in simulated studies.

    python -m benchmarks.interval_coverage [--studies 1000]

The scans of a patient are alike. Each study draws patients, some of whom bleed, a bias of the model for each patient,
and 1 to many scans of each. The truth is the same model on 300,000 patients.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from core.intervals import Clusters, auc_figure, share_figure

DESIGNS = ((20, 12), (40, 30), (80, 5), (80, 30), (200, 3))
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


def truth(scans: int) -> dict[str, float]:
    """What the intervals should hold."""
    study = simulate(np.random.default_rng(12345), 300_000, scans)
    called, order = study.p >= 0.5, np.argsort(study.p)
    negatives = np.cumsum(~study.bleeding[order])
    auc = negatives[study.bleeding[order]].mean() / (~study.bleeding).sum()
    return {
        "accuracy": float((called == study.bleeding).mean()),
        "sensitivity": float(called[study.bleeding].mean()),
        "AUC": float(auc),
    }


def cover(*, studies: int, patients: int, scans: int, seed: int) -> dict[str, float]:
    """Share of `studies` whose interval holds the truth."""
    true, rng = truth(scans), np.random.default_rng(seed)
    held = dict.fromkeys(true, 0)
    for _ in range(studies):
        study = simulate(rng, patients, scans)
        clusters, called = Clusters.of(study.patient, len(study.p)), study.p >= 0.5
        figures = {
            "accuracy": share_figure(called == study.bleeding, np.ones(len(called), bool), clusters),
            "sensitivity": share_figure(called, study.bleeding, clusters),
            "AUC": auc_figure(study.p, study.bleeding, clusters),
        }
        for name, figure in figures.items():
            held[name] += figure.low <= true[name] <= figure.high
    return {name: count / studies for name, count in held.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    args = parser.parse_args()
    print("| patients | scans a patient | accuracy | sensitivity | AUC |\n|---|---|---|---|---|")
    for patients, scans in DESIGNS:
        found = cover(studies=args.studies, patients=patients, scans=scans, seed=0)
        print(f"| {patients} | {scans} | " + " | ".join(f"{share:.1%}" for share in found.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
