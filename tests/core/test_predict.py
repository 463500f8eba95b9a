from dataclasses import replace

import numpy as np
import pytest
import torch

from core import bundle
from core.bundle import Bundle
from core.labels import CLASSES
from core.manifest import Manifest
from core.network import build
from core.outlier import describe, with_threshold
from core.phantom import phantom
from core.predict import Predictor, evidence
from core.preprocess import InputSpec, to_input
from core.pseudonym import unnamed
from core.reading import (
    CLASSES_ALIKE,
    DEMONSTRATION,
    ENHANCED,
    HEMORRHAGE_NOT_EXCLUDED,
    LEARNED_FROM_SIMULATION,
    MARKED,
    NOT_HEAD_CT,
    SEEN_IN_TRAINING,
    TOO_WIDE,
    UNCALIBRATED,
    UNCERTAIN,
)
from core.scan import COLOURED, CONTRAST, Scan
from tests.conftest import bundle_facts, display_scan


def predictor(**changes):
    torch.manual_seed(0)
    facts = bundle_facts(version="v", created_at="2026-01-01T00:00:00Z", weights_sha256="0", **changes)
    return Predictor(Bundle(Manifest(**facts), build("stroke_cnn", CLASSES).eval(), InputSpec(size=64)))


def test_probabilities_are_the_tempered_softmax_and_sum_to_one():
    scans = [phantom("hemorrhagic", i, 96) for i in range(3)]
    cool, hot = (predictor(calibration={"temperature": t, "scans": 30}).read(scans) for t in (1.0, 5.0))
    for a, b in zip(cool, hot, strict=True):
        assert sum(a.probabilities.values()) == pytest.approx(1, abs=1e-12)
        assert a.label == b.label == max(a.probabilities, key=a.probabilities.get)
        assert a.confidence == a.probabilities[a.label] > b.confidence


def test_a_batch_reads_as_its_scans_do_alone():
    model = predictor()
    scans = [phantom("ischemic", i, 80 + 16 * i) for i in range(3)]
    together = model.read(scans)
    alone = [model.read([scan])[0] for scan in scans]
    for a, b in zip(together, alone, strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-5)
    assert model.read([]) == []


def test_below_the_operating_point_the_model_abstains():
    scan = phantom("ischemic", 1, 96)
    assert UNCERTAIN in predictor(abstain_below=0.99).read([scan])[0].flags
    assert UNCERTAIN not in predictor(abstain_below=0.0).read([scan])[0].flags
    assert UNCERTAIN not in predictor(abstain_below=None).read([scan])[0].flags


@pytest.mark.parametrize(("fact", "flag"), [(COLOURED, MARKED), (CONTRAST, ENHANCED)])
def test_what_the_model_would_take_for_something_else_makes_it_abstain(fact, flag):
    scan = phantom("ischemic", 1, 96)
    for threshold in (0.0, None):
        model = predictor(abstain_below=threshold)
        doubts = {UNCERTAIN, flag, HEMORRHAGE_NOT_EXCLUDED}
        assert doubts <= set(model.read([replace(scan, meta={**scan.meta, fact: 1.0})])[0].flags)
        assert not {UNCERTAIN, flag} & set(model.read([scan])[0].flags)


def test_in_a_bone_window_the_model_abstains_but_not_on_densities():
    scan = phantom("ischemic", 1, 96)
    hu = scan.pixels if scan.unit == "HU" else scan.pixels / 255 * 80
    wide = np.rint(np.clip((hu - 400) / 2000 + 0.5, 0, 1) * 255).astype(np.float32)
    model = predictor(abstain_below=None)
    flags = [set(reading.flags) for reading in model.read([Scan(wide, "display"), Scan(hu, "HU")])]
    assert {UNCERTAIN, TOO_WIDE} <= flags[0]
    assert not {UNCERTAIN, TOO_WIDE} & flags[1]


def test_a_patient_it_was_trained_on_is_said():
    scan = phantom("ischemic", 1, 96)
    model = predictor(patients={"train": ["abc"], "test": ["def"]}, demonstration=True)
    seen, held_out, unknown = model.read([replace(scan, patient_key=k) for k in ("abc", "def", None)])
    assert seen.flags == (SEEN_IN_TRAINING, DEMONSTRATION)
    assert held_out.flags == unknown.flags == (DEMONSTRATION,)


def test_an_image_it_was_trained_on_without_a_name_is_said_whoever_it_is():
    scan = phantom("ischemic", 1, 96)
    model = predictor(patients={"train": [unnamed(scan.content_hash)]})
    other = phantom("ischemic", 2, 96)
    named, elsewhere = model.read([replace(scan, patient_key="abc"), replace(other, patient_key="abc")])
    assert SEEN_IN_TRAINING in named.flags
    assert SEEN_IN_TRAINING not in elsewhere.flags


