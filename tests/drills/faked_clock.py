"""A clock that jumps under a whole process, as its own system calls see it: libfaketime, by a package."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Final

__all__ = ["FakedClock"]

_OF_DISTRIBUTION: Final = "/usr/lib/*/faketime/libfaketime.so.1"


def library() -> Path:
    """The library: that of the wheel, which is for x86_64, or the one of Debian's package `libfaketime`."""
    spec = importlib.util.find_spec("libfaketime")  # not imported: that would fake the clock of this process
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    found = sorted(Path("/").glob(_OF_DISTRIBUTION.removeprefix("/")))
    if not found:
        raise RuntimeError("there is no libfaketime: pip install libfaketime (x86_64), or apt install libfaketime")
    return found[0]


class FakedClock:
    """The clock of the processes that are started with `environment`: the machine's, and `ahead` of it.

    Only the time of day jumps. What measures durations goes on steadily, as it does when a real clock is set.
    """

    def __init__(self, folder: Path) -> None:
        """Begin with the right time.

        Args:
            folder: keeps a file that says how far it is ahead.
        """
        self._file = folder / "clock"
        self.ahead = 0
        self.set(0)

    def set(self, ahead: int) -> None:
        """Let it jump to `ahead` seconds after the machine's clock, or before it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+d}\n")
        new.replace(self._file)
        self.ahead = ahead

    @property
    def now(self) -> float:
        """What the time is there."""
        return time.time() + self.ahead

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to have in its environment."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # how versions before 0.9.10 say it
        }
