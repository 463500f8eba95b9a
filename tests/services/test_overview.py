from core.labels import CLASSES
from db import models
from services.intake import Incoming, receive
from services.models import demonstration_model, promote, serving_model
from services.overview import model_versions, overview
from services.review import cases, new_click, record
from tests.conftest import png


def test_only_answers_are_compared_with_verdicts(ws, publish_untrained):
    """Where the model abstains it said nothing that a reader could agree with."""
    for seed, threshold, answers in ((1, None, 4), (2, 1.0, 0)):
        promote(ws, publish_untrained(seed, abstain_below=threshold), actor="test")
        files = [Incoming(f"{i}.png", png(10 * seed + i)) for i in range(4)]
        for one in receive(ws, serving_model(ws), files, source="upload", actor="a"):
            record(ws, one.scan_id, reader="Ann", verdict=CLASSES[0], expected_version=0, click_id=new_click())
        assert overview(ws, "Ann").comparable == answers


def test_a_patient_whom_it_was_trained_on_is_no_agreement(ws, publish_untrained):
    promote(ws, publish_untrained(patients={"train": [ws.pseudonym.of("file", "1")]}), actor="test")
    files = [Incoming(f"{i} (1).png", png(i)) for i in range(4)]
    for one in receive(ws, serving_model(ws), files, source="upload", actor="a"):
        record(ws, one.scan_id, reader="Ann", verdict=CLASSES[0], expected_version=0, click_id=new_click())
    assert overview(ws, "Ann").comparable == 3


def test_figures_are_asked_of_versions_that_read_such_scans_or_may(ws, publish_untrained):
    """A retrained candidate that has read nothing yet can be compared; the demonstration with nobody on real scans."""
    candidate, demonstration = publish_untrained(1), demonstration_model(ws)
    assert model_versions(ws, synthetic=False) == [candidate]
    assert model_versions(ws, synthetic=True) == [demonstration.manifest.version]
    list(receive(ws, demonstration, [Incoming("1.png", png(1))], source="upload", actor="a"))
    assert set(model_versions(ws, synthetic=False)) == {candidate, demonstration.manifest.version}
    assert model_versions(ws) == sorted(model_versions(ws), reverse=True)


def test_what_an_earlier_version_abstained_on_is_not_counted(ws, publish_untrained):
    promote(ws, publish_untrained(2, abstain_below=1.0), actor="test")
    list(receive(ws, serving_model(ws), [Incoming("1.png", png(1))], source="upload", actor="a"))
    assert overview(ws, "Ann").uncertain_waiting == (not cases(ws, "Ann")[0].hidden)
    promote(ws, publish_untrained(3), actor="test")
    assert overview(ws, "Ann").uncertain_waiting == 0


def test_a_drawn_patient_whom_a_reader_has_begun_waits_for_them(ws, publish_untrained):
    promote(ws, publish_untrained(2), actor="test")
    files = [Incoming(f"7 ({i}).png", png(i)) for i in range(3)]
    ids = [one.scan_id for one in receive(ws, serving_model(ws), files, source="upload", actor="a")]
    with ws.db.writing() as session:
        for scan in session.query(models.Scan):
            scan.audit = True

    def read(reader, verdict, *ids):
        for i in ids:
            version = next(c.scan.version for c in cases(ws, reader, ids=[i]))
            record(ws, i, reader=reader, verdict=verdict, expected_version=version, click_id=new_click(), blind=True)

    read("Ann", "hemorrhagic", *ids)
    assert overview(ws, "Ben").waiting == 0
    read("Ben", "no_stroke", ids[0])
    assert overview(ws, "Ben").waiting == 2
    assert overview(ws, "Ann").waiting == 0
    assert overview(ws, "Ann").disputed == 1
    assert overview(ws, "Ben").disputed == 0, "which he would learn from, before he has read the rest"


def test_what_the_model_makes_of_scans_to_be_read_blind_is_not_told(ws, publish_untrained):
    promote(ws, publish_untrained(2, abstain_below=1.0), actor="test")
    files = [Incoming(f"{i}.png", png(i)) for i in range(4)]
    received = list(receive(ws, serving_model(ws), files, source="upload", actor="a"))
    with ws.db.writing() as session:
        for scan in session.query(models.Scan):
            scan.audit = scan.id == received[0].scan_id
    now = overview(ws, "Ann")
    assert (now.waiting, now.uncertain_waiting) == (4, 3)
    assert overview(ws, "Ann", blind_first=True).uncertain_waiting == 0
