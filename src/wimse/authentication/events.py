"""What was decided, as a value: for metrics, logs and audits.

    Authenticator(..., observer=print, clock=time.monotonic)

An observer is called once for each decision, after it was made and before the caller gets it. Rules:

1. It cannot change the decision: what it raises is logged, and that is all.
2. An event holds nothing of the message: no token, signature, nonce, digest, field or content, and no name that was not
   authenticated. Its texts are of fixed sets, but for the identity, which has the characters of an identifier only, so
   that neither a line of a log nor a label of a metric can be broken by a peer.
3. There is no clock here: `clock` gives seconds that never go back, such as `time.monotonic`. Without one no time is
   taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from wimse.authentication.needs import NeedBundle
from wimse.authentication.result import AuthenticatedWorkload
from wimse.credentials import WorkloadIdentifier
from wimse.errors import ConfigurationError, Reason, ReasonClass, Refused, Unavailable, WimseError
from wimse.httpsig import Flow

__all__ = ["Decision", "Observer", "Outcome", "Role"]

_LOG: Final = logging.getLogger("wimse.authentication")

Result = TypeVar("Result")


class Role(StrEnum):
    """What was judged."""

    REQUEST = "request"
    RESPONSE = "response"


class Outcome(StrEnum):
    """How it ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    """Neither yes nor no: something that is needed could not be had."""
    FAULT = "fault"
    """An error of ours, or of what was configured: nothing was let in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision.

    Attributes:
        role: whether a request or a response was judged.
        outcome: how it ended.
        reason: why it was not accepted; None when it was, and for a fault without a reason.
        identity: who sent the message, when all but the policy was satisfied; else None.
        revision: of the profile that was satisfied; None when none was.
        total_seconds: from the beginning to the decision; None without a clock, as the other two.
        bundle_seconds: of these, waiting for trust bundles.
        replay_seconds: of these, waiting for the replay store.
    """

    role: Role
    outcome: Outcome
    reason: Reason | None
    identity: WorkloadIdentifier | None
    revision: str | None
    total_seconds: float | None
    bundle_seconds: float | None
    replay_seconds: float | None

    @property
    def reason_class(self) -> ReasonClass | None:
        """The class of the reason."""
        return None if self.reason is None else self.reason.reason_class


Observer = Callable[[Decision], object]


class Trace:
    """What is noted while one message is judged.

    Attributes:
        identity: who sent it, from the moment when all but the policy is satisfied.
        bundle_seconds: how long bundles were waited for.
        replay_seconds: how long the replay store was waited for.
    """

    __slots__ = ("bundle_seconds", "identity", "replay_seconds")

    def __init__(self) -> None:
        self.identity: WorkloadIdentifier | None = None
        self.bundle_seconds = 0.0
        self.replay_seconds = 0.0

    def add(self, need: object, seconds: float) -> None:
        """Add the time that the answer to a need took."""
        if isinstance(need, NeedBundle):
            self.bundle_seconds += seconds
        else:
            self.replay_seconds += seconds


class Watch:
    """Passes on what flows need, and tells the observer what came of them."""

    def __init__(self, role: Role, observer: Observer, clock: Callable[[], float] | None) -> None:
        self._role = role
        self._observer = observer
        self._timed = clock is not None
        self._clock = clock or _no_clock

    def over(self, steps: Flow[Result], trace: Trace) -> Flow[Result]:
        """The same flow, observed. One that is given up, as when its task is cancelled, ends without a decision."""
        began = self._clock()
        try:
            result = yield from self._pass_on(steps, trace)
        except Exception as error:
            self._tell(trace, began, error)
            raise
        self._tell(trace, began, result)
        return result

    def refused_at_once(self, error: Refused) -> None:
        """Tell of a refusal that needed no flow."""
        self._tell(Trace(), self._clock(), error)

    def _pass_on(self, steps: Flow[Result], trace: Trace) -> Flow[Result]:
        try:
            need = next(steps)
            while True:
                asked = self._clock()
                try:
                    reply = yield need
                except Exception as error:  # noqa: BLE001 - not handled here: the steps get it
                    trace.add(need, self._clock() - asked)
                    need = steps.throw(error)
                else:
                    trace.add(need, self._clock() - asked)
                    need = steps.send(reply)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            steps.close()

    def _tell(self, trace: Trace, began: float, result: object) -> None:
        try:
            seconds = self._clock() - began
            decision = Decision(
                role=self._role,
                outcome=_outcome(result),
                reason=result.reason if isinstance(result, WimseError) else None,
                identity=trace.identity,
                revision=result.revision if isinstance(result, AuthenticatedWorkload) else None,
                total_seconds=seconds if self._timed else None,
                bundle_seconds=trace.bundle_seconds if self._timed else None,
                replay_seconds=trace.replay_seconds if self._timed else None,
            )
            self._observer(decision)
        except Exception as error:  # noqa: BLE001 - an observer's failure is no reason to decide otherwise
            # Its kind alone: what a foreign exception says may be anything.
            _LOG.error("an observer failed with %s", type(error).__name__)


def _no_clock() -> float:
    return 0.0


def _outcome(result: object) -> Outcome:
    if isinstance(result, Unavailable):
        return Outcome.UNAVAILABLE
    if isinstance(result, WimseError) and not isinstance(result, ConfigurationError):
        return Outcome.REFUSED
    return Outcome.FAULT if isinstance(result, Exception) else Outcome.ACCEPTED


def watch(role: Role, observer: Observer | None, clock: Callable[[], float] | None) -> Watch | None:
    """A watch where there is an observer.

    Raises:
        ConfigurationError: for an observer that cannot be called, or a clock without an observer.
    """
    if observer is None:
        if clock is not None:
            raise ConfigurationError("a clock is for an observer")
        return None
    if not callable(observer):
        raise ConfigurationError("an observer is called with each decision")
    return Watch(role, observer, clock)
