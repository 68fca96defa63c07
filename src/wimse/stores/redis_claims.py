"""What is said to a Redis or Valkey server, as steps without I/O: the stores in `wimse.stores.redis` do the talking.

Rules:

1. One claim is one script, so that nothing comes between the look and the claim, and one round trip.
2. A key is a prefix that was checked and the hash of the nonce: nothing of what a caller writes is in it.
3. The server says since when it remembers, in a key that does not expire. When that is gone, because the server was
   flushed or came back empty, nothing is claimed until it has been written anew; what was signed before the new time is
   refused, since nobody knows whether it was seen.
4. A server that was started anew may have come back with what it had written down some time ago, that key among it, and
   without the claims made since; so may a replica that was put in its place. Neither knows the scripts that were run
   before, since those are never written down or passed on. So each place where a time is kept has a script of its own,
   and where that is not known the time is written anew.
5. A key lives until `until` by the server's clock or by the verifier's, whichever is later, and `clock_margin` longer.
   A verifier whose clock is further behind the server's gets no answer. The server is asked for its time at each check.
6. An answer names the key that it is for. One that came over a connection on which an earlier answer was left unread is
   for another message, and would be the wrong one (CVE-2023-28858).
7. A server that may evict keys is not used.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha1
from typing import Any, Final

from wimse.errors import ConfigurationError, Reason, Unavailable

__all__ = ["CLAIM", "Claims", "Command", "RedisReplaySettings", "packed", "unavailable"]

Command = tuple[Any, ...]
Steps = Generator[Command, Any, Any]
ServerTime = tuple[int, int]
"""Seconds since 1970 by the clocks of the servers: by the one furthest behind, and by the one furthest ahead."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_SHARDS: Final = 64  # of a cluster: each has its own memory of when it began, in the hash slot of its keys
_LONGEST: Final = timedelta(seconds=10)

# With a life of 0 nothing is claimed: it says whether the server knows this script, and remembers.
CLAIM: Final = """\
local since = redis.call('GET', KEYS[2])
if not since then return 'f' .. KEYS[1] end
if ARGV[1] == '0' then return '0' .. KEYS[1] .. since end
if redis.call('SET', KEYS[1], '', 'NX', 'EX', ARGV[1]) then return '1' .. KEYS[1] .. since end
return '0' .. KEYS[1] .. since
"""
# The second in which it begins may have had messages that are forgotten: it remembers from the next one on.
# It never begins earlier than it said before.
_BEGIN: Final = """\
local since = tonumber(redis.call('TIME')[1]) + 1 + tonumber(ARGV[1])
local before = tonumber(redis.call('GET', KEYS[1]) or '')
if before and before > since then return end
redis.call('SET', KEYS[1], string.format('%d', since))
"""


