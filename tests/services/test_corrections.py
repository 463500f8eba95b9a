from itertools import count

import pytest

from core import manifest as manifests
from core.labels import CLASSES, HEMORRHAGIC, ISCHEMIC, NO_STROKE
from core.scan import COLOURED, CONTRAST
from core.settings import CalibrationSettings
from db import models
from services.corrections import Item, by_part, labelled, labelled_scans, to_keep, too_few
from services.learning import _start_run, retrain
from services.review import new_click, record
from services.workspace import DEMO_BUNDLES, SHIPPED_BUNDLES
from tests.conftest import png
from tests.services.conftest import take
from tests.services.test_intake import as_jpg

NUMBERS = count()


def items(split, *labels, patient=None):
    """Reviewed scans, each of a patient of its own unless one is named."""
    made = []
    for label in labels:
        i = next(NUMBERS)
        made.append(Item(i, f"hash{i}", label, i, patient or f"patient{i}", split))
    return made


ENOUGH = [
    *items("train", *CLASSES * 8),
    *items("validation", NO_STROKE),
    *items("test", HEMORRHAGIC, NO_STROKE, NO_STROKE, ISCHEMIC, NO_STROKE),
]


def without(split):
    return [item for item in ENOUGH if item.split != split]


def test_enough_is_enough(ws):
    assert too_few(ws, ENOUGH) is None
    assert too_few(ws, ENOUGH, CLASSES) is None
    assert "at least 20 scans" in too_few(ws, ENOUGH[:19]).lower()


def test_a_part_without_scans_is_named(ws):
    assert "kept for testing" in too_few(ws, without("test"))
    assert "kept for validation" in too_few(ws, without("validation"))
    assert "all of one class" in too_few(ws, [*without("train"), *items("train", *[NO_STROKE] * 20)])


def test_many_slices_of_one_patient_do_not_judge(ws):
    one = items("test", HEMORRHAGIC, *[NO_STROKE] * 9, patient="alone")
    assert "there are 10 of 1." in too_few(ws, [*without("test"), *one])


def test_a_test_without_a_hemorrhage_or_with_nothing_else_does_not_judge(ws):
    assert "testing none are hemorrhagic" in too_few(ws, [*without("test"), *items("test", *[NO_STROKE] * 6)])
    assert "testing all are hemorrhagic" in too_few(ws, [*without("test"), *items("test", *[HEMORRHAGIC] * 6)])


def test_a_class_that_would_be_unlearned_or_never_learned_is_named(ws):
    both = [HEMORRHAGIC, NO_STROKE]
    two = [*items("train", *both * 10), *items("validation", NO_STROKE), *items("test", *both * 3)]
    assert too_few(ws, two) is None
    assert "“ischemic”, and none of the reviewed scans to train on is that" in too_few(ws, two, CLASSES)
    assert "nothing would teach that answer" in too_few(ws, [*two, *items("test", ISCHEMIC)])


@pytest.mark.parametrize(("first", "second", "left"), [("train", "test", [0]), ("test", "validation", [1])])
def test_of_one_image_under_two_names_only_what_is_learned_from_counts(ws, predictor, first, second, left):
    whole = png(1, size=256)
    received = take(ws, predictor, [("49 (1).png", whole), ("50 (1).jpg", as_jpg(whole)), ("51 (1).png", png(2))])
    for one in received:
        record(ws, one.scan_id, reader="Ann", verdict=NO_STROKE, expected_version=0, click_id=new_click())
    with ws.db.writing() as session:
        for name, split in (("49", first), ("50", second), ("51", "test")):
            session.get_one(models.Patient, ws.pseudonym.of("file", name)).split = split
    ids = [one.scan_id for one in received]
    assert labelled(ws).copies == len(ids) - len(left) - 1
    assert [item.scan_id for item in labelled_scans(ws)] == [*(ids[place] for place in left), ids[2]]


@pytest.mark.parametrize("now", ["unsure", "unusable"])
def test_a_copy_of_what_was_learned_is_not_judged_on_when_that_has_no_class_any_more(ws, predictor, now):
    whole = png(1, size=256)
    received = take(ws, predictor, [("49 (1).png", whole), ("50 (1).jpg", as_jpg(whole))])
    learned, copy = (one.scan_id for one in received)
    for scan_id in (learned, copy):
        record(ws, scan_id, reader="Ann", verdict=NO_STROKE, expected_version=0, click_id=new_click())
    with ws.db.writing() as session:
        for name, split in (("49", "train"), ("50", "test")):
            session.get_one(models.Patient, ws.pseudonym.of("file", name)).split = split
    _start_run(ws, labelled_scans(ws), "a champion")
    record(ws, learned, reader="Ann", verdict=now, expected_version=1, click_id=new_click())
    assert labelled(ws) == ([], 1, 0)


