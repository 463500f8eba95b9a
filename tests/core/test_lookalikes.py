from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from core.anatomy import BONE_HU, anatomy
from core.lookalikes import DENSE, aged, dense, likely, lookalike, watery, wide_ventricles
from tests.core.slices import at_the_base, base


def test_ageing_widens_the_fluid_spaces_on_both_sides():
    for seed in range(6):
        hu, brain = base(seed)
        old = anatomy(aged(hu, brain, np.random.default_rng(seed)))
        assert old.fluid.sum() > brain.fluid.sum()
        grown = old.fluid & ~brain.fluid
        for side in (-1, 1):
            assert (grown & (brain.x * side > 0)).sum() > 0.2 * grown.sum()


def test_pale_white_matter_is_alike_on_both_sides():
    changes = []
    for seed in range(12):
        hu, brain = base(seed)
        change = aged(hu, brain, np.random.default_rng(seed)) - hu
        tissue = brain.brain & ~brain.fluid & (brain.depth > 0.15)
        changes.append([change[tissue & (brain.x * side > 0.1)].mean() for side in (1, -1)])
    left, right = np.array(changes).T
    assert min(left.min(), right.min()) < -1, "now and then it is pale"
    np.testing.assert_allclose(left, right, atol=1.5)


@pytest.mark.parametrize("name", DENSE)
def test_what_is_dense_is_small_bright_and_inside_the_head(name):
    found = 0
    for seed in range(8):
        hu, brain = base(seed)
        drawn = DENSE[name](hu, brain, np.random.default_rng(seed))
        change = drawn - hu
        assert np.isfinite(drawn).all()
        assert (change[~brain.brain] == 0).all()
        assert change.min() > -1e-3
        assert (change > 5).sum() < 0.12 * brain.brain.sum()
        found += change.max() > 5
    assert found >= 6


def test_a_calcified_plexus_is_denser_than_blood_and_behind():
    spots = []
    for seed in range(10):
        hu, brain = base(seed)
        spot = (DENSE["plexus"](hu, brain, np.random.default_rng(seed)) > BONE_HU) & brain.brain & (hu < BONE_HU)
        spots.append(brain.y[spot].mean() if spot.any() else np.nan)
    assert np.isfinite(spots).sum() >= 7
    assert np.nanmin(spots) > 0


def test_a_transverse_sinus_is_drawn_at_the_base_alone():
    def off_the_midline(hu, brain, seed):
        change = DENSE["sinus"](hu, brain, np.random.default_rng(seed)) - hu
        return abs(np.average(brain.x, weights=change)) > 0.3

    assert not any(off_the_midline(*base(seed), seed) for seed in range(20))
    assert any(off_the_midline(*at_the_base(seed), seed) for seed in range(20))


def test_a_watery_brain_is_paler_everywhere_but_at_the_falx_and_the_skull():
    for seed in range(6):
        hu, brain = base(seed)
        change = watery(hu, brain, np.random.default_rng(seed)) - hu
        tissue = brain.brain & ~brain.fluid & (brain.depth > 0.1) & (np.abs(brain.x) > 0.15)
        assert np.median(change[tissue]) < -4
        assert max(abs(change[tissue & (brain.x > 0)].mean() - change[tissue & (brain.x < 0)].mean()), 0) < 1.5
        falx = brain.brain & (np.abs(brain.x) < 0.01) & (brain.y < -0.35) & (brain.depth > 0.1)
        assert np.median(change[falx]) > np.median(change[tissue]) / 2
        assert (change[~brain.brain] == 0).all()


def test_bone_met_in_part_fades_into_the_brain_where_a_clot_would_end():
    for seed in range(8):
        hu, brain = base(seed)
        change = DENSE["slope"](hu, brain, np.random.default_rng(seed)) - hu
        rims = [change[brain.brain & (brain.depth > at) & (brain.depth < at + 0.03)].mean() for at in (0, 0.03, 0.06)]
        assert rims[0] > 2 * rims[1] > 4 * rims[2] >= 0


def test_a_slice_shows_only_what_its_level_has():
    hu, brain = next((hu, brain) for hu, brain in map(base, range(30)) if brain.at_ventricles)
    assert set(likely(brain)) <= set(DENSE)
    assert "plexus" in likely(brain)
    assert "arteries" not in likely(brain)
    assert not np.array_equal(dense(hu, brain, np.random.default_rng(0)), hu)


def test_a_look_alike_says_what_it_is_and_the_same_seed_draws_the_same():
    hu, brain = base()
    kinds = set()
    for seed in range(40):
        kind, drawn = lookalike(hu, brain, np.random.default_rng(seed))
        again = lookalike(hu, brain, np.random.default_rng(seed))
        assert again[0] == kind
        np.testing.assert_array_equal(again[1], drawn)
        assert drawn.dtype == np.float32
        kinds.add(kind)
    assert kinds == {"aged", "dense", "aged, dense", "watery"}


def test_wide_ventricles_hold_more_fluid_and_push_outwards_what_lies_around():
    for seed in range(6):
        hu, brain = base(seed)
        wide = anatomy(wide_ventricles(hu, brain, np.random.default_rng(seed)))
        deep = (brain.depth > 0.3) & (np.abs(brain.x) < 0.5)
        assert (wide.fluid & deep).sum() > 1.1 * (brain.fluid & deep).sum()
        assert brain.fluid[brain.depth < 0.08].mean() == pytest.approx(wide.fluid[brain.depth < 0.08].mean(), abs=0.02)


def test_what_lies_beside_a_ventricle_that_widens_is_pushed_outwards():
    hu, brain = base()
    deep = brain.fluid & (brain.depth > 0.3) & (np.abs(brain.x) < 0.45)
    away = ndimage.distance_transform_edt(~deep) / brain.radius
    mark = (away > 0.06) & (away < 0.1) & (brain.depth > 0.2)
    marked = np.where(mark, 75, hu).astype(np.float32)
    for seed in range(6):
        wide = wide_ventricles(marked, brain, np.random.default_rng(seed))
        still = brain.brain & (wide > 60) & (brain.depth > 0.12) & (away < 0.4)
        assert away[still].mean() > away[mark].mean() + 0.01


def test_the_ventricles_of_one_side_can_be_widened_alone():
    hu, brain = base()
    for side in (-1, 1):
        change = wide_ventricles(hu, brain, np.random.default_rng(0), side) - hu
        assert np.abs(change[brain.brain & (brain.x * side < -0.12)]).max() == 0
        assert np.abs(change[brain.brain & (brain.x * side > 0)]).max() > 10


def test_where_no_ventricle_shows_none_is_widened():
    hu, brain = base()
    none = replace(brain, fluid=np.zeros_like(brain.fluid))
    np.testing.assert_array_equal(wide_ventricles(hu, none, np.random.default_rng(0)), hu)
