"""A replay store in a file, for several processes of one host.

Rules:

1. A claim is one statement in one transaction that writes; SQLite lets one process write at a time.
2. The file is ours alone: mode 0600, made so, and refused otherwise.
3. Claims survive the end of every process. What the machine had not yet written when it stopped is lost; so after a
   start of the machine, as for a new file, nothing is accepted that was signed before.
4. Each claim takes a few expired entries out, so that the file stays bounded without a pause to clean up.
5. A file that was taken away or replaced is not used further: others would not see it.
6. No connection is carried into a forked process, also not beside one that this process opens for itself: SQLite counts
   in the process which locks it has, and would take the parent's for its own. So before a fork every file is closed.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final, Self

from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.stores import forks
from wimse.stores.wal import use_wal

__all__ = ["SQLiteReplaySettings", "SQLiteReplayStore"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_LONGEST: Final = timedelta(seconds=10)
_OPENING_SECONDS: Final = 2  # several processes may start at once
_APPLICATION_ID: Final = 0x57494D53  # "WIMS", so that nobody else's file is taken for ours

_CARRIED: set[tuple[int, int]] = set()  # files that were open when this process was forked

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS claim (key BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS claim_until ON claim (until)",
    """CREATE TABLE IF NOT EXISTS memory (one INTEGER PRIMARY KEY CHECK (one = 1), since INTEGER NOT NULL,
    boot TEXT NOT NULL, entries INTEGER NOT NULL, forgotten_until INTEGER NOT NULL)""",
)
_BEGIN: Final = """
INSERT INTO memory VALUES (1, :since, :boot, 0, 0)
ON CONFLICT (one) DO UPDATE SET since = max(since, :since), boot = :boot WHERE boot <> :boot
"""
_EXPIRE: Final = """
DELETE FROM claim WHERE key IN (SELECT key FROM claim WHERE until <= ? ORDER BY until LIMIT ?) RETURNING until
"""
_CLAIM: Final = "INSERT INTO claim SELECT ?, ? WHERE ? < ? ON CONFLICT (key) DO NOTHING"
_KNOWN: Final = "SELECT 1 FROM claim WHERE key = ?"
_STATE: Final = "SELECT entries, forgotten_until, since FROM memory"
_COUNT: Final = "UPDATE memory SET entries = ?, forgotten_until = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLiteReplaySettings:
    """How much is remembered, and how long one waits.

    Attributes:
        max_entries: nonces held at most; about 100 bytes each on disk. Default 1,000,000. Full, it fails closed.
        timeout: how long a claim waits for other threads and processes. Default 150 ms, at most 10 s.
        max_removed_entries: expired entries that one claim takes out. Default 16, at least 2.

    Raises on construction:
        ConfigurationError: for a value out of bounds.
    """

    max_entries: int = 1_000_000
    timeout: timedelta = timedelta(milliseconds=150)
    max_removed_entries: int = 16

    def __post_init__(self) -> None:
        if self.max_entries < 1:
            raise ConfigurationError("max_entries must be at least 1")
        if not timedelta(0) < self.timeout <= _LONGEST:
            raise ConfigurationError(f"timeout must be above 0 and at most {_LONGEST.seconds} seconds")
        if self.max_removed_entries < 2:
            raise ConfigurationError("max_removed_entries must be at least 2, or the file only grows")


class SQLiteReplayStore:
    """Remembers nonces in a file, atomically among all processes of a host that open it, and their threads.

    It blocks: for some ten microseconds, and for `timeout` at most where another process holds the file. A network file
    system is no place for it, since SQLite's locks do not hold there.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, settings: SQLiteReplaySettings | None = None, since: int | None = None
    ) -> None:
        """Open the file, and make it where there is none.

        Args:
            path: of the file, in a directory that only this service may write.
            settings: sizes and times.
            since: for a new file, or the first opening since the machine started: what was signed before this time, in
                seconds since 1970, is not accepted. None is now.

        Raises:
            ConfigurationError: for a file that others may read or write, that belongs to somebody else, or that is not
                ours; for a directory that is not there.
            Unavailable: when it cannot be opened for another reason.
        """
        self._path = os.fspath(path)
        self._settings = settings or SQLiteReplaySettings()
        self._wait = self._settings.timeout.total_seconds() / 2  # for threads, and then for processes
        self._lock = Lock()
        self._process: int | None = None
        self._resting = False
        with forks.making():
            self._inode = _own_file(self._path)
            self._since = self._begin(int(time.time()) if since is None else since)
        forks.follow(self)

    def _begin(self, since: int) -> int:
        connection = self._connect()
        try:
            return _prepare(connection, since)
        except sqlite3.Error as error:
            raise _unavailable("the replay store's file cannot be opened") from error
        finally:
            connection.close()  # opened for good by the first claim

    @property
    def since(self) -> int:
        """What was signed before this time, in seconds since 1970, is not accepted: it may be forgotten."""
        return self._since

    def _connect(self) -> sqlite3.Connection:
        if self._inode in _CARRIED:
            raise _unavailable("the replay store's file was open when this process was forked")
        # `timeout` is SQLite's own waiting for other processes; autocommit, since transactions are written out.
        return sqlite3.connect(self._path, timeout=self._wait, isolation_level=None, check_same_thread=False)

    def claim(self, key: bytes, until: int, now: int) -> bool:
        """Claim `key`; True for the first one, False for every other until at least `until`.

        Args:
            key: what identifies the message.
            until: seconds since 1970.
            now: seconds since 1970.

        Raises:
            Unavailable: `replay_store_unavailable` when the file is full, locked for too long, gone or broken; or for a
                time that is forgotten already.
        """
        if not self._lock.acquire(timeout=self._wait):
            raise _unavailable("the replay store is busy")
        try:
            return self._claim(key, until, now)
        except sqlite3.Error as error:
            raise _unavailable("the replay store's file cannot be read or written now") from error
        finally:
            self._lock.release()

    def _claim(self, key: bytes, until: int, now: int) -> bool:
        if self._process != os.getpid():
            self._connection, self._process = self._connect(), os.getpid()
            self._connection.execute("PRAGMA synchronous = NORMAL")  # what a power cut loses, rule 3 refuses
        if _inode(self._path) != self._inode:
            raise _unavailable("the replay store's file was taken away or replaced")
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            claimed = self._claim_within(key, until, now)
        except BaseException:
            self._connection.rollback()
            raise
        run("COMMIT")
        return claimed

    def _claim_within(self, key: bytes, until: int, now: int) -> bool:
        run = self._connection.execute
        entries, forgotten, self._since = run(_STATE).fetchone()
        expired = run(_EXPIRE, (now, self._settings.max_removed_entries)).fetchall()
        entries -= len(expired)
        forgotten = max(forgotten, *(each for (each,) in expired)) if expired else forgotten
        if until <= forgotten:
            # Only a clock that jumped ahead and came back gets here: the nonce may have been among those removed.
            raise _unavailable("the clock went back behind what is remembered")
        claimed = run(_CLAIM, (key, until, entries, self._settings.max_entries)).rowcount == 1
        if not claimed and run(_KNOWN, (key,)).fetchone() is None:
            raise _unavailable("the replay store is full")
        if claimed or expired:
            run(_COUNT, (entries + claimed, forgotten))
        return claimed

    def close(self) -> None:
        """Close the file; the next claim opens it again."""
        with self._lock:
            if self._process == os.getpid():
                self._connection.close()
                self._process = None

    def before_fork(self) -> None:
        """Close the file, once no thread is claiming."""
        self._resting = self._lock.acquire(timeout=2 * self._wait)
        if self._resting and self._process is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
                self._process = None

    def after_fork(self, *, child: bool) -> None:
        """Let claims open it again, where it was closed before."""
        if child and self._process is not None:
            _CARRIED.add(self._inode)
        resting, self._resting = self._resting, False
        if resting:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _own_file(path: str) -> tuple[int, int]:
    """Make the file, or see that it is ours alone; SQLite gives its companions the same mode.

    Closing a file drops the locks that any connection of this process has on it. So an existing file is not opened
    here, and while one is made, no other thread connects to it.

    Returns:
        Which file it is.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError("the replay store's file cannot be made") from error
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError("the replay store's file is no regular file")
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigurationError("the replay store's file must belong to this user, with mode 0600")
    return found.st_dev, found.st_ino


def _prepare(connection: sqlite3.Connection, since: int) -> int:
    """Make what is not there yet; gives since when the file remembers."""
    run = connection.execute
    run(f"PRAGMA busy_timeout = {1000 * _OPENING_SECONDS}")
    # Whose file it is, is seen in the transaction that makes it ours: another process may make it at this moment, and
    # two looks at two states would take its half for another program's.
    run("BEGIN IMMEDIATE")
    (application,) = run("PRAGMA application_id").fetchone()
    (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
    if application != _APPLICATION_ID and (application or tables):
        raise ConfigurationError("the replay store's file is a database of another program")
    run(f"PRAGMA application_id = {_APPLICATION_ID}")
    for statement in _SCHEMA:
        run(statement)
    run(_BEGIN, {"since": since, "boot": _boot_id()})
    run("COMMIT")
    use_wal(connection, _OPENING_SECONDS)
    return int(run(_STATE).fetchone()[2])


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - at each claim: a Path costs more than the look
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _boot_id() -> str:
    """What differs after each start of the machine; where that cannot be known, each opening counts as one."""
    try:
        return _BOOT_ID.read_text(encoding="ascii")
    except OSError:
        return os.urandom(16).hex()


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(Reason.REPLAY_STORE_UNAVAILABLE, detail)
