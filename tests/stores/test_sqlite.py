"""The replay store in a file: once among all processes, ours alone, bounded, and closed when anything is wrong."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from tests.stores.claimers import claim_from_processes, in_threads
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.stores import SQLiteReplaySettings, SQLiteReplayStore, sqlite

NOW = 1_800_000_000
PATIENT = SQLiteReplaySettings(timeout=timedelta(seconds=10))


def key(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


def made(path: Path, **settings: Any) -> SQLiteReplayStore:
    return SQLiteReplayStore(path / "claims.db", settings=SQLiteReplaySettings(**settings), since=0)


def unavailable(call: Callable[[], object], match: str) -> None:
    with pytest.raises(Unavailable, match=match) as caught:
        call()
    assert caught.value.reason is Reason.REPLAY_STORE_UNAVAILABLE


def entries(path: Path) -> int:
    with sqlite3.connect(path / "claims.db") as connection:
        counted, stored = connection.execute("SELECT (SELECT count(*) FROM claim), entries FROM memory").fetchone()
    connection.close()
    assert counted == stored
    return int(counted)


def test_a_key_is_claimed_once(tmp_path: Path) -> None:
    """RP-01, RP-11: and is known until the last second."""
    with made(tmp_path) as store:
        assert store.claim(key(1), NOW + 90, NOW) is True
        for now in (NOW, NOW + 1, NOW + 89):
            assert store.claim(key(1), NOW + 90, now) is False
        assert store.claim(key(2), NOW + 90, NOW) is True
    assert entries(tmp_path) == 2


def test_another_opening_knows_what_the_first_one_saw(tmp_path: Path) -> None:
    """RP-03, RP-04: beside it, and after it has ended."""
    first, second = made(tmp_path), made(tmp_path)
    assert first.claim(key(1), NOW + 90, NOW) is True
    assert second.claim(key(1), NOW + 90, NOW) is False
    first.close()
    second.close()
    with made(tmp_path) as third:
        assert third.claim(key(1), NOW + 90, NOW) is False


def test_of_a_hundred_threads_one_claims_a_key(tmp_path: Path) -> None:
    """RP-02."""
    with SQLiteReplayStore(tmp_path / "claims.db", settings=PATIENT) as store:
        found = in_threads(store, key(1), NOW + 90, NOW, 100)
    assert sorted(found) == ["False"] * 99 + ["True"]


def test_of_a_hundred_claims_of_four_processes_one_is_the_first(tmp_path: Path) -> None:
    """RP-02, RP-03."""
    found = claim_from_processes(["sqlite"] * 4, str(tmp_path / "claims.db"), (key(1), NOW + 90, NOW), 25)
    assert found == {"True": 1, "False": 99}


def test_all_who_open_a_new_file_at_once_have_it(tmp_path: Path) -> None:
    """Whoever comes while another makes the file neither takes it for a foreign one nor gives up."""
    start = Barrier(4)

    def opening(turn: int) -> int:
        start.wait(30)
        return SQLiteReplayStore(tmp_path / f"{turn}.db", since=turn).since

    with ThreadPoolExecutor(4) as pool:
        for turn in range(100):
            assert list(pool.map(opening, [turn] * 4)) == [turn] * 4


def test_nobody_opens_a_file_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of its making drops every lock that this process has on it."""
    close = os.close
    others: list[Thread] = []

    def closing(descriptor: int) -> None:
        if not others:
            others.append(Thread(target=made, args=(tmp_path,)))
            others[0].start()
            others[0].join(0.2)
            assert others[0].is_alive(), "another one has it open already"
        close(descriptor)

    monkeypatch.setattr(os, "close", closing)
    made(tmp_path)
    others[0].join(20)
    assert not others[0].is_alive()


def test_the_file_and_its_companions_are_ours_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with made(tmp_path) as store:
            store.claim(key(1), NOW + 90, NOW)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"claims.db": 0o600, "claims.db-wal": 0o600, "claims.db-shm": 0o600}


def a_file_for_all(path: Path) -> None:
    path.touch(0o600)
    path.chmod(0o640)


def a_link(path: Path) -> None:
    (path.parent / "elsewhere").touch(0o600)
    path.symlink_to(path.parent / "elsewhere")


def another_programs(path: Path) -> None:
    path.touch(0o600)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (one)")
    connection.close()


def no_directory(path: Path) -> None:
    path.parent.rmdir()


@pytest.mark.parametrize("spoil", [a_file_for_all, a_link, another_programs, no_directory, Path.mkdir])
def test_a_file_that_is_not_ours_alone_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    place = tmp_path / "inner"
    place.mkdir()
    spoil(place / "claims.db")
    with pytest.raises(ConfigurationError):
        made(place)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigurationError, match="belong"):
        made(tmp_path)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    """RP-12: wrong data type."""
    path = tmp_path / "claims.db"
    path.touch(0o600)
    path.write_bytes(b"no database, and longer than the head of one" * 50)
    unavailable(lambda: made(tmp_path), "cannot be opened")


