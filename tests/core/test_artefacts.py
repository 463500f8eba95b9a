import pytest
import torch

from core.artefacts import annotated, cupped, mark_margins, smeared, streaked


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def heads(n=6, side=64):
    """Grey discs with a white rim on black."""
    line = torch.linspace(-1, 1, side)
    away = torch.hypot(line[None], line[:, None])
    return torch.where(away < 0.7, 0.4, torch.where(away < 0.8, 1.0, 0.0)).expand(n, 1, side, side).clone()


@pytest.mark.parametrize("vary", [smeared, streaked, cupped, annotated])
def test_the_same_seed_draws_the_same_and_what_was_given_is_left_alone(vary):
    x = heads()
    first, again, other = (vary(x, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(x, heads())
    assert first.shape == x.shape


@pytest.mark.parametrize("vary", [smeared, streaked, cupped, annotated])
def test_no_scan_is_no_trouble(vary):
    assert vary(torch.empty(0, 1, 32, 32), seeded()).shape == (0, 1, 32, 32)


def test_a_head_that_moved_is_blurred_at_its_rim_and_the_same_inside():
    x, smeared_ = heads(), smeared(heads(), seeded())
    torch.testing.assert_close(smeared_[:, :, 26:38, 26:38], x[:, :, 26:38, 26:38])
    torch.testing.assert_close(smeared_.mean(), x.mean(), rtol=0.05, atol=0)
    partly = ((smeared_ > 0.45) & (smeared_ < 0.95)).float().mean()
    assert partly > 4 * ((x > 0.45) & (x < 0.95)).float().mean() + 0.01, "the rim is neither bone nor brain"


def test_streaks_cross_the_head_and_not_the_air():
    x, with_streaks = heads(), streaked(heads(), seeded())
    changed = (with_streaks - x).abs() > 0.01
    assert not changed[x == 0].any()
    assert (changed.flatten(1).float().mean(dim=1) > 0.01).all()
    assert (with_streaks - x).abs().max() < 0.5


def test_cupping_brightens_brain_at_the_skull_all_around_and_hardly_in_the_middle():
    x, bright = heads(40, 128), cupped(heads(40, 128), seeded())
    line = torch.linspace(-1, 1, 128)
    away = torch.hypot(line[None], line[:, None])
    added = (bright - x)[:, 0]
    at_skull = added[:, (away > 0.64) & (away < 0.7)]
    assert (at_skull.mean(dim=1) > 5 * added[:, away < 0.2].mean(dim=1).abs()).float().mean() > 0.7
    assert (at_skull.mean(dim=1) < 0).any(), "some are corrected too much"
    assert at_skull.mean(dim=1).max() * 120 > 10, "HU"
    assert added.abs().max() <= 0.5
    brightest = added[at_skull.mean(dim=1).argmax()]
    sides = [brightest[(away > 0.64) & (away < 0.7) & half].mean() for half in (line[None] < 0, line[None] > 0)]
    torch.testing.assert_close(*sides, rtol=0.1, atol=0)


def test_arrows_are_small_and_of_one_shade():
    x, pointed_at = heads(40), annotated(heads(40), seeded())
    for before, after in zip(x, pointed_at, strict=True):
        drawn = after[before != after]
        assert len(drawn.unique()) <= 1
        assert len(drawn) < 0.2 * after.numel()
    inked = (x != pointed_at).flatten(1).any(dim=1)
    assert inked.float().mean() > 0.8
    assert (pointed_at[x != pointed_at] == 1).float().mean() > 0.4, "mostly white"


def test_marks_stay_in_the_margins():
    x = torch.zeros(50, 1, 64, 64)
    mark_margins(x, seeded(), share=1.0)
    assert (x.amax(dim=(1, 2, 3)) >= 0.5).all()
    assert x[:, :, 14:50, 14:50].max() == 0
