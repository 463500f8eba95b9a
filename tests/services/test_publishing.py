"""What a model says of scans when it is measured, and what is kept of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core import bundle
from core.dataset import Examples, Sample
from core.labels import CLASSES
from core.manifest import Calibration
from core.settings import Recipe
from core.train import Fit, build_for
from services.models import folder_of
from services.publishing import REAL_FROM, Origin, _measured_apart, _simulated, _untried, answers_of, publish_model
from services.rules import Rules


def test_a_model_answers_what_it_neither_abstains_on_nor_flags(publish_untrained, ws):
    model = bundle.load(folder_of(ws, publish_untrained(abstain_below=1.0)))
    samples = tuple(Sample(Path(f"{i}"), CLASSES[i], f"p{i}") for i in range(3))
    part = Examples(torch.zeros(3, 1, 64, 64, dtype=torch.uint8), torch.arange(3), samples)
    p, answered = answers_of(model, part)
    assert p.shape == (3, 3)
    assert not answered.any()
    asked_for_all = replace(model, manifest=model.manifest.model_copy(update={"abstain_below": None}))
    assert answers_of(asked_for_all, part)[1].all()
    marked = replace(part, samples=(replace(samples[0], withheld=True), *samples[1:]))
    assert answers_of(asked_for_all, marked)[1].tolist() == [False, True, True]


def of_classes(*labels):
    """A part whose scans are of these classes, by place."""
    samples = tuple(Sample(Path(f"{i}"), CLASSES[label], f"p{i}") for i, label in enumerate(labels))
    return Examples(torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8), torch.tensor(labels), samples)


@pytest.mark.parametrize(("real", "simulated"), [(0, ("ischemic",)), (REAL_FROM - 1, ("ischemic",)), (REAL_FROM, ())])
def test_a_class_stays_learned_from_simulation_until_enough_real_scans_were_met(publish_untrained, ws, real, simulated):
    parent = bundle.load(folder_of(ws, publish_untrained(simulated_classes=("ischemic",)))).manifest
    assert _simulated(CLASSES, of_classes(0, 2, *[1] * real), Recipe(), parent) == simulated


def test_what_is_simulated_for_want_of_real_scans_is_said():
    recipe = Recipe(simulation={})
    assert _simulated(CLASSES, of_classes(0, 2), recipe, None) == ("ischemic",)
    assert _simulated(CLASSES, of_classes(0, 1, 2), recipe, None) == ()


def test_an_answer_that_only_simulated_scans_have_tried_is_not_called_tried():
    test = of_classes(0, 1, 2)
    drawn = replace(test, samples=(test.samples[0], replace(test.samples[1], synthetic="MCA, acute"), test.samples[2]))
    assert list(_untried({"validation": test, "test": test}, CLASSES)) == []
    assert list(_untried({"validation": of_classes(0, 1), "test": drawn}, CLASSES)) == [
        "No scan of its validation patients is no stroke: its calibration knows nothing of this answer.",
        "No scan of its test patients is ischemic but simulated ones: nobody has tested this answer on real ones.",
    ]


def test_what_a_parent_was_seen_to_mistake_is_said_of_its_child_too(publish_untrained, ws):
    seen = {"ischemic": "wide ventricles", "hemorrhagic": "arrows"}
    parent = bundle.load(folder_of(ws, publish_untrained(mistaken=seen))).manifest
    recipe = Recipe(image_size=64)
    fit, rules = Fit(build_for(recipe, CLASSES), 1, (), 0.0), Rules(Calibration(), None, {}, None)
    origin = Origin("tests", parent=parent, mistaken={"hemorrhagic": "a bright rim"})
    parts = {"train": of_classes(0, 1, 2)}
    child = publish_model(ws, fit, parts, CLASSES, recipe.input_spec, recipe, origin, rules, {})
    assert child.mistaken == {"ischemic": "wide ventricles", "hemorrhagic": "arrows; a bright rim"}


def test_what_is_simulated_is_measured_against_real_scans_without_stroke_and_never_among_real_ones():
    part = of_classes(0, 2, 1, 2, 0)
    assert dict(_measured_apart("test", part)) == {"test": [0, 1, 2, 3, 4]}
    samples = [replace(one, synthetic="MCA, acute" if place == 2 else None) for place, one in enumerate(part.samples)]
    assert dict(_measured_apart("test", replace(part, samples=tuple(samples)))) == {
        "test": [0, 1, 3, 4],
        "test, simulated ischemic scans or none": [1, 3, 2],
    }
