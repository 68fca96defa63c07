"""What is sent: the profile's requests and responses as this package writes them, and its settings and revision."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import http_sf
import pytest

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
    REQUEST_COMPONENTS,
    RESPONSE_COMPONENTS,
    SERVER,
    TAG,
    adding,
    reason_of,
    replacing,
)
from wimse.credentials import WorkloadCredential
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.httpsig import DEFAULT_LIMITS, Fields, Request, content_digest, parse_signatures, with_fields
from wimse.profiles.http_signature import (
    BRIDGE,
    COFIDE_POC,
    REVISION_06,
    REVISION_07,
    REVISIONS,
    Revision,
    SignatureSettings,
    SignedRequest,
    default_audience,
    has_profile_signature,
    sign_request,
    sign_response,
    wit_of,
)


def make(
    head: Request = HEAD,
    content: bytes = CONTENT,
    *,
    credential: WorkloadCredential = CALLER,
    settings: SignatureSettings | None = None,
    nonce: str = NONCE,
    audience: str | None = None,
    require: bool = True,
    now: int = NOW,
) -> SignedRequest:
    return sign_request(
        head,
        content,
        credential,
        revision=REVISION_07,
        settings=settings or SignatureSettings(),
        now=now,
        nonce=nonce,
        audience=audience,
        require_signed_response=require,
    )


def written(fields: Fields) -> tuple[list[str], dict[str, object]]:
    (only,) = parse_signatures(fields)
    return [each.serialized for each in only.input.components], dict(only.input.parameters)


def serialized(components: tuple[str, ...]) -> list[str]:
    return [each if each.startswith('"') else f'"{each}"' for each in components]


def test_a_request_covers_and_says_what_the_revision_asks() -> None:
    """HS-01, HS-02, HS-04, HS-05, HS-06, HS-07, HS-10, HS-11, HS-12, HS-14, HS-15, HS-18, HS-19, HS-38, HS-44."""
    sent = make()
    components, parameters = written(sent.request.fields)
    assert sorted(components) == sorted(serialized(REQUEST_COMPONENTS))
    assert parameters == {
        "created": NOW,
        "expires": NOW + 60,
        "nonce": NONCE,
        "tag": TAG,
        "wimse-aud": AUDIENCE,
        "wimse-sign-response": True,
    }
    assert sent.request.fields.values("workload-identity-token") == [CALLER.wit]
    assert sent.request.fields.values("content-digest") == [content_digest(CONTENT)]
    assert (sent.nonce, sent.response_must_be_signed) == (NONCE, True)


def test_a_bare_request_covers_its_empty_query_and_no_field_that_it_lacks() -> None:
    """HS-38: @query also without a query."""
    sent = make(Request(method="GET", target="/", authority="a.example"), b"")
    components, _ = written(sent.request.fields)
    assert components == ['"@method"', '"@path"', '"@query"', '"workload-identity-token"']
    assert "content-digest" not in sent.request.fields


def test_content_always_gets_a_digest() -> None:
    """HS-09: of one byte, too."""
    assert make(content=b"\0").request.fields.values("content-digest") == [content_digest(b"\0")]


def test_the_wish_for_a_signed_response_is_sent_only_when_there_is_one() -> None:
    """HS-16, HS-46, RS-17."""
    sent = make(require=False)
    assert "wimse-sign-response" not in written(sent.request.fields)[1]
    assert sent.response_must_be_signed is False


def test_a_deployments_own_audience_is_sent_as_it_is() -> None:
    """HS-25."""
    assert written(make(audience="orders-service").request.fields)[1]["wimse-aud"] == "orders-service"


def test_an_audience_that_cannot_be_written_is_a_mistake_of_ours() -> None:
    assert reason_of(make, audience="bücher") is Reason.CONFIGURATION


@pytest.mark.parametrize(
    ("head", "audience"),
    [
        (HEAD, AUDIENCE),
        (Request(method="GET", target="/?x=/y", authority="A.Example:443"), "https://a.example/"),
        (Request(method="GET", target="/a%2Fb;c", authority="a.example:8443"), "https://a.example:8443/a%2Fb;c"),
        (Request(method="GET", target="/x", scheme="HTTP", authority="a.example:80"), "http://a.example/x"),
        (Request(method="GET", target="http://b.example/p?q", authority="a.example"), "http://b.example/p"),
    ],
)
def test_the_default_audience_is_the_target_uri_without_query(head: Request, audience: str) -> None:
    assert default_audience(head) == audience


def test_there_is_no_default_audience_without_an_authority() -> None:
    assert reason_of(default_audience, replace(HEAD, authority="")) is Reason.COMPONENT_ABSENT


def test_fields_of_ours_that_a_caller_left_are_replaced() -> None:
    """CL-11: never sent beside ours."""
    head = adding(
        HEAD,
        ("Workload-Identity-Token", "a.b.c"),
        ("SIGNATURE", "wimse=:AAAA:"),
        ("Signature-Input", 'wimse=("@method")'),
        ("content-digest", "sha-256=:AAAA:"),
    )
    assert [name for name, _ in make(head).request.fields] == [name for name, _ in make().request.fields]
    assert make(head).request.fields.values("workload-identity-token") == [CALLER.wit]
    assert "content-digest" not in make(head, b"").request.fields


def test_a_proof_does_not_outlive_its_wit() -> None:
    """WC-47, TM-08: and is not made at all once the WIT has expired."""
    credential = DOMAIN.credential("/caller", now=NOW, lifetime=40)
    assert written(make(credential=credential).request.fields)[1]["expires"] == NOW + 40
    assert written(make(credential=credential, now=NOW + 39).request.fields)[1]["expires"] == NOW + 40
    with pytest.raises(Unavailable) as caught:
        make(credential=credential, now=NOW + 40)
    assert caught.value.reason is Reason.CREDENTIAL_EXPIRED


@pytest.mark.parametrize("nonce", ["", "n" * 7])
def test_nothing_is_signed_with_a_short_nonce(nonce: str) -> None:
    """HS-22, HS-41."""
    assert reason_of(make, nonce=nonce) is Reason.CONFIGURATION


def test_a_field_that_cannot_be_signed_is_refused() -> None:
    assert reason_of(make, replacing(HEAD, "Content-Type", "t\xe4xt")) is Reason.COMPONENT_VALUE_INVALID


def test_the_label_is_the_configured_one() -> None:
    fields = make(settings=SignatureSettings(label="sig1")).request.fields
    assert [each.label for each in parse_signatures(fields)] == ["sig1"]
    assert reason_of(make, settings=SignatureSettings(label="Sig 1")) is Reason.CONFIGURATION


def test_a_response_covers_and_says_what_the_revision_asks() -> None:
    """HS-03, HS-04, HS-07, HS-08, HS-10, HS-11, HS-12, HS-14, HS-17, HS-18, HS-19, HS-28, HS-42."""
    response = sign_response(
        ANSWER_HEAD,
        ANSWER,
        SERVER,
        request=make().request,
        request_nonce=NONCE,
        revision=REVISION_07,
        settings=SignatureSettings(),
        now=NOW + 1,
        nonce="m" * 22,
    )
    components, parameters = written(response.fields)
    assert sorted(components) == sorted(serialized(RESPONSE_COMPONENTS))
    assert parameters == {
        "created": NOW + 1,
        "expires": NOW + 61,
        "nonce": "m" * 22,
        "tag": TAG,
        "wimse-req-nonce": NONCE,
    }


def test_a_signature_is_the_profiles_by_its_tag() -> None:
    assert has_profile_signature(make().request, REVISION_07, DEFAULT_LIMITS)
    assert not has_profile_signature(HEAD, REVISION_07, DEFAULT_LIMITS)


def test_there_is_one_wit_or_none() -> None:
    assert reason_of(wit_of, Fields()) is Reason.WIT_MISSING
    assert reason_of(wit_of, Fields([("Workload-Identity-Token", "a")] * 2)) is Reason.WIT_DUPLICATED
    assert wit_of(Fields([("workload-identity-TOKEN", " a ")])) == "a"


def test_the_revisions_are_found_by_name() -> None:
    assert dict(REVISIONS) == {"06": REVISION_06, "07": REVISION_07, "bridge": BRIDGE, "cofide-poc": COFIDE_POC}
    assert REVISION_06.document == "draft-ietf-wimse-http-signature-06"
    assert REVISION_07.document == "draft-ietf-wimse-http-signature-07"
    assert REVISION_07.tag == TAG


@pytest.mark.parametrize(
    "wrong",
    [
        {"lifetime": timedelta(0)},
        {"lifetime": timedelta(seconds=301)},
        {"max_lifetime": timedelta(milliseconds=999)},
        {"max_lifetime": timedelta(seconds=301)},
        {"leeway": timedelta(seconds=-1)},
        {"leeway": timedelta(seconds=121)},
        {"leeway": timedelta(hours=1)},
        {"min_nonce_characters": 7},
        {"min_nonce_characters": 20, "max_nonce_characters": 19},
        {"max_nonce_characters": 7},
    ],
)
def test_a_setting_outside_its_bounds_is_refused(wrong: dict[str, timedelta]) -> None:
    """TM-12, HS-32: an hour of leeway, and their like."""
    with pytest.raises(ConfigurationError):
        SignatureSettings(**wrong)  # type: ignore[arg-type]


def test_settings_at_their_bounds_are_accepted() -> None:
    settings = SignatureSettings(
        lifetime=timedelta(seconds=1),
        max_lifetime=timedelta(seconds=300),
        leeway=timedelta(seconds=120),
        min_nonce_characters=8,
        max_nonce_characters=8,
    )
    assert written(make(settings=settings, nonce="n" * 8).request.fields)[1]["expires"] == NOW + 1


def test_the_signature_input_is_a_canonical_structured_field() -> None:
    value = make().request.fields.values("signature-input")[0]
    assert str(http_sf.ser(http_sf.parse(value.encode("ascii"), tltype="dictionary"))) == value


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "Txn-Token"])
def test_two_lines_of_a_covered_field_are_not_signed(name: str) -> None:
    """SB-19, SB-20: every verifier would refuse them."""
    fields = Fields([(name, "a"), (name, "b")])
    with pytest.raises(Refused) as caught:
        sign_request(
            Request(method="GET", target="/", authority="orders.example", fields=fields),
            b"",
            CALLER,
            revision=REVISION_07,
            settings=SignatureSettings(),
            now=NOW,
            nonce="n" * 22,
        )
    assert caught.value.reason is Reason.FIELD_DUPLICATED


@pytest.mark.parametrize("revision", REVISIONS.values(), ids=lambda each: each.name)
def test_a_message_of_ours_has_one_signature_of_the_name_wimse(revision: Revision) -> None:
    """HS-23: also where the caller left one of his own in it, and in each revision."""
    head = with_fields(HEAD, HEAD.fields.adding(("Signature-Input", 'sig1=("@method")'), ("Signature", "sig1=:AA==:")))
    sent = sign_request(
        head, CONTENT, CALLER, revision=revision, settings=SignatureSettings(), now=NOW, nonce=NONCE
    ).request
    assert [each.label for each in parse_signatures(sent.fields)] == ["wimse"]
    assert len(sent.fields.values("signature")) == len(sent.fields.values("signature-input")) == 1
