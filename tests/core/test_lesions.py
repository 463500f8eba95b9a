import numpy as np
import pytest

from core.anatomy import anatomy
from core.lesions import (
    AGES,
    COMPARTMENTS,
    TERRITORIES,
    VISIBLE,
    contrast_to_noise,
    simulate_hemorrhage,
    simulate_infarct,
)
from core.phantom import phantom

SIDE = 160


def base(seed=0):
    hu = phantom("no_stroke", seed, SIDE).pixels
    return hu, anatomy(hu)


def drawn(make, seeds=range(12)):
    """The lesions of several draws, those without room left out."""
    found = []
    for seed in seeds:
        hu, brain = base(seed)
        lesion = make(hu, brain, np.random.default_rng(seed))
        if lesion:
            found.append((hu, brain, lesion))
    assert found
    return found


def change_inside(hu, lesion):
    inside = lesion.mask > 0.6
    return float((lesion.hu - hu)[inside].mean())


@pytest.mark.parametrize("territory", TERRITORIES)
def test_an_infarct_is_darker_than_what_it_replaces_and_on_one_side(territory):
    changes = []
    for hu, brain, lesion in drawn(lambda h, b, rng: simulate_infarct(h, b, rng, territory, "subacute")):
        assert lesion.kind == f"{territory}, subacute"
        inside = lesion.mask > 0.6
        if (tissue := inside & ~brain.fluid).any():
            changes.append((lesion.hu - hu)[tissue].mean())
        if inside.any():
            x = brain.x[inside]
            assert max((x > -0.02).mean(), (x < 0.02).mean()) > 0.6, "one hemisphere, but for a soft border at the falx"
    assert np.median(changes) < -4


def test_an_infarct_darkens_with_age():
    depth = {
        age: np.mean(
            [change_inside(h, le) for h, _, le in drawn(lambda h, b, rng, a=age: simulate_infarct(h, b, rng, "MCA", a))]
        )
        for age in AGES
    }
    assert 0 > depth["hyperacute"] > depth["acute"] > depth["subacute"] > depth["chronic"] > -35


@pytest.mark.parametrize("territory", ["lacunar", "MCA", "watershed"])
def test_an_infarct_that_nobody_could_see_is_not_made(territory):
    for hu, brain, lesion in drawn(lambda h, b, rng: simulate_infarct(h, b, rng, territory)):
        assert contrast_to_noise(hu, lesion.hu, lesion.mask, brain) > VISIBLE


def test_contrast_to_noise_is_that_of_a_disc_in_noise():
    """Rose's formula: contrast over noise, times the root of the number of places that an eye tells apart."""
    hu, brain = base()
    tissue = np.array(brain.brain, np.float32)
    line = np.arange(SIDE) - SIDE / 2
    r = np.hypot(line[:, None], line)
    noises = {}
    for radius, drop in ((10, 5.0), (20, 5.0), (10, 10.0)):
        mask = (r < radius).astype(np.float32) * tissue
        noises[radius, drop] = contrast_to_noise(hu, hu - drop * mask, mask, brain)
    assert noises[20, 5.0] == pytest.approx(2 * noises[10, 5.0], rel=0.05)
    assert noises[10, 10.0] == pytest.approx(2 * noises[10, 5.0], rel=0.01)
    assert contrast_to_noise(hu, hu, np.ones_like(hu), brain) == 0


def test_a_lacune_lies_in_tissue():
    for _, brain, lesion in drawn(lambda h, b, rng: simulate_infarct(h, b, rng, "lacunar")):
        inside = lesion.mask > 0.8
        assert not (inside & brain.fluid).any()


def test_a_collection_draws_no_bone_into_the_brain():
    for hu, brain, lesion in drawn(lambda h, b, rng: simulate_hemorrhage(h, b, rng, "epidural")):
        beyond = brain.brain & (lesion.mask < 0.01) & (brain.depth > 0.05)
        assert lesion.hu[beyond].max() <= hu[brain.brain].max() + 0.01


@pytest.mark.parametrize("compartment", [*COMPARTMENTS, None])
def test_a_hemorrhage_that_nobody_could_see_is_not_made(compartment):
    for hu, brain, lesion in drawn(lambda h, b, rng: simulate_hemorrhage(h, b, rng, compartment)):
        assert contrast_to_noise(hu, lesion.hu, lesion.mask, brain) < -VISIBLE


@pytest.mark.parametrize("compartment", COMPARTMENTS)
def test_a_hemorrhage_is_mostly_brighter_than_what_it_replaces(compartment):
    changes = [
        change_inside(hu, lesion)
        for hu, _, lesion in drawn(lambda h, b, rng: simulate_hemorrhage(h, b, rng, compartment))
    ]
    assert np.median(changes) > 8


@pytest.mark.parametrize("compartment", ["subdural", "epidural"])
def test_a_collection_lies_against_the_skull(compartment):
    for _, brain, lesion in drawn(lambda h, b, rng: simulate_hemorrhage(h, b, rng, compartment)):
        inside = lesion.mask > 0.6
        assert brain.depth[inside].max() < 0.5 or np.abs(brain.x[inside]).max() < 0.2, "or along the falx"


def test_blood_in_the_ventricles_stays_there():
    for _, brain, lesion in drawn(lambda h, b, rng: simulate_hemorrhage(h, b, rng, "intraventricular")):
        assert (brain.fluid & (lesion.mask > 0.6)).sum() > 0.5 * (lesion.mask > 0.6).sum()


@pytest.mark.parametrize("make", [simulate_infarct, simulate_hemorrhage])
def test_nothing_outside_the_brain_changes(make):
    for hu, brain, lesion in drawn(lambda h, b, rng: make(h, b, rng)):
        outside = ~brain.brain
        np.testing.assert_array_equal(lesion.hu[outside], hu[outside].astype(np.float32))
        assert (lesion.mask[outside] == 0).all()
        assert np.isfinite(lesion.hu).all()
        assert 0 <= lesion.mask.min() <= lesion.mask.max() <= 1.001


def test_the_same_seed_draws_the_same():
    hu, brain = base()
    one, again, other = (simulate_infarct(hu, brain, np.random.default_rng(s), "MCA") for s in (1, 1, 2))
    np.testing.assert_array_equal(one.hu, again.hu)
    assert not np.array_equal(one.hu, other.hu)
