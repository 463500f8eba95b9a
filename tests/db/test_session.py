import multiprocessing
import sqlite3
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from db.models import Base, Patient
from db.session import DamagedLog, Database, UnusableLog, _say_server, file_of, wal_is_safe


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


def test_the_file_and_its_journal_are_their_owners_alone(tmp_path):
    tmp_path.chmod(0o755)
    file = tmp_path / "log.sqlite"
    db = Database(f"sqlite:///{file}")
    db.migrate()
    with db.writing() as session:
        session.add(Patient(key="a", split="train"))
        session.flush()
        journals = list(tmp_path.glob("log.sqlite-*"))
        assert journals
        assert {path.stat().st_mode & 0o777 for path in (file, *journals)} == {0o600}


def test_a_file_of_before_is_closed_to_others_where_that_can_be_done(db, tmp_path, monkeypatch):
    file = tmp_path / "log.sqlite"
    file.chmod(0o664)
    db.keep_private()
    assert file.stat().st_mode & 0o777 == 0o600

    def not_ours(*_args, **_kwargs):
        raise PermissionError

    file.chmod(0o644)
    monkeypatch.setattr("pathlib.Path.chmod", not_ours)
    db.keep_private()
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_log_that_is_named_by_sqlites_own_uri_is_private_too(tmp_path):
    file = tmp_path / "a log.sqlite"
    db = Database(f"sqlite:///file:{str(file).replace(' ', '%20')}?uri=true")
    db.migrate()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file_of(db.url) == file
    assert not db.in_memory


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:/a?vfs=memdb&uri=true"])
def test_a_log_in_memory_leaves_no_file(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    db = Database(url)
    db.keep_private()
    with db.reading() as session:
        assert session.scalar(text("select 1")) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_log_newer_than_the_program_is_not_touched_and_says_what_to_do(db, tmp_path):
    with db.writing() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    before = (tmp_path / "log.sqlite").read_bytes()
    with pytest.raises(UnusableLog, match=r"newer than this program.*9999.*Use the version that wrote it, or restore"):
        db.migrate()
    assert (tmp_path / "log.sqlite").read_bytes() == before


def test_a_log_that_somebody_holds_says_so_and_is_not_called_damaged(db, tmp_path, monkeypatch):
    monkeypatch.setattr("db.session.BUSY_TIMEOUT_S", 0.1)
    other = Database(db.url)
    why = r"cannot be used.*locked.*try again in a minute"
    with db.writing() as session:
        session.add(Patient(key="a", split="train"))
        session.flush()
        with pytest.raises(UnusableLog, match=why) as said, other.writing() as late:
            late.scalar(text("select 1"))
    assert not isinstance(said.value, DamagedLog)


def test_a_log_that_cannot_be_opened_says_so_and_is_not_called_damaged(tmp_path):
    db = Database(f"sqlite:///{tmp_path / 'log.sqlite'}")
    (tmp_path / "log.sqlite").unlink()
    (tmp_path / "log.sqlite").mkdir()
    with pytest.raises(UnusableLog, match=r"unable to open.*read and write the file and its folder") as said:
        db.migrate()
    assert not isinstance(said.value, DamagedLog)
    with pytest.raises(UnusableLog, match=r"log.sqlite is a folder.*Take it away, or name a file"):
        Database(db.url)


@pytest.mark.parametrize("address", ["sqlite:///{}", "sqlite:///file:{}?uri=true"])
@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize(
    "holds",
    ["create table visits (page text)", "create view visits as select 1", "create table alembic_version (version_num)"],
)
def test_another_programs_database_is_left_as_it_is(tmp_path, address, journal, holds):
    file = tmp_path / "history.sqlite"
    with sqlite3.connect(file) as other:
        other.execute(f"pragma journal_mode = {journal}")
        other.execute(holds)
    other.close()
    before = file.read_bytes()
    db = Database(address.format(file))
    with pytest.raises(UnusableLog, match=r"history.sqlite.* is no case log: it holds \w+ .*Name a file of its own"):
        db.migrate()
    db.engine.dispose()
    assert file.read_bytes() == before


def test_an_address_that_is_none_is_said():
    with pytest.raises(UnusableLog, match=r"address cannot be used .*STROKE_DATABASE_URL"):
        Database("sqlite:/")


@pytest.mark.parametrize("harm", ["the header", "a page"])
def test_a_damaged_log_says_what_to_do(db, tmp_path, harm):
    db.engine.dispose()
    file = tmp_path / "log.sqlite"
    data = bytearray(file.read_bytes())
    harmed = slice(100) if harm == "the header" else slice(4096, None)
    data[harmed] = b"\x55" * len(data[harmed])
    file.write_bytes(data)
    with pytest.raises(UnusableLog, match=r"is damaged.*Restore it from the backup; scripts/check_log.py says more"):
        db.migrate()


def test_an_error_quotes_no_value_of_its_statement(db):
    def twice():
        with db.writing() as session:
            session.execute(text("insert into patients values ('a', :split, '2026-01-01')"), {"split": "Dr Ada"})
            session.execute(text("insert into patients values ('a', :split, '2026-01-01')"), {"split": "Dr Ada"})

    with pytest.raises(IntegrityError) as error:
        twice()
    assert "Dr Ada" not in str(error.value)


@pytest.mark.parametrize("ping", [False, True])
def test_a_server_that_does_not_answer_is_said_and_a_lost_connection_is_not(ping):
    refused = OperationalError("select 1", {}, OSError("connection refused\nIs it running?"))
    context = SimpleNamespace(is_pre_ping=ping, sqlalchemy_exception=refused, original_exception=refused.orig)
    if ping:
        return _say_server(context)
    with pytest.raises(UnusableLog, match=r"server does not do what it is asked \(connection refused\)"):
        _say_server(context)
