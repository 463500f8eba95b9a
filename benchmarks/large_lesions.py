"""What a model says of lesions that push the midline over, drawn into slices of patients that it has not met."""

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.false_alarms import SURE, empty_slices, image_of
from core.anatomy import Window
from core.intervals import Clusters, Figure, share_figure
from core.labels import ISCHEMIC, NO_STROKE
from core.mass_effect import MASSIVE
from core.preprocess import InputSpec
from core.train import predict
from services.crossvalidation import CrossValidation, Fold
from services.tables import with_interval


@dataclass(frozen=True)
class Large:
    """Lesions of one kind: the shares of them called by their type, and surely by the other."""

    kind: str
    scans: int
    right: Figure
    surely_other: Figure  # with `benchmarks.false_alarms.SURE` confidence or more


def large_lesions(found: CrossValidation, spec: InputSpec) -> list[Large]:
    """Each fold's model on one such lesion of either type in every slice that has room for it."""
    said: dict[tuple[str, str], list[tuple[str, np.ndarray]]] = {}
    for fold in found.folds:
        drawn = _drawn(fold, spec)
        if not drawn:
            continue
        p = fold.rules.probabilities(predict(fold.network, torch.stack([image for *_, image in drawn])))
        for (label, kind, patient, _), row in zip(drawn, p, strict=True):
            said.setdefault((label, kind), []).append((patient, row))
    return [_large(kind, label, of, found.classes) for (label, kind), of in sorted(said.items())]


def _drawn(fold: Fold, spec: InputSpec) -> list[tuple[str, str, str, torch.Tensor]]:
    """(class, kind, patient, (1, S, S) uint8) of every lesion."""
    scale, rng = Window.of(spec.window), np.random.default_rng(fold.number)
    made = []
    for patient, hu, brain in empty_slices(fold, scale):
        for label, make in MASSIVE.items():
            if lesion := make(hu, brain, rng):
                kind = f"{lesion.kind.split(',')[0]}{' infarct' if label == ISCHEMIC else ''}"
                made.append((label, kind, patient, image_of(lesion.hu, scale)))
    return made


def _large(kind: str, label: str, said: list[tuple[str, np.ndarray]], classes: tuple[str, ...]) -> Large:
    p, clusters = np.stack([row for _, row in said]), Clusters.of([patient for patient, _ in said], len(said))
    called, every = np.array(classes)[p.argmax(axis=1)], np.ones(len(said), bool)
    other = (called != label) & (called != NO_STROKE) & (p.max(axis=1) >= SURE)
    right, surely_other = (share_figure(is_it, every, clusters) for is_it in (called == label, other))
    return Large(kind, len(said), right, surely_other)


def in_markdown(rows: list[Large]) -> str:
    """The rows of the card's table."""
    return "\n".join(
        f"| {row.kind} | {row.scans} | {with_interval(row.right)} | {with_interval(row.surely_other)} |" for row in rows
    )
