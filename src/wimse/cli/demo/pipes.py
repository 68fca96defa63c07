"""How the processes of the demonstration talk with the one that tells the story: lines of JSON on stdin and stdout."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

__all__ = ["commands", "emit"]

MAX_LINE_BYTES = 4 * 1024 * 1024


def emit(event: str, **details: object) -> None:
    """Tell what happened."""
    sys.stdout.write(json.dumps({"event": event, **details}) + "\n")
    sys.stdout.flush()


async def commands() -> AsyncIterator[dict[str, Any]]:
    """The commands, one after the other; it ends when the teller has gone, so that no process stays behind."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            yield json.loads(line)
    finally:
        transport.close()