def test_a_table_of_another_shape_is_unavailable(tmp_path: Path) -> None:
    """RP-12."""
    with made(tmp_path) as store:
        with sqlite3.connect(tmp_path / "claims.db") as connection:
            connection.execute("DROP TABLE claim")
        connection.close()
        unavailable(lambda: store.claim(key(1), NOW + 90, NOW), "cannot be read")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_was_taken_away_is_not_used_further(tmp_path: Path, replaced: bool) -> None:
    """RP-12, RP-04: whoever starts now would see another one."""
    with made(tmp_path) as store:
        assert store.claim(key(1), NOW + 90, NOW)
        (tmp_path / "claims.db").rename(tmp_path / "old")
        if replaced:
            made(tmp_path).close()
        unavailable(lambda: store.claim(key(2), NOW + 90, NOW), "taken away")


def test_a_full_file_fails_closed_and_opens_again(tmp_path: Path) -> None:
    """RP-10, RP-12."""
    with made(tmp_path, max_entries=2) as store:
        for number in (1, 2):
            assert store.claim(key(number), NOW + 90, NOW)
        unavailable(lambda: store.claim(key(3), NOW + 90, NOW), "full")
        assert store.claim(key(1), NOW + 90, NOW + 89) is False
        assert store.claim(key(3), NOW + 180, NOW + 90) is True
    assert entries(tmp_path) == 1


def test_expired_entries_are_removed_a_few_at_a_time(tmp_path: Path) -> None:
    """RP-07: bounded, and without a pause."""
    with made(tmp_path, max_removed_entries=4) as store:
        for number in range(40):
            store.claim(key(number), NOW + 90, NOW)
        sizes = []
        for number in range(40, 60):
            assert store.claim(key(number), NOW + 180, NOW + 90) is True
            sizes.append(entries(tmp_path))
    assert sizes[:3] == [37, 34, 31]
    assert sizes[-1] == 20


def test_a_clock_that_jumped_ahead_and_came_back_is_no_second_chance(tmp_path: Path) -> None:
    """RP-10, RP-11."""
    with made(tmp_path) as store:
        assert store.claim(key(1), NOW + 90, NOW)
        assert store.claim(key(2), NOW + 1_090, NOW + 1_000)
        unavailable(lambda: store.claim(key(1), NOW + 90, NOW), "went back")
        assert store.claim(key(2), NOW + 1_090, NOW) is False
        assert store.claim(key(3), NOW + 91, NOW) is True


def test_a_file_that_another_process_holds_is_unavailable_in_time(tmp_path: Path) -> None:
    """RP-12: slow."""
    with made(tmp_path) as store:
        assert store.claim(key(1), NOW + 90, NOW)
        other = sqlite3.connect(tmp_path / "claims.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        unavailable(lambda: store.claim(key(2), NOW + 90, NOW), "cannot be read")
        assert time.monotonic() - began < 0.25
        other.close()
        assert store.claim(key(2), NOW + 90, NOW) is True


def test_a_store_that_another_thread_holds_is_unavailable_in_time(tmp_path: Path) -> None:
    """RP-12."""
    with made(tmp_path) as store:
        store._lock.acquire()
        began = time.monotonic()
        unavailable(lambda: store.claim(key(2), NOW + 90, NOW), "busy")
        assert time.monotonic() - began < 0.25
        store._lock.release()


def test_a_new_file_knows_nothing_of_before(tmp_path: Path) -> None:
    """RP-04: what is gone with a file is not accepted again."""
    began = int(time.time())
    store = SQLiteReplayStore(tmp_path / "claims.db")
    assert began <= store.since <= time.time()
    later = SQLiteReplayStore(tmp_path / "claims.db", since=store.since + 1_000)
    assert later.since == store.since  # the file is there: nothing was lost


def test_after_a_start_of_the_machine_what_was_signed_before_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RP-04: the last claims may not have reached the disk."""
    running = made(tmp_path)
    monkeypatch.setattr(sqlite, "_boot_id", lambda: "another")
    assert SQLiteReplayStore(tmp_path / "claims.db", since=NOW).since == NOW
    assert SQLiteReplayStore(tmp_path / "claims.db", since=NOW + 5).since == NOW
    running.claim(key(1), NOW + 90, NOW)
    assert running.since == NOW


def test_where_starts_cannot_be_told_each_opening_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RP-04."""
    monkeypatch.setattr(sqlite, "_BOOT_ID", tmp_path / "missing")
    assert SQLiteReplayStore(tmp_path / "claims.db", since=NOW).since == NOW
    assert SQLiteReplayStore(tmp_path / "claims.db", since=NOW + 5).since == NOW + 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_entries": 0},
        {"timeout": timedelta(0)},
        {"timeout": timedelta(seconds=11)},
        {"max_removed_entries": 1},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SQLiteReplaySettings(**wrong)
