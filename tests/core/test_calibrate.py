import numpy as np
import pytest
import torch

from core.calibrate import FLOOR, abstention_threshold, temperature


def test_the_temperature_that_made_the_logits_is_found():
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(20_000, 3, generator=generator) * 2
    labels = torch.multinomial(torch.softmax(true, dim=1), 1, generator=generator)[:, 0]
    assert temperature(true * 3, labels) == pytest.approx(3, rel=0.05)


def test_a_perfect_validation_set_is_no_proof_of_certainty():
    labels = torch.arange(40) % 2
    assert temperature(torch.nn.functional.one_hot(labels).float() * 4, labels) == pytest.approx(1, abs=1e-3)


def test_too_few_scans_calibrate_nothing():
    assert temperature(torch.randn(5, 2), torch.zeros(5, dtype=torch.long)) == 1
    assert abstention_threshold(np.eye(2)[[0, 1]], np.array([0, 1]), 0.05) is None


def test_above_the_threshold_the_error_rate_is_kept():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 4000)
    p = np.stack([confidence, 1 - confidence], axis=1)
    labels = (rng.uniform(size=4000) > confidence).astype(int)
    threshold = abstention_threshold(p, labels, 0.1)
    kept = confidence >= threshold
    assert (labels[kept] == 1).mean() <= 0.1
    assert kept.mean() > 0.2
    just_below = confidence >= threshold - 0.05
    assert (labels[just_below] == 1).mean() > 0.1


def test_a_promise_that_cannot_be_kept_means_abstaining_always():
    p = np.tile([0.9, 0.1], (50, 1))
    assert abstention_threshold(p, np.ones(50, int), 0.05) == 1


def test_a_promise_kept_by_all_still_asks_for_more_than_a_coin():
    p = np.tile([0.9, 0.1], (50, 1))
    assert abstention_threshold(p, np.zeros(50, int), 0.05) == FLOOR
