from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import KeyRecord, KeySet, KeyState, KeyUse, RotationSettings
from wimse.issuer.rotation import StepKind, apply, found, plan, restored, revoke, rotate, taint
from wimse.keys import PrivateKey

NOW = 1_800_000_000
PUBLIC = PrivateKey.generate().public_key
FAST = RotationSettings(
    rotation_interval=timedelta(seconds=60),
    refresh_hint=timedelta(seconds=5),
    publication_intervals=2,
    max_staleness=timedelta(seconds=4),
    verifier_leeway=timedelta(seconds=3),
)
TOKEN_SECONDS = 20


def record(kid: str, use: KeyUse, now: int, state: KeyState = KeyState.PREPARED) -> KeyRecord:
    return KeyRecord(
        kid=kid,
        use=use,
        state=state,
        public_key=PUBLIC,
        sealed=b"sealed",
        anchors=(kid.encode(),) if use is KeyUse.X509_SVID else (),
        not_before=now,
        not_after=now + 2 * 60 + 2 * FAST.publication_delay + 2 * TOKEN_SECONDS,
        max_token_seconds=TOKEN_SECONDS,
        prepared_at=now,
    )


@dataclass
class Issuer:
    """The planner at work over a time of its own, without a store."""

    now: int = NOW
    made: int = 0
    keys: KeySet = field(default_factory=KeySet)

    def __post_init__(self) -> None:
        self.keys = found([self.make(use) for use in KeyUse], FAST, now=self.now)

    def make(self, use: KeyUse) -> KeyRecord:
        self.made += 1
        return record(f"{use}-{self.made}", use, self.now)

    def work(self) -> None:
        while steps := plan(self.keys, FAST, now=self.now):
            made = self.make(steps[0].use) if steps[0].kind is StepKind.PREPARE else None
            self.keys = apply(self.keys, steps[0], FAST, now=self.now, made=made)

    def after(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.work()


def kids(keys: KeySet, use: KeyUse = KeyUse.WIT) -> dict[str, KeyState]:
    return {each.kid: each.state for each in keys.keys if each.use is use}


def test_first_keys_sign_at_once_and_their_successors_are_published_with_them() -> None:
    issuer = Issuer()
    issuer.work()
    assert kids(issuer.keys) == {"wit-1": KeyState.ACTIVE, "wit-4": KeyState.PREPARED}
    assert issuer.keys.sequence >= NOW


def test_a_key_goes_through_its_four_states_at_the_times_that_the_settings_say() -> None:
    issuer = Issuer()
    issuer.after(59)
    assert kids(issuer.keys)["wit-1"] is KeyState.ACTIVE
    issuer.after(1)
    assert kids(issuer.keys) == {"wit-1": KeyState.OLD, "wit-4": KeyState.ACTIVE, "wit-7": KeyState.PREPARED}
    issuer.after(TOKEN_SECONDS + 4 + 3 - 1)
    assert "wit-1" in kids(issuer.keys)  # IS-26: the longest token, staleness, leeway
    issuer.after(1)
    assert "wit-1" not in kids(issuer.keys)


@pytest.mark.parametrize("change", [rotate, taint, revoke])
def test_a_successor_that_is_not_published_for_long_enough_does_not_sign(change: object) -> None:
    """IS-25: not even when the active key has to go; then nothing signs."""
    issuer = Issuer()
    issuer.work()
    if change is rotate:
        issuer.keys = rotate(issuer.keys, KeyUse.WIT, now=issuer.now)
    else:
        issuer.keys = change(issuer.keys, "wit-1", now=issuer.now)  # type: ignore[operator]
    issuer.after(FAST.publication_delay - 1)
    active = issuer.keys.active(KeyUse.WIT)
    assert (active.kid if active else None) == ("wit-1" if change is rotate else None)
    issuer.after(1)
    assert kids(issuer.keys)["wit-4"] is KeyState.ACTIVE


def test_a_tainted_key_is_replaced_at_once_when_its_successor_waits_and_stays_published() -> None:
    issuer = Issuer()
    issuer.after(30)
    issuer.keys = taint(issuer.keys, "wit-1", now=issuer.now)
    issuer.work()
    assert kids(issuer.keys)["wit-4"] is KeyState.ACTIVE
    old = issuer.keys.key("wit-1")
    assert old.state is KeyState.OLD
    assert old.tainted
    assert old.published
    assert old.sealed  # nothing was lost


def test_a_revoked_key_leaves_the_bundle_at_once_and_its_private_half_is_forgotten() -> None:
    issuer = Issuer()
    issuer.after(30)
    before = issuer.keys.sequence
    issuer.keys = revoke(issuer.keys, "x509-3", now=issuer.now)
    gone = issuer.keys.key("x509-3")
    assert (gone.published, gone.sealed) == (False, b"")
    assert issuer.keys.sequence > before
    assert revoke(issuer.keys, "x509-3", now=issuer.now) == issuer.keys
    with pytest.raises(Refused):
        taint(issuer.keys, "x509-3", now=issuer.now)


def test_a_tainted_key_that_has_signed_nothing_is_revoked() -> None:
    issuer = Issuer()
    issuer.after(30)
    issuer.keys = taint(issuer.keys, "wit-4", now=issuer.now)
    assert issuer.keys.key("wit-4").state is KeyState.REVOKED


@pytest.mark.parametrize("change", [lambda k: taint(k, "nobody", now=NOW), lambda k: revoke(k, "nobody", now=NOW)])
def test_a_key_that_is_not_there_cannot_be_tainted_or_revoked(change: object) -> None:
    with pytest.raises(Refused) as refusal:
        change(Issuer().keys)  # type: ignore[operator]
    assert refusal.value.reason is Reason.KEY_UNKNOWN


def test_a_clock_that_has_gone_back_changes_nothing() -> None:
    """IS-34."""
    issuer = Issuer()
    issuer.after(30)
    plan(issuer.keys, FAST, now=issuer.keys.changed_at - 60)
    with pytest.raises(Unavailable) as refusal:
        plan(issuer.keys, FAST, now=issuer.keys.changed_at - 86_400)
    assert refusal.value.reason is Reason.ISSUER_UNAVAILABLE


def test_the_keys_of_a_backup_wait_again_and_what_they_signed_stays_verifiable() -> None:
    """IS-25: what validators hold is not known after a restore."""
    issuer = Issuer()
    issuer.after(30)
    before = issuer.keys
    issuer.now += 10
    issuer.keys = restored(before, now=issuer.now)
    assert all(issuer.keys.active(use) is None for use in KeyUse)
    assert {each.kid for each in issuer.keys.published()} == {each.kid for each in before.published()}
    assert issuer.keys.sequence > before.sequence
    issuer.after(FAST.publication_delay)
    assert all(issuer.keys.active(use) for use in KeyUse)


def test_a_key_that_waited_too_long_is_replaced_before_it_signs() -> None:
    issuer = Issuer()
    issuer.work()
    issuer.now += 10_000
    issuer.work()
    assert kids(issuer.keys)["wit-1"] is KeyState.ACTIVE  # expired, and signs nothing; the next one is published first
    issuer.after(FAST.publication_delay)
    assert issuer.keys.active(KeyUse.WIT) is not None
    assert issuer.keys.active(KeyUse.WIT).prepared_at >= NOW + 10_000  # type: ignore[union-attr]


def test_a_key_set_refuses_what_cannot_be() -> None:
    one = record("a", KeyUse.WIT, NOW, KeyState.ACTIVE)
    for keys in (
        (one, one),
        (one, replace(one, kid="b")),
        (replace(one, tainted=True),),
        tuple(replace(one, kid=str(n), state=KeyState.OLD) for n in range(65)),
    ):
        with pytest.raises(ConfigurationError):
            KeySet(keys=keys)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotation_interval", timedelta(0)),
        ("rotation_interval", timedelta(days=400)),
        ("refresh_hint", timedelta(seconds=1.5)),
        ("max_staleness", timedelta(hours=1)),
        ("verifier_leeway", timedelta(seconds=121)),
        ("publication_intervals", 0),
    ],
)
def test_settings_out_of_bounds_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RotationSettings(**{name: value})  # type: ignore[arg-type]


