import math

import pytest
import torch
from torch import nn

import core.optimise
from core.optimise import Muon, Optimiser
from core.settings import Recipe

RECIPE = Recipe(optimizer="muon", learning_rate=0.01, weight_decay=0, scheduler="plateau", patience=3)


class Small(nn.Module):
    """One layer of each kind that is moved in a way of its own."""

    def __init__(self):
        super().__init__()
        layers = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, groups=16)
        self.features = nn.ModuleList(layers)
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, x):
        for layer in self.features:
            x = torch.tanh(layer(x))
        return self.head(x).amax(dim=(2, 3))


def small(memory_format=torch.contiguous_format):
    torch.manual_seed(0)
    return Small().to(memory_format=memory_format)


def stepped(network, recipe=RECIPE, steps=1, optimiser=None):
    """The network after some steps, and what moves it."""
    optimiser = optimiser or Optimiser(network, recipe, steps_per_epoch=10)
    x = torch.randn(6, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x), torch.tensor([0, 1] * 3)).backward()
        optimiser.step()
    return network, optimiser


def moved_by(before, after):
    return {name: (after.get_parameter(name) - p).detach() for name, p in before.named_parameters()}


def test_muon_moves_filters_alike_in_all_directions_and_as_far_as_adam_would():
    moves = moved_by(small(), stepped(small())[0])
    for name, inputs in (("features.1.weight", 72), ("features.2.weight", 16)):
        matrix = moves[name].flatten(1)
        stretched = torch.linalg.svdvals(matrix) / (RECIPE.learning_rate * 0.2 * math.sqrt(max(16, inputs)))
        assert stretched.max() < 1.5, name
        assert stretched.median() > 0.5, name
        assert 0.1 < matrix.square().mean().sqrt() / RECIPE.learning_rate < 0.3  # Adam's steps have about 0.2


SHAPES = (16, 72), (48, 16), (16, 16)


def orthogonalised(kind, steps=4):
    """Matrices after some steps of an optimiser."""
    generator = torch.Generator().manual_seed(2)
    matrices = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    optimiser = kind(matrices, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(steps):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape, generator=generator)
        optimiser.step()
    return matrices


@pytest.mark.parametrize("native", [True, False])
def test_muon_steps_as_torchs_does_and_where_bfloat16_is_emulated_as_exactly_in_float32(native, monkeypatch):
    monkeypatch.setattr(core.optimise, "multiplies_bfloat16", lambda device: native)
    used = set()
    multiply = torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda x, *others, **how: used.add(x.dtype) or multiply(x, *others, **how))
    ours = orthogonalised(Muon)
    assert used == {torch.bfloat16 if native else torch.float32}
    for own, theirs, start in zip(ours, orthogonalised(torch.optim.Muon), orthogonalised(Muon, steps=0), strict=True):
        if native:
            assert torch.equal(own, theirs)
        assert (own - theirs).norm() < 0.05 * (theirs - start).norm()


@pytest.mark.parametrize("name", ["features.0.weight", "features.3.weight", "features.1.bias", "head.weight"])
def test_what_is_no_matrix_of_filters_goes_by_adamw(name):
    muon = moved_by(small(), stepped(small())[0])[name]
    adamw = moved_by(small(), stepped(small(), RECIPE.model_copy(update={"optimizer": "adamw"}))[0])[name]
    assert muon.abs().max() > 0
    torch.testing.assert_close(muon, adamw)


def test_where_the_channels_lie_in_memory_does_not_matter():
    first, last = (stepped(small(order))[0] for order in (torch.contiguous_format, torch.channels_last))
    assert not last.features[1].weight.is_contiguous()
    moves, others = moved_by(small(), first), moved_by(small(), last)
    for name, move in moves.items():
        assert torch.cosine_similarity(move.flatten(), others[name].flatten(), dim=0) > 0.98, name


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_what_is_saved_goes_on_with_the_same_steps(optimizer):
    recipe = RECIPE.model_copy(update={"optimizer": optimizer, "scheduler": "onecycle", "epochs": 2})
    whole, _ = stepped(small(), recipe, steps=6)
    begun, optimiser = stepped(small(), recipe, steps=3)
    other = small()
    other.load_state_dict(begun.state_dict())
    again = Optimiser(other, recipe, steps_per_epoch=10)
    again.load_state_dict(optimiser.state_dict())
    stepped(other, steps=3, optimiser=again)
    for name, p in whole.named_parameters():
        assert torch.equal(other.get_parameter(name), p), name


def test_a_plateau_makes_all_steps_smaller():
    _, optimiser = stepped(small())
    for _ in range(4):
        optimiser.end_epoch(1.0)
    rates = [group["lr"] for state in optimiser.state_dict()["optimisers"] for group in state["param_groups"]]
    assert len(rates) == 2
    assert all(rate == pytest.approx(0.001) for rate in rates)
