"""What one step of training meets: scans, classes, and the outlines of simulated lesions."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.augment import moved
from core.dataset import DatasetError, Examples
from core.settings import Recipe, Simulation
from core.simulated import OUTLINE, Simulated


@dataclass(frozen=True)
class Batch:
    """B scans of one step."""

    x: Tensor  # (B, 1, S, S) uint8
    y: Tensor  # (B,)
    outlines: Tensor | None = None  # (B, 1, OUTLINE, OUTLINE) uint8
    outlined: Tensor | None = None  # (B,) bool: whether it is known where the lesion is, or that there is none


class Batches:
    """What a step meets: the training scans in random order or, with simulated ones, drawn alike from every class."""

    def __init__(self, train: Examples, simulated: Simulated | None, classes: int, recipe: Recipe) -> None:
        self._train, self._simulated, self._classes, self._size = train, simulated, classes, recipe.batch_size
        have = torch.bincount(train.y, minlength=classes) + (
            torch.bincount(simulated.y, minlength=classes) if simulated else 0
        )
        check_not_empty("train", train, classes, have)
        if simulated and recipe.simulation:
            self._plan = self._planned(simulated, recipe.simulation)

    def class_weights(self) -> Tensor:
        """(C,), inversely proportional to how often a class is met; their mean over the scans is 1."""
        if self._simulated:
            return torch.ones(self._classes)
        return len(self._train) / (self._classes * torch.bincount(self._train.y, minlength=self._classes).float())

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """As many steps as the training scans fill."""
        order = torch.randperm(len(self._train), generator=generator).split(self._size)
        if self._simulated is None:
            yield from (Batch(self._train.x[places], self._train.y[places]) for places in order)
            return
        for _ in order:
            yield self._drawn(self._simulated, generator)

    def _planned(self, simulated: Simulated, how: Simulation) -> list[tuple[Tensor, Tensor, int, int]]:
        """For each class: where its real and its simulated scans are, and how many of either a batch holds."""
        plan = []
        for label in range(self._classes):
            real, made = torch.nonzero(self._train.y == label)[:, 0], simulated.places(label)
            count = self._size // self._classes + (label < self._size % self._classes)
            share = how.lookalikes if label == self._classes - 1 else how.hemorrhagic
            of_made = 0 if not len(made) else count if not len(real) else round(count * share)
            plan.append((real, made, count - of_made, of_made))
        return plan

    def _drawn(self, simulated: Simulated, generator: torch.Generator) -> Batch:
        xs, ys, outlines, outlined = [], [], [], []
        for label, (real, made, of_real, of_made) in enumerate(self._plan):
            first = real[torch.randint(max(1, len(real)), (of_real,), generator=generator)]
            second = made[torch.randint(max(1, len(made)), (of_made,), generator=generator)]
            xs += [self._train.x[first], simulated.x[second]]
            ys.append(torch.full((of_real + of_made,), label))
            outlines += [torch.zeros(of_real, 1, OUTLINE, OUTLINE, dtype=torch.uint8), simulated.outlines[second]]
            outlined += [torch.full((of_real,), label == self._classes - 1), torch.ones(of_made, dtype=torch.bool)]
        return Batch(torch.cat(xs), torch.cat(ys), torch.cat(outlines), torch.cat(outlined))


LESION_CELL = 0.4
"""A cell of the map counts as lesion in full when this much of it is."""


def outline_loss(maps: Tensor, batch: Batch, pose: Tensor, how: Simulation) -> Tensor:
    """Cross-entropy at every place of the map against the lesion's outline, where that is known."""
    assert batch.outlines is not None
    assert batch.outlined is not None
    outlines = moved(batch.outlines.to(maps.device).float() / 255, pose)
    lesion = (F.adaptive_avg_pool2d(outlines, (maps.shape[2], maps.shape[3]))[:, 0] / LESION_CELL).clamp(
        0, 1
    )  # (B, h, w)
    said = maps.log_softmax(dim=1)
    its_class = said[torch.arange(len(said)), batch.y.to(maps.device)]
    missed = -(how.balance * lesion * its_class + (1 - lesion) * said[:, -1]).mean(dim=(1, 2))
    known = batch.outlined.to(maps.device).float()
    return (missed * known).sum() / known.sum().clamp(min=1)


def check_not_empty(name: str, part: Examples | None, classes: int, counts: Tensor | None = None) -> None:
    """Raises DatasetError where a part has no scan or, of `counts` scans by class, a class has none."""
    if part is None:
        return
    if not len(part) or (counts is not None and (counts == 0).any()):
        found = torch.bincount(part.y, minlength=classes).tolist()
        raise DatasetError(
            f"The {name} part has {len(part)} scans, by class {found}: too few to train. Add scans of "
            "more patients, or name the parts yourself (--split folders, or a split column)."
        )
