"""Where nonces are remembered."""

from __future__ import annotations

from wimse.stores.memory import MemoryReplayStore

__all__ = ["MemoryReplayStore"]
