from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from db.models import LONGEST_NAME, AuditEvent, Batch, Patient, Review, Scan, Shown, Study
from db.review_queries import _reviewers, spelling
from db.session import Database


@pytest.fixture
def db(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'log.sqlite'}")
    database.migrate()
    with database.writing() as session:
        session.add_all([Patient(key="p", split="train"), Batch(id=1, source="upload", actor="a")])
        session.flush()
        session.add(Study(key="s", patient_key="p"))
        session.flush()
        session.add(Scan(id=1, content_hash="h", study_key="s", batch_id=1, unit="HU", height=1, width=1, meta={}))
        session.flush()
        for number, reader in enumerate(("Zoë", "Ben", "Ben", "ben", "Zoë")):
            session.add(Review(scan_id=1, reader=reader, verdict="unsure", click_id=str(number)))
            session.flush()
        for reader, day in (("ada", 2), ("Ada", 1), ("BEN", 1)):
            session.add(Shown(content_hash="h", reader=reader, at=datetime(2026, 1, day, tzinfo=UTC)))
    return database


@pytest.mark.parametrize(
    ("typed", "known"),
    [("zoë", "Zoë"), ("ben", "Ben"), ("BEN", "Ben"), (" ADA ", "Ada"), ("ada", "Ada"), ("New  One", "New One")],
)
def test_a_reader_is_who_was_met_first_by_that_name_by_a_verdict_before_an_answer(db, typed, known):
    with db.reading() as session:
        assert spelling(session, typed) == known


@pytest.mark.parametrize(
    "typed",
    ["Zoe\u0308", "ZOE\u0308", "Zoë\u200b", "\u2060Z\u00adoë", "Ｚｏë", "\u200e Zoë\u00a0"],
    ids=["two code points", "capitals", "zero width", "inside", "full width", "marks and spaces"],
)
def test_a_name_that_only_looks_written_otherwise_to_a_computer_is_the_same_reader(db, typed):
    with db.reading() as session:
        assert spelling(session, typed) == "Zoë"
        assert spelling(session, "Zoe") == "Zoe", "another name"


def test_a_name_is_what_its_column_holds(db):
    assert Review.reader.type.length == Shown.reader.type.length == AuditEvent.actor.type.length == LONGEST_NAME
    with db.reading() as session:
        assert spelling(session, "Ö" * 100) == "Ö" * LONGEST_NAME
        assert spelling(session, "a" * (LONGEST_NAME - 1) + "  b") == "a" * (LONGEST_NAME - 1)
        assert spelling(session, "New\0 One\0") == "New One", "PostgreSQL stores no NUL"


def test_two_names_that_case_folding_takes_for_one_are_two_readers(db):
    with db.writing() as session:
        session.add(Review(scan_id=1, reader="Dr. Weiß", verdict="unsure", click_id="sharp"))
    with db.reading() as session:
        assert spelling(session, "Dr. Weiss") == "Dr. Weiss"
        assert spelling(session, "dr. weiß") == "Dr. Weiß"


def test_a_name_of_which_nothing_shows_is_none(db):
    with db.reading() as session:
        assert spelling(session, " \u200b\u2060 ") == ""


def test_a_longer_name_of_before_is_still_its_readers(db):
    with db.writing() as session:
        session.add(Review(scan_id=1, reader="ö" * 100, verdict="unsure", click_id="long"))
    with db.reading() as session:
        assert spelling(session, "Ö" * 100) == "ö" * 100


def test_the_first_spelling_stays(db):
    with db.writing() as session:
        session.add(Review(scan_id=1, reader="Rene\u0301", verdict="unsure", click_id="decomposed"))
    with db.reading() as session:
        assert spelling(session, "René") == "Rene\u0301"


def test_every_name_is_found_once_without_reading_every_review(db):
    with db.reading() as session:
        assert sorted(session.scalars(_reviewers())) == ["Ben", "Zoë", "ben"]
        plan = session.execute(text(f"explain query plan {_reviewers().compile(db.engine)}")).all()
    of_reviews = [step.detail for step in plan if "reviews" in step.detail]
    assert of_reviews
    assert all(detail.startswith("SEARCH reviews USING COVERING INDEX ix_reviews_reader") for detail in of_reviews)
