import math

import pytest
import torch
import torch.nn.functional as F

from core.augment import moved
from core.normalise import BRAIN_GREY, CENTRINGS, COARSE, FINE, Centring, centred, is_flat, lying, reflection


def ellipse(tall: int, wide: int) -> torch.Tensor:
    """(1, 1, 96, 96), a head with something bright on one side."""
    rows, columns = torch.meshgrid(torch.arange(96) - 47.5, torch.arange(96) - 47.5, indexing="ij")
    head = ((rows / tall) ** 2 + (columns / wide) ** 2 < 1).float() * BRAIN_GREY
    head[30:40, 30:40] = 0.9
    return head[None, None]


def test_a_head_lies_where_it_is_wider_than_tall():
    heads = torch.cat([ellipse(44, 36), ellipse(36, 44), ellipse(40, 40), torch.zeros(1, 1, 96, 96)])
    assert lying(heads).tolist() == [False, True, False, False]


def head_of_any_window(level, width, noise=0.01):
    """A grey disc of brain in a bright ring, as a window of that level and width would show it."""
    torch.manual_seed(0)
    line = torch.linspace(-1, 1, 96)
    r = (line[:, None] ** 2 + line**2).sqrt()
    brain = 35 + 4 * torch.sin(9 * line)[None] + 100 * noise * torch.randn(96, 96)
    hu = torch.where(r < 0.75, brain, torch.where(r < 0.9, 900.0, -1000.0))
    return ((hu - level) / width + 0.5).clamp(0, 1)[None, None]


@pytest.mark.parametrize(("how", "most"), [(COARSE, 2), (FINE, 1.25)])
def test_centring_takes_back_how_the_window_was_set(how, most):
    usual = centred(head_of_any_window(40, 120), how)
    inside = (torch.linspace(-1, 1, 96)[:, None] ** 2 + torch.linspace(-1, 1, 96) ** 2 < 0.5)[None, None]
    assert usual[inside].mean().abs() < 0.15
    for level, width in ((40, 80), (35, 60), (50, 200), (100, 300)):
        other = centred(head_of_any_window(level, width), how)
        assert other[inside].mean().abs() < 0.2
        assert 1 / most < other[inside].std() / usual[inside].std() < most, "the width is taken back, or in part"


def test_brain_that_is_nearly_one_grey_is_flat():
    usual, wide, bone = (head_of_any_window(level, width) for level, width in ((40, 120), (50, 250), (400, 2000)))
    assert is_flat(torch.cat([usual, wide, bone, torch.zeros_like(bone)])).tolist() == [False, False, True, False]


def test_models_of_before_are_centred_as_they_were_trained():
    assert Centring(patches=40, usual=0.045, trust=0.6, limits=(0.008, 0.12), unit=6) == CENTRINGS["image"]


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_centring_an_even_image_gives_finite_numbers(value):
    out = centred(torch.full((1, 1, 64, 64), value))
    assert torch.isfinite(out).all()
    assert out.abs().max() <= 2


def two_sided_head() -> torch.Tensor:
    """(1, 1, 96, 96), a head whose two sides are alike, with ventricles and a skull."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    r = ((rows / 0.8) ** 2 + (columns / 0.66) ** 2).sqrt()
    head = torch.where(r < 0.88, BRAIN_GREY, torch.where(r < 1, 1.0, 0.0))
    ventricles = ((rows + 0.1) / 0.3) ** 2 + ((columns.abs() - 0.14) / 0.09) ** 2 < 1
    front = ((rows + 0.62) ** 2 + columns**2).sqrt() < 0.08
    return torch.where(ventricles, 0.2, torch.where(front, 0.9, head))[None, None]


def turned(x: torch.Tensor, degrees: float, shift: float = 0.0) -> torch.Tensor:
    a = math.radians(degrees)
    return moved(x, torch.tensor([[[math.cos(a), -math.sin(a), shift], [math.sin(a), math.cos(a), -shift]]]))


@pytest.mark.parametrize("degrees", [0, 4, -11, 25, 60, 90, 180])
def test_across_the_midline_a_head_is_its_own_mirror_image(degrees):
    head = turned(two_sided_head(), degrees, shift=0.05)
    grid = F.affine_grid(reflection(head, centred(head)), list(head.shape), align_corners=False)
    other = F.grid_sample(head, grid, align_corners=False)
    assert (other - head).abs().mean() < 0.03
    assert (F.grid_sample(head, grid.roll(6, 1), align_corners=False) - head).abs().mean() > 0.08, "a false one"


def test_the_midline_of_a_head_that_is_not_there_is_upright():
    nothing = torch.zeros(1, 1, 64, 64)
    torch.testing.assert_close(reflection(nothing, nothing), torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]))
