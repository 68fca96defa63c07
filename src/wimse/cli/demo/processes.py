"""The processes of the demonstration: started, listened to, and stopped, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from pathlib import Path
from typing import Any, Final, Self

from wimse.cli.demo.pipes import MAX_LINE_BYTES

__all__ = ["Child", "DemoError"]

_PATIENCE_SECONDS: Final = 12.0
_GRACE_SECONDS: Final = 3.0


class DemoError(Exception):
    """The demonstration cannot go on; the message is one sentence for a person."""


class Child:
    """One process, named for what it plays."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._events: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Condition()
        self._ended = False
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, name: str, directory: Path, *arguments: str) -> Self:
        """Run ``python arguments…``; what it writes to stderr goes into a file of `directory`."""
        log = directory / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=MAX_LINE_BYTES,
                # Ctrl-C reaches the teller alone, who stops the others in order.
                start_new_session=True,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """By which the kernel knows it."""
        return self._process.pid

    async def tell(self, do: str, **details: object) -> None:
        """Send a command.

        Raises:
            DemoError: when the process has ended.
        """
        stdin = self._process.stdin
        if stdin is None or self._ended:
            raise self._gone()
        self._events.clear()
        stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
        try:
            await stdin.drain()
        except ConnectionError:
            raise self._gone() from None

    async def hear(self, *events: str) -> dict[str, Any]:
        """Wait for the next event of one of these kinds.

        Raises:
            DemoError: when the process ends, or says nothing for 12 seconds.
        """
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), self._arrived:
                while True:
                    for event in self._events:
                        if event["event"] in events:
                            self._events.remove(event)
                            return event
                    if self._ended:
                        raise self._gone()
                    await self._arrived.wait()
        except TimeoutError:
            raise DemoError(f"The {self.name} did not answer within {_PATIENCE_SECONDS:.0f} seconds.") from None

    def forget(self) -> None:
        """Drop events that nobody waited for."""
        self._events.clear()

    async def ask(self, do: str, *events: str, **details: object) -> dict[str, Any]:
        """Send a command and wait for the event that answers it."""
        await self.tell(do, **details)
        return await self.hear(*events)

    async def stop(self) -> None:
        """End the process: its stdin, then SIGTERM, then SIGKILL."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        for end, seconds in ((None, 0.5), (signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
            # Not `send_signal`: it looks whether the process has ended, and what it then finds, asyncio's own watcher
            # misses, and says so on stderr.
            if end is not None and self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, end)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), seconds)
                break
        self._listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listener

    async def _listen(self) -> None:
        stdout = self._process.stdout
        try:
            while stdout is not None and (line := await stdout.readline()):
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    async with self._arrived:
                        self._events.append(event)
                        self._arrived.notify_all()
        finally:
            self._ended = True
            async with self._arrived:
                self._arrived.notify_all()

    def _gone(self) -> DemoError:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        why = f": {lines[-1]}" if lines else ""
        return DemoError(f"The {self.name} ended before the story did{why}.")
