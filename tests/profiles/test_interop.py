"""The revision of the Go proof of concept by Cofide, and the bridge from it to 07."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests import vectors
from tests.authentication.forge import (
    ANSWER,
    ANSWER_HEAD,
    AUDIENCE,
    CALLER,
    CONTENT,
    DOMAIN,
    HEAD,
    NONCE,
    NOW,
    SERVER,
    WIMSE,
    adding,
    caller,
    dress,
    entrance,
    forge_wit,
    reason_of,
    replacing,
    wit_claims,
)
from wimse.authentication import Authenticator, ClientAuthenticator, any_trusted, expect
from wimse.credentials import TrustBundle, TrustBundles, TrustDomain, WorkloadCredential, WorkloadSnapshot
from wimse.errors import ConfigurationError, Reason
from wimse.httpsig import (
    Fields,
    Request,
    Response,
    content_digest,
    make_signature,
    parse_http1,
    parse_signatures,
    with_fields,
)
from wimse.keys import EDDSA, ES384, Algorithm, PrivateKey, PublicKey
from wimse.profiles.http_signature import (
    BRIDGE,
    COFIDE_POC,
    REVISION_06,
    REVISION_07,
    REVISIONS,
    Revision,
    SignatureSettings,
    SignedRequest,
    sign_request,
    sign_response,
)
from wimse.stores import MemoryReplayStore
from wimse.testing import FixedSource

NONCE_OF_GO = "c920d7f920df71f8e377b9ecb843f4e9f800d38104c1b76ce905b969c3a3a076"
WIMSE_COM = TrustDomain.parse("wimse://example.com")
TAG = "wimse-workload-to-workload"
ALG = "ecdsa-p256-sha256"


def go_request(**changes: object) -> Request:
    """A request as its client sends it (interop with httpsign v0.3.1)."""
    dressed = dress(HEAD, CALLER.wit, CONTENT)
    covered = [
        "@method",
        "@request-target",
        "workload-identity-token",
        "content-digest",
        "content-type",
        "authorization",
        "txn-token",
    ]
    parameters = {"created": NOW, "expires": NOW + 300, "nonce": NONCE_OF_GO, "alg": ALG, "tag": TAG, **changes}
    made = make_signature(
        dressed, CALLER.key, covered, {name: value for name, value in parameters.items() if value}, label="wimse"
    )
    return adding(dressed, *made.lines())


def go_response(covered: list[str] | None = None, **changes: object) -> Response:
    """An answer as its server sends it."""
    lines = [
        ("Date", "Thu, 09 Oct 2025 13:26:02 GMT"),
        ("Workload-Identity-Token", SERVER.wit),
        ("Content-Digest", content_digest(ANSWER)),
        ("Content-Length", str(len(ANSWER))),
    ]
    dressed = with_fields(ANSWER_HEAD, ANSWER_HEAD.fields.adding(*lines))
    all_ = ["@status", "date", "workload-identity-token", "content-digest", "content-type", "content-length"]
    parameters = {"created": NOW, "alg": ALG, "tag": TAG, **changes}
    made = make_signature(
        dressed,
        SERVER.key,
        all_ if covered is None else covered,
        {name: value for name, value in parameters.items() if value},
        label="wimse",
    )
    return with_fields(dressed, dressed.fields.adding(*made.lines()))


VECTORS = {each["id"]: each for each in vectors.load("wimse/cofide-poc.json")["cases"]}


@pytest.mark.parametrize("revision", REVISIONS.values(), ids=lambda each: each.name)
def test_an_exchange_that_its_own_library_signed(revision: Revision) -> None:
    """Both messages, completely: accepted in its revision, and refused in every other one."""
    case = VECTORS["request"]
    sent, got = (parse_http1(VECTORS[name]["message"].encode()) for name in ("request", "response"))
    assert isinstance(sent.message, Request)
    assert isinstance(got.message, Response)
    bundle = TrustBundle(trust_domain=WIMSE_COM, wit_keys=(PublicKey.from_jwk(case["issuer_key"]),))
    bundles = TrustBundles(bundle)
    server = entrance(bundles=bundles, revision=revision)
    receiver = ClientAuthenticator(
        DOMAIN.source("/caller", now=NOW), server=expect(any_trusted), revision=revision, bundles=bundles.get
    )
    remembered = SignedRequest(sent.message, NONCE_OF_GO, response_must_be_signed=True)
    if revision is COFIDE_POC:
        known = server.authenticate(sent.message, sent.content, now=case["now"])
        assert (str(known.identity), known.nonce) == (case["expected"]["subject"], NONCE_OF_GO)
        answered = receiver.verify_response(got.message, got.content, remembered, now=case["now"])
        assert answered is not None
        assert list(answered.covered) == [each.strip('"') for each in VECTORS["response"]["components"]]
        return
    expected = [VECTORS[name]["expected"]["by_revision"][revision.name] for name in ("request", "response")]
    assert reason_of(server.authenticate, sent.message, sent.content, now=case["now"]).code == expected[0]
    verify = receiver.verify_response
    assert reason_of(verify, got.message, got.content, remembered, now=case["now"]).code == expected[1]


def client(revision: Revision = COFIDE_POC, *, responses: tuple[Revision, ...] | None = None) -> ClientAuthenticator:
    return ClientAuthenticator(
        DOMAIN.source("/caller", now=NOW),
        server=expect(any_trusted),
        revision=revision,
        response_revisions=responses,
    )


def written(fields: Fields) -> tuple[list[str], dict[str, object]]:
    (each,) = parse_signatures(fields)
    return [str(component) for component in each.input.components], dict(each.input.parameters)


def test_a_request_of_the_proof_of_concept_is_accepted_where_it_is_configured() -> None:
    assert entrance(revision=COFIDE_POC).authenticate(go_request(), CONTENT, now=NOW).revision == "cofide-poc"
    both = entrance(revision=(REVISION_07, COFIDE_POC))
    known = both.authenticate(go_request(), CONTENT, now=NOW)
    assert (known.revision, known.nonce) == ("cofide-poc", NONCE_OF_GO)


@pytest.mark.parametrize("revision", [REVISION_06, REVISION_07, BRIDGE, (REVISION_07, REVISION_06)], ids=str)
def test_and_nowhere_else(revision: Revision) -> None:
    """HS-15, HS-19: opt-in."""
    assert reason_of(entrance(revision=revision).authenticate, go_request(), CONTENT, now=NOW) in {
        Reason.COMPONENT_NOT_COVERED,
        Reason.PARAMETER_MISSING,
    }


def test_what_it_does_not_check_is_checked_here() -> None:
    """HS-36, HS-47: the WIT's own signature and the digest of the content."""
    server = entrance(revision=COFIDE_POC)
    forged = forge_wit(wit_claims(), signer=PrivateKey.generate(kid="issuer"))
    dressed = replacing(go_request(), "Workload-Identity-Token", forged)
    assert reason_of(server.authenticate, dressed, CONTENT, now=NOW) is Reason.TOKEN_SIGNATURE_INVALID
    assert reason_of(server.authenticate, go_request(), b"other", now=NOW) is Reason.DIGEST_MISMATCH


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"keyid": "wimse"}, Reason.PARAMETER_FORBIDDEN),
        ({"nonce": None}, Reason.PARAMETER_MISSING),
        ({"expires": None}, Reason.PARAMETER_MISSING),
        ({"created": None}, Reason.PARAMETER_MISSING),
        ({"tag": None}, Reason.SIGNATURE_MISSING),
        ({"expires": NOW + 301}, Reason.SIGNATURE_LIFETIME),
        ({"wimse-aud": "https://elsewhere.example"}, Reason.AUDIENCE_MISMATCH),
        ({"wimse-req-nonce": NONCE}, Reason.PARAMETER_FORBIDDEN),
    ],
)
def test_its_requests_are_held_to_what_they_carry(changes: dict[str, object], reason: Reason) -> None:
    """HS-18, TM-01, TM-02, TM-06: an audience need not be there, and where it is, it is ours."""
    assert reason_of(entrance(revision=COFIDE_POC).authenticate, go_request(**changes), CONTENT, now=NOW) is reason


