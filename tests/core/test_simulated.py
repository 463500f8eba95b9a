from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.dataset import DatasetError, Examples, Sample, to_bytes
from core.labels import CLASSES
from core.phantom import phantom
from core.preprocess import InputSpec
from core.settings import Simulation
from core.simulated import OUTLINE, simulate

SPEC = InputSpec(size=96, window=(40, 120), crop="head")


def examples(labels):
    inputs = [to_bytes(phantom(label, i), SPEC) for i, label in enumerate(labels)]
    samples = tuple(Sample(Path(f"{i}"), label, f"p{i}", None, f"{i + 1:064x}") for i, label in enumerate(labels))
    y = torch.tensor([CLASSES.index(label) for label in labels])
    return Examples(torch.stack(inputs), y, samples)


def test_every_slice_without_a_finding_is_used_and_no_other():
    made = simulate(
        examples(["no_stroke", "hemorrhagic", "no_stroke"]), CLASSES, SPEC.window, Simulation(per_slice=2), 0
    )
    assert {sample.patient for sample in made.samples} == {"p0", "p2"}
    assert made.x.dtype == torch.uint8
    assert made.x.shape[1:] == (1, 96, 96)
    assert made.outlines.shape[1:] == (1, OUTLINE, OUTLINE)
    assert set(made.y.tolist()) == {0, 1, 2}
    for place, sample in enumerate(made.samples):
        alike = sample.synthetic in ("aged", "dense", "aged, dense", "watery")
        assert alike == (made.y[place] == 2)
        assert (made.outlines[place].max() == 0) == alike


def test_what_was_made_is_marked_and_stays_with_its_patient():
    real = examples(["no_stroke", "no_stroke"])
    made = simulate(real, CLASSES, SPEC.window, Simulation(per_slice=3), 0)
    assert all(sample.synthetic for sample in made.samples)
    first, second = (made.of(real.at([place])) for place in (0, 1))
    assert {sample.patient for sample in second.samples} == {"p1"}
    assert len(first) + len(second) == len(made)
    tested = made.examples(CLASSES.index("ischemic"))
    assert tested.labels == ["ischemic", "ischemic"], "one for each slice"
    assert all(sample.synthetic for sample in tested.samples)


def test_of_a_patient_in_two_parts_each_part_has_what_was_made_of_its_own_slices():
    """As in a split that is taken as published: else a test would hold images that were trained on."""
    real = examples(["no_stroke", "no_stroke"])
    real = replace(real, samples=tuple(replace(sample, patient="p0") for sample in real.samples))
    made = simulate(real, CLASSES, SPEC.window, Simulation(per_slice=2), 0)
    train, test = (made.of(real.at([place])) for place in (0, 1))
    assert {sample.content_hash for sample in train.samples} == {real.samples[0].content_hash}
    assert {sample.content_hash for sample in test.samples} == {real.samples[1].content_hash}


def test_the_same_seed_makes_the_same_whatever_else_is_there():
    alone = simulate(examples(["no_stroke"]), CLASSES, SPEC.window, Simulation(per_slice=2), 5)
    among = simulate(examples(["no_stroke", "no_stroke"]), CLASSES, SPEC.window, Simulation(per_slice=2), 5)
    assert torch.equal(alone.x, among.of(examples(["no_stroke"])).x)
    assert not torch.equal(
        alone.x, simulate(examples(["no_stroke"]), CLASSES, SPEC.window, Simulation(per_slice=2), 6).x
    )


def test_look_alikes_are_not_drawn_beneath_lesions_alone():
    plain = simulate(examples(["no_stroke"]), CLASSES, SPEC.window, Simulation(lookalikes=0), 0)
    assert set(plain.y.tolist()) == {0, 1}
    bones = [(x > 250).sum() for x in plain.x]  # nothing calcified
    assert max(bones) <= 1.02 * min(bones)


def test_large_lesions_and_wide_ventricles_are_met_where_they_are_asked_for():
    slices = examples(["no_stroke"] * 4)
    plain = simulate(slices, CLASSES, SPEC.window, Simulation(), 0)
    asked = simulate(slices, CLASSES, SPEC.window, Simulation(massive=0.5, wide_ventricles=0.5), 0)
    for kind, label in (("massive", "hemorrhagic"), ("massive", "ischemic"), ("wide", "no_stroke")):
        kinds = [sample.synthetic for sample in asked.samples if sample.label == label]
        assert any(name.endswith(f", {kind}") for name in kinds)
        assert not all(name.endswith(f", {kind}") for name in kinds)
    assert not any(sample.synthetic.endswith((", massive", ", wide")) for sample in plain.samples)


def test_without_a_brain_there_is_nothing_to_simulate_in():
    with pytest.raises(DatasetError, match="crop: head"):
        simulate(examples(["hemorrhagic"]), CLASSES, SPEC.window, Simulation(per_slice=2), 0)


def test_a_few_of_them_are_of_all_classes_in_proportion():
    made = simulate(examples(["no_stroke"] * 12), CLASSES, SPEC.window, Simulation(per_slice=4), 0)
    few = made.thinned(len(made) // 5)
    assert len(few) == len(made) // 5
    for label in range(len(CLASSES)):
        share = (made.y == label).float().mean().item()
        assert (few.y == label).float().mean().item() == pytest.approx(share, abs=0.15)
    assert len(made.thinned(10**6)) == len(made)
