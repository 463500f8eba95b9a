import numpy as np
import pytest

from core.infarcts import AGES, TERRITORIES, simulate_infarct
from core.lesions import VISIBLE, clutter_of, contrast_to_noise
from tests.core.slices import at_the_base, base, change_inside, drawn


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
        assert contrast_to_noise(hu, lesion.hu, lesion.mask, clutter_of(hu, brain)) > VISIBLE


def test_an_infarct_leaves_a_calcification_as_it_is():
    def calcified(seed):
        hu, brain = base(seed)
        hu = np.where(brain.brain & (np.hypot(np.abs(brain.x) - 0.45, brain.y) < 0.06), 180, hu).astype(np.float32)
        return hu, brain

    covered = 0
    for hu, _, lesion in drawn(lambda h, b, rng: simulate_infarct(h, b, rng, "MCA", "chronic"), of=calcified):
        spot = hu == 180
        covered += (spot & (lesion.mask > 0.9)).sum()
        np.testing.assert_array_equal(lesion.hu[spot], 180)
    assert covered > 100


def test_a_lacune_lies_in_tissue():
    for _, brain, lesion in drawn(lambda h, b, rng: simulate_infarct(h, b, rng, "lacunar")):
        inside = lesion.mask > 0.8
        assert not (inside & brain.fluid).any()


def test_in_the_posterior_fossa_all_infarcts_are_of_the_cerebellum():
    for _, _, lesion in drawn(simulate_infarct, range(30), at_the_base):
        assert lesion.kind.startswith("cerebellar")


def test_at_the_base_a_branch_of_the_mca_feeds_the_temporal_lobe():
    def wide(seed):
        return at_the_base(seed, 0.35)

    for _, brain, lesion in drawn(lambda h, b, rng: simulate_infarct(h, b, rng, "MCA branch"), range(12), wide):
        assert brain.y[lesion.mask > 0.6].mean() < 0.15
    kinds = {lesion.kind.split(",")[0] for _, _, lesion in drawn(simulate_infarct, range(40), wide)}
    assert kinds == {"cerebellar", "PCA", "MCA branch"}


def test_the_same_seed_draws_the_same():
    hu, brain = base()
    one, again, other = (simulate_infarct(hu, brain, np.random.default_rng(s), "MCA") for s in (1, 1, 2))
    np.testing.assert_array_equal(one.hu, again.hu)
    assert not np.array_equal(one.hu, other.hu)
