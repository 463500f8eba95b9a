"""Fit a network: readable from top to bottom.

The same seed on the same processor and number of threads gives the same network, interrupted and resumed or not; on a
GPU, whose sums are not always added in the same order, nearly the same.
"""

import copy
import ctypes
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from core.augment import grey, moved, poses
from core.batches import Batches, check_not_empty, outline_loss
from core.dataset import Examples
from core.network import Network, build
from core.optimise import Optimiser
from core.settings import Recipe
from core.simulated import Simulated

AVERAGE_DECAY = 0.99


@dataclass(frozen=True)
class Epoch:
    """One line of a run's history. What is said of validation is NaN where there was none."""

    number: int  # from 1
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_balanced_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Fit:
    """The best epoch's network, and how it came about."""

    network: Network
    best_epoch: int
    history: tuple[Epoch, ...]
    seconds: float


Progress = Callable[[int, int, float, Epoch | None], None]
"""Told (steps done, steps in all, last loss, the epoch just ended or None)."""


def fit(
    train: Examples,
    validation: Examples | None,
    classes: Sequence[str],
    recipe: Recipe,
    *,
    simulated: Simulated | None = None,
    start: dict[str, Tensor] | None = None,
    checkpoint: Path | None = None,
    progress: Progress = lambda done, total, loss, epoch: None,
) -> Fit:
    """Train on `train`, keep the epoch with the best balanced accuracy on `validation`, ties by its loss; with
    `recipe.keep` "last" or without validation the last one. A recipe with several stages goes on from what the stage
    before has kept.

    What is validated and kept is the running average of the weights over the last hundred or so steps, which is
    steadier than the weights of any one step (Polyak & Juditsky 1992; Izmailov et al., UAI 2018).

    With `simulated`, lesions simulated into training patients' slices, every batch holds all classes alike, and the
    lesions' outlines are learned beside the scans' classes.

    `start` is a state dict to begin from. With `checkpoint` the state after each epoch is kept there, and a run
    finds and continues its own; the file is removed at the end.

    Raises DatasetError where a part is empty or a class has no training scan.
    """
    steps = math.ceil(len(train) / recipe.batch_size)
    total = steps * sum(stage.epochs for stage in recipe.stages)
    kept: Sequence[Path | None] = stage_checkpoints(checkpoint, recipe) if checkpoint else [None] * len(recipe.stages)
    fits: list[Fit] = []
    for stage, path in zip(recipe.stages, kept, strict=True):
        before = sum(len(fit.history) for fit in fits)

        def tell(done: int, _: int, loss: float, epoch: Epoch | None, before: int = before) -> None:
            epoch = epoch and replace(epoch, number=before + epoch.number)
            progress(before * steps + done, total, loss, epoch)

        fits.append(_fit_stage(train, validation, classes, stage, simulated, start, path, tell))
        start = fits[-1].network.state_dict()
    for path in filter(None, kept):
        path.unlink(missing_ok=True)
    return _joined(fits)


def stage_checkpoints(checkpoint: Path, recipe: Recipe) -> list[Path]:
    """Where each stage of a recipe keeps its state."""
    return [checkpoint.with_suffix(".last" * i + checkpoint.suffix) for i in range(len(recipe.stages))]


def _joined(fits: Sequence[Fit]) -> Fit:
    """The last stage's network, with the history of all."""
    history = [epoch for fit in fits for epoch in fit.history]
    before = len(history) - len(fits[-1].history)
    numbered = tuple(replace(epoch, number=number) for number, epoch in enumerate(history, 1))
    return Fit(fits[-1].network, before + fits[-1].best_epoch, numbered, sum(fit.seconds for fit in fits))


