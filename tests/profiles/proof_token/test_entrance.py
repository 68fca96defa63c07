"""Proof tokens at the entrance: audience, replay, policy, other revisions beside them, how a refusal is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.authentication import forge as signatures
from tests.authentication.forge import Authenticate, RecordingStore, reason_of
from tests.profiles.proof_token.forge import (
    ACCESS_TOKEN,
    AUDIENCE,
    CALLER,
    DOMAIN,
    HEAD,
    NOW,
    OTHER,
    REVISIONS,
    TOKEN_ID,
    TXN_TOKEN,
    WITH_USER,
    adding,
    carrying,
    forge_proof,
    new_key,
    proof_claims,
    prove,
    replacing,
)
from wimse.authentication import (
    AnyRevision,
    AudienceRule,
    Authenticator,
    BearerPolicy,
    ClientAuthenticator,
    Policy,
    Presented,
    ReplayStore,
    TargetAudience,
    any_trusted,
    bearer_of,
    exactly,
    expect,
)
from wimse.authentication.proofs import judges_of
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.httpsig import DEFAULT_LIMITS, Fields, Request, Response, content_digest
from wimse.profiles.http_signature import REVISION_06, REVISION_07, SignatureSettings
from wimse.profiles.proof_token import REVISION_01, REVISION_02, ProofRevision, ProofTokenSettings, token_hash
from wimse.stores import MemoryReplayStore

EACH = pytest.mark.parametrize("revision", REVISIONS, ids=lambda revision: revision.name)
CONTENT = b'{"item": 7}'
BOUND = proof_claims(tth=token_hash(TXN_TOKEN))


def entrance(
    revision: AnyRevision | Iterable[AnyRevision] = REVISION_02,
    *,
    audience: str | Iterable[str] | AudienceRule = AUDIENCE,
    replay: ReplayStore | None = None,
    policy: Policy = any_trusted,
    settings: SignatureSettings | None = None,
    proof_settings: ProofTokenSettings | None = None,
) -> Authenticator:
    return Authenticator(
        bundles=DOMAIN.bundles,
        audience=audience,
        replay=MemoryReplayStore(since=0) if replay is None else replay,
        policy=policy,
        revision=revision,
        settings=settings,
        proof_settings=proof_settings,
    )


@EACH
def test_a_request_is_authenticated(authenticate: Authenticate, revision: ProofRevision) -> None:
    """WPTC-36: the WIT first, and completely."""
    caller = authenticate(entrance(revision), prove(revision=revision), CONTENT, NOW)
    assert caller.identity == CALLER.identity
    assert caller.revision == f"wpt-{revision.name}"
    assert caller.nonce == TOKEN_ID


@EACH
def test_the_result_says_what_was_covered_and_no_more(revision: ProofRevision) -> None:
    """WP-11, WPTC-26: neither method nor path nor content, nor a token that is not bound."""
    head = adding(HEAD, ("X-User-Token", "u"), ("X-Other", "o"))
    request = prove(head, revision, settings=WITH_USER)
    caller = entrance(revision, proof_settings=WITH_USER).authenticate(request, CONTENT, now=NOW)
    assert caller.covered == {"workload-identity-token": CALLER.wit, "txn-token": TXN_TOKEN, "x-user-token": "u"}
    with pytest.raises(ConfigurationError):
        _ = caller.signature
    assert not any(part in repr(caller) for part in (*CALLER.wit.split("."), TXN_TOKEN))


@EACH
def test_a_wit_without_a_proof_is_no_bearer_token(authenticate: Authenticate, revision: ProofRevision) -> None:
    """WP-01, WPTC-33: somebody saw it."""
    request = adding(HEAD, ("Workload-Identity-Token", CALLER.wit))
    assert reason_of(authenticate, entrance(revision), request, CONTENT, NOW) is Reason.PROOF_MISSING


@EACH
def test_a_wit_that_is_not_good_is_refused_first(authenticate: Authenticate, revision: ProofRevision) -> None:
    """WPTC-36: whatever the proof is."""
    foreign = signatures.FOREIGN.credential("/caller", now=NOW)
    request = carrying("x", revision, wit=foreign.wit)
    assert reason_of(authenticate, entrance(revision), request, CONTENT, NOW) is Reason.TRUST_DOMAIN_UNKNOWN
    request = prove(revision=revision, now=NOW)
    assert reason_of(authenticate, entrance(revision), request, CONTENT, NOW + 330) is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param("https://other.example/orders", id="WP-05 another service"),
        pytest.param("https://orders.example/admin", id="WP-05 another path"),
        pytest.param("https://orders.example", id="WP-05 the origin"),
        pytest.param("https://orders.example/orders/", id="WPTC-19 a slash more"),
        pytest.param("HTTPS://ORDERS.EXAMPLE/orders", id="WPTC-19 in another case"),
        pytest.param("http://orders.example/orders", id="WPTC-19 another scheme"),
        pytest.param("https://orders.example.evil/orders", id="WPTC-28 a prefix"),
    ],
)
@EACH
def test_a_proof_for_somebody_else_is_refused(revision: ProofRevision, audience: str) -> None:
    request = prove(revision=revision, audience=audience)
    for rule in (AUDIENCE, TargetAudience("https://orders.example")):
        with pytest.raises(Refused) as caught:
            entrance(revision, audience=rule).authenticate(request, CONTENT, now=NOW)
        assert caught.value.reason is Reason.AUDIENCE_MISMATCH


@pytest.mark.parametrize("field", ["Host", "X-Forwarded-Host", "Forwarded", "X-Original-Host", "X-Forwarded-Server"])
@EACH
def test_what_the_request_says_of_its_host_decides_nothing(revision: ProofRevision, field: str) -> None:
    """WP-05, WPTC-28, WPTC-29, WPTC-30, WPTC-31, AU-03."""
    stolen = prove(revision=revision, audience="https://other.example/orders")
    value = "host=other.example;proto=https" if field == "Forwarded" else "other.example"
    forged = replace(replacing(stolen, field, value), authority="other.example")
    for rule in (AUDIENCE, TargetAudience("https://orders.example")):
        assert reason_of(entrance(revision, audience=rule).authenticate, forged, CONTENT, now=NOW) is (
            Reason.AUDIENCE_MISMATCH
        )
    mine = replace(replacing(prove(revision=revision), field, value), authority="other.example")
    assert entrance(revision).authenticate(mine, CONTENT, now=NOW).identity == CALLER.identity


@pytest.mark.parametrize("more", ["", "?a=1", "#a", "?x=1#a"])
@EACH
def test_query_and_fragment_do_not_count(revision: ProofRevision, more: str) -> None:
    """WPTC-19."""
    request = carrying(forge_proof({**BOUND, "aud": AUDIENCE + more}), revision)
    for rule in (AUDIENCE, TargetAudience("https://orders.example")):
        entrance(revision, audience=rule).authenticate(request, CONTENT, now=NOW)


def test_an_alias_is_configured() -> None:
    """WPTC-19, WPTC-30."""
    request = prove(audience="urn:example:orders")
    entrance(audience=[AUDIENCE, "urn:example:orders"]).authenticate(request, CONTENT, now=NOW)
    assert reason_of(entrance().authenticate, request, CONTENT, now=NOW) is Reason.AUDIENCE_MISMATCH


@pytest.mark.parametrize("audience", [f"{AUDIENCE}?x=1", f"{AUDIENCE}#x"])
def test_an_audience_that_no_proof_can_have_is_not_configured(audience: str) -> None:
    """WPTC-19."""
    with pytest.raises(ConfigurationError):
        entrance(audience=audience)
    with pytest.raises(ConfigurationError):
        entrance([REVISION_07, REVISION_01], audience=[AUDIENCE, audience])
    entrance(REVISION_07, audience=audience)


@EACH
def test_a_proof_is_good_once(authenticate: Authenticate, revision: ProofRevision) -> None:
    """WP-07, WPTC-22, WPTC-27: also with another target and content, which it does not cover."""
    store, request = MemoryReplayStore(since=0), prove(revision=revision)
    authenticate(entrance(revision, replay=store), request, CONTENT, NOW)
    for again in (request, replace(request, method="DELETE", target="/orders/7")):
        assert reason_of(authenticate, entrance(revision, replay=store), again, b"", NOW + 1) is Reason.REPLAYED


def test_a_jti_counts_for_its_sender() -> None:
    """WP-07, WPTC-27."""
    store = MemoryReplayStore(since=0)
    for credential in (CALLER, OTHER):
        entrance(replay=store).authenticate(prove(credential=credential), CONTENT, now=NOW)


def test_a_claim_lasts_as_long_as_the_proof() -> None:
    """WP-07: with the longer leeway of both profiles."""
    for settings in (SignatureSettings(leeway=timedelta(seconds=90)), None):
        store = RecordingStore()
        proof_settings = ProofTokenSettings(leeway=timedelta(seconds=60))
        entrance(replay=store, settings=settings, proof_settings=proof_settings).authenticate(prove(), CONTENT, now=NOW)
        ((key, until, now),) = store.claims
        assert (len(key), until, now) == (32, NOW + 60 + (90 if settings else 60), NOW)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda: carrying(forge_proof(BOUND, key=new_key())), Reason.SIGNATURE_INVALID, id="WP-03"),
        pytest.param(lambda: carrying(forge_proof({**BOUND, "exp": NOW - 30})), Reason.PROOF_EXPIRED, id="WP-06"),
        pytest.param(lambda: prove(audience="https://other.example/"), Reason.AUDIENCE_MISMATCH, id="WP-05"),
        pytest.param(lambda: replacing(prove(), "txn-token", "x"), Reason.TOKEN_HASH_MISMATCH, id="WP-08"),
        pytest.param(
            lambda: adding(prove(), ("Content-Digest", content_digest(b"x"))), Reason.DIGEST_MISMATCH, id="DG-01"
        ),
    ],
)
def test_what_is_refused_claims_nothing(spoil: Callable[[], Request], reason: Reason) -> None:
    store = RecordingStore()
    assert reason_of(entrance(replay=store).authenticate, spoil(), CONTENT, now=NOW) is reason
    assert store.claims == []


def test_a_digest_that_is_there_is_checked() -> None:
    good = adding(prove(), ("Content-Digest", content_digest(CONTENT)))
    caller = entrance().authenticate(good, CONTENT, now=NOW)
    assert "content-digest" not in caller.covered  # nobody signed it


def test_who_may_not_call_is_known_all_the_same() -> None:
    refusing = entrance(policy=exactly(OTHER.identity))
    assert reason_of(refusing.authenticate, prove(), CONTENT, now=NOW) is Reason.IDENTITY_NOT_ALLOWED


def spoiled(request: Request) -> Request:
    name = "authorization" if "authorization" in request.fields else "workload-proof-token"
    (value,) = request.fields.values(name)
    return replacing(request, name, value[:-8] + "AAAAAAAA")


ANSWERS = [
    pytest.param(lambda it: replacing(it, "workload-identity-token"), 401, id="WPTC-38 no WIT"),
    pytest.param(lambda it: replacing(it, "workload-identity-token", "a.b.c"), 401, id="WPTC-38 a broken WIT"),
    pytest.param(lambda it: replacing(it, "txn-token", "x"), 401, id="WPTC-38 an exchanged token"),
    pytest.param(spoiled, 401, id="WPTC-38 a bad signature"),
    pytest.param(lambda it: adding(it, ("Content-Digest", "sha-256=:AAAA:")), 400, id="WPTC-38 not the credentials"),
    pytest.param(lambda it: replacing(it, "workload-identity-token", "a" * 9000), 431, id="WPTC-38 too large"),
]


@pytest.mark.parametrize(("spoil", "status"), ANSWERS)
@EACH
def test_how_a_refusal_is_answered(revision: ProofRevision, spoil: Callable[[Request], Request], status: int) -> None:
    """WPTC-38, WPTC-41: 401 with a challenge under 02, and never under 01."""
    with pytest.raises(Refused) as caught:
        entrance(revision).authenticate(spoil(prove(revision=revision)), CONTENT, now=NOW)
    challenged = status == 401 and revision is REVISION_02
    assert caught.value.challenge == ("WPT" if challenged else None)
    assert caught.value.http_status == (400 if status == 401 and not challenged else status)


def test_other_answers_have_their_own_status() -> None:
    """WPTC-38."""
    store = MemoryReplayStore(since=0)
    server = entrance(replay=store)
    server.authenticate(prove(), CONTENT, now=NOW)
    with pytest.raises(Refused) as caught:
        server.authenticate(prove(), CONTENT, now=NOW)
    assert (caught.value.reason, caught.value.http_status) == (Reason.REPLAYED, 401)
    with pytest.raises(Refused) as caught:
        entrance(policy=lambda _: False).authenticate(prove(), CONTENT, now=NOW)
    assert (caught.value.http_status, caught.value.challenge) == (403, None)


def signed(revision: Any = REVISION_07) -> Request:
    client = ClientAuthenticator(DOMAIN.source("/caller", now=NOW), server=expect(any_trusted), revision=revision)
    return client.sign(HEAD, CONTENT, now=NOW, nonce="s" * 22).request


BOTH = (REVISION_07, REVISION_02)


@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]], ids=["signatures first", "tokens first"])
def test_beside_signatures_either_is_accepted_and_named(
    authenticate: Authenticate, order: tuple[AnyRevision, ...]
) -> None:
    assert authenticate(entrance(order), prove(), CONTENT, NOW).revision == "wpt-02"
    assert authenticate(entrance(order), signed(), CONTENT, NOW).revision == "07"


def test_what_was_not_configured_is_not_accepted() -> None:
    """WPTC-13, WPTC-35: nothing is guessed."""
    assert reason_of(entrance(REVISION_02).authenticate, signed(), CONTENT, now=NOW) is Reason.PROOF_MISSING
    assert reason_of(entrance(REVISION_07).authenticate, prove(), CONTENT, now=NOW) is Reason.SIGNATURE_MISSING
    assert reason_of(entrance(REVISION_01).authenticate, prove(), CONTENT, now=NOW) is Reason.PROOF_MISSING
    with pytest.raises(ConfigurationError):
        entrance([REVISION_02, REVISION_02])


@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]], ids=["signatures first", "tokens first"])
def test_a_bad_proof_is_not_mended_by_something_else(order: tuple[AnyRevision, ...]) -> None:
    """A good WIT with a bad proof of one kind, and no proof of the other kind."""
    bad_token = carrying(forge_proof(BOUND, key=new_key()))
    assert reason_of(entrance(order).authenticate, bad_token, CONTENT, now=NOW) is Reason.SIGNATURE_INVALID
    malformed = carrying("a.b")
    assert reason_of(entrance(order).authenticate, malformed, CONTENT, now=NOW) is Reason.TOKEN_MALFORMED
    changed = replace(signed(), target="/admin")
    assert reason_of(entrance(order).authenticate, changed, CONTENT, now=NOW) is Reason.SIGNATURE_INVALID
    neither = adding(HEAD, ("Workload-Identity-Token", CALLER.wit))
    first = Reason.SIGNATURE_MISSING if order is BOTH else Reason.PROOF_MISSING
    assert reason_of(entrance(order).authenticate, neither, CONTENT, now=NOW) is first


def test_a_request_with_both_is_judged_by_the_first_that_fits() -> None:
    """The signature covers Authorization, and so the proof token in it."""
    client = ClientAuthenticator(DOMAIN.source("/caller", now=NOW), server=expect(any_trusted))
    bare = replacing(prove(), "workload-identity-token")
    both = client.sign(bare, CONTENT, now=NOW, nonce="s" * 22).request
    caller = entrance(BOTH).authenticate(both, CONTENT, now=NOW)
    assert caller.revision == "07"
    assert caller.covered["@path"] == "/orders"
    # The token was made with the key of another WIT than the one that is in the request now.
    assert reason_of(entrance(BOTH[::-1]).authenticate, both, CONTENT, now=NOW) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(
    ("revisions", "build", "challenge"),
    [
        ((REVISION_07, REVISION_02), lambda: carrying("a.b"), "WPT"),
        ((REVISION_07, REVISION_02), lambda: replace(signed(), target="/admin"), None),
        ((REVISION_02, REVISION_07), lambda: replace(signed(), target="/admin"), None),
        ((REVISION_02, REVISION_07), lambda: adding(HEAD, ("Workload-Identity-Token", CALLER.wit)), "WPT"),
        ((REVISION_07, REVISION_02), lambda: adding(HEAD, ("Workload-Identity-Token", CALLER.wit)), None),
        ((REVISION_02, REVISION_01), lambda: carrying("a.b", REVISION_01), None),
        ((REVISION_01, REVISION_02), lambda: carrying("a.b", REVISION_02), "WPT"),
        ((REVISION_07, REVISION_06), lambda: HEAD, None),
    ],
)
def test_who_is_challenged(
    revisions: tuple[AnyRevision, ...], build: Callable[[], Request], challenge: str | None
) -> None:
    """MW-06, WPTC-38, WPTC-41: whoever meant a proof token of 02, or whoever sent nothing where that comes first."""
    with pytest.raises(Refused) as caught:
        entrance(revisions).authenticate(build(), CONTENT, now=NOW)
    assert caught.value.challenge == challenge


@pytest.mark.parametrize(
    ("revisions", "request_", "reason"),
    [
        (REVISION_02, HEAD, Reason.WIT_MISSING),
        (REVISION_02, adding(HEAD, ("Workload-Identity-Token", "x")), Reason.PROOF_MISSING),
        (REVISION_07, adding(HEAD, ("Workload-Identity-Token", "x")), Reason.SIGNATURE_MISSING),
        (BOTH, adding(HEAD, ("Workload-Identity-Token", "x")), Reason.SIGNATURE_MISSING),
    ],
)
def test_what_needs_no_content_to_be_refused(revisions: Any, request_: Request, reason: Reason) -> None:
    """WP-01, WPTC-14."""
    with pytest.raises(Refused) as caught:
        entrance(revisions).check_head(request_)
    assert caught.value.reason is reason
    assert caught.value.challenge == ("WPT" if revisions is REVISION_02 else None)
    entrance(BOTH).check_head(prove())
    entrance(BOTH).check_head(signed())


def test_responses_are_not_signed() -> None:
    server = entrance(BOTH)
    by_token = server.authenticate(prove(), CONTENT, now=NOW)
    by_signature = server.authenticate(signed(), CONTENT, now=NOW)
    assert not server.response_must_be_signed(by_token)
    assert (server.signs_responses(by_token), server.signs_responses(by_signature)) == (False, True)
    with pytest.raises(Unavailable) as caught:
        server.sign_response(Response(status=200), b"", CALLER, request=HEAD, caller=by_token, now=NOW, nonce="m" * 22)
    assert caught.value.reason is Reason.RESPONSE_NOT_SIGNABLE
    (judge,) = judges_of(REVISION_07, SignatureSettings(), DEFAULT_LIMITS)
    with pytest.raises(ConfigurationError):
        judge.sign_response(
            Response(status=200), b"", CALLER, request=HEAD, proof=by_token.proof, now=NOW, nonce="m" * 22
        )


def client(revision: ProofRevision = REVISION_02, **more: Any) -> ClientAuthenticator:
    source = DOMAIN.source("/caller", now=NOW)
    return ClientAuthenticator(
        source, server=expect(any_trusted), require_signed_response=False, revision=revision, **more
    )


@EACH
def test_a_client_puts_proofs_into_requests(revision: ProofRevision) -> None:
    """WPTC-04, WPTC-13, WPTC-35."""
    sent = client(revision).sign(HEAD, CONTENT, now=NOW, nonce="c" * 22)
    assert (sent.nonce, sent.response_must_be_signed) == ("c" * 22, False)
    caller = entrance(revision).authenticate(sent.request, CONTENT, now=NOW)
    assert (caller.identity, caller.nonce) == (CALLER.identity, "c" * 22)
    named = client(revision, audience=lambda _: "urn:orders").sign(HEAD, CONTENT, now=NOW, nonce="c" * 22)
    entrance(revision, audience="urn:orders").authenticate(named.request, CONTENT, now=NOW)


def test_a_client_binds_what_it_was_told_to() -> None:
    """WPTC-11."""
    head = adding(HEAD, ("X-User-Token", "u"))
    sent = client(proof_settings=WITH_USER).sign(head, b"", now=NOW, nonce="c" * 22)
    caller = entrance(proof_settings=WITH_USER).authenticate(sent.request, b"", now=NOW)
    assert caller.covered["x-user-token"] == "u"


def test_a_client_says_of_no_response_who_sent_it() -> None:
    """Not even of one that is signed: TLS says it, or nobody does."""
    sent = client().sign(HEAD, CONTENT, now=NOW, nonce="c" * 22)
    response = Response(status=200, fields=Fields([("Signature-Input", "x"), ("Signature", "y")]))
    assert client().verify_response(response, b"", sent, now=NOW) is None
    assert asyncio.run(client().verify_response_async(response, b"", sent, now=NOW)) is None


def test_a_client_cannot_ask_for_signed_responses() -> None:
    with pytest.raises(ConfigurationError):
        ClientAuthenticator(DOMAIN.source("/caller", now=NOW), server=expect(any_trusted), revision=REVISION_02)


def test_a_client_sends_no_bearer_token_beside_a_proof() -> None:
    """WP-12, WPTC-35, WPTC-37."""
    with pytest.raises(ConfigurationError):
        client().sign(adding(HEAD, ("Authorization", f"Bearer {ACCESS_TOKEN}")), b"", now=NOW, nonce="c" * 22)
    with pytest.raises(ConfigurationError):
        client().sign(HEAD, b"", now=NOW, nonce="short")


def test_the_access_token_is_taken_from_what_is_bound() -> None:
    """WP-12, WPTC-23, WPTC-37: a request with a proof never counts as one with a bearer token."""
    request = prove(adding(HEAD, ("Authorization", f"Bearer {ACCESS_TOKEN}")), REVISION_01)
    assert bearer_of(entrance(REVISION_01).authenticate(request, CONTENT, now=NOW)) == ACCESS_TOKEN
    other = adding(prove(revision=REVISION_01), ("Authorization", "Basic eDp5"))
    assert bearer_of(entrance(REVISION_01).authenticate(other, CONTENT, now=NOW)) is None
    assert bearer_of(entrance().authenticate(prove(), CONTENT, now=NOW)) is None
    for each in (request, prove()):
        assert BearerPolicy(bearer_callers=any_trusted).choose(each) is Presented.WIT


def test_a_client_of_proofs_takes_no_signed_responses() -> None:
    with pytest.raises(ConfigurationError):
        client(response_revisions=[REVISION_07])
    with pytest.raises(ConfigurationError):
        client(wish_for_signed_response=True)


@EACH
def test_after_a_loss_of_memory_no_proof_is_good_twice(authenticate: Authenticate, revision: ProofRevision) -> None:
    """RP-04: it says when it was made, so that it is refused by whoever does not remember that time."""
    request = prove(revision=revision)
    authenticate(entrance(revision, replay=MemoryReplayStore(since=NOW)), request, CONTENT, NOW)
    again = entrance(revision, replay=MemoryReplayStore(since=NOW + 1))
    assert reason_of(authenticate, again, request, CONTENT, NOW + 1) is Reason.REPLAY_STORE_UNAVAILABLE


@pytest.mark.parametrize("iat", [None, "x", True, -1, NOW - 1000, NOW + 1000, NOW + 1.5])
@pytest.mark.parametrize("life", [1, 60, 330])
def test_a_proof_that_does_not_say_is_as_old_as_it_can_be(authenticate: Authenticate, iat: object, life: int) -> None:
    """RP-04: whatever may have been accepted before the loss is refused after it, and nothing else."""
    proof = forge_proof(proof_claims(tth=token_hash(TXN_TOKEN), exp=NOW + life, iat=iat))
    request = carrying(proof)
    for later in (1, min(life + 29, 200)):
        again = entrance(replay=MemoryReplayStore(since=NOW + 1))
        assert reason_of(authenticate, again, request, CONTENT, NOW + later) is Reason.REPLAY_STORE_UNAVAILABLE
    earliest = NOW + life - 330  # a second before, everybody refuses it
    authenticate(entrance(replay=MemoryReplayStore(since=earliest)), request, CONTENT, NOW)
    assert reason_of(authenticate, entrance(), request, CONTENT, earliest - 1) is Reason.PROOF_LIFETIME
