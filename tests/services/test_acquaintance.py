"""Whom a version has met, in figures and at the gate: also under another name, and slice by slice."""

import pytest
from sqlalchemy import select

from core import bundle
from core.pseudonym import unnamed
from db import models, queries
from services.gate import decide
from services.models import champion, folder_of, model_of
from services.questions import Question
from services.reporting import compare_versions, live_evaluation
from services.rereading import read_stored
from tests.services.conftest import held_out


def patients_of(ws):
    """Scan id -> patient key."""
    with ws.db.reading() as session:
        return {scan.id: scan.patient_key for scan in queries.scans(session)}


def has_read(ws, received, publish_untrained, **patients):
    version = publish_untrained(3, patients=patients)
    read_stored(ws, model_of(ws, version), [one.scan_id for one in received])
    return version


@pytest.mark.parametrize("trained_on", ["the first", "its copy"])
def test_a_near_copy_of_what_was_trained_on_is_not_unmet(log, publish_untrained, trained_on):
    ws, received = log
    first, copy = sorted(one.scan_id for one in received[10:12])
    with ws.db.writing() as session:
        for scan in session.scalars(select(models.Scan)):
            scan.audit = scan.id in (first, copy)
        session.get_one(models.Scan, copy).resembles_id = first
    key = patients_of(ws)[first if trained_on == "the first" else copy]
    version = has_read(ws, received, publish_untrained, train=[key])
    live = live_evaluation(ws, Question(version))
    seen = live.rows.set_index("scan_id")["seen_in_training"]
    assert sorted(seen.index[seen]) == [first, copy]
    assert live.audit_stream.counted == 0
    assert live.audit_stream.seen_in_training == live.audit_stream.read == 1, "one of the two was read blind"
    found = compare_versions(ws, Question(version), champion(ws))
    assert (found.seen, found.seen_by_other) == (2, 0)


def test_a_near_copy_of_what_its_rules_come_from_is_known_as_such(log, publish_untrained):
    ws, received = log
    first, copy = sorted(one.scan_id for one in received[10:12])
    with ws.db.writing() as session:
        session.get_one(models.Scan, copy).resembles_id = first
    version = has_read(ws, received, publish_untrained, train=[], validation=[patients_of(ws)[first]])
    rows = live_evaluation(ws, Question(version)).rows
    assert sorted(rows.loc[rows["settled_on"], "scan_id"]) == [first, copy]
    assert not rows["seen_in_training"].any()


def test_the_slices_of_a_mean_say_what_its_rules_come_from(log, publish_untrained):
    ws, received = log
    mean = received[10].scan_id
    with ws.db.writing() as session:
        session.add(models.Part(content_hash="f" * 64, scan_id=mean))
    version = has_read(ws, received, publish_untrained, train=[], validation=[unnamed("f" * 64)])
    rows = live_evaluation(ws, Question(version)).rows
    assert rows.loc[rows["settled_on"], "scan_id"].tolist() == [mean]


def test_a_decision_says_of_how_many_test_patients_one_has_met_a_near_copy(reviewed, publish_untrained):
    ws = reviewed
    [test] = held_out(ws)
    keys = patients_of(ws)
    first = min(scan_id for scan_id, key in keys.items() if key not in test.patients)
    copy = max(scan_id for scan_id, key in keys.items() if key in test.patients)
    with ws.db.writing() as session:
        session.get_one(models.Scan, copy).resembles_id = first
    versions = (champion(ws), publish_untrained(7, patients={"train": [keys[first]]}))
    decision = decide(ws, *(bundle.load(folder_of(ws, version)) for version in versions), test)
    assert decision.metrics["test_patients_the_champion_was_trained_on"] == 0
    assert decision.metrics["test_patients_the_candidate_was_trained_on"] == 1
