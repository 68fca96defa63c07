"""SQLite's write-ahead log, for a file that several processes may open for the first time at once."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

__all__ = ["use_wal"]

_PAUSE_SECONDS: Final = 0.005


def use_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Give the file a write-ahead log, which stays with it.

    The change wants the file alone for a moment, and SQLite's own waiting does not cover it.

    Args:
        connection: to the file, within no transaction.
        seconds: how long it may take.

    Raises:
        sqlite3.Error: when others did not leave the file alone for that long, or it is none of SQLite's.
    """
    last = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > last:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return
