import numpy as np
import pytest

from core.hemorrhages import simulate_hemorrhage
from core.infarcts import simulate_infarct
from core.lesions import clutter_of, contrast_to_noise
from tests.core.slices import SIDE, base, drawn


def test_contrast_to_noise_is_that_of_a_disc_in_noise():
    """Rose's formula: contrast over noise, times the root of the number of places that an eye tells apart."""
    hu, brain = base()
    tissue = np.array(brain.brain, np.float32)
    line = np.arange(SIDE) - SIDE / 2
    r = np.hypot(line[:, None], line)
    noises = {}
    for radius, drop in ((10, 5.0), (20, 5.0), (10, 10.0)):
        mask = (r < radius).astype(np.float32) * tissue
        noises[radius, drop] = contrast_to_noise(hu, hu - drop * mask, mask, clutter_of(hu, brain))
    assert noises[20, 5.0] == pytest.approx(2 * noises[10, 5.0], rel=0.05)
    assert noises[10, 10.0] == pytest.approx(2 * noises[10, 5.0], rel=0.01)
    assert contrast_to_noise(hu, hu, np.ones_like(hu), clutter_of(hu, brain)) == 0


@pytest.mark.parametrize("make", [simulate_infarct, simulate_hemorrhage])
def test_nothing_outside_the_brain_changes(make):
    for hu, brain, lesion in drawn(lambda h, b, rng: make(h, b, rng)):
        outside = ~brain.brain
        np.testing.assert_array_equal(lesion.hu[outside], hu[outside].astype(np.float32))
        assert (lesion.mask[outside] == 0).all()
        assert np.isfinite(lesion.hu).all()
        assert 0 <= lesion.mask.min() <= lesion.mask.max() <= 1.001
