import numpy as np
import pytest
import torch

from core.calibrate import ALWAYS, FLOOR, abstention_threshold, calibrate, operating_point
from core.manifest import Calibration


def test_the_temperature_that_made_the_logits_is_found():
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(20_000, 3, generator=generator) * 2
    labels = torch.multinomial(torch.softmax(true, dim=1), 1, generator=generator)[:, 0]
    found = calibrate(true * 3, labels, [str(i) for i in range(20_000)])
    assert found.temperature == pytest.approx(3, rel=0.05)
    assert found.scans == found.patients == 20_000


def test_the_bias_gives_back_what_weighing_a_class_took():
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(20_000, 2, generator=generator) * 2 + torch.tensor([0.0, 2.0])
    labels = torch.multinomial(torch.softmax(true, dim=1), 1, generator=generator)[:, 0]
    found = calibrate(true - torch.tensor([0.0, 2.0]), labels, [str(i) for i in range(20_000)])
    assert found.bias[1] - found.bias[0] == pytest.approx(2, abs=0.1)
    p = found.probabilities(true - torch.tensor([0.0, 2.0]))
    assert p[:, 0].mean() == pytest.approx((labels == 0).float().mean().item(), abs=0.01)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_a_class_that_no_scan_has_is_not_reckoned_away():
    """As where nobody who is kept for validation has an infarct."""
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(3000, 3, generator=generator) * 3
    labels = torch.multinomial(torch.softmax(true, dim=1), 1, generator=generator)[:, 0]
    there = labels != 1
    found = calibrate(true[there], labels[there], [str(i) for i in range(int(there.sum()))])
    called = found.probabilities(true[~there]).argmax(axis=1)
    usual = calibrate(true, labels, [str(i) for i in range(3000)]).probabilities(true[~there]).argmax(axis=1)
    assert (called == 1).mean() > (usual == 1).mean() - 0.02
    assert found.bias[1] == pytest.approx(0, abs=1e-4)


def test_the_scans_of_few_patients_weigh_little():
    labels = torch.arange(2000) % 4 // 3  # one in four is of class 1
    logits = torch.zeros(2000, 2)
    few, many = (calibrate(logits, labels, [str(i % n) for i in range(2000)]).bias for n in (2, 500))
    assert 0 < few[0] - few[1] < (many[0] - many[1]) * 0.7
    assert many[0] - many[1] == pytest.approx(np.log(3), abs=0.05)


def test_a_perfect_validation_set_is_no_proof_of_certainty():
    labels = torch.arange(40) % 2
    found = calibrate(torch.nn.functional.one_hot(labels).float() * 4, labels, [str(i) for i in range(40)])
    assert found.temperature == pytest.approx(1, abs=1e-3)


def test_too_few_scans_calibrate_nothing():
    assert calibrate(torch.randn(5, 2), torch.zeros(5, dtype=torch.long), list("abcde")) == Calibration()
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
    assert abstention_threshold(p, np.ones(50, int), 0.05) == ALWAYS > 1


def test_a_promise_kept_by_all_still_asks_for_more_than_a_coin():
    p = np.tile([0.9, 0.1], (50, 1))
    assert abstention_threshold(p, np.zeros(50, int), 0.05) == FLOOR


def test_what_lies_below_the_floor_does_not_help_to_keep_a_promise():
    """Of ten scans above it one is wrong; that many right ones below it would dilute it."""
    sure, unsure = np.tile([0.6, 0.2, 0.2], (20, 1)), np.tile([0.4, 0.3, 0.3], (80, 1))
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1] * 2 + [0] * 80)
    assert abstention_threshold(np.concatenate([sure, unsure]), labels, 0.05) == ALWAYS
    assert abstention_threshold(np.concatenate([sure, unsure]), labels, 0.1) == FLOOR


def test_an_operating_point_keeps_its_sensitivity_and_no_more():
    rng = np.random.default_rng(0)
    is_it = np.arange(1000) < 200
    score = rng.normal(is_it * 1.5, 1)
    point = operating_point(score, is_it, 0.95, [str(i // 5) for i in range(1000)])
    assert (score[is_it] >= point.threshold).mean() == pytest.approx(0.95)
    assert (score[is_it] > point.threshold).mean() < 0.95
    assert point.sensitivity["value"] == pytest.approx(0.95)
    assert point.specificity["value"] == pytest.approx((score[~is_it] < point.threshold).mean())
    assert point.sensitivity["low"] < 0.95 < point.sensitivity["high"]


def test_an_operating_point_of_scans_sent_in_two_ways_holds_for_both():
    rng = np.random.default_rng(0)
    is_it, patients = np.arange(1000) < 200, [str(i // 5) for i in range(1000)]
    score, paler = rng.normal(is_it * 1.5, 1), rng.normal(is_it * 1.0, 1)
    point = operating_point(np.r_[score, paler], is_it, 0.95, patients)
    assert (np.r_[score[is_it], paler[is_it]] >= point.threshold).mean() == pytest.approx(0.95)
    assert point.sensitivity["value"] == pytest.approx((score[is_it] >= point.threshold).mean())
    assert point.sensitivity["value"] > 0.96, "of the scans as they are"
    assert point.sensitivity["n"] == 200


def test_too_few_findings_give_no_operating_point():
    assert operating_point(np.linspace(0, 1, 100), np.arange(100) > 95, 0.95, ["a"] * 100) is None
