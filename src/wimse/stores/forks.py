"""What a store does when its process is forked: before, so that nothing is half done or open, and after.

A fork copies one thread only. A lock that another one held stays locked in the child for ever, and SQLite, which counts
in the process what it has locked, takes what the parent has locked for the child's own.
"""

from __future__ import annotations

import os
from threading import RLock
from typing import Protocol
from weakref import WeakSet

__all__ = ["Forkable", "follow", "making"]


class Forkable(Protocol):
    """What is told of forks."""

    def before_fork(self) -> None:
        """Come to rest."""

    def after_fork(self, *, child: bool) -> None:
        """Go on, in both processes; in one that was forked without Python's knowledge without `before_fork`."""


_FOLLOWING: WeakSet[Forkable] = WeakSet()
_RESTING: list[Forkable] = []
_making = RLock()  # so that a fork from a signal handler does not wait for itself


def making() -> RLock:
    """What to hold while something is made that a fork must not see half done."""
    return _making


def follow(store: Forkable) -> None:
    """Tell `store` of forks as long as it lives."""
    with _making:
        _FOLLOWING.add(store)


def _before() -> None:
    _making.acquire()
    _RESTING.extend(_FOLLOWING)
    for each in _RESTING:
        each.before_fork()


def _after_in_parent() -> None:
    for each in _RESTING:
        each.after_fork(child=False)
    _RESTING.clear()
    _making.release()


def _after_in_child() -> None:
    global _making  # noqa: PLW0603 - another thread may have held it
    _making = RLock()
    _RESTING.clear()
    for each in list(_FOLLOWING):
        each.after_fork(child=True)


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
