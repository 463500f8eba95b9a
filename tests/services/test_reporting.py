"""Live figures: on whom they are, and what is said about it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from core.manifest import OperatingPoint
from db import models, queries
from services.evaluation_report import in_html
from services.intake import Incoming, receive
from services.models import champion, model_of, serving_model
from services.questions import Question, unread_by_version
from services.reporting import at_operating_points, compare_versions, live_evaluation
from services.rereading import ensure_reading, read_stored
from services.review import new_click, record
from services.tables import agreement, notes, overall, unfair
from tests.conftest import dicom, png
from tests.services.conftest import asked, file


def test_what_readers_differ_on_is_left_out_and_counted(log):
    ws, _ = log
    live = asked(ws)
    assert (live.report.n, live.unlabelled) == (26, 4)
    assert "Left out: 4 scans" in " ".join(notes(live))


def test_a_reader_is_judged_by_their_own_verdicts(log):
    ws, _ = log
    assert asked(ws, reader="Ann").report.n == 30
    ben = asked(ws, reader="Ben")
    assert ben.report.n == 10
    assert (ben.rows["label"] == "no_stroke").sum() == 4


def test_source_blindness_and_time_are_filters(log):
    ws, _ = log
    upload, ingest = asked(ws, source="upload"), asked(ws, source="ingest")
    assert upload.report.n + ingest.report.n == 26
    assert set(upload.rows["source"]) == {"upload"}
    blind = asked(ws, reader="Ann", blind_only=True)
    assert blind.report.n == 15
    assert blind.rows["blind"].all()
    assert blind.not_blind == 15
    assert "Left out: 15 scans with no verdict given blind." in notes(blind)
    assert not asked(ws, reader="Ann").not_blind
    now = models.now()
    assert asked(ws, before=now - timedelta(days=1)).report is None
    assert asked(ws, since=now - timedelta(days=1), before=now + timedelta(days=1)).report.n == 26


def test_the_audit_stream_stands_beside_them(log):
    ws, received = log
    with ws.db.writing() as session:
        for scan in session.query(models.Scan):
            scan.audit = scan.id in {one.scan_id for one in received[10:20]} | {received[-1].scan_id}
    live = asked(ws)
    assert (live.audit_stream.read, live.audit_stream.drawn) == (5, 11)
    assert live.audit_stream.report.n == 5
    file(ws, received[-1].scan_id, "Ann", "unsure", version=0, blind=True)
    stream = asked(ws).audit_stream
    assert (stream.counted, stream.read, stream.drawn) == (5, 6, 11), "read, though without a class"
    assert "5 of these count (left out: 1 without one class that readers agree on)." in " ".join(notes(asked(ws)))
    assert overall(live).loc[0, "Audit stream, read blind"] == "5 scans of 5 patients (few)"


def test_the_audit_stream_counts_no_patient_that_the_version_was_trained_on(log):
    ws, received = log
    with ws.db.writing() as session:
        for scan in session.query(models.Scan):
            scan.audit = scan.id in {one.scan_id for one in received[10:20]}
        for reading in session.query(models.Reading).filter_by(scan_id=received[10].scan_id):
            reading.flags = [*reading.flags, "seen_in_training"]
    live = asked(ws)
    assert live.audit_stream.report.n == live.audit_stream.counted == 4
    assert (live.audit_stream.read, live.audit_stream.drawn) == (5, 10)
    assert "4 of these count (left out: 1 of patients it was trained on)." in " ".join(notes(live))


def test_patients_whose_scans_its_rules_come_from_are_not_unmet(log, publish_untrained):
    ws, received = log
    with ws.db.writing() as session:
        for scan in session.query(models.Scan):
            scan.audit = scan.id in {one.scan_id for one in received[10:20]}
        [scan] = queries.scans(session, ids=[received[10].scan_id])
        met = scan.patient_key
    version = publish_untrained(patients={"train": [], "validation": [met]})
    model = model_of(ws, version)
    read_stored(ws, model, [one.scan_id for one in received])
    live = live_evaluation(ws, Question(version))
    assert live.count("settled_on") == 1
    assert live.audit_stream.counted == 4
    said = " ".join(notes(live))
    assert "of patients its calibration and thresholds come from" in said
    assert "1 scan of these is of patients whose scans its" in said


def test_near_copies_are_counted_and_said(log):
    ws, _ = log
    ids = asked(ws).rows["scan_id"].tolist()
    assert "Nearly the same image" not in " ".join(notes(asked(ws)))
    with ws.db.writing() as session:
        for copy, of in ((1, 0), (2, 1)):
            session.get(models.Scan, ids[copy]).resembles_id = ids[of]
    assert "Nearly the same image as another of these: 2 scans." in " ".join(notes(asked(ws)))


def test_agreement_is_between_readers_and_with_the_model(log, publish_untrained):
    ws, _ = log
    table = agreement(asked(ws).agreement).set_index("Between")
    assert table.loc["Ann and Ben", "Both read"] == "10 scans, 10 patients"
    assert table.loc["Ann and Ben", "Same answer"].startswith("0.60")
    assert table.loc["Ann and the model", "Both read"].startswith("30 scans")
    [unread] = live_evaluation(ws, Question(publish_untrained(3))).agreement
    assert (unread.first, unread.second) == ("Ann", "Ben"), "whatever a version has read"
    assert unread.kappa == asked(ws).agreement[0].kappa


def test_agreement_is_asked_of_the_same_verdicts_as_the_figures(log):
    ws, _ = log
    blind = agreement(asked(ws, blind_only=True).agreement).set_index("Between")
    assert list(blind.index) == ["Ann and the model"], "Ben read nothing blind"
    assert blind.loc["Ann and the model", "Both read"].startswith("15 scans")
    ben = agreement(asked(ws, reader="Ben").agreement)["Between"]
    assert set(ben) == {"Ann and Ben", "Ben and the model"}
    both = [agreement(asked(ws, source=s).agreement).set_index("Between") for s in ("upload", "ingest")]
    counts = [int(table.loc["Ann and the model", "Both read"].split()[0]) for table in both]
    assert sum(counts) == 30


def test_a_version_that_has_not_read_all_reviewed_scans_says_so_and_can(log, publish_untrained):
    ws, received = log
    other = publish_untrained(3)
    question = Question(other)
    live = live_evaluation(ws, question)
    assert live.report is None
    assert live.selection.unread_by_model == 30
    read_stored(ws, model_of(ws, other), [received[0].scan_id])
    assert notes(live_evaluation(ws, question))[0].startswith("**Not all reviewed scans.**")
    assert ": 29 scans with a verdict" in notes(live_evaluation(ws, question))[0]
    told = []
    read_stored(
        ws, model_of(ws, other), unread_by_version(ws, question), lambda done, total: told.append((done, total))
    )
    assert told[-1] == (29, 29)
    live = live_evaluation(ws, question)
    assert live.selection.unread_by_model == 0
    assert live.report.n == 26


def test_demonstrations_are_offered_demo_cases_and_no_others(log, publish_untrained):
    ws, _ = log
    candidate = publish_untrained(4, demonstration=True)  # as retraining on demo cases publishes one
    [demo] = receive(ws, serving_model(ws), [Incoming("d.png", png(99))], source="demo", actor="a", synthetic=True)
    file(ws, demo.scan_id, "Ann", "ischemic", version=0)
    assert unread_by_version(ws, Question(candidate, synthetic=True)) == [demo.scan_id]
    assert not unread_by_version(ws, Question(candidate))
    assert not unread_by_version(ws, Question(publish_untrained(5), synthetic=True))


def test_figures_at_the_operating_point_are_on_these_scans(log):
    ws, _ = log
    rows = asked(ws).rows
    point = OperatingPoint(asked_sensitivity=0.95, threshold=0.3, sensitivity={}, specificity={})
    sensitivity, specificity = at_operating_points(rows, {"hemorrhagic": point})["hemorrhagic"]
    called, is_it = rows["p_hemorrhagic"] >= 0.3, rows["label"] == "hemorrhagic"
    assert sensitivity.value == pytest.approx(called[is_it].mean())
    assert specificity.value == pytest.approx((~called[~is_it]).mean())


def test_two_versions_are_compared_on_the_scans_both_have_read(log, publish_untrained):
    ws, received = log
    from core import bundle
    from core.predict import Predictor
    from services.models import folder_of

    other = publish_untrained(3)
    predictor = Predictor(bundle.load(folder_of(ws, other)))
    with ws.db.writing() as session:
        session.add(models.ModelVersion(version=other, manifest_sha256="0"))
    for one in received[5:20]:
        ensure_reading(ws, predictor, one.scan_id)
    found = compare_versions(ws, Question(champion(ws), reader="Ann"), other)
    gains = found.gains
    assert gains["accuracy"].n == found.scans == 15
    assert unfair(found, "A", "B") == ""
    mine = asked(ws, reader="Ann").rows.set_index("scan_id").loc[[one.scan_id for one in received[5:20]]]
    theirs = live_evaluation(ws, Question(other, reader="Ann")).report
    assert gains["accuracy"].value == pytest.approx((mine.label == mine.prediction).mean() - theirs.accuracy.value)


def test_a_blind_verdict_is_of_the_day_it_was_given(log):
    """Not of the day on which its reader changed their mind in view of the answer."""
    ws, received = log
    one = received[10].scan_id  # read by Ann alone, blind
    with ws.db.writing() as session:
        for review in session.scalars(select(models.Review)):
            review.created_at = datetime(2026, 1, 5, tzinfo=UTC)
    file(ws, one, "Ann", "no_stroke", version=1)
    january = {"since": datetime(2026, 1, 1, tzinfo=UTC), "before": datetime(2026, 2, 1, tzinfo=UTC)}
    assert one in set(asked(ws, blind_only=True, **january).rows["scan_id"])
    assert one not in set(asked(ws, **january).rows["scan_id"])


def test_months_are_the_viewers(log):
    ws, _ = log
    with ws.db.writing() as session:
        for review in session.scalars(select(models.Review)):
            review.created_at = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)

    def months(zone):
        groups = live_evaluation(ws, Question(champion(ws), zone=zone)).groups
        return [group.name for group in groups if group.kind == "month"]

    assert months(UTC) == ["2026-03"]
    assert months(ZoneInfo("Europe/Vienna")) == ["2026-04"]


def test_months_long_past_are_one_group_so_that_all_add_up(log):
    ws, _ = log
    with ws.db.writing() as session:
        for number, review in enumerate(session.scalars(select(models.Review).order_by(models.Review.scan_id))):
            review.created_at = datetime(2025 + number % 14 // 12, number % 14 % 12 + 1, 9, tzinfo=UTC)
    live = asked(ws)
    months = [group for group in live.groups if group.kind == "month"]
    last_twelve = [*(f"2025-{number:02}" for number in range(3, 13)), "2026-01", "2026-02"]
    assert [group.name for group in months] == ["before 2025-03", *last_twelve]
    assert sum(group.n for group in months) == live.report.n
    assert months[0].n == months[0].accuracy.n > 0


def test_the_report_needs_nothing_but_itself_and_runs_nothing_of_a_readers_name(log):
    ws, received = log
    file(ws, received[-1].scan_id, "<script>alert(1)</script>", "ischemic", version=0)
    live = asked(ws)
    html = in_html(live, made=models.now(), points={}, abstain_below=0.6, trained_on="Trained on phantoms.")
    assert "<script>alert" not in html
    assert "Not a medical device" in html
    assert "src=" not in html.split("</script>")[0][:200]
    assert 'src="http' not in html
    assert f"{live.report.accuracy.value:.2f} (" in html
    assert "Not a random sample" in html
    assert html.count("plotly-graph-div") >= 4


def test_nothing_reviewed_is_no_report(ws):
    from services.demo import load_demo

    load_demo(ws, serving_model(ws))
    live = asked(ws)
    assert live.report is None
    with pytest.raises(ValueError, match="nothing to report"):
        in_html(live, made=models.now(), points={}, abstain_below=None, trained_on="")


def test_a_verdict_changed_after_the_answer_was_shown_is_not_blind(log):
    """What was said blind counts where blind verdicts are asked for; what is said now counts elsewhere."""
    ws, received = log
    ids = [one.scan_id for one in received[30:34]]
    with ws.db.writing() as session:
        for scan_id in ids:
            session.get(models.Scan, scan_id).audit = True
    readings = {one.scan_id: one.reading.label for one in received}
    before = asked(ws, blind_only=True, reader="Cat").report
    for scan_id in ids:
        said = "ischemic" if readings[scan_id] == "hemorrhagic" else "hemorrhagic"
        file(ws, scan_id, "Cat", said, version=0, blind=True)
        file(ws, scan_id, "Cat", readings[scan_id], version=1)
    assert before is None
    assert asked(ws, blind_only=True, reader="Cat").report.accuracy.value == 0
    everything = asked(ws, reader="Cat")
    assert everything.report.accuracy.value == 1
    assert not everything.rows["blind"].any()
    [with_model] = [a for a in asked(ws, blind_only=True, reader="Cat").agreement if a.second == "the model"]
    assert with_model.observed.value == 0
    assert everything.audit_stream.report.accuracy.value == 0


def test_a_disputed_scan_that_was_settled_is_a_disagreement_all_the_same(log):
    ws, received = log
    [before] = [a for a in asked(ws).agreement if (a.first, a.second) == ("Ann", "Ben")]
    settled = received[0].scan_id
    record(
        ws, settled, reader="Ben", verdict="ischemic", expected_version=2, click_id=new_click(), adjudication=True
    )  # fmt: skip
    [after] = [a for a in asked(ws).agreement if (a.first, a.second) == ("Ann", "Ben")]
    assert (after.observed.value, after.observed.n) == (before.observed.value, before.observed.n)
    second_thought = record(
        ws, settled, reader="Ben", verdict="hemorrhagic", expected_version=3, click_id=new_click()
    )  # fmt: skip
    assert second_thought.adjudication, "what Ben settled stays settled, the other way"
    assert asked(ws).unlabelled == 3


def test_a_scan_whose_blind_verdicts_differ_has_blind_verdicts(log):
    """It is left out once, for what it is."""
    ws, received = log
    scan, before = received[32].scan_id, asked(ws, blind_only=True)
    for version, (reader, verdict) in enumerate((("Cat", "ischemic"), ("Dan", "no_stroke"))):
        file(ws, scan, reader, verdict, version=version, blind=True)
    record(ws, scan, reader="Eve", verdict="ischemic", expected_version=2, click_id=new_click(), adjudication=True)
    after = asked(ws, blind_only=True)
    assert (after.not_blind, after.unlabelled) == (before.not_blind, before.unlabelled + 1)


def test_few_scans_read_are_not_called_picked(ws):
    predictor = serving_model(ws)
    files = [Incoming(f"{i}.dcm", dicom(i, "hemorrhagic" if i % 2 else "ischemic", f"P{i}")) for i in range(24)]
    received = sorted(
        receive(ws, predictor, files, source="upload", actor="t"), key=lambda one: one.reading.confidence
    )  # fmt: skip
    file(ws, received[-4].scan_id, "Ann", "hemorrhagic", version=0)
    file(ws, received[-9].scan_id, "Ann", "hemorrhagic", version=0)
    live = asked(ws)
    assert live.selection.told_apart.value > 0.6
    assert live.selection.looks_random, "two scans show nothing"
    assert "Nothing in the model's confidence" in " ".join(notes(live))
