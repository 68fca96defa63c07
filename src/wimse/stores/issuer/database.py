"""The two databases: how they are opened, how a transaction begins, and what becomes of their errors.

A transaction that writes is alone: it begins with the lock that only one can have (`BEGIN IMMEDIATE` in SQLite, an
advisory lock in PostgreSQL), so that what it read is still true when it writes. One that reads sees one moment.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.stores.wal import use_wal

__all__ = [
    "check_directory",
    "check_private_file",
    "open_postgresql",
    "open_sqlite",
    "others_connected",
    "reading",
    "writing",
]

_WRITES: Final = "wimse_writes"
_ADVISORY_LOCK: Final = 0x77696D7365  # "wimse": the same for every server of this database


def open_sqlite(path: Path, *, busy_timeout: float) -> Engine:
    """Open a SQLite file, or make it with mode 0600.

    Raises:
        ConfigurationError: when the file or its directory can be written by others, or cannot be made.
    """
    _make_private(path)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": busy_timeout, "check_same_thread": False},
        hide_parameters=True,  # an error's text is logged by whoever meets it; parameters are keys
    )

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions begin here, not in the driver
        use_wal(connection, busy_timeout)
        for pragma in (
            "synchronous = FULL",  # a rotation that was reported is on the disk
            "foreign_keys = ON",
            "secure_delete = ON",  # a revoked key is overwritten
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def open_postgresql(url: str, *, connect_timeout: int, statement_timeout_ms: int, pool_size: int) -> Engine:
    """Open a PostgreSQL database.

    Args:
        url: ``postgresql://user@host/database``, with whatever libpq takes as parameters.
        connect_timeout: in seconds.
        statement_timeout_ms: in milliseconds; also for waiting for a lock.
        pool_size: connections at most.

    Raises:
        ConfigurationError: when the URL is none, or psycopg is not installed.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "postgresql":
            raise ConfigurationError("the database's URL begins with postgresql://")
        parsed = parsed.set(drivername="postgresql+psycopg")
        return create_engine(
            parsed,
            connect_args={
                "connect_timeout": connect_timeout,
                "options": f"-c statement_timeout={statement_timeout_ms} -c lock_timeout={statement_timeout_ms}"
                f" -c idle_in_transaction_session_timeout={statement_timeout_ms}",
                "application_name": "wimse",
            },
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=connect_timeout,
            pool_pre_ping=True,  # a connection that the database closed is no failure
            hide_parameters=True,
        )
    except ArgumentError:
        raise ConfigurationError("the database's URL is malformed") from None
    except ImportError:
        raise ConfigurationError("PostgreSQL needs psycopg: pip install 'wimse[postgresql]'") from None


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that reads one moment.

    Raises:
        Unavailable: `store_unavailable`.
    """
    options = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with _translated(), engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that is the only one that writes; it is taken back when its body raises.

    Raises:
        Unavailable: `store_unavailable`.
    """
    with _translated(), engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        yield connection


def others_connected(engine: Engine) -> bool:
    """Whether other processes have this PostgreSQL database open by this package; False for SQLite.

    Raises:
        Unavailable: `store_unavailable`.
    """
    if engine.dialect.name != "postgresql":
        return False
    with reading(engine) as connection:
        others = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'wimse' AND pid <> pg_backend_pid()"
        )
        return bool(others.scalar_one())


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        # Its text may name hosts and users; its class says what kind of failure it is.
        kind = type(getattr(error, "orig", None) or error).__name__
        raise Unavailable(Reason.STORE_UNAVAILABLE, f"the issuer's database failed: {kind}") from None


def _make_private(path: Path) -> None:
    check_directory(path.parent)
    try:
        # O_EXCL: nothing is opened that another has put there; the mode is there from the first moment on, whatever
        # the umask. SQLite gives -wal and -shm the mode of the file.
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        check_private_file(path, "the issuer's database")
    except OSError as error:
        raise ConfigurationError(f"cannot make the issuer's database {path}: {error.strerror}") from None
    else:
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)


def check_private_file(path: Path, name: str) -> None:
    """Refuse a file that is no regular one, belongs to another user, or that others can read or write.

    Raises:
        ConfigurationError: with what to do.
    """
    try:
        status = path.lstat()
    except OSError as error:
        raise ConfigurationError(f"{name} {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{name} {path} is not a regular file")
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(f"{name} {path} belongs to another user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(f"{name} {path} is open to others: chmod 600 {path}")


def check_directory(directory: Path) -> None:
    """Refuse a directory of the issuer's database that others may write to.

    Raises:
        ConfigurationError: with what to do.
    """
    try:
        status = directory.stat()
    except OSError as error:
        raise ConfigurationError(f"the directory {directory} of the issuer's database: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{directory}, where the issuer's database is to be, is not a directory")
    # Whoever may write there can put files of his own in the place of the database and its journal.
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"others may write to the directory {directory} of the issuer's database: chmod go-w")
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(f"the directory {directory} of the issuer's database belongs to another user")
