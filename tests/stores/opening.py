"""Replay stores of either kind on a Valkey, asked in one way."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from tests.valkey import Valkey
from wimse.errors import Reason, Unavailable
from wimse.stores import AsyncRedisReplayStore, RedisReplaySettings, RedisReplayStore

NUMBERS = itertools.count()
FOREVER = 3_000_000_000  # a clock far ahead of every server's


def key(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


def clock() -> int:
    return int(time.time())


def settings(**more: Any) -> RedisReplaySettings:
    return RedisReplaySettings(**{"prefix": f"test-{next(NUMBERS)}", **more})


class Asked:
    """A store of either kind, asked as if it were the synchronous one."""

    def __init__(self, store: Any, run: Callable[[Any], Any]) -> None:
        self.store = store
        self.run = run

    @property
    def since(self) -> int:
        return int(self.store.since)

    def claim(self, key: bytes, until: int, now: int) -> Any:
        return self.run(self.store.claim(key, until, now))

    def check(self) -> None:
        self.run(self.store.check())


class Opening:
    """Opens stores of one kind, and closes them when the test ends."""

    def __init__(self, stack: contextlib.ExitStack, *, asynchronous: bool) -> None:
        self._stack = stack
        self._runner = stack.enter_context(asyncio.Runner()) if asynchronous else None

    def __call__(
        self, server: Valkey, *, url: str | None = None, cluster: bool = False, begun: bool = True, **more: Any
    ) -> Asked:
        url = url or server.url
        if self._runner is None:
            store = Asked(RedisReplayStore(url, settings=settings(**more), cluster=cluster), lambda found: found)
            self._stack.callback(store.store.close)
        else:
            runner = self._runner
            store = Asked(AsyncRedisReplayStore(url, settings=settings(**more), cluster=cluster), self._run)
            self._stack.callback(lambda: runner.run(store.store.close()))
        if begun:
            store.check()
        return store

    def _run(self, coroutine: Any) -> Any:
        assert self._runner is not None
        return self._runner.run(coroutine)


def unavailable(call: Callable[[], object], match: str = "replay_store_unavailable") -> float:
    """See that it is neither yes nor no, and how long that took."""
    began = time.monotonic()
    with pytest.raises(Unavailable, match=match) as caught:
        call()
    assert caught.value.reason is Reason.REPLAY_STORE_UNAVAILABLE
    assert caught.value.http_status == 503
    return time.monotonic() - began
