"""WIT, signature, digest, audience, replay, policy: in this order, and nothing of a later step before."""

from __future__ import annotations

from itertools import combinations

import pytest

from tests.authentication.forge import (
    CALLER,
    CONTENT,
    DOMAIN,
    NONCE,
    NOW,
    Authenticate,
    RecordingStore,
    entrance,
    forge_request,
    forge_wit,
    new_key,
    reason_of,
    replacing,
    request_parameters,
    wit_claims,
)
from wimse.authentication import Authenticator, ClaimNonce, NeedBundle
from wimse.credentials import TrustBundle, TrustDomain, WorkloadIdentifier
from wimse.errors import Reason
from wimse.httpsig import Request

FAULTS = {
    "wit": Reason.TOKEN_EXPIRED,
    "signature": Reason.SIGNATURE_INVALID,
    "digest": Reason.DIGEST_MISMATCH,
    "audience": Reason.AUDIENCE_MISMATCH,
    "replay": Reason.REPLAYED,
    "policy": Reason.IDENTITY_NOT_ALLOWED,
}
SUBSETS = [set(each) for size in range(1, len(FAULTS) + 1) for each in combinations(FAULTS, size)]


class World:
    """A server that writes down what it is asked, and a request with some faults."""

    def __init__(self, faults: set[str]) -> None:
        self.asked: list[str] = []
        self.store = RecordingStore("replay" not in faults)
        self._deny = "policy" in faults
        self.content = b"other" if "digest" in faults else CONTENT
        self.request = self._request(faults)
        self.server: Authenticator = entrance(bundles=self._bundle, replay=self, policy=self._policy)

    @staticmethod
    def _request(faults: set[str]) -> Request:
        wit = forge_wit(wit_claims(exp=NOW - 31, iat=NOW - 100)) if "wit" in faults else None
        return forge_request(
            wit=wit,
            key=new_key() if "signature" in faults else None,
            parameters=request_parameters(wimse_aud="other" if "audience" in faults else None)
            if "audience" in faults
            else None,
        )

    def _bundle(self, trust_domain: TrustDomain) -> TrustBundle | None:
        self.asked.append("bundle")
        return DOMAIN.bundles.get(trust_domain)

    def claim(self, key: bytes, until: int, now: int) -> bool:
        self.asked.append("nonce")
        claimed: bool = self.store.claim(key, until, now)
        return claimed

    def _policy(self, _: WorkloadIdentifier) -> bool:
        self.asked.append("policy")
        return not self._deny


@pytest.mark.parametrize("faults", SUBSETS, ids=["+".join(sorted(each)) for each in SUBSETS])
def test_the_first_fault_is_the_reason(authenticate: Authenticate, faults: set[str]) -> None:
    """HS-20, HS-36, WC-49: each of the 63 ways to be wrong; and what comes after the first fault is not asked."""
    world = World(faults)
    first = next(name for name in FAULTS if name in faults)
    assert reason_of(authenticate, world.server, world.request, world.content, NOW) is FAULTS[first]
    asked = {"replay": ["bundle", "nonce"], "policy": ["bundle", "nonce", "policy"]}
    assert world.asked == asked.get(first, ["bundle"])


def test_without_a_fault_each_is_asked_once(authenticate: Authenticate) -> None:
    world = World(set())
    assert authenticate(world.server, world.request, world.content, NOW).identity == CALLER.identity
    assert world.asked == ["bundle", "nonce", "policy"]


@pytest.mark.parametrize(
    ("wit", "reason"),
    [
        (None, Reason.WIT_MISSING),
        ("", Reason.TOKEN_MALFORMED),
        ("a.b", Reason.TOKEN_MALFORMED),
        ("A" * 9_000, Reason.TOKEN_TOO_LARGE),
        (forge_wit("{}"), Reason.TOKEN_SUBJECT),
        (forge_wit(wit_claims(sub="https://example.org/")), Reason.TOKEN_SUBJECT),
        (forge_wit(crit=["x"]), Reason.TOKEN_CRITICAL),
        (forge_wit(alg=None), Reason.TOKEN_ALGORITHM),
    ],
)
def test_no_bundle_is_asked_for_when_the_wit_is_malformed(
    authenticate: Authenticate, wit: str | None, reason: Reason
) -> None:
    """RP-07, WT-26, HS-20: nobody fetches anything for a token that cannot be one."""
    world = World(set())
    world.request = replacing(world.request, "Workload-Identity-Token", *([] if wit is None else [wit]))
    assert reason_of(authenticate, world.server, world.request, world.content, NOW) is reason
    assert world.asked == []


def test_one_bundle_is_asked_for_and_only_that_of_the_subject(authenticate: Authenticate) -> None:
    """WC-01, WT-26: an unknown kid does not ask again."""
    asked: list[TrustDomain] = []

    def bundle(trust_domain: TrustDomain) -> TrustBundle:
        asked.append(trust_domain)
        return DOMAIN.bundle

    request = forge_request(wit=forge_wit(kid="unknown"))
    assert reason_of(authenticate, entrance(bundles=bundle), request, CONTENT, NOW) is Reason.KEY_UNKNOWN
    assert asked == [DOMAIN.trust_domain]


def test_the_flow_yields_its_needs_and_then_the_result() -> None:
    flow = entrance().flow(forge_request(), CONTENT, now=NOW)
    assert next(flow) == NeedBundle(DOMAIN.trust_domain)
    claim = flow.send(DOMAIN.bundle)
    assert isinstance(claim, ClaimNonce)
    assert (claim.until, claim.now, len(claim.key)) == (NOW + 90, NOW, 32)
    with pytest.raises(StopIteration) as end:
        flow.send(True)
    assert end.value.value.identity == CALLER.identity
    assert end.value.value.nonce == NONCE


@pytest.mark.parametrize("answer", [None, False, True, {}, DOMAIN.bundles, [DOMAIN.key.public_key]])
def test_what_is_no_bundle_is_no_trust(answer: object) -> None:
    """WC-01: whatever the driver sends."""
    flow = entrance().flow(forge_request(), CONTENT, now=NOW)
    next(flow)
    assert reason_of(flow.send, answer) is Reason.TRUST_DOMAIN_UNKNOWN


@pytest.mark.parametrize(
    ("omit", "parameters", "first"),
    [
        (["@method"], {"expires": NOW - 100, "created": NOW - 150, "keyid": "k"}, Reason.COMPONENT_NOT_COVERED),
        ([], {"expires": NOW - 100, "created": NOW - 150, "keyid": "k"}, Reason.PARAMETER_FORBIDDEN),
        ([], {"expires": NOW - 100, "created": NOW - 150}, Reason.SIGNATURE_EXPIRED),
    ],
)
def test_requirements_come_before_the_cryptography(
    authenticate: Authenticate, omit: list[str], parameters: dict[str, object], first: Reason
) -> None:
    """LB-10: coverage, parameters, times; the signature, by another key, is not looked at."""
    request = forge_request(key=new_key(), omit=omit, parameters=request_parameters(**parameters))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is first