@dataclass
class World:
    """An issuer on two servers, one of them behind, and a validator that fetches the bundle as it is told to."""

    issuer: Issuer
    stale: list[KeySet] = field(default_factory=list)
    bundle: set[str] = field(default_factory=set)
    fetched_at: int = 0
    tokens: list[tuple[str, int]] = field(default_factory=list)
    offset: int = 0

    def tick(self) -> None:
        self.issuer.after(1)
        self.stale.append(self.issuer.keys)
        now = self.issuer.now
        # A server may act on a state that is `max_staleness` old, both to sign and to publish.
        behind = self.stale[max(0, len(self.stale) - 4)]
        hint = int(FAST.refresh_hint.total_seconds())
        if now - self.fetched_at >= hint:
            self.fetched_at = now
            self.bundle = {each.kid for each in behind.published()}
        revoked = {each.kid for each in self.issuer.keys.keys if not each.published}
        for server in (self.issuer.keys, behind):
            for use in KeyUse:
                active = server.active(use)
                if active is None or now >= active.not_after or active.kid in revoked:
                    continue
                assert active.kid in {each.kid for each in server.published()}
                assert active.kid in self.bundle, "IS-25: a validator does not have the key that signs"
                self.tokens.append((active.kid, min(now + active.max_token_seconds, active.not_after)))
        self.tokens = [(kid, ends) for kid, ends in self.tokens if ends > now and kid not in revoked]
        for kid, ends in self.tokens:
            assert kid in self.bundle, f"IS-26: a live token, until {ends}, has lost its key"


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 4),
    st.lists(
        st.tuples(st.integers(0, 80), st.sampled_from(["rotate", "taint", "revoke"]), st.sampled_from(list(KeyUse))),
        max_size=8,
    ),
)
def test_no_live_token_is_ever_without_its_key_and_no_unpublished_key_ever_signs(
    offset: int, story: list[tuple[int, str, KeyUse]]
) -> None:
    """IS-24, IS-25, IS-26: over random rotations, taints and revocations."""
    world = World(Issuer())
    world.issuer.work()
    world.bundle = {each.kid for each in world.issuer.keys.published()}
    world.stale = [world.issuer.keys]
    world.fetched_at = world.issuer.now - offset
    sequences = [world.issuer.keys.sequence]
    for wait, act, use in story:
        for _ in range(wait):
            published = {each.kid for each in world.issuer.keys.published()}
            world.tick()
            if {each.kid for each in world.issuer.keys.published()} != published:
                sequences.append(world.issuer.keys.sequence)
        keys, now, active = world.issuer.keys, world.issuer.now, world.issuer.keys.active(use)
        if active is None:
            continue
        if act == "rotate":
            world.issuer.keys = rotate(keys, use, now=now)
        else:
            world.issuer.keys = (taint if act == "taint" else revoke)(keys, active.kid, now=now)
    for _ in range(100):
        world.tick()
    assert sequences == sorted(set(sequences))
    assert all(world.issuer.keys.active(use) for use in KeyUse)  # and it always comes back
