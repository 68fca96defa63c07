"""What a Valkey may have forgotten, it does not call new: flushed, restarted, with what it had saved, failed over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.stores.claimers import PATIENT
from tests.stores.opening import FOREVER, NUMBERS, Opening, clock, key, unavailable
from tests.valkey import Valkey, until, valkey, valkey_cluster
from wimse.errors import Unavailable


def flushed(server: Valkey) -> None:
    with server.admin() as admin:
        admin.flushall()


def restarted(server: Valkey) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("lose", [flushed, restarted])
def test_a_server_that_lost_its_memory_accepts_nothing_of_before(
    opened: Opening, lose: Callable[[Valkey], None]
) -> None:
    """RP-04, RP-12: the first claim finds out, and what was signed until then is refused."""
    with valkey() as server:
        store = opened(server, timeout=PATIENT)
        assert store.claim(key(1), clock() + 90, clock()) is True
        lose(server)
        until = time.monotonic() + 10
        while True:  # a connection that died with the server is another way not to be told
            lost = clock()
            try:
                assert store.claim(key(1), lost + 90, lost) is False, "a replay was accepted"
            except Unavailable as error:
                if "begins anew" in error.detail:
                    break
            assert time.monotonic() < until
        store.claim(key(2), clock() + 90, clock())
        assert store.since > lost


def test_a_cluster_that_lost_its_memory_begins_everywhere_at_once(opened: Opening, cluster: Valkey) -> None:
    """RP-12: one refusal, not one for each shard."""
    store = opened(cluster, cluster=True, timeout=PATIENT)
    flushed(cluster)
    unavailable(lambda: store.claim(key(1), clock() + 90, clock()), "begins anew")
    assert all(store.claim(key(number), clock() + 90, clock()) for number in range(200))


def test_a_server_begins_to_remember_once(opened: Opening, server: Valkey) -> None:
    """RP-04."""
    prefix = f"once-{next(NUMBERS)}"
    began = clock()
    store = opened(server, prefix=prefix, forget_margin=timedelta(seconds=30))
    assert store.claim(key(1), FOREVER, FOREVER - 90) is True
    assert began + 31 <= store.since <= clock() + 31
    again = opened(server, prefix=prefix)
    again.claim(key(1), FOREVER, FOREVER - 90)
    assert again.since == store.since


def test_a_server_that_forgot_the_scripts_may_have_forgotten_more(opened: Opening, server: Valkey) -> None:
    """RP-04: it has them again at once; what it still knows, it knows."""
    store = opened(server)
    assert store.claim(key(1), clock() + 90, clock()) is True
    with server.admin() as admin:
        admin.script_flush()
    lost = clock()
    unavailable(lambda: store.claim(key(2), clock() + 90, clock()), "begins anew")
    assert store.claim(key(1), clock() + 90, clock()) is False
    assert store.since > lost


def lost_since_it_was_written(directory: Path) -> Iterator[tuple[Valkey, Valkey]]:
    with valkey(directory) as server:
        yield server, server
        with server.admin() as admin:
            admin.save()
        yield server, server
        server.kill()
        server.start()
        yield server, server


def lost_in_a_failover(_: Path) -> Iterator[tuple[Valkey, Valkey]]:
    with valkey(repl_diskless_sync_delay="0") as server, valkey() as replica, replica.admin() as admin:
        yield server, replica
        admin.replicaof("127.0.0.1", server.port)
        until(lambda: admin.info("replication")["master_link_status"] == "up")
        admin.replicaof("NO", "ONE")
        yield server, replica
        server.kill()
        yield server, replica


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("losing", [lost_since_it_was_written, lost_in_a_failover])
def test_a_server_that_came_back_with_less_than_it_knew(
    opened: Opening, tmp_path: Path, losing: Callable[[Path], Iterator[tuple[Valkey, Valkey]]], alone: bool
) -> None:
    """RP-12, RP-04: since when it remembers came back as well, and is not believed, whoever was there before."""
    steps = losing(tmp_path)
    prefix, (server, after) = f"less-{next(NUMBERS)}", next(steps)
    store = opened(server, prefix=prefix, timeout=PATIENT)
    store.claim(key(0), clock() + 90, clock())
    began = store.since
    next(steps)
    assert store.claim(key(1), clock() + 90, clock()) is True
    lost = clock()
    next(steps)
    if not alone:  # others, who begin for themselves
        opened(after, prefix=f"{prefix}-other", timeout=PATIENT)
        opened(after, url=f"{after.url}/7", prefix=prefix, timeout=PATIENT)
    with after.admin() as admin:
        assert int(admin.get(f"{prefix}:since")) == began, "nothing came back"
        assert admin.exists(f"{prefix}:{key(1).hex()}") == 0, "nothing was lost"
    store = opened(after, begun=False, prefix=prefix, timeout=PATIENT)
    unavailable(lambda: store.claim(key(1), clock() + 90, clock()), "begins anew")
    assert store.claim(key(1), clock() + 90, clock()) is True
    assert store.since > lost
    with contextlib.suppress(StopIteration):
        next(steps)


def test_of_many_who_find_a_server_anew_none_claims_before_it_begins(opened: Opening) -> None:
    """RP-04, RP-02: whoever knows the script again finds the new time."""
    with valkey() as server, server.admin() as admin:
        stores = [opened(server, prefix="many", timeout=PATIENT) for _ in range(4)]
        admin.set("many:since", 1)  # as it was, long ago
        admin.script_flush()
        lost, answered = clock(), []
        for turn, store in enumerate(stores * 3):
            with contextlib.suppress(Unavailable):
                store.claim(key(turn), clock() + 90, clock())
                answered.append(store.since)
        assert len(answered) >= 8
        assert min(answered) > lost


def test_a_cluster_whose_server_died_calls_nothing_of_before_new(opened: Opening) -> None:
    """RP-12, RP-04: what the replica that takes its place may not have heard of is neither yes nor no; others go on."""
    with valkey_cluster() as (servers, replica):
        store, now = opened(servers[1], cluster=True, timeout=PATIENT), clock()
        assert all(store.claim(key(number), now + 90, now) for number in range(100))
        servers[0].kill()
        with replica.admin() as admin:
            until(lambda: admin.info("replication")["role"] == "master")
        lost, unheard, number = clock(), 0, 0
        last = time.monotonic() + 30
        while number < 100:
            assert time.monotonic() < last
            try:
                assert store.claim(key(number), now + 90, now) is False, "a replay was accepted"
                number += 1
            except Unavailable as error:
                unheard += "begins anew" in error.detail
        assert unheard == 1
        assert store.since > lost
        assert store.claim(key(-1), clock() + 90, clock()) is True
