"""Decisions as lines of a log: who called, what was decided and why, and how long it took.

    Authenticator(..., observer=log_decision, clock=time.monotonic)

The logger is ``wimse.decisions``; each part is a field of the record as well. Accepted messages are INFO, refused ones
too; what was unavailable or at fault is WARNING. Nothing of a message is in it, and its texts hold no control character
(`wimse.authentication.events`).
"""

from __future__ import annotations

import logging
from typing import Final

from wimse.authentication import Decision, Observer, Outcome

__all__ = ["all_of", "log_decision"]

_LOG: Final = logging.getLogger("wimse.decisions")
_NORMAL: Final = frozenset({Outcome.ACCEPTED, Outcome.REFUSED})


def log_decision(decision: Decision) -> None:
    """Write one line."""
    level = logging.INFO if decision.outcome in _NORMAL else logging.WARNING
    if not _LOG.isEnabledFor(level):
        return
    seconds = decision.total_seconds
    fields = {
        "role": decision.role.value,
        "outcome": decision.outcome.value,
        "reason": None if decision.reason is None else decision.reason.code,
        "reason_class": None if decision.reason_class is None else decision.reason_class.value,
        "identity": None if decision.identity is None else str(decision.identity),
        "revision": decision.revision,
        "milliseconds": None if seconds is None else round(seconds * 1000, 3),
    }
    line = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    _LOG.log(level, "%s", line, extra=fields)


def all_of(*observers: Observer) -> Observer:
    """One observer of several. One that fails keeps the later ones from being told, and is logged."""

    def tell(decision: Decision) -> None:
        for each in observers:
            each(decision)

    return tell
