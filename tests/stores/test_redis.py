"""The replay stores on a real Valkey: once for all, and closed when it is down, slow, full, forgetful or not fit."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis

from tests.stores.claimers import PATIENT, claim_from_processes, in_tasks, in_threads
from tests.stores.opening import NUMBERS, Opening, clock, key, settings, unavailable
from tests.valkey import Valkey, valkey
from wimse.errors import ConfigurationError, Unavailable
from wimse.stores import AsyncRedisReplayStore, RedisReplaySettings, RedisReplayStore
from wimse.stores.redis_claims import Claims, packed

# ----------------------------------------------------------------------------------------------------- once


def test_a_key_is_claimed_once(opened: Opening, server: Valkey) -> None:
    """RP-01, RP-03: by whoever shares the server and the prefix."""
    now, prefix = clock(), f"shared-{next(NUMBERS)}"
    first, second = opened(server, prefix=prefix), opened(server, prefix=prefix)
    assert first.claim(key(1), now + 90, now) is True
    for store in (first, second, opened(server, prefix=prefix)):
        assert store.claim(key(1), now + 90, now) is False
    assert second.claim(key(2), now + 90, now) is True
    assert opened(server).claim(key(1), now + 90, now) is True  # another prefix is another memory


def test_a_key_is_claimed_once_in_a_cluster(opened: Opening, cluster: Valkey) -> None:
    """RP-01, RP-12: whatever slots the keys fall into."""
    now, store = clock(), opened(cluster, cluster=True)
    for number in range(300):
        assert store.claim(key(number), now + 90, now) is True
        assert store.claim(key(number), now + 90, now) is False
    with cluster.admin() as admin:
        slots = {admin.execute_command("CLUSTER", "KEYSLOT", name) for name in cluster.names()}
    assert len(slots) >= 64


@pytest.mark.parametrize("kind", ["server", "cluster"])
def test_a_claim_is_one_command(opened: Opening, kind: str, request: pytest.FixtureRequest) -> None:
    """RP-02, MW-03: one round trip, in which look and claim are one; a replay takes no more."""
    used: Valkey = request.getfixturevalue(kind)
    store, now = opened(used, cluster=kind == "cluster", timeout=PATIENT), clock()

    def calls(admin: Any) -> dict[str, int]:
        return {name: int(each["calls"]) for name, each in admin.info("commandstats").items()}

    store.claim(key(-1), now + 90, now)  # connected
    with used.admin() as admin:
        before = calls(admin)
        for number in (*range(20), *range(20)):
            store.claim(key(number), now + 90, now)
        more = {name: count - before.get(name, 0) for name, count in calls(admin).items()}
    # `get` and `set` are the script's own.
    assert {name: count for name, count in more.items() if count} == {
        "cmdstat_evalsha": 40,
        "cmdstat_get": 40,
        "cmdstat_set": 40,
        "cmdstat_info": 1,
    }


def test_of_a_hundred_threads_one_claims_a_key(server: Valkey) -> None:
    """RP-02."""
    with RedisReplayStore(server.url, settings=settings(timeout=PATIENT)) as store:
        store.check()
        found = in_threads(store, key(1), clock() + 90, clock(), 100)
    assert sorted(found) == ["False"] * 99 + ["True"]


async def test_of_a_hundred_tasks_one_claims_a_key(server: Valkey) -> None:
    """RP-02."""
    store = AsyncRedisReplayStore(server.url, settings=settings(timeout=PATIENT, max_connections=8))
    await store.check()
    assert sorted(await in_tasks(store, key(1), clock() + 90, clock(), 100)) == ["False"] * 99 + ["True"]


def test_of_a_hundred_claims_of_four_processes_one_is_the_first() -> None:
    """RP-02, RP-03: of threads and tasks."""
    with valkey() as server:
        RedisReplayStore(server.url).check()
        kinds = ["threads", "tasks", "threads", "tasks"]
        assert claim_from_processes(kinds, server.url, (key(1), clock() + 90, clock()), 25) == {"True": 1, "False": 99}


def test_what_is_stored_is_the_prefix_and_the_hash(opened: Opening, server: Valkey) -> None:
    """RP-13: nothing else could be injected."""
    now, prefix = clock(), f"only-this-{next(NUMBERS)}"
    store = opened(server, prefix=prefix)
    assert store.claim(key(1), now + 90, now)
    found = {name.decode() for name in server.names() if name.startswith(prefix.encode())}
    assert found == {f"{prefix}:{key(1).hex()}", f"{prefix}:since"}


@pytest.mark.parametrize("prefix", ["", "a b", "a\r\nFLUSHALL", "a{b}", "é", "a" * 65, "a\n"], ids=repr)
def test_a_prefix_that_could_say_something_is_refused(prefix: str) -> None:
    """RP-13."""
    with pytest.raises(ConfigurationError, match="prefix"):
        RedisReplaySettings(prefix=prefix)


# --------------------------------------------------------------------------------------------------- how long


@pytest.mark.parametrize("ahead", [0, 40, 3_600, -59])
def test_a_key_lives_until_its_message_is_too_old_by_every_clock(opened: Opening, server: Valkey, ahead: int) -> None:
    """RP-11: by the verifier's clock, by the server's, and a margin longer."""
    prefix, true = f"life-{next(NUMBERS)}", clock()
    now = true + ahead
    store = opened(server, prefix=prefix)
    store.claim(key(1), now + 90, now)
    with server.admin() as admin:
        left = admin.ttl(f"{prefix}:{key(1).hex()}")
    assert max(90, now + 90 - true) + 60 - 3 <= left <= max(90, now + 90 - true) + 60


def test_a_key_is_known_until_its_end_and_forgotten_after(opened: Opening, server: Valkey) -> None:
    """RP-11, RP-07: in real seconds."""
    now, store = clock(), opened(server, clock_margin=timedelta(seconds=1))
    assert store.claim(key(1), now + 1, now) is True
    give_up = time.monotonic() + 10
    while not store.claim(key(1), clock() + 1, clock()):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert time.time() >= now + 1


def test_a_clock_too_far_behind_the_servers_gets_no_answer(opened: Opening, server: Valkey) -> None:
    """RP-11: its message may have been forgotten."""
    store = opened(server)
    unavailable(lambda: store.claim(key(1), clock() - 30, clock() - 65), "clock")
    assert store.claim(key(1), clock() + 90, clock() - 30) is True


# --------------------------------------------------------------------------------------------- down and slow


def test_a_server_that_is_down_and_comes_back(opened: Opening) -> None:
    """RP-12, MW-03: closed while it is away, within 250 ms; there again without being asked."""
    with valkey() as server:
        store = opened(server)
        assert store.claim(key(1), clock() + 90, clock()) is True
        server.kill()
        took = [unavailable(functools.partial(store.claim, key(number), clock() + 90, clock())) for number in range(3)]
        assert min(took) < 0.25  # the slowest one may have waited for the machine
        server.start()
        until = time.monotonic() + 10
        while True:
            try:
                assert store.claim(key(9), clock() + 90, clock()) is True
                break
            except Unavailable:
                assert time.monotonic() < until


def test_a_server_that_stands_still(opened: Opening) -> None:
    """RP-12, MW-03: on a connection that is there, and on new ones."""
    with valkey() as server:
        used, fresh = opened(server), opened(server, begun=False)
        assert used.claim(key(0), clock() + 90, clock()) is True
        with server.standing_still():
            took = [
                unavailable(functools.partial(store.claim, key(1), clock() + 90, clock()))
                for store in (used, fresh, used)
            ]
        assert min(took) < 0.25
        until = time.monotonic() + 10
        while True:
            try:
                used.claim(key(2), clock() + 90, clock())
                break
            except Unavailable:
                assert time.monotonic() < until
        # What was sent while it stood still is spent, and nobody was told.
        assert used.claim(key(1), clock() + 90, clock()) is False


async def test_a_claim_that_is_cancelled_leaves_no_answer_behind(server: Valkey) -> None:
    """RP-12: the next claim gets its own answer."""
    async with AsyncRedisReplayStore(server.url, settings=settings(max_connections=1, timeout=PATIENT)) as store:
        await store.check()
        now = clock()
        assert await store.claim(key(0), now + 90, now) is True
        with server.standing_still():
            waiting = asyncio.create_task(store.claim(key(1), now + 90, now))
            await asyncio.sleep(0.05)  # until it has been sent
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert await store.claim(key(0), now + 90, now) is False
        assert await store.claim(key(2), now + 90, now) is True


def test_an_answer_that_is_lost_is_not_asked_for_again(opened: Opening) -> None:
    """RP-12, RP-15: one command was sent, nobody was told, and the nonce is spent."""
    with valkey() as server:
        store = opened(server)
        store.claim(key(0), clock() + 90, clock())
        with server.admin() as admin:
            before = admin.info("commandstats")["cmdstat_evalsha"]["calls"]
            with server.standing_still():
                unavailable(lambda: store.claim(key(1), clock() + 90, clock()))
            until = time.monotonic() + 10
            while admin.info("commandstats")["cmdstat_evalsha"]["calls"] == before:
                assert time.monotonic() < until
            assert store.claim(key(1), clock() + 90, clock()) is False
            assert admin.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 2


def test_no_node_of_a_cluster_answers(opened: Opening) -> None:
    """RP-12."""
    with valkey() as server:
        server.kill()
        unavailable(lambda: opened(server, cluster=True))


# --------------------------------------------------------------------------------------------- not as it should


def test_a_key_of_another_type_is_no_new_message(opened: Opening, server: Valkey) -> None:
    """RP-12: wrong data type."""
    prefix = f"type-{next(NUMBERS)}"
    store = opened(server, prefix=prefix)
    with server.admin() as admin:
        admin.lpush(f"{prefix}:{key(1).hex()}", "x")
        assert store.claim(key(1), clock() + 90, clock()) is False
        admin.delete(f"{prefix}:since")
        admin.lpush(f"{prefix}:since", "x")
    unavailable(lambda: store.claim(key(2), clock() + 90, clock()))


@pytest.mark.parametrize("since", ["", "soon", "-1", "1.5"])
def test_a_beginning_that_is_no_time_is_no_answer(opened: Opening, server: Valkey, since: str) -> None:
    """RP-12."""
    prefix = f"since-{next(NUMBERS)}"
    store = opened(server, prefix=prefix)
    with server.admin() as admin:
        admin.set(f"{prefix}:since", since)
    unavailable(lambda: store.claim(key(2), clock() + 90, clock()), "not to this claim")


ANSWERS = [None, 1, True, b"OK", b"1", "1", [b"1"], b"1p:" + key(2).hex().encode() + b"1800000000"]


@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
def test_an_answer_to_another_claim_is_none(answer: object) -> None:
    """RP-12: such as one that was left unread on a connection."""
    steps = Claims(RedisReplaySettings(prefix="p"), cluster=False).claim(key(1), 90, 1, (1, 1))
    next(steps)
    with pytest.raises(Unavailable, match="not to this claim"):
        steps.send(answer)


def test_a_full_server_fails_closed(opened: Opening) -> None:
    """RP-10, RP-12: what it has seen it still knows."""
    with valkey(maxmemory_policy="noeviction") as server, server.admin() as admin:
        store, now, accepted = opened(server, timeout=PATIENT), clock(), []
        admin.config_set("maxmemory", admin.info("memory")["used_memory"] + 400_000)
        for number in range(100_000):
            try:
                assert store.claim(key(number), now + 90, now) is True
            except Unavailable:
                break
            accepted.append(number)
        assert 10 < len(accepted) < 100_000
        unavailable(lambda: store.claim(key(-1), now + 90, now))
        admin.config_set("maxmemory", 0)
        assert admin.info("stats")["evicted_keys"] == 0
        assert not any(store.claim(key(number), now + 90, now) for number in accepted)


@contextlib.contextmanager
def evicting(server: Valkey) -> Iterator[Any]:
    with server.admin() as admin:
        admin.config_set("maxmemory", "100mb")
        admin.config_set("maxmemory-policy", "volatile-ttl")
        try:
            yield admin
        finally:
            admin.config_set("maxmemory-policy", "noeviction")
            admin.config_set("maxmemory", 0)


@pytest.mark.parametrize("kind", ["server", "cluster"])
def test_a_server_that_may_evict_keys_is_not_used(opened: Opening, kind: str, request: pytest.FixtureRequest) -> None:
    """RP-10: it would re-open windows without a word."""
    used: Valkey = request.getfixturevalue(kind)
    prefix, as_cluster = f"evict-{next(NUMBERS)}", kind == "cluster"
    with evicting(used) as admin:
        store = opened(used, cluster=as_cluster, begun=False, prefix=prefix, timeout=PATIENT)
        with pytest.raises(ConfigurationError, match="noeviction"):
            store.check()
        for _ in range(2):
            unavailable(lambda: store.claim(key(1), clock() + 90, clock()), "noeviction")
        assert not any(name.startswith(prefix.encode()) for name in used.names())
        knowing = opened(used, cluster=as_cluster, check_eviction=False, prefix=f"{prefix}-k", timeout=PATIENT)
        assert knowing.claim(key(1), clock() + 90, clock()) is True
        admin.config_set("maxmemory-policy", "noeviction")
        store.check()
        assert store.claim(key(1), clock() + 90, clock()) is True


def test_every_node_of_a_cluster_is_asked() -> None:
    """RP-10, RP-11: one that may evict is enough, and the clocks furthest apart count."""
    good = {"maxmemory_policy": "noeviction", "maxmemory": "1"}
    steps = Claims(RedisReplaySettings(), cluster=True).check()
    assert next(steps) == ("INFO", "memory")
    assert steps.send({"one": good, "two": good}) == ("TIME",)
    with pytest.raises(StopIteration) as end:
        steps.send({"one": (90, 1), "two": (5, 1)})
    assert end.value.value == (5, 90)
    steps = Claims(RedisReplaySettings(), cluster=True).check()
    next(steps)
    with pytest.raises(ConfigurationError, match="noeviction"):
        steps.send({"one": good, "two": {**good, "maxmemory_policy": "allkeys-lru"}})


def test_a_server_that_begins_to_evict_is_found_out(opened: Opening, server: Valkey) -> None:
    """RP-10: at the next check, without being asked."""
    store = opened(server, check_interval=timedelta(milliseconds=1))
    assert store.claim(key(1), clock() + 90, clock()) is True
    with evicting(server):
        time.sleep(0.002)
        unavailable(lambda: store.claim(key(2), clock() + 90, clock()), "noeviction")


# ----------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize("kind", [RedisReplayStore, AsyncRedisReplayStore])
@pytest.mark.parametrize("cluster", [False, True])
def test_a_url_that_is_none_is_refused_without_being_quoted(kind: Any, cluster: bool) -> None:
    with pytest.raises(ConfigurationError, match="URL") as caught:
        kind("nonsense://user:a-secret@host", cluster=cluster)
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize("kind", [RedisReplayStore, AsyncRedisReplayStore])
def test_without_the_package_it_is_said_what_to_install(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("redis", "redis.asyncio"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=re.escape("pip install 'wimse[redis]'")):
        kind("redis://127.0.0.1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": timedelta(0)},
        {"timeout": timedelta(seconds=11)},
        {"max_connections": 0},
        {"clock_margin": timedelta(seconds=-1)},
        {"forget_margin": timedelta(hours=2)},
        {"check_interval": timedelta(0)},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        RedisReplaySettings(**wrong)


@pytest.mark.parametrize(
    "command", [("TIME",), ("EVALSHA", "a" * 40, 2, b"k:\x00\r\n$", b"", 150), ("SET", "\u00e9", -1)]
)
def test_a_command_is_written_as_the_package_writes_it(command: tuple[Any, ...]) -> None:
    """RP-13: each part with its length, so that nothing in it ends it."""
    package: Any = redis
    assert packed(command) == b"".join(package.Connection().pack_command(*command))
