import multiprocessing
import sqlite3

import pytest
from sqlalchemy import text

from db.models import Base
from db.session import Database, wal_is_safe


@pytest.fixture
def db(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'log.sqlite'}")
    database.migrate()
    return database


def test_migrations_build_the_tables_the_models_describe(db):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_again_changes_nothing(db):
    db.migrate()
    with db.reading() as session:
        assert session.scalar(text("select count(*) from alembic_version")) == 1


def test_sqlite_is_set_up_not_to_lose_anything(db):
    with db.reading() as session:
        assert session.scalar(text("pragma synchronous")) == 2
        assert session.scalar(text("pragma foreign_keys")) == 1
        assert session.scalar(text("pragma journal_mode")) == ("wal" if wal_is_safe() else "delete")


@pytest.mark.parametrize(
    ("version", "safe"),
    [((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True), ((3, 45, 0), False), ((3, 50, 6), False),
     ((3, 50, 7), True), ((3, 51, 0), False), ((3, 51, 2), False), ((3, 51, 3), True), ((3, 52, 0), True)],
)  # fmt: skip
def test_wal_only_where_its_reset_bug_is_mended(version, safe):
    assert wal_is_safe(version) is safe


def test_a_transaction_that_fails_leaves_nothing(db):
    from db.models import Patient

    def fail_half_way():
        with db.writing() as session:
            session.add(Patient(key="a", split="train"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with db.reading() as session:
        assert session.scalar(text("select count(*) from patients")) == 0


def _count_up(url: str, times: int) -> None:
    database = Database(url)
    for _ in range(times):
        with database.writing() as session:
            value = session.scalar(text("select width from counter"))
            session.execute(text("update counter set width = :v"), {"v": value + 1})


def test_eight_writers_lose_no_update(tmp_path):
    path = tmp_path / "log.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("create table counter (width integer)")
        connection.execute("insert into counter values (0)")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_count_up, args=(f"sqlite:///{path}", 10)) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 8
    with sqlite3.connect(path) as connection:
        assert connection.execute("select width from counter").fetchone() == (80,)