def _fit_stage(
    train: Examples,
    validation: Examples | None,
    classes: Sequence[str],
    recipe: Recipe,
    simulated: Simulated | None,
    start: dict[str, Tensor] | None,
    checkpoint: Path | None,
    progress: Progress,
) -> Fit:
    """`fit` of a recipe of one stage, whose checkpoint stays."""
    batches = Batches(train, simulated, len(classes), recipe)
    weights = batches.class_weights()
    check_not_empty("validation", validation, len(classes))
    _keep_freed_memory()
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    network = build_for(recipe, classes)
    if start is not None:
        network.load_state_dict(start)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(network, multi_avg_fn=_running_average, use_buffers=True)
    steps = math.ceil(len(train) / recipe.batch_size)
    optimiser = Optimiser(network, recipe, steps)
    state = _State(network, average, optimiser, generator, keep_last=recipe.keep == "last" or not validation)
    if checkpoint and checkpoint.exists():
        state.restore(checkpoint)

    began = time.monotonic()
    done = state.epoch * steps
    for number in range(state.epoch + 1, recipe.epochs + 1):
        if state.epoch - state.best_epoch >= recipe.patience:
            break
        epoch_began, total_loss, met = time.monotonic(), 0.0, 0
        network.train()
        for batch in batches.epoch(generator):
            pose = poses(len(batch.y), recipe.augmentation, generator)
            x = moved(batch.x.to(device).float() / 255, pose, recipe.size_in(number))
            x = grey(x, recipe.augmentation, generator)
            y = batch.y.to(device)
            out = network(x.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(out.logits, y, weight=weights.to(device), label_smoothing=recipe.label_smoothing)
            if batch.outlines is not None and recipe.simulation:
                loss = loss + recipe.simulation.outline * outline_loss(out.maps, batch, pose, recipe.simulation)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            average.update_parameters(network)
            total_loss, met = total_loss + loss.item() * len(y), met + len(y)
            done += 1
            progress(done, recipe.epochs * steps, loss.item(), None)
        epoch = _validate(_averaged(average), validation, number, total_loss / met, time.monotonic() - epoch_began)
        optimiser.end_epoch(epoch.train_loss if validation is None else epoch.validation_loss)
        state.end_epoch(epoch)
        if checkpoint:
            state.save(checkpoint)
        progress(done, recipe.epochs * steps, epoch.train_loss, epoch)  # an epoch that is told can be resumed after

    network.load_state_dict(state.best)
    return Fit(network.to("cpu").eval(), state.best_epoch, tuple(state.history), time.monotonic() - began)


def _keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next step, instead of asking the system for fresh pages each time: the
    steps' large temporaries make that a third of the time on two cores. Elsewhere nothing changes."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, 2**25)  # the most it takes
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def build_for(recipe: Recipe, classes: Sequence[str]) -> Network:
    """The network that a recipe names, untrained or with the weights it names."""
    return build(
        recipe.arch,
        classes,
        width=recipe.width,
        dropout=recipe.dropout,
        weights=recipe.weights,
        head=recipe.head,
        intensity=recipe.intensity,
        upright=recipe.upright,
        mirror=recipe.mirror,
    )


class Prediction(NamedTuple):
    """What a network says of N prepared scans, on the CPU."""

    logits: Tensor  # (N, C) float32
    profile: Tensor  # (N, F) float32, see core.network.Output


def predict(network: Network, x: Tensor, batch_size: int = 64) -> Prediction:
    """(N, 1, S, S) uint8 scans, N > 0, without augmentation or dropout."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        outputs = [network(part.to(device).float() / 255) for part in x.split(batch_size)]
    return Prediction(
        torch.cat([output.logits.cpu() for output in outputs]),
        torch.cat([output.profile.cpu() for output in outputs]),
    )


_Tensors = tuple[Tensor, ...] | list[Tensor]


def _running_average(averages: _Tensors, new: _Tensors, steps: int | Tensor) -> None:
    """Exponential average; a young one forgets faster, so that a short run is not held at its random start. What is
    counted (batches) is not averaged."""
    n = float(steps)
    if averages[0].is_floating_point():
        torch._foreach_lerp_(averages, new, 1 - min(AVERAGE_DECAY, (1 + n) / (10 + n)))
    else:
        torch._foreach_copy_(averages, new)


def _averaged(average: AveragedModel) -> Network:
    network = average.module
    assert isinstance(network, Network)
    return network


def _validate(network: Network, part: Examples | None, number: int, train_loss: float, seconds: float) -> Epoch:
    if part is None:
        return Epoch(number, train_loss, math.nan, math.nan, math.nan, seconds)
    logits = predict(network, part.x).logits
    right = (logits.argmax(dim=1) == part.y).float()
    per_class = [right[part.y == label].mean().item() for label in part.y.unique()]
    return Epoch(
        number,
        train_loss,
        F.cross_entropy(logits, part.y).item(),
        right.mean().item(),
        sum(per_class) / len(per_class),
        seconds,
    )


class _State:
    """All that an interrupted run needs to go on as if nothing had happened."""

    def __init__(
        self,
        network: Network,
        average: AveragedModel,
        optimiser: Optimiser,
        generator: torch.Generator,
        *,
        keep_last: bool,
    ) -> None:
        self.network, self.average = network, average
        self.optimiser, self.generator = optimiser, generator
        self.keep_last = keep_last
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.best: dict[str, Tensor] = {}

    @property
    def epoch(self) -> int:
        return len(self.history)

    def end_epoch(self, epoch: Epoch) -> None:
        self.history.append(epoch)
        best = max(self.history, key=lambda e: (e.validation_balanced_accuracy, -e.validation_loss))
        if best is epoch or self.keep_last:
            self.best_epoch = epoch.number
            self.best = copy.deepcopy(_averaged(self.average).state_dict())

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        torch.save(
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "generator": self.generator.get_state(),
                "global_rng": torch.get_rng_state(),
                "history": [asdict(epoch) for epoch in self.history],
                "best": self.best,
                "best_epoch": self.best_epoch,
            },
            temporary,
        )
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)

    def restore(self, path: Path) -> None:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.generator.set_state(saved["generator"])
        torch.set_rng_state(saved["global_rng"])
        self.history = [Epoch(**epoch) for epoch in saved["history"]]
        self.best, self.best_epoch = saved["best"], saved["best_epoch"]
