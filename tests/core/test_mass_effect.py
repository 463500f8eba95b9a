import numpy as np
import pytest

from core.labels import HEMORRHAGIC, ISCHEMIC
from core.lesions import VISIBLE, clutter_of, contrast_to_noise
from core.mass_effect import MASSIVE
from tests.core.slices import at_the_base, base, change_inside, drawn

TYPES = (HEMORRHAGIC, ISCHEMIC)
FALX_HU = 70


def with_falx(seed=0):
    """A head with a bright line down the middle of its brain."""
    hu, brain = base(seed)
    hu = np.where((np.abs(brain.x) < 0.04) & (np.abs(brain.y) < 0.6), FALX_HU, hu).astype(np.float32)
    return hu, brain


def line_at(hu, brain, where):
    """How far across the brain the line lies, seen where `where` holds."""
    line = where & (hu > FALX_HU - 12) & (np.abs(brain.x) < 0.35) & (np.abs(brain.y) < 0.6)
    return brain.x[line].mean()


@pytest.mark.parametrize("label", TYPES)
def test_the_midline_is_pushed_away_from_the_lesion(label):
    for hu, brain, lesion in drawn(MASSIVE[label], of=with_falx):
        side = np.sign((brain.x * lesion.mask).sum())
        clear = brain.brain & (lesion.mask < 0.02)
        assert (line_at(lesion.hu, brain, clear) - line_at(hu, brain, clear)) * side < 0


def test_where_half_a_brain_swells_the_midline_moves_by_some_millimetres():
    half_width = 65  # mm
    for hu, brain, lesion in drawn(MASSIVE[ISCHEMIC], range(24), of=with_falx):
        clear = brain.brain & (lesion.mask < 0.02)
        assert abs(line_at(lesion.hu, brain, clear) - line_at(hu, brain, clear)) * half_width > 2.3


@pytest.mark.parametrize("label", TYPES)
def test_outside_the_brain_nothing_changes(label):
    for hu, brain, lesion in drawn(MASSIVE[label]):
        np.testing.assert_array_equal(lesion.hu[~brain.brain], hu[~brain.brain])
        assert lesion.mask[~brain.brain].max() == 0


@pytest.mark.parametrize("label", TYPES)
def test_a_massive_lesion_is_large_one_sided_and_seen(label):
    for hu, brain, lesion in drawn(MASSIVE[label]):
        inside = lesion.mask > 0.5
        assert inside.sum() > 0.02 * brain.brain.sum()
        assert abs(brain.x[inside].mean()) > 0.15
        assert lesion.kind.endswith(", massive")
        if label == HEMORRHAGIC:
            assert abs(contrast_to_noise(hu, lesion.hu, lesion.mask, clutter_of(hu, brain))) > 0.5 * VISIBLE


@pytest.mark.parametrize("label", TYPES)
def test_the_ventricle_that_widens_is_the_other_sides(label, monkeypatch):
    asked = []
    monkeypatch.setattr("core.mass_effect.wide_ventricles", lambda hu, brain, rng, side: asked.append(side) or hu)
    seen = 0
    for seed in range(20):
        hu, brain = base(seed)
        lesion = MASSIVE[label](hu, brain, np.random.default_rng(seed))
        if lesion and asked:
            assert asked[-1] == -np.sign((brain.x * lesion.mask).sum())
            seen += 1
        asked.clear()
    assert seen


def test_blood_of_weeks_is_dark_and_fresh_blood_bright():
    changes = {"old subdural, massive": [], "subdural, massive": [], "parenchymal, massive": []}
    for hu, _, lesion in drawn(MASSIVE[HEMORRHAGIC], range(40)):
        changes[lesion.kind].append(change_inside(hu, lesion))
    assert np.median(changes["old subdural, massive"]) < -3
    assert np.median(changes["subdural, massive"]) > 8
    assert np.median(changes["parenchymal, massive"]) > 8


@pytest.mark.parametrize("label", TYPES)
def test_none_is_drawn_at_the_base(label):
    hu, brain = at_the_base()
    assert MASSIVE[label](hu, brain, np.random.default_rng(0)) is None