def test_too_little_validation_is_said():
    scan = phantom("ischemic", 1, 96)
    assert UNCALIBRATED in predictor(calibration={}).read([scan])[0].flags
    assert UNCALIBRATED not in predictor().read([scan])[0].flags


def test_evidence_is_where_the_class_gains_over_the_others():
    maps = np.zeros((3, 2, 2))
    maps[1, 0, 1] = 4.0
    maps[0, 1, 1] = 9.0
    np.testing.assert_array_equal(evidence(maps, 1), [[0, 255], [0, 0]])
    assert not evidence(np.ones((3, 2, 2)), 0).any()


def test_hemorrhage_that_may_not_be_dismissed_is_said():
    scan, leaning = phantom("ischemic", 1, 96), {"temperature": 1.5, "scans": 30, "bias": (-1.0, 0.0, 0.0)}
    plain = predictor(calibration=leaning).read([scan])[0]
    assert plain.label != "hemorrhagic"
    bleeding = plain.probabilities["hemorrhagic"]
    for threshold, said in ((bleeding - 0.01, True), (bleeding + 0.01, False)):
        point = {"asked_sensitivity": 0.95, "threshold": threshold, "sensitivity": {}, "specificity": {}}
        model = predictor(calibration=leaning, operating_points={"hemorrhagic": point})
        [reading] = model.read([scan])
        assert (HEMORRHAGE_NOT_EXCLUDED in reading.flags) == said
        assert reading.heat_of == ("hemorrhagic" if said else reading.label), "the reader is shown where"


@pytest.mark.parametrize(("abstain_below", "said"), [(None, False), (0.999, True)])
def test_a_hemorrhage_that_is_a_best_guess_only_is_not_excluded(abstain_below, said):
    leaning = {"temperature": 1.5, "scans": 30, "bias": (3.0, 0.0, 0.0)}
    [reading] = predictor(calibration=leaning, abstain_below=abstain_below).read([phantom("hemorrhagic", 1, 96)])
    assert reading.label == "hemorrhagic"
    assert (UNCERTAIN in reading.flags) == said
    assert (HEMORRHAGE_NOT_EXCLUDED in reading.flags) == said


def test_an_image_unlike_those_it_was_trained_on_gets_no_answer():
    model = predictor(abstain_below=0.99)
    spec, network = InputSpec(size=64), model._network
    heads = torch.from_numpy(np.stack([to_input(phantom("ischemic", i, 96), spec) for i in range(160)]))
    with torch.inference_mode():
        profile = network(heads).profile
    usual = describe(profile[:120])
    typical = with_threshold(usual, usual.distance(profile[120:]), 0.05)
    model = Predictor(Bundle(model.manifest, network, spec, typical))
    noise = display_scan(np.random.default_rng(0).uniform(0, 255, (96, 96)))
    head, other = model.read([phantom("ischemic", 130, 96), noise])
    assert NOT_HEAD_CT in other.flags
    assert UNCERTAIN not in other.flags, "one word about a picture that is no scan is enough"
    assert (HEMORRHAGE_NOT_EXCLUDED in other.flags) == (other.label == "hemorrhagic")
    point = {"asked_sensitivity": 0.95, "threshold": 1e-9, "sensitivity": {}, "specificity": {}}
    leaning = model.manifest.calibration.model_copy(update={"bias": (-9.0, 0.0, 0.0)})
    wary = Manifest(**{**model.manifest.model_dump(), "operating_points": {"hemorrhagic": point}})
    wary = wary.model_copy(update={"calibration": leaning})
    [other] = Predictor(Bundle(wary, network, spec, typical)).read([noise])
    assert {NOT_HEAD_CT, HEMORRHAGE_NOT_EXCLUDED} <= set(other.flags), "it may be a head CT all the same"
    assert NOT_HEAD_CT not in head.flags
    assert UNCERTAIN in head.flags


@pytest.mark.parametrize(("scans", "balanced", "said"), [(30, True, True), (30, False, False), (0, True, False)])
def test_what_was_calibrated_for_equally_common_classes_says_so(scans, balanced, said):
    [reading] = predictor(calibration={"scans": scans, "balanced": balanced}).read([phantom("ischemic", 1, 96)])
    assert (CLASSES_ALIKE in reading.flags) == said


def test_an_answer_that_only_simulation_taught_says_so(ws):
    torch.manual_seed(0)
    facts = bundle_facts(("hemorrhagic", "ischemic"), simulated_classes=("ischemic",))
    network = build("stroke_cnn", CLASSES[:2])
    for bias, said in ((9.0, True), (-9.0, False)):
        network.head.bias.data = torch.tensor([0.0, bias])
        manifest = bundle.publish(ws.models_dir, network, facts)
        [reading] = Predictor(bundle.load(ws.models_dir / manifest.version)).read([phantom("no_stroke", 1)])
        assert (LEARNED_FROM_SIMULATION in reading.flags) == said
