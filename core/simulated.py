"""A pool of simulated lesions to train and test on: every slice without a finding, several times over."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.anatomy import Window, anatomy
from core.dataset import DatasetError, Examples, Sample
from core.hemorrhages import simulate_hemorrhage
from core.infarcts import simulate_infarct
from core.labels import HEMORRHAGIC, ISCHEMIC, NO_STROKE
from core.lookalikes import lookalike, wide_ventricles
from core.mass_effect import MASSIVE
from core.settings import Simulation

OUTLINE = 40
"""Outlines are kept at this many cells a side: finer than any network's map."""
LOOKALIKES = 2
"""Look-alikes that are drawn into each slice without a finding."""
ALIKE_BASE = 0.4
"""Share of the simulated lesions that stand in a slice with a look-alike."""
TRIES = 5


@dataclass(frozen=True)
class Simulated:
    """Synthetic images made of real slices, M of them."""

    x: Tensor  # (M, 1, S, S) uint8
    y: Tensor  # (M,) int64, index into the classes
    outlines: Tensor  # (M, 1, OUTLINE, OUTLINE) uint8, 255: all lesion
    samples: tuple[Sample, ...]  # the slice that each was made of, with what was drawn into it

    def __len__(self) -> int:
        return len(self.y)

    def of(self, part: Examples) -> "Simulated":
        """Those made of the slices of a part: of a patient who stands in several parts, not those of the others."""
        wanted = {sample.content_hash for sample in part.samples}
        return self.at([i for i, sample in enumerate(self.samples) if sample.content_hash in wanted])

    def at(self, keep: Sequence[int]) -> "Simulated":
        """Those at the places in `keep`."""
        samples = tuple(self.samples[i] for i in keep)
        return Simulated(self.x[keep], self.y[keep], self.outlines[keep], samples)

    def examples(self, label: int) -> Examples:
        """One image of a class for every slice it was simulated into, to test on."""
        first: dict[str | None, int] = {}
        for place in self.places(label).tolist():
            first.setdefault(self.samples[place].content_hash, place)
        return self._without_outlines(list(first.values()))

    def thinned(self, count: int) -> Examples:
        """`count` of them at most, drawn from all alike: taken at regular distances, they would be of a few kinds only,
        for what is made of a slice always comes in the same order."""
        drawn = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:count]
        return self._without_outlines(drawn.sort().values.tolist())

    def _without_outlines(self, keep: Sequence[int]) -> Examples:
        return Examples(self.x[keep], self.y[keep], tuple(self.samples[i] for i in keep))

    def places(self, label: int) -> Tensor:
        """Where the images of one class stand."""
        return torch.nonzero(self.y == label)[:, 0]


_Made = list[tuple[str, str, np.ndarray, np.ndarray]]
"""(label, kind, HU, mask) of what was made of one slice."""
_Kept = list[tuple[str, str, np.ndarray, Tensor]]
"""The same as it is kept: (label, kind, bytes, outline)."""


def simulate(
    examples: Examples,
    classes: Sequence[str],
    window: tuple[float, float],
    how: Simulation,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Simulated:
    """Lesions of each type in every slice labelled no_stroke in which a brain is found, and look-alikes, where `how`
    lets them be met: met only beneath lesions they would speak for stroke.

    `window`: centre and width in HU of the grey in `examples`. The same seed gives the same images; each slice
    draws from its own stream. Raises DatasetError where no slice shows a brain.
    """
    scale = Window.of(window)
    bases = [i for i, label in enumerate(examples.labels) if label == NO_STROKE]

    def of(place: int) -> _Kept:
        rng = np.random.default_rng([seed, int(examples.samples[place].content_hash or "0", 16) % 2**63])
        hu = scale.hu(examples.x[place, 0].numpy() / np.float32(255))
        made = _made(hu, scale.floor + scale.width, how, rng)
        return [(label, kind, _bytes(scale.grey(hu)), _outline(mask)) for label, kind, hu, mask in made]

    made = []
    with ThreadPoolExecutor(torch.get_num_threads()) as workers:  # more wait for one another
        for done, (place, images) in enumerate(zip(bases, workers.map(of, bases), strict=True), 1):
            made += [(place, *image) for image in images]
            progress(done, len(bases))
    if not made:
        raise DatasetError(
            "No slice without stroke shows a brain that lesions could be simulated in. Simulation needs scans "
            "labelled no_stroke, cut to the head (crop: head), whose window the recipe names."
        )
    places, labels, kinds, images_, outlines = zip(*made, strict=True)
    return Simulated(
        torch.from_numpy(np.stack(images_))[:, None],
        torch.tensor([classes.index(label) for label in labels]),
        torch.stack(outlines),
        tuple(
            replace(examples.samples[i], label=label, synthetic=kind)
            for i, label, kind in zip(places, labels, kinds, strict=True)
        ),
    )


def _made(hu: np.ndarray, ceiling: float, how: Simulation, rng: np.random.Generator) -> _Made:
    brain = anatomy(hu, ceiling)
    if brain is None:
        return []
    made: _Made = []
    bases = [(hu, brain)]
    for _ in range(LOOKALIKES if how.lookalikes else 0):
        kind, alike = lookalike(hu, brain, rng)
        if how.wide_ventricles and rng.random() < how.wide_ventricles and brain.at_ventricles:
            kind, alike = f"{kind}, wide", wide_ventricles(alike, brain, rng)
        made.append((NO_STROKE, kind, alike, np.zeros_like(hu)))
        bases.append((alike, anatomy(alike, ceiling) or brain))
    for _ in range(how.per_slice):
        for label, make in ((HEMORRHAGIC, simulate_hemorrhage), (ISCHEMIC, simulate_infarct)):
            base, where = bases[rng.integers(1, len(bases)) if bases[1:] and rng.random() < ALIKE_BASE else 0]
            massive = MASSIVE[label](base, where, rng) if how.massive and rng.random() < how.massive else None
            lesion = massive or next(filter(None, (make(base, where, rng) for _ in range(TRIES))), None)
            if lesion:
                made.append((label, lesion.kind, lesion.hu, lesion.mask))
    return made


def _bytes(grey: np.ndarray) -> np.ndarray:
    return np.rint(grey * 255).astype(np.uint8)


def _outline(mask: np.ndarray) -> Tensor:
    cells = F.adaptive_avg_pool2d(torch.from_numpy(mask.astype(np.float32))[None], OUTLINE)
    return cells.mul(255).round().byte()
