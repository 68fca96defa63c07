"""Where nonces are remembered, and where content waits until it is verified."""

from __future__ import annotations

from wimse.stores.memory import MemoryReplayStore
from wimse.stores.redis import AsyncRedisReplayStore, RedisReplaySettings, RedisReplayStore
from wimse.stores.spool import Spool, SpoolSettings
from wimse.stores.sqlite import SQLiteReplaySettings, SQLiteReplayStore

__all__ = [
    "AsyncRedisReplayStore",
    "MemoryReplayStore",
    "RedisReplaySettings",
    "RedisReplayStore",
    "SQLiteReplaySettings",
    "SQLiteReplayStore",
    "Spool",
    "SpoolSettings",
]
