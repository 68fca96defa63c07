"""Who answered: the response to a request of ours, as `ClientAuthenticator` judges it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.authentication.forge import (
    ANSWER,
    ANSWER_HEAD,
    CONTENT,
    DOMAIN,
    FOREIGN,
    HEAD,
    LEEWAY,
    NONCE,
    NOW,
    SERVER,
    Awaited,
    VerifyResponse,
    caller,
    entrance,
    forge_request,
    forge_response,
    forge_wit,
    new_key,
    reason_of,
    request_parameters,
    response_parameters,
    wit_claims,
)
from wimse.authentication import ClientAuthenticator, exactly, expect, member_of
from wimse.credentials import TokenSettings, TrustBundle, TrustDomain, WorkloadIdentifier, WorkloadSnapshot
from wimse.errors import Reason, Unavailable
from wimse.httpsig import Request, Response, make_signature, parse_signatures, with_fields
from wimse.profiles.http_signature import SignatureSettings, SignedRequest
from wimse.testing import FixedSource

CLIENT, LENIENT = caller(), caller(require=False)
SENT = CLIENT.sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
ASKED = LENIENT.sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
BOTH = [(CLIENT, SENT), (LENIENT, ASKED)]


def refusal(verify: VerifyResponse, response: Response, content: bytes = ANSWER, *, now: int = NOW) -> Reason:
    """The reason, which is the same whether the signature was asked for or not."""
    reasons = {reason_of(verify, client, response, content, sent, now) for client, sent in BOTH}
    assert len(reasons) == 1
    return reasons.pop()


def test_a_good_response_says_who_answered(verify: VerifyResponse) -> None:
    """HS-28, HS-42: what the forgeries depart from."""
    for client, sent in BOTH:
        answered = verify(client, forge_response(sent.request), ANSWER, sent, NOW)
        assert answered is not None
        assert answered.identity == SERVER.identity
        assert answered.covered["@status"] == "201"


def test_our_own_server_signs_a_good_response(verify: VerifyResponse) -> None:
    server = entrance()
    who = server.authenticate(SENT.request, CONTENT, now=NOW)
    response = server.sign_response(
        ANSWER_HEAD, ANSWER, SERVER, request=SENT.request, caller=who, now=NOW, nonce="m" * 22
    )
    answered = verify(CLIENT, response, ANSWER, SENT, NOW)
    assert answered is not None
    assert answered.identity == SERVER.identity


# -------------------------------------------------------------------------------------------- signed or not


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 404, 500, 502, 503])
def test_an_unsigned_response_is_refused_where_a_signature_was_asked_for(verify: VerifyResponse, status: int) -> None:
    """RS-01, RS-12, HS-30, HS-43: also that of a proxy, whatever its status."""
    response = Response(status=status, fields=ANSWER_HEAD.fields)
    assert reason_of(verify, CLIENT, response, ANSWER, SENT, NOW) is Reason.RESPONSE_UNSIGNED


def test_an_unsigned_response_is_accepted_as_nobodys_where_none_was_asked_for(verify: VerifyResponse) -> None:
    """RS-07, HS-27, HS-43: stripped on the way, perhaps; the caller is told that nobody is known to have answered."""
    stripped = forge_response(ASKED.request)
    stripped = with_fields(stripped, stripped.fields.without("signature", "signature-input"))
    for response in (ANSWER_HEAD, stripped):
        assert verify(LENIENT, response, ANSWER, ASKED, NOW) is None


def test_what_counts_is_what_the_request_asked_not_what_the_client_is_now(verify: VerifyResponse) -> None:
    """HS-43."""
    assert verify(CLIENT, ANSWER_HEAD, ANSWER, ASKED, NOW) is None
    assert reason_of(verify, LENIENT, ANSWER_HEAD, ANSWER, SENT, NOW) is Reason.RESPONSE_UNSIGNED


@pytest.mark.parametrize("tag", ["app-x", "", None, "wimse-service-to-service"])
def test_a_signature_without_the_tag_is_none(verify: VerifyResponse, tag: str | None) -> None:
    """HS-40, LB-06, LB-07."""
    response = forge_response(SENT.request, parameters=response_parameters(tag=tag))
    assert reason_of(verify, CLIENT, response, ANSWER, SENT, NOW) is Reason.RESPONSE_UNSIGNED
    assert verify(LENIENT, response, ANSWER, ASKED, NOW) is None


def test_a_bad_signature_is_refused_also_when_it_is_voluntary(verify: VerifyResponse) -> None:
    """RS-06, HS-30, HS-31."""
    assert refusal(verify, forge_response(SENT.request, key=new_key())) is Reason.SIGNATURE_INVALID


def test_signature_fields_that_cannot_be_read_are_refused(verify: VerifyResponse) -> None:
    """HS-31: they are not the same as none."""
    broken = with_fields(ANSWER_HEAD, ANSWER_HEAD.fields.adding(("Signature", "wimse=:AAAA:")))
    assert refusal(verify, broken) is Reason.SIGNATURE_LABEL_UNPAIRED
    broken = with_fields(ANSWER_HEAD, ANSWER_HEAD.fields.adding(("Signature", "?"), ("Signature-Input", "?")))
    assert refusal(verify, broken) is Reason.SIGNATURE_FIELD_MALFORMED


def test_two_signatures_with_the_tag_are_refused(verify: VerifyResponse) -> None:
    """HS-39, LB-01."""
    response = forge_response(SENT.request)
    second = forge_response(SENT.request, label="second")
    lines = [line for line in second.fields if line[0] in ("Signature-Input", "Signature")]
    assert refusal(verify, with_fields(response, response.fields.adding(*lines))) is Reason.SIGNATURE_AMBIGUOUS


def test_a_foreign_signature_beside_does_not_matter(verify: VerifyResponse) -> None:
    """LB-02, LB-05: nor another label."""
    response = forge_response(SENT.request, label="sig1")
    foreign = make_signature(ANSWER_HEAD, new_key(), ["@status"], {"tag": "app-x"}, label="wimse").lines()
    answered = verify(CLIENT, with_fields(response, response.fields.adding(*foreign)), ANSWER, SENT, NOW)
    assert answered is not None
    assert answered.signature.label == "sig1"


# ------------------------------------------------------------------------------------- which request it answers


def test_a_response_without_the_requests_nonce_is_refused(verify: VerifyResponse) -> None:
    """RS-03, HS-17, HS-42: also when nobody asked for the signature."""
    response = forge_response(SENT.request, parameters=response_parameters(wimse_req_nonce=None))
    assert refusal(verify, response) is Reason.PARAMETER_MISSING


@pytest.mark.parametrize("nonce", ["", "o" * 22, NONCE.upper(), NONCE[:-1], NONCE + "n", "m" * 22])
def test_a_response_with_another_nonce_is_refused(verify: VerifyResponse, nonce: str) -> None:
    """RS-03, HS-28, HS-42."""
    response = forge_response(SENT.request, parameters=response_parameters(wimse_req_nonce=nonce))
    assert refusal(verify, response) is Reason.REQUEST_NONCE_MISMATCH


def test_responses_of_two_requests_that_were_swapped_are_both_refused(verify: VerifyResponse) -> None:
    """RS-04, RS-05, HT-24, HS-28: they differ in nothing but the nonce."""
    sent = {nonce: CLIENT.sign(HEAD, CONTENT, now=NOW, nonce=nonce) for nonce in ("a" * 22, "b" * 22)}
    answers = {
        nonce: forge_response(each.request, parameters=response_parameters(wimse_req_nonce=nonce))
        for nonce, each in sent.items()
    }
    for mine, other in (("a" * 22, "b" * 22), ("b" * 22, "a" * 22)):
        assert verify(CLIENT, answers[mine], ANSWER, sent[mine], NOW) is not None
        assert reason_of(verify, CLIENT, answers[other], ANSWER, sent[mine], NOW) is Reason.REQUEST_NONCE_MISMATCH


@pytest.mark.parametrize(
    "other",
    [
        replace(HEAD, method="PUT"),
        replace(HEAD, target="/payments?x=1"),
        replace(HEAD, target="/orders?x=2"),
        replace(HEAD, target="/orders"),
    ],
)
def test_a_response_to_another_request_is_refused(verify: VerifyResponse, other: Request) -> None:
    """RS-09, HS-08: with our nonce, and method, path or query of another."""
    assert refusal(verify, forge_response(other)) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(
    "omitted",
    [
        "@status",
        '"@method";req',
        '"@path";req',
        '"@query";req',
        "workload-identity-token",
        "content-type",
        "content-digest",
    ],
)
def test_a_required_component_that_is_not_covered_is_refused(verify: VerifyResponse, omitted: str) -> None:
    """SB-02, HS-03, HS-04, HS-07, HS-08, HS-38."""
    assert refusal(verify, forge_response(SENT.request, omit=[omitted])) is Reason.COMPONENT_NOT_COVERED


@pytest.mark.parametrize("covered", ['"signature";req', '"signature-input";req'])
def test_a_response_signature_over_the_requests_signature_is_refused(verify: VerifyResponse, covered: str) -> None:
    """SB-37: it verifies, and the profile has no use for it."""
    for client, sent in BOTH:
        response = forge_response(sent.request, extra=[covered])
        assert reason_of(verify, client, response, ANSWER, sent, NOW) is Reason.COMPONENT_FORBIDDEN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keyid", "k"),
        ("alg", "ecdsa-p256-sha256"),
        ("wimse_aud", "https://orders.example/orders"),
        ("wimse_sign_response", True),
        ("wimse_sign_response", False),
    ],
)
def test_a_forbidden_parameter_is_refused(verify: VerifyResponse, name: str, value: object) -> None:
    """RS-16, CR-01, CR-02, HS-18, HS-19: those of requests do not belong in a response."""
    response = forge_response(SENT.request, parameters=response_parameters(**{name: value}))
    assert refusal(verify, response) is Reason.PARAMETER_FORBIDDEN


@pytest.mark.parametrize("missing", ["created", "expires", "nonce"])
def test_a_missing_parameter_is_refused(verify: VerifyResponse, missing: str) -> None:
    """HS-10, HS-11, HS-12, TM-01, TM-02, RP-06."""
    response = forge_response(SENT.request, parameters=response_parameters(**{missing: None}))
    assert refusal(verify, response) is Reason.PARAMETER_MISSING


def test_a_short_nonce_is_refused(verify: VerifyResponse) -> None:
    """RP-06, HS-41."""
    response = forge_response(SENT.request, parameters=response_parameters(nonce="m" * 7))
    assert refusal(verify, response) is Reason.PARAMETER_VALUE


def test_a_request_sent_back_is_no_response(verify: VerifyResponse) -> None:
    """LB-08."""
    lines = [line for line in SENT.request.fields if line[0] in ("Signature-Input", "Signature")]
    fields = SENT.request.fields.without("signature", "signature-input").adding(*lines)
    assert refusal(verify, Response(status=200, fields=fields), CONTENT) is Reason.COMPONENT_NOT_COVERED


# --------------------------------------------------------------------------------------------- what it holds


@pytest.mark.parametrize("status", [200, 403, 500])
def test_another_status_is_refused(verify: VerifyResponse, status: int) -> None:
    """RS-08, HS-08: what was 201 is no other."""
    assert refusal(verify, replace(forge_response(SENT.request), status=status)) is Reason.SIGNATURE_INVALID


def test_content_without_a_digest_is_refused(verify: VerifyResponse) -> None:
    """RS-11, HS-09."""
    assert refusal(verify, forge_response(SENT.request, digest=False)) is Reason.DIGEST_MISSING


def test_content_that_was_added_is_refused(verify: VerifyResponse) -> None:
    """RS-11, DG-12."""
    assert refusal(verify, forge_response(SENT.request, content=b"")) is Reason.DIGEST_MISSING


@pytest.mark.parametrize("content", [b"", b"other", ANSWER + b" "])
def test_other_content_is_refused(verify: VerifyResponse, content: bytes) -> None:
    """DG-01, DG-13, HS-47."""
    assert refusal(verify, forge_response(SENT.request), content) is Reason.DIGEST_MISMATCH


def test_several_cookies_survive_since_they_are_not_covered(verify: VerifyResponse) -> None:
    """RS-15."""
    head = with_fields(ANSWER_HEAD, ANSWER_HEAD.fields.adding(("Set-Cookie", "a=1, 2"), ("Set-Cookie", "b=3")))
    answered = verify(CLIENT, forge_response(SENT.request, head=head), ANSWER, SENT, NOW)
    assert answered is not None
    assert "set-cookie" not in answered.covered


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Content-Type", Reason.FIELD_DUPLICATED),
        ("Content-Digest", Reason.FIELD_DUPLICATED),
        ("Workload-Identity-Token", Reason.WIT_DUPLICATED),
    ],
)
def test_a_second_line_of_a_covered_field_is_refused(verify: VerifyResponse, name: str, reason: Reason) -> None:
    """SB-20."""
    response = forge_response(SENT.request)
    assert refusal(verify, with_fields(response, response.fields.adding((name, "x")))) is reason


@pytest.mark.parametrize("now", [NOW + 60 + LEEWAY, NOW + 60 + LEEWAY + 1])
def test_an_old_response_is_refused(verify: VerifyResponse, now: int) -> None:
    """RS-05, HS-33: a second before its end it is not."""
    response = forge_response(SENT.request)
    assert refusal(verify, response, now=now) is Reason.SIGNATURE_EXPIRED
    assert verify(CLIENT, response, ANSWER, SENT, NOW + 60 + LEEWAY - 1) is not None


# --------------------------------------------------------------------------------------------- who answered


@pytest.mark.parametrize("path", ["/other", "/serve", "/server/x", "/Server", "/caller"])
def test_another_workload_with_a_good_wit_is_refused(verify: VerifyResponse, path: str) -> None:
    """RS-10, ID-15, WC-02."""
    response = forge_response(SENT.request, DOMAIN.credential(path, now=NOW))
    assert refusal(verify, response) is Reason.IDENTITY_UNEXPECTED


def test_a_workload_of_another_trust_domain_is_refused(verify: VerifyResponse) -> None:
    """RS-10, WC-01."""
    response = forge_response(SENT.request, FOREIGN.credential("/server", now=NOW))
    assert refusal(verify, response) is Reason.TRUST_DOMAIN_UNKNOWN


@pytest.mark.parametrize("answer", [None, 1, "yes", object(), False])
def test_only_true_means_expected(verify: VerifyResponse, answer: object) -> None:
    """RS-10, ID-15."""
    client = caller(server=lambda _, __: answer)  # type: ignore[arg-type, return-value]
    response = forge_response(SENT.request)
    assert reason_of(verify, client, response, ANSWER, SENT, NOW) is Reason.IDENTITY_UNEXPECTED


def test_the_rule_gets_the_request_that_was_sent(verify: VerifyResponse) -> None:
    """ID-15, WC-02: one workload for each place."""

    def rule(request: Request, identity: WorkloadIdentifier) -> bool:
        return identity.path == {"orders.example": "/server"}.get(request.authority)

    assert verify(caller(server=rule), forge_response(SENT.request), ANSWER, SENT, NOW) is not None
    elsewhere = CLIENT.sign(replace(HEAD, authority="b.example"), CONTENT, now=NOW, nonce=NONCE)
    response = forge_response(elsewhere.request)
    assert reason_of(verify, caller(server=rule), response, ANSWER, elsewhere, NOW) is Reason.IDENTITY_UNEXPECTED


def test_a_response_without_a_wit_is_refused(verify: VerifyResponse) -> None:
    """HS-07, WT-01."""
    response = forge_response(SENT.request)
    response = with_fields(response, response.fields.without("workload-identity-token"))
    assert refusal(verify, response) is Reason.WIT_MISSING


def test_a_response_with_a_bad_wit_is_refused_for_it_first(verify: VerifyResponse) -> None:
    """HS-36, WC-49: before the signature, which is bad as well."""
    claims = wit_claims(SERVER)
    for wit, reason in (
        (forge_wit({**claims, "exp": NOW - 100, "iat": NOW - 200}), Reason.TOKEN_EXPIRED),
        (forge_wit(claims, signer=new_key()), Reason.TOKEN_SIGNATURE_INVALID),
        (forge_wit(claims, typ="JWT"), Reason.TOKEN_TYPE),
    ):
        assert refusal(verify, forge_response(SENT.request, wit=wit, key=new_key())) is reason


def test_a_client_has_its_own_longest_life_of_wits(verify: VerifyResponse) -> None:
    """TM-14, WC-35."""
    client = caller(token_settings=TokenSettings(max_lifetime=timedelta(seconds=299)))
    assert reason_of(verify, client, forge_response(SENT.request), ANSWER, SENT, NOW) is Reason.TOKEN_LIFETIME


def test_bundles_of_ones_own_come_before_those_of_the_source(verify: VerifyResponse) -> None:
    """WC-01."""

    def lookup(trust_domain: TrustDomain) -> TrustBundle | None:
        return FOREIGN.bundles.get(trust_domain)

    client = ClientAuthenticator(
        DOMAIN.source("/caller", now=NOW), server=expect(member_of(FOREIGN.trust_domain)), bundles=lookup
    )
    response = forge_response(SENT.request, FOREIGN.credential("/server", now=NOW))
    assert verify(client, response, ANSWER, SENT, NOW) is not None
    own = forge_response(SENT.request)
    assert reason_of(verify, client, own, ANSWER, SENT, NOW) is Reason.TRUST_DOMAIN_UNKNOWN


async def test_bundles_that_have_to_be_awaited_are() -> None:
    client = ClientAuthenticator(
        DOMAIN.source("/caller", now=NOW),
        server=expect(exactly(SERVER.identity)),
        bundles=lambda _: Awaited(DOMAIN.bundle),
    )
    assert await client.verify_response_async(forge_response(SENT.request), ANSWER, SENT, now=NOW) is not None


def test_a_bundle_that_cannot_be_had_is_unavailable(verify: VerifyResponse) -> None:
    def lookup(_: TrustDomain) -> TrustBundle:
        raise OSError

    client = ClientAuthenticator(
        DOMAIN.source("/caller", now=NOW), server=expect(exactly(SERVER.identity)), bundles=lookup
    )
    with pytest.raises(Unavailable) as caught:
        verify(client, forge_response(SENT.request), ANSWER, SENT, NOW)
    assert caught.value.reason is Reason.TRUST_UNAVAILABLE


# ------------------------------------------------------------------------------------------------- requests


def parameters_of(sent: SignedRequest) -> dict[str, object]:
    (only,) = parse_signatures(sent.request.fields)
    return dict(only.input.parameters)


def test_a_client_that_requires_signed_responses_asks_for_them() -> None:
    """RS-17, HS-46: by default."""
    assert parameters_of(SENT)["wimse-sign-response"] is True
    assert "wimse-sign-response" not in parameters_of(ASKED)
    source = DOMAIN.source("/caller", now=NOW)
    default = ClientAuthenticator(source, server=expect(exactly())).sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
    assert parameters_of(default)["wimse-sign-response"] is True
    assert default.response_must_be_signed


def test_the_server_knows_whether_it_was_asked() -> None:
    """RS-16, HS-27: ?0 means the same as nothing."""
    for value, expected in ((True, True), (False, False), (None, False)):
        server = entrance()
        request = forge_request(parameters=request_parameters(wimse_sign_response=value))
        if value is False:
            assert "wimse-sign-response=?0" in request.fields.values("signature-input")[0]
        who = server.authenticate(request, CONTENT, now=NOW)
        assert server.response_must_be_signed(who) is expected


def test_a_deployments_own_audience_comes_from_the_request() -> None:
    """HS-25."""
    client = ClientAuthenticator(
        DOMAIN.source("/caller", now=NOW), server=expect(exactly()), audience=lambda request: f"to:{request.authority}"
    )
    assert parameters_of(client.sign(HEAD, CONTENT, now=NOW, nonce=NONCE))["wimse-aud"] == "to:orders.example"


def test_each_request_is_signed_with_the_newest_credential_as_a_whole() -> None:
    """CL-06, WC-47: WIT and key always of one snapshot; with an expired one nothing is signed."""

    class Renewed:
        fixed = FixedSource(WorkloadSnapshot(DOMAIN.credential("/caller", now=NOW), DOMAIN.bundles))

        def snapshot(self) -> WorkloadSnapshot:
            return self.fixed.snapshot()

    source = Renewed()
    client = ClientAuthenticator(source, server=expect(exactly()), settings=SignatureSettings())
    for number in range(3):
        sent = client.sign(HEAD, CONTENT, now=NOW, nonce=f"renewed-{number}")
        assert sent.request.fields.values("workload-identity-token") == [source.fixed.fixed.credential.wit]
        assert entrance().authenticate(sent.request, CONTENT, now=NOW).identity.path == "/caller"
        source.fixed = DOMAIN.source("/caller", now=NOW + number)
    with pytest.raises(Unavailable) as caught:
        client.sign(HEAD, CONTENT, now=NOW + 2 + 300, nonce=NONCE)
    assert caught.value.reason is Reason.CREDENTIAL_EXPIRED
