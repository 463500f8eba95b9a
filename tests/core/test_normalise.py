import pytest
import torch

from core.normalise import BRAIN_GREY, centred, lying


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


def test_centring_takes_back_how_the_window_was_set():
    usual = centred(head_of_any_window(40, 120))
    inside = (torch.linspace(-1, 1, 96)[:, None] ** 2 + torch.linspace(-1, 1, 96) ** 2 < 0.5)[None, None]
    assert usual[inside].mean().abs() < 0.15
    for level, width in ((40, 80), (35, 60), (50, 200), (100, 300)):
        other = centred(head_of_any_window(level, width))
        assert other[inside].mean().abs() < 0.2
        assert 0.5 < other[inside].std() / usual[inside].std() < 2, "the width is taken back in part"


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_centring_an_even_image_gives_finite_numbers(value):
    out = centred(torch.full((1, 1, 64, 64), value))
    assert torch.isfinite(out).all()
    assert out.abs().max() <= 2
