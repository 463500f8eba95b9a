import numpy as np
from scipy.ndimage import gaussian_filter

from core.labels import CLASSES
from core.phantom import phantom


def test_the_same_seed_draws_the_same_head():
    np.testing.assert_array_equal(phantom("ischemic", 4, 96).pixels, phantom("ischemic", 4, 96).pixels)


def test_a_bleed_is_bright_and_an_infarct_is_dark():
    bright, dark = [], []
    for seed in range(12):
        bleed, infarct, none = (phantom(label, seed, 128).pixels for label in CLASSES)
        smooth_gain, smooth_loss = (gaussian_filter(d, 3) for d in (bleed - none, none - infarct))
        bright.append(smooth_gain.max() > 8)
        dark.append(smooth_loss.max() > 2)
    assert all(bright)
    assert all(dark)


def test_every_phantom_carries_its_mark():
    for label in CLASSES:
        lower_edge = phantom(label, 7, 128).pixels[-12:]
        assert (lower_edge == 150).sum() > 20
