"""What moves a network's weights in a training, and by how much from step to step."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from core.precision import multiplies_bfloat16
from core.settings import Recipe


class Optimiser:
    """A recipe's optimiser and learning-rate schedule.

    "muon" moves the convolutions' weights by Muon (Jordan 2024), each a matrix with a row for every channel it gives,
    at steps as large as Adam's would be, so that it takes Adam's learning rate and weight decay (Liu et al. 2025,
    arXiv:2502.16982); what are no such matrices (biases, normalisation, depthwise filters, the first layer, the head)
    goes by AdamW.

    `network` is where it is trained, its memory in its final format: it must not be moved afterwards.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, steps_per_epoch: int) -> None:
        self._network, self._every_step = network, recipe.scheduler == "onecycle"
        parameters = list(network.parameters())
        filters = [p for p in network.get_submodule("features").parameters() if p.ndim == 4 and p.shape[1] > 1]
        self._as_matrices = [(p, _matrix(p)) for p in filters] if recipe.optimizer == "muon" else []
        others = [p for p in parameters if all(p is not own for own, _ in self._as_matrices)]
        kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
        how: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
        self._optimisers: list[torch.optim.Optimizer] = [kind(others, **how)]
        if self._as_matrices:
            matrices = [matrix for _, matrix in self._as_matrices]
            self._optimisers.append(Muon(matrices, adjust_lr_fn="match_rms_adamw", **how))
        self._schedules = [_schedule(of, recipe, steps_per_epoch) for of in self._optimisers]

    def zero_grad(self) -> None:
        """Before a step's backward pass."""
        self._network.zero_grad()

    def step(self) -> None:
        """After it."""
        for weight, matrix in self._as_matrices:
            assert weight.grad is not None
            matrix.grad = _laid_out(weight.grad, weight).reshape(matrix.shape)
        for optimiser in self._optimisers:
            optimiser.step()
        if self._every_step:
            for schedule in self._schedules:
                schedule.step()

    def end_epoch(self, loss: float) -> None:
        """After the last step of an epoch. Its loss, in training where nothing is validated, matters to a plateau's
        schedule alone."""
        for schedule in [] if self._every_step else self._schedules:
            plateau = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
            schedule.step(*[loss] if plateau else [])

    def state_dict(self) -> dict[str, list[dict[str, Any]]]:
        """What `load_state_dict` takes, after the network has been given its weights back."""
        return {
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
            "schedules": [schedule.state_dict() for schedule in self._schedules],
        }

    def load_state_dict(self, state: dict[str, list[dict[str, Any]]]) -> None:
        """Go on from there."""
        for optimiser, saved in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        for schedule, saved in zip(self._schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)


class Muon(torch.optim.Muon):
    """torch's, with steps as large as AdamW's ("match_rms_adamw"), but that a processor which only emulates bfloat16 is
    given float32: without, an update took longer than the forward and the backward pass together
    (docs/decisions.md)."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move every matrix once. Takes no closure."""
        for group in self.param_groups:
            rate, decay, momentum = group["lr"], group["weight_decay"], group["momentum"]
            for matrix in group["params"]:
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                average = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
                ahead = matrix.grad.lerp(average, momentum)  # Nesterov's
                update = _orthogonal(ahead, group["ns_coefficients"], group["ns_steps"], group["eps"])
                matrix.mul_(1 - rate * decay)
                matrix.add_(update, alpha=-rate * 0.2 * math.sqrt(max(matrix.shape)))


def _orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """The nearest matrix whose singular values are all about 1, by Newton and Schulz's iteration (Jordan 2024)."""
    a, b, c = coefficients
    x = matrix.bfloat16() if multiplies_bfloat16(matrix.device) else matrix
    tall = len(x) > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def _matrix(weight: Tensor) -> nn.Parameter:
    """(out, in, h, w) filters as a matrix of `out` rows that shares their memory."""
    return nn.Parameter(_laid_out(weight.detach(), weight).view(len(weight), math.prod(weight.shape[1:])))


def _laid_out(values: Tensor, weight: Tensor) -> Tensor:
    """Values of a weight's shape, its axes in the order in which it lies in memory."""
    return values if weight.is_contiguous() else values.permute(0, 2, 3, 1)


def _schedule(optimiser: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int) -> Any:
    if recipe.scheduler == "onecycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            recipe.learning_rate,
            total_steps=recipe.epochs * steps_per_epoch,
            pct_start=0.15,
            cycle_momentum=not isinstance(optimiser, torch.optim.Muon),
        )
    if recipe.scheduler == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.epochs)
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, patience=recipe.patience // 3)