@pytest.mark.parametrize("alg", ["ed25519", "rsa-pss-sha512", "ecdsa-p384-sha384", "hmac-sha256", "none"])
def test_its_alg_is_that_of_the_key(alg: str) -> None:
    """HS-19: where it may be there, it decides nothing."""
    request = go_request()
    (shown,) = request.fields.values("signature-input")
    lying = replacing(request, "Signature-Input", shown.replace(ALG, alg))
    assert (
        reason_of(entrance(revision=COFIDE_POC).authenticate, lying, CONTENT, now=NOW) is Reason.ALGORITHM_NOT_ALLOWED
    )


def test_without_an_alg_it_is_accepted_too() -> None:
    server = entrance(revision=COFIDE_POC)
    assert server.authenticate(go_request(alg=None), CONTENT, now=NOW).identity == CALLER.identity
    assert reason_of(server.authenticate, go_request(), CONTENT, now=NOW) is Reason.REPLAYED  # RP-01


def test_a_request_of_ours_is_one_of_its() -> None:
    sent = client().sign(HEAD, CONTENT, now=NOW, nonce=NONCE_OF_GO)
    covered, parameters = written(sent.request.fields)
    theirs = written(go_request().fields)
    assert (sorted(covered), list(parameters)) == (sorted(theirs[0]), list(theirs[1]))
    assert parameters["alg"] == ALG
    assert entrance(revision=COFIDE_POC).authenticate(sent.request, CONTENT, now=NOW).identity == CALLER.identity


