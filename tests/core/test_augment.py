import torch

from core.augment import Augmentation, augment

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
