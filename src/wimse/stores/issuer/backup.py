"""Backup and restore of the SQLite store. PostgreSQL has pg_dump; see docs/identity-server/storage.md."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.issuer.rotation import restored
from wimse.issuer.store import IssuerStore
from wimse.stores.issuer.database import check_private_file

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


def restore_sqlite(backup: Path, target: Path) -> None:
    """Put a backup in the place of a database that is not there any more. Then call `adopt_backup`, once.

    Args:
        backup: what `back_up_sqlite` wrote.
        target: the database's path; neither it nor its journal may be there.

    Raises:
        ConfigurationError: when the target is there, or the backup is not a private file or damaged.
        Unavailable: `store_unavailable`.
    """
    check_private_file(backup, "the backup")
    for path in (target.with_name(target.name + "-wal"), target.with_name(target.name + "-shm")):
        if path.exists():  # it would be played into the restored file
            raise ConfigurationError(f"{path} is there: move it away with the database that it belongs to")
    _copy(backup, target)


def adopt_backup(store: IssuerStore, *, now: int) -> None:
    """Make restored keys safe to go on with: each waits once more until validators have it.

    Args:
        store: with what was restored, before any server uses it.
        now: seconds since 1970.

    Raises:
        Unavailable: as `IssuerStore.replace_keys`.
    """
    keys = store.load().keys
    if keys.keys:
        store.replace_keys(keys, restored(keys, now=now), now=now)


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.new")
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigurationError(f"cannot make {temporary}: {error.strerror}") from None
    try:
        uri = f"{source.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as before, closing(sqlite3.connect(temporary)) as after:
            before.backup(after)
            after.execute("PRAGMA journal_mode = DELETE")  # one file, without a journal beside it
            if after.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise ConfigurationError(f"{source} is damaged")
        os.fsync(descriptor)
        os.link(temporary, target)  # unlike a rename it replaces nothing
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise ConfigurationError(f"{target} is there already") from None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise Unavailable(Reason.STORE_UNAVAILABLE, "the issuer's database cannot be copied") from None
        raise ConfigurationError(f"{source} is damaged, or no database") from None
    except OSError as error:
        raise Unavailable(Reason.STORE_UNAVAILABLE, f"the copy cannot be written: {error.strerror}") from None
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)
