"""The case log on PostgreSQL. Needs psycopg and STROKE_TEST_POSTGRESQL=postgresql+psycopg://USER@HOST/DATABASE, where
it makes schemas of its own and drops them again; skipped, and it says so, without."""

import os
import threading
import uuid

import pytest
from sqlalchemy import create_engine, make_url, text

from core.settings import Settings
from db import audit
from db.models import Base
from db.session import Database, UnusableLog
from services.models import promote, serving_model
from services.questions import Question
from services.removal import undo
from services.reporting import live_evaluation
from services.review import cases, new_click, record
from services.workspace import open_workspace
from tests.conftest import dicom
from tests.services.conftest import take

ADDRESS = os.environ.get("STROKE_TEST_POSTGRESQL")
pytestmark = pytest.mark.skipif(not ADDRESS, reason="no PostgreSQL: set STROKE_TEST_POSTGRESQL to a database for tests")


@pytest.fixture
def url():
    schema = f"second_read_{uuid.uuid4().hex[:12]}"
    engine = create_engine(ADDRESS)
    with engine.begin() as connection:
        connection.execute(text(f"create schema {schema}"))
    place = make_url(ADDRESS).update_query_dict({"options": f"-csearch_path={schema}"})
    yield place.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text(f"drop schema {schema} cascade"))
    engine.dispose()


@pytest.fixture
def db(url):
    database = Database(url)
    database.migrate()
    yield database
    database.engine.dispose()


def test_migrations_build_the_tables_the_models_describe(db):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    db.migrate()
    with db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_of_writers_at_once_each_sees_what_the_one_before_wrote(db):
    def write(name):
        for number in range(25):
            with db.writing() as session:
                audit.append(session, name, "test", {"number": number})

    writers = [threading.Thread(target=write, args=(f"writer {i}",)) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with db.reading() as session:
        assert len(audit.details(session, "test", actor="writer 3")) == 25
        assert audit.first_break(session) is None


def test_a_writer_does_not_wait_for_another_without_end(db, monkeypatch):
    monkeypatch.setattr("db.session.BUSY_TIMEOUT_S", 1)
    with db.writing(), pytest.raises(UnusableLog, match="try again in a minute"), db.writing():
        pass


def test_a_reader_sees_one_state_of_the_log(db):
    with db.reading() as session:
        assert not audit.details(session, "test", actor="a")
        with db.writing() as writing:
            audit.append(writing, "a", "test", {})
        assert not audit.details(session, "test", actor="a")
    with db.reading() as session:
        assert len(audit.details(session, "test", actor="a")) == 1


def test_scans_are_taken_in_read_reviewed_counted_and_taken_back(url, ws, publish_untrained):
    ws = open_workspace(Settings(home=ws.settings.home_dir, database_url=url))
    promote(ws, publish_untrained(), actor="test")
    model = serving_model(ws)
    received = take(ws, model, [(f"{i}.dcm", dicom(i, patient=f"P{i}")) for i in range(6)])
    assert [one.outcome for one in received] == ["stored"] * 6
    for case in cases(ws, "Ann"):
        record(
            ws,
            case.scan.id,
            reader="Ann",
            verdict="ischemic",
            expected_version=case.scan.version,
            click_id=new_click(),
        )
    assert {case.verdict.label for case in cases(ws, "Ann")} == {"ischemic"}
    assert len(live_evaluation(ws, Question(version=model.manifest.version)).rows) == 6
    [more] = take(ws, model, [("more.dcm", dicom(9, patient="P9"))])
    assert undo(ws, more.scan_id, actor="a") == 1
    with ws.db.reading() as session:
        assert audit.first_break(session) is None
    ws.db.engine.dispose()
