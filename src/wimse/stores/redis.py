"""Replay stores on Redis or Valkey, for several hosts: one server, or a cluster.

What is said, and why a server that forgets lets no replay in, is in `wimse.stores.redis_claims`. Here is what can go
wrong on the way:

- A claim takes one round trip and `timeout` at most; then, and for every other failure, it is `Unavailable`.
- No command is sent twice. Had the answer to a first claim been lost, the second one would make a replay of an honest
  message; as it is, the caller is told that there was no decision, and signs anew. The nonce is spent then.
- A connection whose answer was not awaited is closed, not used again.
- A failover can lose the claims of the last moment, since replicas follow asynchronously; what was signed until then is
  not accepted.

The package `redis` is imported when a store is made: ``pip install 'wimse[redis]'``.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Generator
from types import TracebackType
from typing import Any, Final, Self

from wimse.errors import ConfigurationError, WimseError
from wimse.httpsig import run
from wimse.stores.redis_claims import Claims, Command, RedisReplaySettings, ServerTime, Steps, packed, unavailable

__all__ = ["AsyncRedisReplayStore", "RedisReplaySettings", "RedisReplayStore"]


_ASKED_OF_ALL: Final = frozenset({"INFO", "TIME"})


class _Checked:
    """What both stores have: the steps, and when the server was last seen to be fit."""

    _client: Any
    _claims: Claims

    def __init__(self, settings: RedisReplaySettings | None, *, cluster: bool) -> None:
        self._settings = settings or RedisReplaySettings()
        self._cluster = cluster
        self._timeout = self._settings.timeout.total_seconds()
        self._check_interval = self._settings.check_interval.total_seconds()
        self._seen: tuple[float, ServerTime] = (-math.inf, (0, 0))  # one value, which threads see whole

    def _use(self, client: Any) -> None:
        self._client = client
        database = 0 if self._cluster else int(client.connection_pool.connection_kwargs.get("db") or 0)
        self._claims = Claims(self._settings, cluster=self._cluster, database=database)

    @property
    def since(self) -> int:
        """What was signed before this time, in seconds since 1970, is not accepted: the server may have lost it."""
        return self._claims.since

    def _steps(self, key: bytes, until: int, now: int) -> Steps:
        checked_at, (earliest, latest) = self._seen
        passed = time.monotonic() - checked_at
        if passed >= self._check_interval:
            try:
                earliest, latest = yield from self._fit()
            except ConfigurationError as error:
                raise unavailable(error.detail) from None
            passed = 0.0
        server_now = (earliest + int(passed), latest + int(passed))
        return (yield from self._claims.claim(key, until, now, server_now))

    def _fit(self) -> Generator[Command, Any, ServerTime]:
        server_time: ServerTime = yield from self._claims.check()
        self._seen = (time.monotonic(), server_time)
        return server_time

    def _check_steps(self) -> Steps:
        yield from self._fit()
        yield from self._claims.begin()

    def _arguments(self, command: Command) -> dict[str, Any]:
        return {"target_nodes": "primaries"} if self._cluster and command[0] in _ASKED_OF_ALL else {}


def _package(*, asynchronous: bool) -> tuple[Any, Any]:
    try:
        if asynchronous:
            import redis.asyncio as package
            from redis.asyncio.retry import Retry
        else:
            import redis as package  # type: ignore[no-redef]
            from redis.retry import Retry  # type: ignore[assignment]
        from redis.backoff import NoBackoff
    except ImportError:
        raise ConfigurationError("the package redis is missing: pip install 'wimse[redis]'") from None
    return package, Retry(NoBackoff(), 0)


def _client(url: str, settings: RedisReplaySettings, *, asynchronous: bool, cluster: bool) -> Any:
    """A client that never repeats a command.

    The asynchronous one has no timeouts of its own: there is one around the whole claim, and three inside it took a
    quarter of its time. What is cancelled while it waits closes its connection.
    """
    package, retry = _package(asynchronous=asynchronous)
    seconds = settings.timeout.total_seconds()
    common: dict[str, Any] = {"retry": retry, "protocol": 2, "max_connections": settings.max_connections}
    common |= dict.fromkeys(("socket_timeout", "socket_connect_timeout"))
    if not asynchronous:
        common |= {"socket_timeout": seconds / 2, "socket_connect_timeout": seconds / 4}
    try:
        if cluster:
            # The nodes themselves say where they are; a node's pool is bounded as the single server's is.
            return package.RedisCluster.from_url(url, **common)
        if asynchronous:
            return package.Redis.from_pool(package.ConnectionPool.from_url(url, **common))
        return package.Redis.from_pool(package.BlockingConnectionPool.from_url(url, timeout=seconds / 4, **common))
    except (ValueError, TypeError):
        # What the package says may quote the URL, and a password in it.
        raise ConfigurationError("the URL of the replay store cannot be used") from None


class RedisReplayStore(_Checked):
    """Remembers nonces on a server, for many processes and hosts; blocks, and may be used by several threads.

    Waiting for a connection, connecting and each answer have their share of `timeout`.
    """

    def __init__(self, url: str, *, settings: RedisReplaySettings | None = None, cluster: bool = False) -> None:
        """Make it, without connecting (a cluster is asked for its nodes).

        Args:
            url: ``redis://``, ``rediss://`` (TLS) or ``unix://``.
            settings: times, sizes, prefix.
            cluster: whether the URL is of a node of a cluster.

        Raises:
            ConfigurationError: without the package `redis`, or for a URL that is none.
            Unavailable: when no node of a cluster answers.
        """
        super().__init__(settings, cluster=cluster)
        try:
            self._use(_client(url, self._settings, asynchronous=False, cluster=cluster))
        except WimseError:
            raise
        except Exception as error:
            raise unavailable("no node of the replay store's cluster answers") from error

    def claim(self, key: bytes, until: int, now: int) -> bool:
        """Claim `key`; True for the first one, False for every other until `until`.

        Args:
            key: what identifies the message: a hash.
            until: seconds since 1970.
            now: seconds since 1970.

        Raises:
            Unavailable: `replay_store_unavailable`: down, slow, full, forgetful, or not fit.
        """
        return bool(self._run(self._steps(key, until, now)))

    def check(self) -> None:
        """See that the server is there and fit, and let it begin to remember: to be called when a service starts.

        Raises:
            ConfigurationError: when it may evict keys.
            Unavailable: when it does not answer.
        """
        self._run(self._check_steps())

    def _run(self, steps: Steps) -> Any:
        try:
            return run(steps, lambda command: self._client.execute_command(*command, **self._arguments(command)))
        except WimseError:
            raise
        except Exception as error:
            raise unavailable("the replay store does not answer as it should") from error

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncRedisReplayStore(_Checked):
    """The same for asynchronous programs: one for each event loop; `timeout` is of the claim as a whole."""

    def __init__(self, url: str, *, settings: RedisReplaySettings | None = None, cluster: bool = False) -> None:
        """Make it, without connecting; arguments and errors as `RedisReplayStore`."""
        super().__init__(settings, cluster=cluster)
        self._use(_client(url, self._settings, asynchronous=True, cluster=cluster))
        from redis.exceptions import ResponseError

        self._error_answer = ResponseError
        self._process: int | None = None
        self._places = asyncio.Semaphore(self._settings.max_connections)

    async def claim(self, key: bytes, until: int, now: int) -> bool:
        """Claim `key`; as `RedisReplayStore.claim`."""
        return bool(await self._run(self._steps(key, until, now), self._timeout))

    async def check(self) -> None:
        """See that the server is there and fit; as `RedisReplayStore.check`, within twenty times `timeout`."""
        await self._run(self._check_steps(), 20 * self._timeout)

    async def _run(self, steps: Steps, timeout: float) -> Any:  # noqa: ASYNC109 - there is one place that keeps it
        if self._process != os.getpid():
            if self._process is not None:
                raise unavailable("the replay store was used before this process was forked: each makes its own")
            self._process = os.getpid()
        try:
            async with asyncio.timeout(timeout), self._places:
                return await self._drive(steps)
        except WimseError:
            raise
        except Exception as error:
            raise unavailable("the replay store does not answer as it should") from error

    async def _drive(self, steps: Steps) -> Any:
        """Run the steps; `httpsig.run_async` for commands, without its questions, which cost as much as the steps."""
        try:
            command = next(steps)
            while True:
                try:
                    reply = await self._send(command)
                except Exception as error:  # noqa: BLE001 - not handled here: the steps get it
                    command = steps.throw(error)
                else:
                    command = steps.send(reply)
        except StopIteration as end:
            return end.value
        finally:
            steps.close()

    async def _send(self, command: Command) -> Any:
        if self._cluster or command[0] in _ASKED_OF_ALL:
            return await self._client.execute_command(*command, **self._arguments(command))
        # What `execute_command` does, without its repetitions, its metering and its way of writing a command, which
        # cost a third of the whole.
        pool = self._client.connection_pool
        connection = await pool.get_connection()
        answered = False
        try:
            await connection.send_packed_command([packed(command)], check_health=False)
            reply = await connection.read_response()
            answered = True
            return reply
        except self._error_answer:
            answered = True
            raise
        finally:
            if not answered:  # its answer may still come, and would be taken for the next one
                await connection.disconnect(nowait=True)
            await pool.release(connection)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
