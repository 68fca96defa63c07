"""Backup and restore of the SQLite store. PostgreSQL has pg_dump; see docs/identity-server/storage.md."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.issuer import KeySet
from wimse.issuer.rotation import check_clock, restored
from wimse.issuer.store import IssuerStore
from wimse.stores.issuer.changing import SETBACK_SECONDS
from wimse.stores.issuer.database import check_private_file
from wimse.stores.issuer.in_use import alone_with

__all__ = ["adopt_backup", "back_up_sqlite", "restore_sqlite"]


def back_up_sqlite(source: Path, target: Path) -> None:
    """Copy the database of a running server, as of one moment, to a new file of mode 0600.

    The keys in it are as well encrypted as in the database itself. Keep the key-encryption key elsewhere.

    Raises:
        ConfigurationError: when the target is there already, or the source is not a private file.
        Unavailable: `store_unavailable` when the copy fails; nothing is left of it then.
    """
    check_private_file(source, "the issuer's database")
    _copy(source, target)


def restore_sqlite(backup: Path, target: Path, *, prepare: Callable[[Path], None] | None = None) -> None:
    """Put a backup in the place of a database that is not there any more. `adopt_backup` has to be called, once.

    Args:
        backup: what `back_up_sqlite` wrote.
        target: the database's path; neither it nor its journal may be there.
        prepare: called with the path of the copy before it is in its place, to adopt it there: then no server ever
            finds it otherwise. When it raises nothing is restored.

    Raises:
        ConfigurationError: when the target is there, a server uses it even though it is not (see `using`), or the
            backup is not a private file or damaged.
        Unavailable: `store_unavailable`.
    """
    check_private_file(backup, "the backup")
    with alone_with(target):
        if target.exists():
            raise ConfigurationError(f"{target} is there already: move it away, with its -wal and -shm")
        for path in _journal(target):
            if path.exists():  # it would be played into the restored file
                raise ConfigurationError(f"{path} is there: move it away with the database that it belongs to")
        _copy(backup, target, prepare)


def adopt_backup(store: IssuerStore, *, now: int) -> KeySet:
    """Make restored keys safe to go on with: each waits once more until validators have it.

    Args:
        store: with what was restored, before any server uses it.
        now: seconds since 1970.

    Returns:
        The keys as they are then.

    Raises:
        Unavailable: `issuer_unavailable` when the clock is behind the newest time in the store; else as
            `IssuerStore.replace_keys`.
    """
    state = store.load()
    check_clock(state.clock_at, now=now, clock_setback=SETBACK_SECONDS)
    if not state.keys.keys:
        return state.keys
    after = restored(state.keys, now=now)
    store.replace_keys(state.keys, after, now=now)
    return after


def _journal(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + end) for end in ("-wal", "-shm"))


def _copy(source: Path, target: Path, prepare: Callable[[Path], None] | None = None) -> None:
    temporary = target.with_name(f".{target.name}.new")
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        left = ", left by a copy that was broken off: remove it" if isinstance(error, FileExistsError) else ""
        raise ConfigurationError(f"cannot make {temporary}: {error.strerror}{left}") from None
    try:
        _copy_database(source, temporary)
        if prepare is not None:
            prepare(temporary)
            if any(each.exists() for each in _journal(temporary)):  # some of it would stay behind
                raise Unavailable(Reason.STORE_UNAVAILABLE, "the copy of the issuer's database is still open")
        os.fsync(descriptor)
        _put_in_place(temporary, target)
    except FileExistsError:
        raise ConfigurationError(f"{target} is there already") from None
    except OSError as error:
        raise Unavailable(Reason.STORE_UNAVAILABLE, f"the copy cannot be written: {error.strerror}") from None
    finally:
        os.close(descriptor)
        for path in (temporary, *_journal(temporary)):
            path.unlink(missing_ok=True)


def _copy_database(source: Path, copy: Path) -> None:
    """Copy what is in the database, as of one moment, into a file that is there and empty."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as before, closing(sqlite3.connect(copy)) as after:
            before.backup(after)
            after.execute("PRAGMA journal_mode = DELETE")  # one file, without a journal beside it
            if after.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise ConfigurationError(f"{source} is damaged")
    except sqlite3.OperationalError:
        raise Unavailable(Reason.STORE_UNAVAILABLE, "the issuer's database cannot be copied") from None
    except sqlite3.DatabaseError:
        raise ConfigurationError(f"{source} is damaged, or no database") from None


def _put_in_place(temporary: Path, target: Path) -> None:
    os.link(temporary, target)  # unlike a rename it replaces nothing
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
