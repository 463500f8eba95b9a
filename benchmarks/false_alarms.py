"""How often what looks like stroke and is none is taken for it: drawn into real slices without a finding, of patients
that the model has not met."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.disturbances import DISTURBANCES
from core.anatomy import Anatomy, Window, anatomy
from core.intervals import Clusters, Figure, share_figure
from core.labels import HEMORRHAGIC, ISCHEMIC, NO_STROKE
from core.lookalikes import DENSE, aged, likely, watery, wide_ventricles
from core.preprocess import InputSpec
from core.train import predict
from services.crossvalidation import CrossValidation, Fold
from services.tables import with_interval

STEP = 3
"""One slice in this many is drawn into."""
SURE = 0.8
AS_IT_IS = "as it is"
DRAWN: Mapping[str, str] = {
    "plexus": "calcified choroid plexus",
    "pineal": "calcified pineal gland",
    "pallidum": "calcified pallidum",
    "falx": "dense or calcified falx",
    "sinus": "dense venous sinus",
    "arteries": "calcified arteries at the base",
    "slope": "skull that runs aslant",
    "ridge": "bone at the base, met in part",
}
DONE = ("head moved", "streaks", "bright at the skull", "coarse grain of 6 HU", "arrows")
"""Those of the disturbances that may look like a finding."""


@dataclass(frozen=True)
class Alarms:
    """One look-alike in slices without a finding: the shares of them called hemorrhagic and ischemic."""

    name: str
    scans: int
    hemorrhagic: Figure
    ischemic: Figure
    sure: Figure  # called either with `SURE` confidence or more


def false_alarms(found: CrossValidation, spec: InputSpec) -> list[Alarms]:
    """Every look-alike where a slice may show it, each fold's model on the patients it has not met."""
    asked: dict[str, list[tuple[str, np.ndarray]]] = {}
    for fold in found.folds:
        images: dict[str, list[tuple[str, torch.Tensor]]] = {}
        for name, patient, image in _images(fold, spec):
            images.setdefault(name, []).append((patient, image))
        for name, of in images.items():
            p = fold.rules.probabilities(predict(fold.network, torch.stack([image for _, image in of])))
            asked.setdefault(name, []).extend((patient, row) for (patient, _), row in zip(of, p, strict=True))
    return [_alarms(name, of, found.classes) for name, of in asked.items()]


def empty_slices(fold: Fold, scale: Window) -> Iterator[tuple[str, np.ndarray, Anatomy]]:
    """(patient, densities, brain) of every `STEP`th real slice without a finding that shows one."""
    places = [i for i, s in enumerate(fold.test.samples) if s.synthetic is None and s.label == NO_STROKE][::STEP]
    for place in places:
        hu = scale.hu(fold.test.x[place, 0].numpy() / np.float32(255))
        if brain := anatomy(hu, scale.floor + scale.width):
            yield fold.test.patients[place], hu, brain


def image_of(hu: np.ndarray, scale: Window) -> torch.Tensor:
    """(1, S, S) uint8, as networks are trained on."""
    return torch.from_numpy(np.rint(scale.grey(hu) * 255).astype(np.uint8))[None]


def _images(fold: Fold, spec: InputSpec) -> list[tuple[str, str, torch.Tensor]]:
    """(look-alike, patient, (1, S, S) uint8) of every slice chosen."""
    scale, rng = Window.of(spec.window), np.random.default_rng(fold.number)
    makers: dict[str, Callable[[np.ndarray, Anatomy, np.random.Generator], np.ndarray]] = {
        "aged brain": aged,
        "watery brain": watery,
    }
    made = []
    for patient, hu, brain in empty_slices(fold, scale):
        drawn = {DRAWN[name]: DENSE[name] for name in likely(brain)} | makers
        if brain.at_ventricles:
            drawn["wide ventricles"] = wide_ventricles
        images = {AS_IT_IS: image_of(hu, scale)}
        images |= {name: image_of(draw(hu, brain, rng), scale) for name, draw in drawn.items()}
        grey = images[AS_IT_IS][0].numpy().astype(np.float32)
        images |= {name: torch.from_numpy(np.rint(DISTURBANCES[name](grey)).astype(np.uint8))[None] for name in DONE}
        made += [(name, patient, image) for name, image in images.items()]
    return made


def _alarms(name: str, asked: list[tuple[str, np.ndarray]], classes: tuple[str, ...]) -> Alarms:
    p, clusters = np.stack([row for _, row in asked]), Clusters.of([patient for patient, _ in asked], len(asked))
    called, every = np.array(classes)[p.argmax(axis=1)], np.ones(len(asked), bool)
    sure = (called != NO_STROKE) & (p.max(axis=1) >= SURE)
    shares = (share_figure(is_it, every, clusters) for is_it in (called == HEMORRHAGIC, called == ISCHEMIC, sure))
    return Alarms(name, len(asked), *shares)


def in_markdown(rows: list[Alarms]) -> str:
    """The rows of the card's table, the slices as they are first, then the worst."""
    ordered = sorted(rows, key=lambda row: (row.name != AS_IT_IS, -row.sure.value))
    return "\n".join(
        f"| {row.name} | {row.scans} | {with_interval(row.hemorrhagic)} | {with_interval(row.ischemic)} | "
        f"{with_interval(row.sure)} |"
        for row in ordered
    )
