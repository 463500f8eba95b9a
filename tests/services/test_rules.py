from dataclasses import replace

import numpy as np
import pytest
import torch

from core.dataset import Examples, Sample, to_bytes
from core.manifest import TYPICAL_FROM
from core.network import build
from core.phantom import phantom
from core.preprocess import InputSpec
from core.settings import Augmentation, CalibrationSettings, LastStage, Recipe
from core.train import Prediction, predict
from services.rules import from_elsewhere, predict_sent, settle, typical_of

CLASSES = ("hemorrhagic", "no_stroke")
N = 400


def part() -> Examples:
    y = torch.arange(N) % 2
    samples = tuple(Sample(f"{i}.png", CLASSES[label], f"p{i // 4}") for i, label in enumerate(y.tolist()))
    return Examples(torch.zeros(N, 1, 32, 32, dtype=torch.uint8), y, samples)


def answers(sharpness: float, noise: float) -> Prediction:
    rng = torch.Generator().manual_seed(0)
    right = torch.nn.functional.one_hot(torch.arange(N) % 2, 2) * sharpness
    return Prediction(right + noise * torch.randn(N, 2, generator=rng), torch.zeros(N, 1))


def test_rules_hold_for_scans_as_they_are_and_as_sent_from_elsewhere():
    said, sent, asked = answers(6, 1.5), answers(3, 2.0), CalibrationSettings(error_rate=0.05)
    alone, both = settle(said, part(), CLASSES, asked), settle(said, part(), CLASSES, asked, sent=sent)
    assert both.calibration.temperature > alone.calibration.temperature, "less sure, for it is wrong more often there"
    p = np.concatenate([both.probabilities(way) for way in (said, sent)])
    y = np.tile(np.arange(N) % 2, 2)
    answered = p.max(axis=1) >= both.abstain_below
    assert 0 < (p.argmax(axis=1) != y)[answered].mean() <= 0.05
    assert 0.5 < answered.mean() < 1
    then = settle(said, part(), CLASSES, asked).probabilities(sent)
    kept = then.max(axis=1) >= alone.abstain_below
    assert (then.argmax(axis=1) != y[:N])[kept].mean() > 0.06, "rules of the scans as they are would not hold there"


def test_what_rules_rest_on_is_counted_once():
    said, sent = answers(6, 1.5), answers(3, 2.0)
    rules = settle(said, part(), CLASSES, CalibrationSettings(), sent=sent)
    assert rules.calibration.scans == N
    assert not rules.calibration.balanced
    assert settle(said, part(), CLASSES, CalibrationSettings(), balanced=True).calibration.balanced
    assert rules.calibration.patients == N // 4
    assert rules.operating_points["hemorrhagic"].sensitivity["n"] == N // 2


def test_too_few_scans_are_too_few_also_when_sent_in_two_ways():
    few = part().at(list(range(15)))
    said, sent = (Prediction(way.logits[:15], way.profile[:15]) for way in (answers(6, 1.5), answers(3, 2.0)))
    rules = settle(said, few, CLASSES, CalibrationSettings(), sent=sent)
    assert rules.calibration.scans == 0
    assert rules.abstain_below is None


@pytest.mark.parametrize(("elsewhere", "asks"), [(0.0, False), (0.5, True)])
def test_only_a_network_trained_on_scans_from_elsewhere_is_asked_about_them(elsewhere, asks):
    recipe = Recipe(image_size=32, width=8, augmentation=Augmentation(elsewhere=elsewhere))
    few = part().at([0, 1, 2])
    sent = predict_sent(build("stroke_cnn", CLASSES, width=8), few, recipe)
    assert (sent is not None) == asks
    assert sent is None or sent.logits.shape == (3, 2)


@pytest.mark.parametrize(("real", "says"), [(TYPICAL_FROM - 1, False), (TYPICAL_FROM, True)])
def test_what_is_made_of_a_few_scans_does_not_say_what_is_usual(real, says):
    """Neither simulated ones nor those altered to look as if from elsewhere make them more."""
    of = part()
    made = tuple(sample if i < real else replace(sample, synthetic="MCA, acute") for i, sample in enumerate(of.samples))
    typical = typical_of(
        build("stroke_cnn", CLASSES, width=8), replace(of, samples=made), Recipe(image_size=32, width=8)
    )
    assert (typical is not None) == says


def test_narrow_windows_are_usual_where_a_training_has_ended_on_them():
    spec, network = InputSpec(size=64), build("stroke_cnn", CLASSES, width=8)
    heads = torch.stack([to_bytes(phantom("no_stroke", seed, 64), spec) for seed in range(50)]).repeat(4, 1, 1, 1)
    train = Examples(heads, torch.ones(200, dtype=torch.int64), part().samples[:200])
    narrow = predict(network, from_elsewhere(heads, seed=5, narrow=1.0)).profile
    far = []
    for share in (0.0, 0.25):
        last = LastStage(epochs=1, augmentation=Augmentation(elsewhere=0.5, narrow=share))
        typical = typical_of(network, train, Recipe(augmentation=Augmentation(elsewhere=0.5), last_stage=last))
        far.append(typical.distance(narrow).median())
    assert far[1] < far[0]
