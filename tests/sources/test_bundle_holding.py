"""What is held of trust bundles: model-based, over all orders of updates, failures and time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.sources.publisher import key
from wimse.credentials import TrustBundle, TrustDomain
from wimse.errors import Reason, Unavailable
from wimse.sources import BundleChange
from wimse.sources.bundle_holding import BundleHolding

A, B = TrustDomain("spiffe", "a.example"), TrustDomain("spiffe", "b.example")
KEYS = [key("k0"), key("k1")]
MAX_AGE = 100.0


def bundle(*numbers: int, domain: TrustDomain = A, sequence: int | None = None) -> TrustBundle:
    return TrustBundle(
        trust_domain=domain, wit_keys=tuple(KEYS[number].public_key for number in numbers), sequence=sequence
    )


def held(*bundles: TrustBundle, now: float = 0) -> BundleHolding:
    made = BundleHolding(MAX_AGE)
    made.take({each.trust_domain: each for each in bundles}, now)
    return made


def too_old(made: BundleHolding, now: float, domain: TrustDomain = A) -> str:
    with pytest.raises(Unavailable) as caught:
        made.find(domain, now)
    assert caught.value.reason is Reason.TRUST_UNAVAILABLE
    return caught.value.detail


def test_nothing_is_known_at_first() -> None:
    """MW-11: that is not the same as a domain that is not trusted."""
    made = BundleHolding(MAX_AGE)
    made.unchanged(0)
    made.failed("it is corrupt")
    assert "it is corrupt" in too_old(made, 0)
    assert not made.loaded
    assert made.newest(A) is None
    made.take({}, 0)
    assert made.find(A, 0) is None
    assert made.loaded


def test_the_last_good_bundle_stays_until_it_is_too_old() -> None:
    """MW-12, D11."""
    made = held(bundle(0))
    made.failed("away")
    assert made.find(A, MAX_AGE) == bundle(0)
    assert "away" in too_old(made, MAX_AGE + 1)
    assert made.too_old(MAX_AGE) == []
    assert made.too_old(MAX_AGE + 1) == [A]
    assert made.fresh(MAX_AGE) == {A: bundle(0)}
    assert made.fresh(MAX_AGE + 1) == {}
    assert made.newest(A) == bundle(0)
    made.unchanged(MAX_AGE + 1)
    assert made.find(A, MAX_AGE + 1) == bundle(0)


@pytest.mark.parametrize(
    ("old", "new", "taken"),
    [
        (None, None, True),
        (None, 1, True),
        (1, 2, True),
        (1, 1, True),
        (2, 1, False),
        (1, 0, False),
        (1, None, False),
        (0, None, False),
        (2**80, 2**80 - 1, False),
    ],
)
def test_a_bundle_with_a_lower_sequence_is_ignored(old: int | None, new: int | None, taken: bool) -> None:
    """IS-35: a rollback, also to a time before there were sequences."""
    first, second = bundle(0, sequence=old), bundle(1, sequence=new)
    made = held(first)
    changes = made.take({A: second}, 50)
    assert changes == [(BundleChange.UPDATED if taken else BundleChange.IGNORED, A)]
    assert made.find(A, 50) is (second if taken else first)
    # It renews nothing: the age of the one that is held goes on, however often it is offered.
    made.unchanged(60)
    if taken:
        made.find(A, 160)
    else:
        too_old(made, 101)


def test_an_empty_bundle_takes_every_key_away() -> None:
    """SV-34, IS-35: its owner has revoked all."""
    made = held(bundle(0, 1))
    assert made.take({A: bundle()}, 1) == [(BundleChange.UPDATED, A)]
    found = made.find(A, 1)
    assert found is not None
    assert found.wit_keys == ()


def test_the_same_bundle_is_the_same_object() -> None:
    """Verified tokens are remembered by it."""
    first = bundle(0, sequence=1)
    made = held(first)
    assert made.take({A: bundle(0, sequence=1)}, 90) == []
    assert made.find(A, 190) is first
    made.unchanged(190)
    assert made.find(A, 290) is first


def test_a_map_is_taken_as_a_whole_and_each_domain_for_itself() -> None:
    made = held(bundle(0, sequence=5), bundle(0, domain=B, sequence=5))
    changes = made.take({A: bundle(1, sequence=4), B: bundle(1, domain=B, sequence=6)}, 1)
    assert set(changes) == {(BundleChange.IGNORED, A), (BundleChange.UPDATED, B)}
    assert made.find(A, 1) == bundle(0, sequence=5)
    assert made.find(B, 1) == bundle(1, domain=B, sequence=6)
    # Federation §6.3: what is left out is not trusted any more, and may begin again.
    assert made.take({B: bundle(1, domain=B, sequence=6)}, 2) == [(BundleChange.REMOVED, A)]
    assert made.find(A, 2) is None
    made.take({A: bundle(1, sequence=1)}, 3)
    assert made.find(A, 3) == bundle(1, sequence=1)


BUNDLES = st.builds(
    lambda numbers, sequence: bundle(*sorted(numbers), sequence=sequence),
    st.sets(st.sampled_from([0, 1])),
    st.none() | st.integers(0, 4),
)


class Bundles(RuleBasedStateMachine):
    """Against a model in plain words: one bundle or none, and since when it is good."""

    def __init__(self) -> None:
        super().__init__()
        self.real = BundleHolding(MAX_AGE)
        self.now = 0.0
        self.model: TrustBundle | None = None
        self.loaded = False
        self.good_at = 0.0
        self.offered_old = False
        self.object: Any = None

    @rule(seconds=st.sampled_from([0.0, 1.0, 49.0, 50.0, 100.0, 101.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(new=BUNDLES)
    def the_source_publishes(self, new: TrustBundle) -> None:
        self.real.take({A: new}, self.now)
        old = self.model
        rolled_back = (
            old is not None and old.sequence is not None and (new.sequence is None or new.sequence < old.sequence)
        )
        self.offered_old = rolled_back
        self.loaded = True
        if not rolled_back:
            self.object = self.object if new == old else new
            self.model, self.good_at = new, self.now

    @rule()
    def the_source_drops_the_domain(self) -> None:
        self.real.take({}, self.now)
        self.model, self.object, self.loaded, self.offered_old = None, None, True, False

    @rule()
    def nothing_has_changed(self) -> None:
        self.real.unchanged(self.now)
        if self.model is not None and not self.offered_old:
            self.good_at = self.now

    @rule()
    def the_source_is_away_or_poisoned(self) -> None:
        self.real.failed("away")

    @invariant()
    def what_is_found_is_what_the_model_says(self) -> None:
        if not self.loaded or (self.model is not None and self.now - self.good_at > MAX_AGE):
            with pytest.raises(Unavailable):
                self.real.find(A, self.now)
        else:
            assert self.real.find(A, self.now) is self.object
            assert self.real.find(A, self.now) == self.model
        assert self.real.find(B, self.now) is None if self.loaded else True
        fresh = self.model is not None and self.now - self.good_at <= MAX_AGE
        assert self.real.fresh(self.now) == ({A: self.model} if fresh else {})
        assert self.real.newest(A) is self.object


TestBundles = Bundles.TestCase
