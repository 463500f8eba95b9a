"""Connections to the case log: SQLite or PostgreSQL, set up not to lose or interleave anything."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, inspect, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session

from db.private import close_to_others, make_file

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 30
_WRITES = "second_read_writes"
_WRITERS = 0x5EC0D
"""What writers to PostgreSQL wait for, one after the other, as they do for SQLite's file."""
_OURS = "scans"
"""A table that every case log has."""
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NOT_OURS = "Let whoever runs this read and write the file and its folder."
DISK_FULL = "The disk is full: make room on it."
_HELD = "Other work on it takes long just now: try again in a minute."
_IN_THE_WAY = {
    sqlite3.SQLITE_CANTOPEN: _NOT_OURS,
    sqlite3.SQLITE_PERM: _NOT_OURS,
    sqlite3.SQLITE_READONLY: _NOT_OURS,
    sqlite3.SQLITE_BUSY: _HELD,
    sqlite3.SQLITE_LOCKED: _HELD,
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_IOERR: "The disk it lies on, or the way there, fails: see to that.",
}
"""What keeps a file that may be sound from being used, and what to do."""


class UnusableLog(ValueError):
    """The case log cannot be used; the message says why and what to do."""


class DamagedLog(UnusableLog):
    """Its file is damaged."""


def wal_is_safe(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> bool:
    """Whether this SQLite has the fix of the WAL-reset corruption bug: 3.51.3, or 3.44.6 / 3.50.7 in their lines."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)


class Database:
    """One engine; a session to read with and a session to write with."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)

    @property
    def in_memory(self) -> bool:
        """Whether nothing of it outlives this process."""
        return self.engine.dialect.name == "sqlite" and file_of(self.url) is None

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A consistent view; nothing written here is kept."""
        how = {"isolation_level": "REPEATABLE READ"} if self._is_postgresql else {}
        with Session(self.engine.execution_options(**how), expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction, committed at the end or not at all. It is the only one that writes, from its start: what it
        reads, such as the end of the audit chain, is so until it ends."""
        engine = self.engine.execution_options(**{_WRITES: True})
        with Session(engine, expire_on_commit=False) as session, session.begin():
            self._be_only_writer(session)
            yield session

    def _be_only_writer(self, transaction: Session | Connection) -> None:
        """Until it ends. SQLite sees to it when it begins (`_begin_sqlite`)."""
        if self._is_postgresql:
            transaction.execute(select(func.set_config("lock_timeout", f"{BUSY_TIMEOUT_S}s", True)))
            transaction.execute(select(func.pg_advisory_xact_lock(_WRITERS)))

    @property
    def _is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    def place(self, home: Path) -> str:
        """Where the case log lies, without who may open it; a file in `home` as seen from there, for a home can be
        moved."""
        if file := file_of(self.url):
            file, home = file.resolve(), home.resolve()
            return str(file.relative_to(home) if file.is_relative_to(home) else file)
        url = self.engine.url
        return str(URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database))

    def keep_private(self) -> None:
        """Close an SQLite file to everybody but its owner, where that can be done."""
        if file := file_of(self.url):
            for end in ("", "-journal", "-wal", "-shm"):
                close_to_others(file.with_name(file.name + end))

    def migrate(self) -> None:
        """Bring the schema to the newest revision; does nothing where it is there already. Raises UnusableLog."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        scripts = ScriptDirectory.from_config(config)
        with self.engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if self.engine.dialect.name == "sqlite":
            self._take_over()
        if current == scripts.get_current_head():
            return
        if current and current not in {script.revision for script in scripts.walk_revisions()}:
            raise UnusableLog(
                f"The case log is newer than this program, which does not know its revision {current}. Use the version "
                "that wrote it, or restore a backup from before."
            )
        engine = self.engine.execution_options(**{_WRITES: True})
        with engine.begin() as connection:
            self._be_only_writer(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _take_over(self) -> None:
        """Keep the journal as a case log's from here on: of a file that holds something else nothing is changed."""
        found = inspect(self.engine)
        held = {*found.get_table_names(), *found.get_view_names()}
        if held and _OURS not in held:
            raise UnusableLog(
                f"{make_url(self.url).database} is no case log: it holds {', '.join(sorted(held)[:3])} of some other "
                "program's. Name a file of its own in STROKE_DATABASE_URL or config.yaml."
            )
        if not event.contains(self.engine, "connect", _set_journal):
            event.listen(self.engine, "connect", _set_journal)
            self.engine.dispose()  # those who connected before


def _engine(url: str) -> Engine:
    """Errors do not quote a statement's values: readers' names and verdicts have no business in a server's log."""
    try:
        if make_url(url).get_backend_name() != "sqlite":
            server = create_engine(url, pool_pre_ping=True, hide_parameters=True)
            event.listen(server, "handle_error", _say_server)
            return server
    except (ArgumentError, ImportError) as error:
        raise UnusableLog(
            f"The case log's address cannot be used ({str(error).splitlines()[0]}). Correct database_url in "
            "config.yaml or STROKE_DATABASE_URL, or install what it needs."
        ) from error
    if file := file_of(url):
        if file.is_dir():
            raise UnusableLog(f"{file} is a folder, where the case log's file should be. Take it away, or name a file.")
        file.parent.mkdir(parents=True, exist_ok=True)
        make_file(file)  # SQLite gives its journal the same mode
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, hide_parameters=True
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "handle_error", _say_why)
    return engine


def file_of(url: str) -> Path | None:
    """Where an SQLite case log lies, by its path or as SQLite's own URI; None where it is in memory, or another
    database's."""
    place = make_url(url)
    name = place.database or "" if place.get_backend_name() == "sqlite" else ""
    if place.query.get("uri") and name.startswith("file:"):
        nowhere = place.query.get("mode") == "memory" or place.query.get("vfs") == "memdb"
        name = "" if nowhere else unquote(urlsplit(name).path)
    return Path(name) if name and name != ":memory:" else None


def _say_why(context: ExceptionContext) -> None:
    said = context.original_exception
    code = (getattr(said, "sqlite_errorcode", None) or 0) & 0xFF
    if code in _DAMAGE:
        raise DamagedLog(
            f"The case log's file is damaged: SQLite says “{said}”. Restore it from the backup; "
            "scripts/check_log.py says more."
        ) from said
    if code in _IN_THE_WAY:
        raise UnusableLog(f"The case log's file cannot be used: SQLite says “{said}”. {_IN_THE_WAY[code]}") from said


def _say_server(context: ExceptionContext) -> None:
    """The server cannot be reached, ends, or is in need. A connection that has gone meanwhile is replaced unsaid."""
    if not context.is_pre_ping and isinstance(context.sqlalchemy_exception, OperationalError):
        said = str(context.original_exception).partition("\n")[0].rstrip(".")
        raise UnusableLog(
            f"The case log's server does not do what it is asked ({said}). See to it, or try again in a minute; what "
            "has been stored is there."
        ) from context.original_exception


def _set_up_sqlite(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late; ours is in _begin_sqlite
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _set_journal(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA journal_mode = {'WAL' if wal_is_safe() else 'DELETE'}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
