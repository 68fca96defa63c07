"""When signing keys are prepared, activated, retired and removed. Nothing here looks at a clock or touches a store.

    |<-- publication delay -->|<------ rotation interval ------>|<-- max token + staleness + leeway -->|
    prepared                  active                            old                                    gone
                              prepared (the next one) ……………………► active

Rules (SPIFFE_Federation §4.1):

1. A key is published for `publication_delay` before it signs: some refresh hints of the bundle, so that a validator
   that misses one or two fetches has it too, and the time for which a server may answer from an old state.
2. Each use always has a prepared key in waiting. So a key can be replaced at once when it must be.
3. A key that signs no more is published until nothing that it signed can be accepted: the longest life of a token, the
   time for which another server may not have heard of it, and the leeway of verifiers.
4. The very first key of a trust domain signs at once: nobody holds a bundle without it.
5. With no active and no ready key nothing is signed. That is better than tokens that nobody can verify.
6. A clock behind the last change by more than `clock_setback` changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer.keyset import KeyRecord, KeySet, KeyState, KeyUse
from wimse.issuer.settings import IssuerSettings

__all__ = [
    "RotationSettings",
    "Step",
    "StepKind",
    "apply",
    "check_clock",
    "found",
    "key_life",
    "plan",
    "restored",
    "revoke",
    "rotate",
    "taint",
]

_BOUNDS: Final = {
    "rotation_interval": (timedelta(seconds=1), timedelta(days=366)),
    "refresh_hint": (timedelta(seconds=1), timedelta(days=1)),
    "max_staleness": (timedelta(seconds=2), timedelta(minutes=10)),
    "verifier_leeway": (timedelta(0), timedelta(minutes=2)),
}
_MAX_PUBLICATION_INTERVALS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationSettings:
    """How often signing keys are replaced, in whole seconds.

    Attributes:
        rotation_interval: how long a key signs. Default 30 days, from 1 s to 366 days.
        refresh_hint: how often validators are told to fetch the bundle. Default 5 min, from 1 s to 1 day.
        publication_intervals: for how many of them a key is published before it signs. Default 3, from 1 to 100.
        max_staleness: how long a server goes on with what it last read from its store. Default 30 s, from 2 s to
            10 min. It is the longest time for which a revoked key can sign on another server.
        verifier_leeway: how far the clocks of verifiers may be behind. Default 2 min, which is also the most.

    Raises on construction:
        ConfigurationError: for a value outside its bounds, or that is not in whole seconds.
    """

    rotation_interval: timedelta = timedelta(days=30)
    refresh_hint: timedelta = timedelta(minutes=5)
    publication_intervals: int = 3
    max_staleness: timedelta = timedelta(seconds=30)
    verifier_leeway: timedelta = timedelta(minutes=2)

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value: timedelta = getattr(self, name)
            if not least <= value <= most:
                raise ConfigurationError(
                    f"{name} must be between {least.total_seconds():.0f} and {most.total_seconds():.0f} seconds"
                )
            if value.microseconds:
                raise ConfigurationError(f"{name} must be in whole seconds")
        if not 1 <= self.publication_intervals <= _MAX_PUBLICATION_INTERVALS:
            raise ConfigurationError(f"publication_intervals must be from 1 to {_MAX_PUBLICATION_INTERVALS}")

    @property
    def publication_delay(self) -> int:
        """For how many seconds a key is published before it signs."""
        return _seconds(self.refresh_hint) * self.publication_intervals + _seconds(self.max_staleness)

    def retention(self, key: KeyRecord) -> int:
        """For how many seconds a key is published after it has signed for the last time."""
        return key.max_token_seconds + _seconds(self.max_staleness) + _seconds(self.verifier_leeway)


class StepKind(StrEnum):
    """What is to be done to a key."""

    PREPARE = "prepare"
    ACTIVATE = "activate"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """One change, for one transaction.

    Attributes:
        kind: what is to be done. Activating retires the key that was active, in the same change.
        use: of the key.
        kid: of the key that is activated or removed; None for one that is to be made.
    """

    kind: StepKind
    use: KeyUse
    kid: str | None = None


def plan(keys: KeySet, settings: RotationSettings, *, now: int, clock_setback: int = 60) -> tuple[Step, ...]:
    """What is to be done now, in this order. After each step the plan is made again.

    Args:
        keys: as they are, after `found`.
        settings: lifetimes.
        now: seconds since 1970.
        clock_setback: how many seconds the clock may be behind the last change.

    Raises:
        Unavailable: `issuer_unavailable` when the clock is behind the last change.
    """
    check_clock(keys.changed_at, now=now, clock_setback=clock_setback)
    steps = [Step(StepKind.REMOVE, each.use, each.kid) for each in keys.keys if _removable(each, settings, now)]
    gone = {step.kid for step in steps}
    for use in KeyUse:
        successor, active = keys.prepared(use), keys.active(use)
        if successor is None or successor.kid in gone:
            steps.append(Step(StepKind.PREPARE, use))
        elif now >= successor.prepared_at + settings.publication_delay and (active is None or _due(active, now)):
            steps.append(Step(StepKind.ACTIVATE, use, successor.kid))
    return tuple(steps)


def apply(keys: KeySet, step: Step, settings: RotationSettings, *, now: int, made: KeyRecord | None = None) -> KeySet:
    """The key set after one step of `plan`.

    Args:
        keys: for which the step was planned.
        step: what to do.
        settings: lifetimes.
        now: seconds since 1970.
        made: the new key of a step that prepares one.

    Raises:
        ConfigurationError: when a step that prepares comes without a prepared key of its use.
    """
    if step.kind is StepKind.REMOVE:
        return keys.replaced((), now=now, without=(step.kid or "",))
    if step.kind is StepKind.PREPARE:
        if made is None or made.use is not step.use or made.state is not KeyState.PREPARED:
            raise ConfigurationError("a step that prepares a key comes with a prepared key of its use")
        return keys.replaced((made,), now=now)
    successor = replace(
        keys.key(step.kid or ""), state=KeyState.ACTIVE, due_at=now + _seconds(settings.rotation_interval)
    )
    active = keys.active(step.use)
    # The old one first: no moment has two active keys, also where the store checks row by row.
    retired = () if active is None else (_retired(active, now),)
    return keys.replaced((*retired, successor), now=now)


def found(made: Iterable[KeyRecord], settings: RotationSettings, *, now: int) -> KeySet:
    """The first key set of a trust domain: its keys sign at once.

    Args:
        made: a prepared key of each use.
        settings: lifetimes.
        now: seconds since 1970.
    """
    due_at = now + _seconds(settings.rotation_interval)
    return KeySet().replaced((replace(each, state=KeyState.ACTIVE, due_at=due_at) for each in made), now=now)


def rotate(keys: KeySet, use: KeyUse, *, now: int) -> KeySet:
    """Have the active key of `use` replaced as soon as its successor has been published for long enough.

    Raises:
        Refused: `key_unknown` when none is active.
    """
    active = keys.active(use)
    if active is None:
        raise Refused(Reason.KEY_UNKNOWN, f"no {use} key is active; one becomes so as soon as it may")
    return keys.replaced((replace(active, due_at=min(now, active.due_at or now)),), now=now)


def taint(keys: KeySet, kid: str, *, now: int) -> KeySet:
    """Let a key sign nothing from here on; it stays published until what it signed has ended.

    A prepared key has signed nothing, but may be in other hands already, so it leaves the bundle.

    Raises:
        Refused: `key_unknown`, also for a revoked key.
    """
    key = keys.key(kid)
    if key.state is KeyState.REVOKED:
        raise Refused(Reason.KEY_UNKNOWN, "the key is revoked, which is more")
    if key.state is KeyState.PREPARED:
        return revoke(keys, kid, now=now)
    return keys.replaced((replace(_retired(key, now), tainted=True),), now=now)


def revoke(keys: KeySet, kid: str, *, now: int) -> KeySet:
    """Take a key out of the bundle at once; whatever it signed is worth nothing. Its private half is forgotten.

    Raises:
        Refused: `key_unknown`.
    """
    key = keys.key(kid)
    if key.state is KeyState.REVOKED:
        return keys
    revoked = replace(_retired(key, now), state=KeyState.REVOKED, sealed=b"", tainted=True)
    return keys.replaced((revoked,), now=now)


def restored(keys: KeySet, *, now: int) -> KeySet:
    """The key set of a backup, made safe: what validators hold today is not known, so every key waits again.

    The prepared key of each use, or else the active one, is published anew and signs when the publication delay has
    passed. The active one beside it signs no more, and stays published for what it has signed. The bundle's sequence is
    above every one that was published since the backup. A key that was revoked since is back: revoke it again.
    """
    waiting = {each.use for each in keys.keys if each.state is KeyState.PREPARED}
    back = []
    for each in keys.keys:
        if each.state is KeyState.PREPARED or (each.state is KeyState.ACTIVE and each.use not in waiting):
            back.append(replace(each, state=KeyState.PREPARED, prepared_at=now, due_at=None))
        elif each.state is KeyState.ACTIVE:
            back.append(_retired(each, now))
    after = keys.replaced(back, now=now)
    return replace(after, sequence=max(after.sequence, keys.sequence + 1, now))


def key_life(use: KeyUse, issuer: IssuerSettings, settings: RotationSettings) -> tuple[int, int]:
    """How long a new key lives, and the longest life of what it signs; both in seconds.

    A key may wait as long as its predecessor signs, then sign as long, and its last token must end with it.
    """
    longest = {
        KeyUse.WIT: issuer.wit_lifetime,
        KeyUse.JWT_SVID: issuer.jwt_svid_lifetime,
        KeyUse.X509_SVID: issuer.x509_svid_lifetime,
    }
    max_token = _seconds(longest[use])
    life = 2 * _seconds(settings.rotation_interval) + 2 * settings.publication_delay + 2 * max_token
    return life, max_token


def check_clock(newest: int, *, now: int, clock_setback: int) -> None:
    """Refuse a clock that has gone back.

    Args:
        newest: the newest time that was seen, in seconds since 1970.
        now: seconds since 1970.
        clock_setback: how many seconds are forgiven.

    Raises:
        Unavailable: `issuer_unavailable`.
    """
    if now < newest - clock_setback:
        raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the clock has gone back; nothing is signed until it is right")


def _removable(key: KeyRecord, settings: RotationSettings, now: int) -> bool:
    if key.state is KeyState.PREPARED:  # it has waited so long that it could not sign for a whole interval any more
        return now + _seconds(settings.rotation_interval) + key.max_token_seconds > key.not_after
    if key.retired_at is None:
        return False
    # What it signed has ended with the key at the latest; a verifier's clock may be behind.
    return now >= min(key.retired_at + settings.retention(key), key.not_after + _seconds(settings.verifier_leeway))


def _due(active: KeyRecord, now: int) -> bool:
    due_at = now if active.due_at is None else active.due_at
    return now >= min(due_at, active.not_after - active.max_token_seconds)


def _retired(key: KeyRecord, now: int) -> KeyRecord:
    at = now if key.retired_at is None else key.retired_at
    return replace(key, state=KeyState.OLD, retired_at=at, due_at=None)


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
