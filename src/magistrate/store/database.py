"""Opening and closing the database behind the decision log, and its errors in our words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from magistrate.errors import StoreError
from magistrate.store.schema import DECISIONS, METADATA, VERSION, VERSIONS

BUSY_TIMEOUT_S = 30.0


def database_url(place: Path | str) -> URL:
    """The address of a database: a path is an SQLite file, a string with `://` is a URL.

    Raises:
        StoreError: not a URL.
    """
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(Path(place).expanduser()))
    try:
        return make_url(place)
    except ArgumentError as error:
        raise StoreError("the log's URL cannot be read", hint="such as sqlite:////var/lib/log.db") from error


def open_engine(url: URL, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Open a database, and make its tables where it is new.

    Raises:
        StoreError: it cannot be opened, is no decision log, or is of a newer magistrate.
    """
    with mapped(url):
        engine = _engine(url, busy_timeout_s)
        try:
            _check_tables(engine, url)
        except BaseException:
            engine.dispose()
            raise
        return engine


def erase(engine: Engine, url: URL) -> None:
    """Take out of the files what was deleted: freed pages are zeros already, the write-ahead log may hold copies.

    Raises:
        StoreError: another process still reads old pages.
    """
    if engine.dialect.name != "sqlite":
        return
    with mapped(url):
        connection = engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (busy, *_) = cursor.fetchone() or (1,)
        finally:
            connection.close()
    if busy:
        raise StoreError(
            "the decisions are deleted, but another process holds on to old pages of the log, which still have them",
            hint="end the processes that read the log and purge again",
        )


@contextmanager
def mapped(url: URL) -> Generator[None]:
    """Turn the errors of the database into ours, by their codes."""
    is_file = url.drivername.partition("+")[0] == "sqlite"
    name = repr(url.database) if is_file else url.render_as_string(hide_password=True)
    try:
        yield
    except DBAPIError as error:
        raise _store_error(name, error.orig) from error
    except sqlite3.Error as error:
        raise _store_error(name, error) from error
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError(
            f"no driver for {url.drivername!r}", hint="use a file, or install the driver that the URL names"
        ) from error
    except SQLAlchemyError as error:
        raise StoreError(f"the decision log {name} cannot be used: {type(error).__name__}", hint=_CHECK) from error
    except OSError as error:
        raise StoreError(f"cannot make the decision log {name}: {error.strerror}", hint=_CHECK) from error


_CHECK = "check the path and its rights, or set [log] path in magistrate.toml"
_REASONS = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", "try again when it is done"),
    sqlite3.SQLITE_LOCKED: ("is locked by another process", "try again when it is done"),
    sqlite3.SQLITE_NOTADB: ("is not a database", "move the file away, or set another [log] path"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "`sqlite3 FILE .recover` saves what can be saved; then move it away"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", _CHECK),
    sqlite3.SQLITE_READONLY: ("is read-only", _CHECK),
    sqlite3.SQLITE_PERM: ("cannot be opened", _CHECK),
    sqlite3.SQLITE_FULL: ("cannot be written: the disk is full", "make room"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: the disk reports an error", "check the disk"),
}


def _store_error(name: str, error: BaseException | None) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    reason, hint = _REASONS.get((code or 0) & 0xFF, (f"cannot be used: {type(error).__name__}", _CHECK))
    return StoreError(f"the decision log {name} {reason}", hint=hint)


def _engine(url: URL, busy_timeout_s: float) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url)
    _make_file(url)
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _make_file(url: URL) -> None:
    """Make the file for its owner alone; SQLite gives its companions the same mode."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return
    path = Path(url.database)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return


def _configure(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin in `_begin`, not where the driver guesses
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA secure_delete=ON")
    _switch_to_wal(connection)


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch once in the life of a file. SQLite does not wait for a lock here, so this does."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check_tables(engine: Engine, url: URL) -> None:
    """Make the tables in an empty database; two processes may do so at once."""
    if _version(engine) is None:
        with engine.execution_options(writes=True).begin() as connection:
            if not inspect(connection).get_table_names():
                METADATA.create_all(connection)
                connection.execute(insert(VERSIONS).values(version=VERSION))
    if _version(engine) == _BEFORE_STEPS:
        _add_steps(engine)
    found = _version(engine)
    if found is None:
        raise StoreError(f"{url.database!r} is a database, but not a decision log", hint="set another [log] path")
    if found != VERSION:
        raise StoreError(
            f"the decision log {url.database!r} is of version {found}, this magistrate knows {VERSION}",
            hint="update magistrate, or set another [log] path",
        )


_BEFORE_STEPS = 1


def _add_steps(engine: Engine) -> None:
    """From version 1 to 2; two processes may do so at once, and the second then finds it done."""
    with engine.execution_options(writes=True).begin() as connection:
        if connection.execute(select(VERSIONS.c.version)).scalar() == _BEFORE_STEPS:
            kind = DECISIONS.c.steps.type.compile(engine.dialect)
            connection.execute(text(f"ALTER TABLE {DECISIONS.name} ADD COLUMN steps {kind}"))
            connection.execute(update(VERSIONS).values(version=VERSION))


def _version(engine: Engine) -> int | None:
    with engine.connect() as connection:
        if VERSIONS.name not in inspect(connection).get_table_names():
            return None
        return connection.execute(select(VERSIONS.c.version)).scalar()