def test_a_response_of_the_proof_of_concept() -> None:
    sent = client().sign(HEAD, CONTENT, now=NOW, nonce=NONCE_OF_GO)
    answered = client().verify_response(go_response(), ANSWER, sent, now=NOW)
    assert answered is not None
    assert (answered.identity, answered.nonce, answered.revision) == (SERVER.identity, None, "cofide-poc")
    assert reason_of(client(REVISION_07).verify_response, go_response(), ANSWER, sent, now=NOW) is (
        Reason.COMPONENT_NOT_COVERED
    )


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (go_response(["@status", "workload-identity-token", "content-type"]), Reason.COMPONENT_NOT_COVERED),
        (go_response(["@status", "content-digest", "content-type"]), Reason.COMPONENT_NOT_COVERED),
        (go_response(["workload-identity-token", "content-digest", "content-type"]), Reason.COMPONENT_NOT_COVERED),
        (go_response(keyid="wimse"), Reason.PARAMETER_FORBIDDEN),
        (go_response(tag=None), Reason.RESPONSE_UNSIGNED),
        (go_response(created=None), Reason.PARAMETER_MISSING),
        (go_response(created=NOW - 331), Reason.SIGNATURE_TOO_OLD),
        (go_response(created=NOW + 31), Reason.SIGNATURE_NOT_YET_VALID),
        (go_response(None, **{"wimse-req-nonce": "another one"}), Reason.REQUEST_NONCE_MISMATCH),
        (replace(go_response(), status=500), Reason.SIGNATURE_INVALID),
    ],
)
def test_its_responses_are_held_to_what_they_carry(response: Response, reason: Reason) -> None:
    """TM-03, HS-33, RS-01, RS-08: one without expires is not older than one with it may be."""
    sent = client().sign(HEAD, CONTENT, now=NOW, nonce=NONCE_OF_GO)
    assert reason_of(client().verify_response, response, ANSWER, sent, now=NOW) is reason