class _Shard:
    """A part of the keys, the key that says since when they are remembered, and the script for both."""

    __slots__ = ("marker", "prefix", "script", "sha")

    def __init__(self, name: bytes, database: int) -> None:
        self.prefix = name + b":"
        self.marker = name + b":since"
        self.script = f"-- {self.marker.decode('ascii')} of {database}\n{CLAIM}"
        # The name by which a server knows it; nothing rests on the strength of the hash.
        self.sha = sha1(self.script.encode("ascii"), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisReplaySettings:
    """How the server is talked to.

    Attributes:
        prefix: of every key. Stores with one prefix share what they remember. Default ``wimse-replay``.
        timeout: of one claim, with everything that it takes. Default 150 ms, at most 10 s.
        max_connections: to one server. Default 64; further claims wait for one within `timeout`.
        clock_margin: how far a verifier's clock may be behind the server's; keys live so much longer. Default 60 s.
        forget_margin: what was signed so long after the server began to remember is still refused, for senders whose
            clocks are ahead. Default 0; the leeway of signatures closes the last gap, and costs as long without service
            after the server has lost its memory.
        check_interval: how often the server is asked for its time, and whether it may evict keys. Default 60 s.
        check_eviction: False does not ask whether it may, for servers that do not answer INFO. Default True.

    Raises on construction:
        ConfigurationError: for a value out of bounds.
    """

    prefix: str = "wimse-replay"
    timeout: timedelta = timedelta(milliseconds=150)
    max_connections: int = 64
    clock_margin: timedelta = timedelta(seconds=60)
    forget_margin: timedelta = timedelta(0)
    check_interval: timedelta = timedelta(seconds=60)
    check_eviction: bool = True

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ConfigurationError("a prefix has 1 to 64 letters, digits or '.', '_', ':' and '-'")
        if not timedelta(0) < self.timeout <= _LONGEST:
            raise ConfigurationError(f"timeout must be above 0 and at most {_LONGEST.seconds} seconds")
        if self.max_connections < 1:
            raise ConfigurationError("max_connections must be at least 1")
        for name in ("clock_margin", "forget_margin"):
            if not timedelta(0) <= getattr(self, name) <= timedelta(hours=1):
                raise ConfigurationError(f"{name} must be between 0 and 1 hour")
        if self.check_interval <= timedelta(0):
            raise ConfigurationError("check_interval must be above 0")


class Claims:
    """The steps of claims on one server or cluster: generators that yield commands and are sent their replies."""

    def __init__(self, settings: RedisReplaySettings, *, cluster: bool, database: int = 0) -> None:
        """Make it; nothing is said yet.

        Args:
            settings: prefix and margins.
            cluster: whether keys are spread over hash slots.
            database: the number of the server's database, whose keys are its own, while scripts are of all.
        """
        prefix = settings.prefix.encode("ascii")
        # In a cluster the hash tag, in braces, keeps a shard's keys in one slot, so that one script can have both.
        names = [b"%b{%02x}" % (prefix, shard) for shard in range(_SHARDS)] if cluster else [prefix]
        self._shards = [_Shard(name, database) for name in names]
        self._margin = int(settings.clock_margin.total_seconds())
        self._forget_margin = int(settings.forget_margin.total_seconds())
        self._check_eviction = settings.check_eviction
        self._cluster = cluster
        self.since = 0

    def claim(self, key: bytes, until: int, now: int, server_now: ServerTime) -> Steps:
        """Claim `key`; the result is True or False.

        Args:
            key: what identifies the message.
            until: seconds since 1970.
            now: seconds since 1970, by the verifier's clock.
            server_now: the same, by the clocks of the servers.

        Raises:
            Unavailable: when the server has forgotten, the clocks are apart, or the reply is none of ours.
        """
        earliest, latest = server_now
        if latest - now > self._margin:
            raise unavailable("the clock is too far behind the one of the replay store")
        life = max(until - min(now, earliest), 0) + self._margin
        shard = self._shards[key[0] % len(self._shards)]
        name = shard.prefix + key.hex().encode("ascii")
        try:
            reply = yield ("EVALSHA", shard.sha, 2, name, shard.marker, max(life, 1))
        except Exception as error:
            if not _unknown_script(error):
                raise
            # It was started anew, or is another one: what its memory says of when it began does not count.
            verdict, since = b"f", 0
        else:
            verdict, since = self._read(reply, name)
        if verdict == b"f":
            yield from self._begin_with(shard)
            yield from self.begin()
            raise unavailable("the replay store has forgotten what it saw, and begins anew")
        self.since = max(self.since, since)
        return verdict == b"1"

    @staticmethod
    def _read(reply: object, name: bytes) -> tuple[bytes, int]:
        if isinstance(reply, bytes) and reply[1 : 1 + len(name)] == name:
            verdict, since = reply[:1], reply[1 + len(name) :]
            if (verdict == b"f" and not since) or (verdict in {b"0", b"1"} and since.isdigit()):
                return verdict, int(since or 0)
        raise unavailable("the replay store gave an answer that is not to this claim")

    def begin(self) -> Steps:
        """Write down since when the server remembers, wherever it does not say so yet, or cannot be believed."""
        for shard in self._shards:
            yield from self._begin_with(shard)

    def _begin_with(self, shard: _Shard) -> Steps:
        look = (2, shard.marker, shard.marker, 0)
        try:
            reply = yield ("EVALSHA", shard.sha, *look)
        except Exception as error:
            if not _unknown_script(error):
                raise
        else:
            if self._read(reply, shard.marker)[0] != b"f":
                return
        yield ("EVAL", _BEGIN, 1, shard.marker, self._forget_margin)
        # Only now may it be known. Whoever asked for it meanwhile, begins as well, and a little later.
        yield ("EVAL", shard.script, *look)

    def check(self) -> Steps:
        """See that no server may evict keys; the result is what time it is there.

        Raises:
            ConfigurationError: when one may.
        """
        if self._check_eviction:
            for memory in self._of_nodes((yield ("INFO", "memory"))):
                # Without a limit nothing is evicted, whatever the policy.
                if memory["maxmemory_policy"] != "noeviction" and int(memory["maxmemory"]) != 0:
                    raise ConfigurationError("the replay store may evict keys: its maxmemory-policy must be noeviction")
        times = [int(seconds) for seconds, _ in self._of_nodes((yield ("TIME",)))]
        return min(times), max(times)

    def _of_nodes(self, reply: Any) -> list[Any]:
        """The answers of all nodes: a cluster of several gives them by name, a single one as it is."""
        by_name = self._cluster and isinstance(reply, dict) and "maxmemory_policy" not in reply
        return list(reply.values()) if by_name else [reply]


def packed(command: Command) -> bytes:
    """A command as it is sent: an array of strings, each with its length (RESP)."""
    parts = [b"*%d\r\n" % len(command)]
    for each in command:
        value = each if isinstance(each, bytes) else str(each).encode("utf-8")
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


def _unknown_script(error: Exception) -> bool:
    return type(error).__name__ == "NoScriptError"


def unavailable(detail: str) -> Unavailable:
    """The one reason of a replay store."""
    return Unavailable(Reason.REPLAY_STORE_UNAVAILABLE, detail)
