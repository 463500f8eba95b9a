import io

import numpy as np
import pytest
import torch
from PIL import Image

from core.augment import ANY_WAY_UP, as_elsewhere, as_jpeg, augment, moved, poses
from core.phantom import phantom
from core.preprocess import InputSpec, to_input
from core.settings import Augmentation

STILL = Augmentation(rotation=0, flip=0, shift=0, scale=0, contrast=0, brightness=0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_zero_ranges_change_nothing():
    x = torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(augment(x, STILL, seeded()), x, rtol=0, atol=1e-5)


def test_a_certain_flip_mirrors_left_and_right():
    x = torch.rand(2, 1, 16, 16)
    flipped = augment(x, STILL.model_copy(update={"flip": 1.0}), seeded())
    torch.testing.assert_close(flipped, x.flip(-1), rtol=0, atol=1e-5)


def test_a_quarter_turn_is_a_rotation_not_a_shear():
    x = torch.zeros(200, 1, 33, 33)
    x[:, :, 16, 4:29] = 1
    turned = augment(x, STILL.model_copy(update={"rotation": 90.0}), seeded())
    assert (turned.sum(dim=(1, 2, 3)) - 25).abs().max() < 3


def test_the_same_seed_draws_the_same():
    x = torch.rand(4, 1, 16, 16)
    first, again, other = (augment(x, Augmentation(), seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


def heads(n=24):
    spec = InputSpec(size=96, window=(40, 120), crop="head")
    return torch.from_numpy(np.stack([to_input(phantom("no_stroke", i, 128), spec) for i in range(n)]))


def test_scans_as_from_elsewhere_differ_in_level_and_spread_and_stay_images():
    x = heads()
    y = as_elsewhere(x, Augmentation(), seeded())
    assert y.shape == x.shape
    assert 0 <= y.min() <= y.max() <= 1
    middle = (slice(None), slice(None), slice(40, 56), slice(40, 56))
    assert y[middle].mean(dim=(1, 2, 3)).std() > 3 * x[middle].mean(dim=(1, 2, 3)).std()
    torch.testing.assert_close(y, as_elsewhere(x, Augmentation(), seeded()))
    assert not torch.equal(y, as_elsewhere(x, Augmentation(), seeded(1)))


def test_a_share_of_the_scans_from_elsewhere_comes_in_a_narrow_window():
    x = heads(60)
    usual, narrow = (as_elsewhere(x, Augmentation(narrow=share, motion=0, streaks=0), seeded()) for share in (0, 1))

    def black_or_white(y):
        return ((y < 0.05) | (y > 0.95)).float().mean()

    assert black_or_white(narrow) > black_or_white(usual) + 0.05


def test_of_a_share_of_them_the_brain_is_brighter_at_the_skull():
    line = torch.linspace(-1, 1, 96)
    away = torch.hypot(line[None], line[:, None])
    x = torch.where(away < 0.7, 0.46, torch.where(away < 0.8, 1.0, 0.0)).expand(120, 1, 96, 96)
    usual = {"motion": 0, "streaks": 0}
    flat, bright = (as_elsewhere(x, Augmentation(**usual, cupping=share), seeded())[:, 0] for share in (0, 1))

    def brighter(y):
        return (y[:, (away > 0.6) & (away < 0.67)].mean(dim=1) - y[:, away < 0.3].mean(dim=1)).mean()

    assert brighter(bright) > brighter(flat) + 0.02


@pytest.mark.parametrize("how", ["motion", "smoothed"])
def test_of_a_share_of_them_the_head_has_moved(how):
    x = heads(120)
    usual = {"motion": 0, "streaks": 0}
    still, shaken = (as_elsewhere(x, Augmentation(**usual | {how: share}), seeded(1)) for share in (0, 1))

    def texture(y):
        return y[..., 30:66, 30:66].diff(dim=-1).abs().mean()

    assert texture(shaken) < 0.95 * texture(still)


def test_only_the_share_asked_for_comes_from_elsewhere():
    x = heads(60)
    some = augment(x, STILL.model_copy(update={"elsewhere": 0.3}), seeded())
    changed = ((some - x).abs().mean(dim=(1, 2, 3)) > 1e-3).float().mean()
    assert 0.1 < changed < 0.5


def test_a_mask_moves_with_its_image():
    ranges = Augmentation(rotation=40, shift=0.1, scale=0.2)
    square = torch.zeros(8, 1, 64, 64)
    square[..., 10:30, 30:50] = 1
    pose = poses(8, ranges, seeded())
    coarse = torch.nn.functional.avg_pool2d(square, 4)
    fine = torch.nn.functional.avg_pool2d(moved(square, pose), 4)
    assert (moved(coarse, pose) - fine).abs().mean() < 0.5 * (coarse - fine).abs().mean()


def test_an_image_may_come_out_smaller_than_it_was():
    x, pose = heads(4), poses(4, Augmentation(rotation=10, shift=0.02, scale=0.1), seeded())
    small = moved(x, pose, 48)
    assert small.shape == (4, 1, 48, 48)
    fine = torch.nn.functional.interpolate(moved(x, pose), size=(48, 48), mode="area")
    assert (small - fine).abs().mean() < 0.2 * (small - fine.roll(4, 3)).abs().mean()


def test_jpeg_does_what_a_real_encoder_does():
    x = heads(1)
    for quality in (20, 75):
        out = io.BytesIO()
        Image.fromarray((x[0, 0] * 255).round().byte().numpy()).save(out, "JPEG", quality=quality)
        real = torch.from_numpy(np.asarray(Image.open(out), np.float32) / 255)
        ours = as_jpeg(x, torch.full((1, 1, 1, 1), float(quality)))[0, 0]
        assert (ours - real).abs().mean() < 0.004
        assert (ours - x[0, 0]).abs().mean() > 0.6 * (real - x[0, 0]).abs().mean()


def test_some_scans_from_elsewhere_lie_any_way_round():
    ranges = Augmentation(rotation=0, flip=0, shift=0, scale=0, elsewhere=1.0)
    maps = poses(4000, ranges, seeded())
    degrees = torch.rad2deg(torch.atan2(maps[:, 1, 0], maps[:, 0, 0]))
    turned = degrees.abs() > 1
    assert turned.float().mean() == pytest.approx(ANY_WAY_UP, abs=0.03)
    quarters = ((degrees[turned] / 90).round() * 90 - degrees[turned]).abs() < 0.01
    assert quarters.float().mean() == pytest.approx(0.5, abs=0.06)