def test_our_answer_to_the_proof_of_concept_is_one_of_its() -> None:
    server = entrance(revision=(REVISION_07, COFIDE_POC))
    request = go_request()
    known = server.authenticate(request, CONTENT, now=NOW)
    assert not server.response_must_be_signed(known)
    head = with_fields(ANSWER_HEAD, ANSWER_HEAD.fields.adding(("Content-Length", str(len(ANSWER))), ("Date", "today")))
    response = server.sign_response(head, ANSWER, SERVER, request=request, caller=known, now=NOW, nonce="m" * 22)
    covered, parameters = written(response.fields)
    assert sorted(covered) == sorted(written(go_response().fields)[0])
    assert parameters == {"created": NOW, "alg": ALG, "tag": TAG}
    answered = client().verify_response(response, ANSWER, SignedRequest(request, NONCE_OF_GO, True), now=NOW)
    assert answered is not None


def test_the_wits_of_minispire_are_accepted() -> None:
    """WC-09: `sub` and `iss` are wimse, `aud` is empty, and none of that concerns a WIT that is no WIT-SVID."""
    key = PrivateKey.generate()
    jwk: Mapping[str, object] = {**key.public_key.to_jwk(), "alg": "ES256", "use": "sig"}
    claims = {
        "sub": "wimse://example.org/bin/client/gid/0/pid/1/uid/0",
        "iss": "wimse://example.org",
        "aud": "",
        "exp": NOW + 300,
        "jti": NONCE_OF_GO,
        "cnf": {"jwk": jwk},
    }
    wit = forge_wit(claims, signer=WIMSE.key)
    credential = WorkloadCredential.from_wit(wit, key)
    source = FixedSource(WorkloadSnapshot(credential, WIMSE.bundles))
    sender = ClientAuthenticator(source, server=expect(any_trusted), revision=COFIDE_POC)
    sent = sender.sign(HEAD, CONTENT, now=NOW, nonce=NONCE_OF_GO)
    server = entrance(bundles=WIMSE.bundles, revision=COFIDE_POC)
    assert str(server.authenticate(sent.request, CONTENT, now=NOW).identity) == claims["sub"]


def test_a_bridge_request_satisfies_all_that_it_is_for() -> None:
    """HS-38: a verifier of 07 accepts it, and so do the others, each by itself."""
    sent = client(BRIDGE).sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
    covered, parameters = written(sent.request.fields)
    assert covered[:5] == ["@method", "@path", "@query", "@request-target", "workload-identity-token"]
    assert list(parameters) == ["created", "expires", "nonce", "tag", "wimse-aud", "wimse-sign-response"]
    assert parse_signatures(sent.request.fields)[0].label == "wimse"
    for revision in (REVISION_07, REVISION_06, BRIDGE, COFIDE_POC):
        assert entrance(revision=revision).authenticate(sent.request, CONTENT, now=NOW).revision == revision.name
    assert (
        reason_of(entrance(audience="https://elsewhere.example").authenticate, sent.request, CONTENT, now=NOW)
        is Reason.AUDIENCE_MISMATCH
    )


@pytest.mark.parametrize(
    "target", ["/a%20b", "/a%2fb?x=1", "/a?x=1;y=2", "/a?", "?x=1", "*", "https://orders.example", "/%"]
)
@pytest.mark.parametrize("revision", [BRIDGE, COFIDE_POC], ids=lambda each: each.name)
def test_what_the_other_side_would_read_otherwise_is_not_signed(target: str, revision: Revision) -> None:
    with pytest.raises(ConfigurationError, match="cannot be signed"):
        client(revision).sign(replace(HEAD, target=target), CONTENT, now=NOW, nonce=NONCE)


@pytest.mark.parametrize("target", ["/", "/a/b", "/a?x=1&y=%20", "/a?x=??", "/a;b"])
def test_what_it_reads_as_we_do_is_signed(target: str) -> None:
    assert client(BRIDGE).sign(replace(HEAD, target=target), CONTENT, now=NOW, nonce=NONCE).nonce == NONCE


