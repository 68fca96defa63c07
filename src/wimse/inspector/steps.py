"""What an explanation is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from wimse.errors import Reason, Refused, WimseError

__all__ = ["Explanation", "Outcome", "Step", "failed", "times_step", "value_text"]


class Outcome(StrEnum):
    """How a step came out."""

    OK = "ok"
    """It was checked and holds."""
    SAID = "said"
    """The message says so; there was nothing to check."""
    UNCHECKED = "unchecked"
    """It could not be checked with what is at hand."""
    FAILED = "failed"
    """It was checked and does not hold."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an explanation. All of its text but the title may come from a stranger.

    Attributes:
        title: what it is about.
        outcome: how it came out.
        text: one or two sentences.
        facts: names and values.
        block: text to be shown as it stands, such as a signature base.
        reason: the stable reason of a failure, or None.
    """

    title: str
    outcome: Outcome
    text: str
    facts: tuple[tuple[str, str], ...] = ()
    block: str | None = None
    reason: str | None = None

    def to_document(self) -> dict[str, object]:
        """The step as JSON."""
        return {
            "title": self.title,
            "outcome": self.outcome.value,
            "text": self.text,
            "facts": dict(self.facts),
            **({"block": self.block} if self.block is not None else {}),
            **({"reason": self.reason} if self.reason is not None else {}),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """The steps in their order.

    Attributes:
        kind: ``request``, ``response``, ``token``, or ``unreadable``.
        steps: at least one.
    """

    kind: str
    steps: tuple[Step, ...]

    def to_document(self) -> dict[str, object]:
        """The explanation as JSON."""
        return {"kind": self.kind, "steps": [step.to_document() for step in self.steps]}


def failed(title: str, error: WimseError, facts: Iterable[tuple[str, str]] = ()) -> Step:
    """A step that failed, with all violations."""
    violations = error.violations if isinstance(error, Refused) else ()
    text = "; ".join(each.detail for each in violations) or error.detail
    return Step(title, Outcome.FAILED, f"{text[:1].upper()}{text[1:]}.", tuple(facts), reason=error.reason.code)


def value_text(value: object) -> str:
    """A value of a claim or parameter for people."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def times_step(
    title: str, times: Iterable[tuple[str, object]], now: int, *, longest: tuple[str, str, int] | None = None
) -> Step:
    """Set times beside the clock.

    Args:
        title: of the step.
        times: name and value; those that are no whole numbers are left to others to judge.
        now: seconds since 1970.
        longest: names of begin and end, and the longest life in seconds that our own verifiers accept.
    """
    known = dict(times)
    facts: list[tuple[str, str]] = []
    wrong: list[str] = []
    for name, value in known.items():
        if type(value) is not int:
            continue
        facts.append((name, _time_text(value, now)))
        if name in ("exp", "expires") and now >= value:
            wrong.append(f"{name} has passed {_duration(now - value)} ago")
        if name in ("nbf", "created") and value > now:
            wrong.append(f"{name} is {_duration(value - now)} ahead")
    if not facts:
        return Step(title, Outcome.SAID, "It carries no times.")
    if wrong:
        text = "; ".join(wrong)
        return Step(title, Outcome.FAILED, f"{text}. A verifier allows for 30 s by default.", tuple(facts))
    if longest is not None and (life := _life(known, longest)) > longest[2]:
        text = f"It lives {life} s; the verifiers of this package accept {longest[2]} s at most."
        return Step(title, Outcome.FAILED, text, tuple(facts), reason=Reason.SIGNATURE_LIFETIME.code)
    return Step(title, Outcome.OK, "Valid at this time.", tuple(facts))


def _life(times: Mapping[str, object], names: tuple[str, str, int]) -> int:
    begin, end = times.get(names[0]), times.get(names[1])
    return end - begin if type(begin) is int and type(end) is int else 0


def _time_text(seconds: int, now: int) -> str:
    try:
        date = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        date = "not a date"
    distance = f"in {_duration(seconds - now)}" if seconds > now else f"{_duration(now - seconds)} ago"
    return f"{seconds}, {date}, {distance}"


def _duration(seconds: int) -> str:
    for size, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"
