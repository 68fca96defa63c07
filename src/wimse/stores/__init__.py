"""Where nonces are remembered, and where content waits until it is verified."""

from __future__ import annotations

from wimse.stores.memory import MemoryReplayStore
from wimse.stores.spool import Spool, SpoolSettings

__all__ = ["MemoryReplayStore", "Spool", "SpoolSettings"]