def test_what_the_champion_says_of_its_answers_must_be_settled_again(ws):
    demonstration = manifests.read_manifest(manifests.versions(DEMO_BUNDLES)[-1])
    shipped = manifests.read_manifest(manifests.versions(SHIPPED_BUNDLES)[-1])
    assert too_few(ws, ENOUGH, (), demonstration) is None
    assert "20 reviewed scans of patients kept for validation" in too_few(ws, ENOUGH, (), shipped)
    assert "there are 19. To replace the model that serves takes 100 scans" in too_few(ws, ENOUGH[:19], (), shipped)
    assert too_few(ws, ENOUGH[:19], (), demonstration).endswith("there are 19.")
    more = [*ENOUGH, *items("validation", *[NO_STROKE] * 19, *[HEMORRHAGIC] * 9)]
    assert "10 hemorrhagic scans" in too_few(ws, more, (), shipped)
    more += items("validation", HEMORRHAGIC)
    assert "At least 100 reviewed scans to train on" in too_few(ws, more, (), shipped)
    more += items("train", *[NO_STROKE] * 76)
    assert "“ischemic”, and none of the reviewed scans of patients kept for validation" in too_few(
        ws, more, (), shipped
    )
    more += items("validation", ISCHEMIC)
    untested = [item for item in more if (item.split, item.label) != ("test", ISCHEMIC)] + items("test", NO_STROKE)
    assert "patients kept for testing is that" in too_few(ws, untested, (), shipped)
    assert too_few(ws, more, (), shipped) is None
    ws.settings.calibration = CalibrationSettings(sensitivity={"ischemic": 0.9})
    assert "names no hemorrhagic. Put it back" in too_few(ws, more, (), shipped)


def test_whatever_is_wanting_all_that_a_retraining_takes_is_said(ws):
    shipped = manifests.read_manifest(manifests.versions(SHIPPED_BUNDLES)[-1])
    all_of_it = (
        " To replace the model that serves takes 100 scans to train on, 20 of patients kept for validation, 10 "
        "hemorrhagic ones there, 5 of 5 patients kept for testing, each of 3 answers in every part."
    )
    for some in (ENOUGH[:19], without("test"), without("validation"), ENOUGH):
        assert too_few(ws, some, CLASSES, shipped).endswith(all_of_it)
    ws.settings.retrain.min_scans = 300
    assert "takes 300 scans with a verdict, 100 scans to train on, 20 of" in too_few(ws, ENOUGH, CLASSES, shipped)


def test_how_many_there_are_is_said_of_each_part():
    assert by_part([*items("train", NO_STROKE, HEMORRHAGIC, NO_STROKE), *items("test", ISCHEMIC)]) == [
        "train: 3 scans of 3 patients (hemorrhagic 1, no stroke 2)",
        "validation: 0 scans of 0 patients (none)",
        "test: 1 scan of 1 patient (ischemic 1)",
    ]


def test_only_a_training_from_scratch_may_forget_classes():
    demonstration = manifests.read_manifest(manifests.versions(DEMO_BUNDLES)[-1])
    assert to_keep(demonstration) == ()
    assert to_keep(demonstration, synthetic=True) == demonstration.classes


def test_too_few_labels_are_said_not_trained_on(ws):
    decision = retrain(ws)
    assert decision.decision == "refused"
    assert "there are 0" in decision.reason
    assert not list(ws.models_dir.glob("*")) if ws.models_dir.exists() else True


@pytest.mark.parametrize("fact", [COLOURED, CONTRAST])
def test_scans_that_no_version_answers_teach_and_judge_nothing(ws, predictor, fact):
    received = take(ws, predictor, [(f"{i} (1).png", png(i)) for i in range(3)])
    for one in received:
        record(ws, one.scan_id, reader="Ann", verdict=NO_STROKE, expected_version=0, click_id=new_click())
    with ws.db.writing() as session:
        scan = session.get_one(models.Scan, received[1].scan_id)
        scan.meta = {**scan.meta, fact: 1.0}
    found = labelled(ws)
    assert [item.scan_id for item in found.items] == [received[0].scan_id, received[2].scan_id]
    assert (found.copies, found.withheld) == (0, 1)
    said = []
    retrain(ws, dry_run=True, say=said.append)
    assert "Left out: 1 scan with coloured marks or contrast agent, which no version answers." in said
