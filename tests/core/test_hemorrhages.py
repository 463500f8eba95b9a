from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from core.hemorrhages import COMPARTMENTS, OLD, simulate_hemorrhage
from core.lesions import VISIBLE, clutter_of, contrast_to_noise
from tests.core.slices import at_the_base, base, change_inside, drawn


def test_a_collection_draws_no_bone_into_the_brain():
    for hu, brain, lesion in drawn(lambda h, b, rng: simulate_hemorrhage(h, b, rng, "epidural")):
        beyond = brain.brain & (lesion.mask < 0.01) & (brain.depth > 0.05)
        assert lesion.hu[beyond].max() <= hu[brain.brain].max() + 0.01


@pytest.mark.parametrize("compartment", [*COMPARTMENTS, None])
def test_a_hemorrhage_that_nobody_could_see_is_not_made(compartment):
    for hu, brain, lesion in drawn(lambda h, b, rng: simulate_hemorrhage(h, b, rng, compartment)):
        darker = contrast_to_noise(hu, lesion.hu, lesion.mask, clutter_of(hu, brain))
        assert (darker if lesion.kind == OLD else -darker) > VISIBLE


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


def test_where_no_ventricle_shows_no_blood_lies_in_it():
    hu, brain = at_the_base()
    towards_the_vertex = replace(brain, low=False)
    assert not towards_the_vertex.at_ventricles
    rng = np.random.default_rng(0)
    assert simulate_hemorrhage(hu, towards_the_vertex, rng, "intraventricular") is None


def test_at_the_base_subarachnoid_blood_lies_in_the_cisterns_or_near_the_surface():
    in_cistern = 0
    for _, brain, lesion in drawn(
        lambda h, b, rng: simulate_hemorrhage(h, b, rng, "subarachnoid"), range(30), at_the_base
    ):
        deep = (lesion.mask > 0.6) & (brain.depth > 0.35)
        assert ndimage.distance_transform_edt(~brain.fluid)[deep].max(initial=0) < 4
        in_cistern += (deep & brain.fluid).any()
    assert in_cistern > 3


def test_subarachnoid_blood_leaves_the_ventricles_free():
    def filling_the_image(seed):
        hu, brain = base(seed)
        return hu, replace(brain, radius=1.2 * brain.radius)

    for _, brain, lesion in drawn(
        lambda h, b, rng: simulate_hemorrhage(h, b, rng, "subarachnoid"), range(30), filling_the_image
    ):
        assert brain.at_ventricles
        assert brain.depth[lesion.mask > 0.6].max() < 0.5


def test_now_and_then_a_subdural_is_old():
    draws = drawn(lambda h, b, rng: simulate_hemorrhage(h, b, rng, "subdural"), range(60))
    assert 0.1 < np.mean([lesion.kind == OLD for _, _, lesion in draws]) < 0.5


def test_old_blood_is_darker_than_what_it_replaces_and_on_one_side():
    for hu, brain, lesion in drawn(lambda h, b, rng: simulate_hemorrhage(h, b, rng, OLD)):
        inside = (lesion.mask > 0.6) & ~brain.fluid
        assert lesion.kind == OLD
        assert np.median(lesion.hu[inside]) < np.median(hu[inside]) - 5
        x = brain.x[inside]
        assert max((x > -0.1).mean(), (x < 0.1).mean()) > 0.8
        assert not brain.low