@pytest.mark.parametrize("algorithm", [ES384, EDDSA], ids=lambda each: each.jose_name)
@pytest.mark.parametrize("revision", [BRIDGE, COFIDE_POC], ids=lambda each: each.name)
def test_another_key_than_p_256_neither_signs_nor_verifies(algorithm: Algorithm, revision: Revision) -> None:
    key = PrivateKey.generate(algorithm)
    credential = WIMSE.credential("/caller", now=NOW, key=key)
    with pytest.raises(ConfigurationError, match="algorithm"):
        sign_request(HEAD, CONTENT, credential, revision=revision, settings=SignatureSettings(), now=NOW, nonce=NONCE)
    with pytest.raises(ConfigurationError, match="algorithm"):
        sign_response(
            ANSWER_HEAD,
            ANSWER,
            credential,
            request=HEAD,
            request_nonce=NONCE,
            revision=revision,
            settings=SignatureSettings(),
            now=NOW,
            nonce=NONCE,
        )
    # A sender that does it all the same.
    loose = replace(revision, algorithms=None)
    sent = sign_request(HEAD, CONTENT, credential, revision=loose, settings=SignatureSettings(), now=NOW, nonce=NONCE)
    server = entrance(bundles=WIMSE.bundles, revision=revision)
    assert reason_of(server.authenticate, sent.request, CONTENT, now=NOW) is Reason.ALGORITHM_NOT_ALLOWED


def test_a_bridge_client_accepts_both_kinds_of_responses_where_it_is_told_to() -> None:
    """HS-30: the response of 07, and by choice that of the proof of concept; by default only the first."""
    careful, both = client(BRIDGE), client(BRIDGE, responses=(BRIDGE, COFIDE_POC))
    sent = both.sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
    server = entrance(revision=REVISION_07)
    known = server.authenticate(sent.request, CONTENT, now=NOW)
    assert server.response_must_be_signed(known)
    bound = server.sign_response(
        ANSWER_HEAD, ANSWER, SERVER, request=sent.request, caller=known, now=NOW, nonce="m" * 22
    )
    assert written(bound.fields)[0] == [
        "@status",
        "@method;req",
        "@path;req",
        "@query;req",
        "workload-identity-token",
        "content-type",
        "content-digest",
    ]
    for judge, response, revision in (
        (careful, bound, "bridge"),
        (both, bound, "bridge"),
        (both, go_response(), "cofide-poc"),
    ):
        answered = judge.verify_response(response, ANSWER, sent, now=NOW)
        assert answered is not None
        assert answered.revision == revision
    assert reason_of(careful.verify_response, go_response(), ANSWER, sent, now=NOW) is Reason.COMPONENT_NOT_COVERED
    assert (
        reason_of(both.verify_response, Response(status=200, fields=Fields([])), b"", sent, now=NOW)
        is Reason.RESPONSE_UNSIGNED
    )


@pytest.mark.parametrize("responses", [(), (REVISION_07, REVISION_07)])
def test_a_client_has_response_revisions_each_once(responses: tuple[Revision, ...]) -> None:
    with pytest.raises(ConfigurationError):
        client(BRIDGE, responses=responses)


def test_what_it_does_not_protect_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Once for each entrance and each client, when it is configured and not with each message."""
    with caplog.at_level(logging.WARNING, logger="wimse.authentication"):
        server: Authenticator = entrance(revision=(REVISION_07, COFIDE_POC), replay=MemoryReplayStore())
        server.authenticate(go_request(), CONTENT, now=NOW)
        assert [record.getMessage() for record in caplog.records] == [COFIDE_POC.warning]
        caplog.clear()
        client(BRIDGE, responses=(COFIDE_POC,)).sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
        assert len(caplog.records) == 1
        caplog.clear()
        caller()
        entrance()
        client(BRIDGE)
        assert caplog.records == []
    assert AUDIENCE not in str(COFIDE_POC.warning)
