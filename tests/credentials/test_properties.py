from __future__ import annotations

import contextlib
import json
import string

from hypothesis import given
from hypothesis import strategies as st

from tests.credentials.tokens import ISSUER, NOW, SPIFFE, WIMSE, bundle, encode, jws, wit
from tests.refusals import refused
from wimse.credentials import (
    TrustBundle,
    TrustDomain,
    UnverifiedJWS,
    UnverifiedWIT,
    WorkloadIdentifier,
    sign_compact,
    verify_jwt_svid,
    verify_wit,
)
from wimse.errors import Reason, Refused
from wimse.keys import PrivateKey

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
names = st.text(alphabet=string.ascii_lowercase + string.digits + ".-_", min_size=1, max_size=255)
segments = st.text(alphabet=string.ascii_letters + string.digits + ".-_", min_size=1, max_size=20).filter(
    lambda segment: segment not in {".", ".."}
)
paths = st.lists(segments, min_size=1, max_size=6).map(lambda each: "/" + "/".join(each))
near = st.text(alphabet="spiffe:/wm.@%2eA?#\\ \t\n\u0430")
header_members = st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "b64"])
claim_members = st.sampled_from(["sub", "exp", "iat", "nbf", "cnf", "iss", "jti", "aud"])
cnf_members = st.sampled_from(["kty", "crv", "x", "y", "alg", "use", "key_ops", "kid", "d"])
bundle_members = st.sampled_from(["use", "kty", "crv", "x", "y", "kid", "alg", "x5c", "d"])
values = JSON | st.sampled_from(
    ["x509-svid", "wit-svid", "jwt-svid", "ES256", "EdDSA", "none", ["AAAA"], ["\u00e9"], [1]]
)


@given(st.sampled_from(["spiffe", "wimse"]), names, paths)
def test_an_identifier_survives_the_way_there_and_back(scheme: str, name: str, path: str) -> None:
    identifier = TrustDomain(scheme, name).workload(path)
    assert WorkloadIdentifier.parse(str(identifier)) == identifier
    assert TrustDomain.parse(str(identifier.trust_domain)) == identifier.trust_domain
    assert identifier.member_of(TrustDomain(scheme, name))


@given(st.text() | near | near.map("spiffe://a".__add__) | near.map("wimse://a/".__add__))
def test_any_text_is_one_identifier_or_refused(text: str) -> None:
    with contextlib.suppress(Refused):
        assert str(WorkloadIdentifier.parse(text)) == text
    with contextlib.suppress(Refused):
        assert str(TrustDomain.parse(text)) == text


@given(st.text() | st.text(alphabet="ey.J-_=") | st.binary().map(lambda data: f"{encode(data)}.e30.AA"))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    for read in (UnverifiedJWS.parse, UnverifiedWIT.parse):
        with contextlib.suppress(Refused):
            read(text)


@given(
    st.dictionaries(st.text(alphabet=string.ascii_letters), st.text() | st.integers(-(10**18), 10**18) | st.booleans())
)
def test_claims_survive_the_way_there_and_back(claims: dict[str, object]) -> None:
    try:
        text = sign_compact({}, claims, ISSUER)
    except UnicodeEncodeError:
        return  # a lone surrogate is no text
    with contextlib.suppress(Refused):
        assert UnverifiedJWS.parse(text).claims == claims


@given(header_members | st.text(), JSON, claim_members | st.text(), values)
def test_any_signed_claims_and_header_are_a_wit_or_refused(
    header: str, value: object, claim: str, content: object
) -> None:
    """TM-11, WT-31: what the issuer itself signs never becomes another exception."""
    for domain in (SPIFFE, WIMSE):
        for text in (wit(domain, header={header: value}), wit_with(domain, claim, content)):
            with contextlib.suppress(Refused):
                verify_wit(UnverifiedWIT.parse(text), bundle(domain), now=NOW)
            with contextlib.suppress(Refused):
                verify_jwt_svid(
                    text, TrustBundle(trust_domain=SPIFFE, jwt_keys=(ISSUER.public_key,)), audience="a", now=NOW
                )


def wit_with(domain: TrustDomain, claim: str, content: object) -> str:
    claims = {**UnverifiedJWS.parse(wit(domain)).claims, claim: content}
    return jws({"alg": "ES256", "kid": "issuer", "typ": "wit+jwt"}, claims)


@given(cnf_members | st.text(), values)
def test_any_signed_cnf_key_is_a_key_or_refused(member: str, value: object) -> None:
    for domain in (SPIFFE, WIMSE):
        with contextlib.suppress(Refused):
            verify_wit(UnverifiedWIT.parse(wit(domain, jwk={member: value})), bundle(domain), now=NOW)


@given(st.binary() | JSON.map(lambda value: json.dumps({"keys": [value]}).encode()))
def test_any_bytes_are_a_bundle_or_refused(data: bytes) -> None:
    with contextlib.suppress(Refused):
        TrustBundle.parse(SPIFFE, data)


@given(bundle_members, values, bundle_members, values)
def test_any_jwk_of_a_bundle_is_taken_or_refused_and_written_again(
    first: str, value: object, second: str, other: object
) -> None:
    jwk = {**ISSUER.public_key.to_jwk(use="wit-svid"), first: value, second: other}
    for domain in (SPIFFE, WIMSE):
        with contextlib.suppress(Refused):
            read = TrustBundle.parse(domain, json.dumps({"keys": [jwk]}).encode())
            assert TrustBundle.parse(domain, read.to_json()) == read


@given(st.integers(0, 400), st.integers(1, 127))
def test_a_wit_that_is_changed_anywhere_is_refused(position: int, flip: int) -> None:
    text = wit()
    at = position % len(text)
    changed = text[:at] + chr(ord(text[at]) ^ flip) + text[at + 1 :]
    try:
        verify_wit(UnverifiedWIT.parse(changed), bundle(), now=NOW)
    except Refused:
        return
    raise AssertionError(at)


@given(st.binary(min_size=1, max_size=70))
def test_random_bytes_are_no_signature_of_a_wit(signature: bytes) -> None:
    text = wit().rpartition(".")[0]
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        verify_wit(UnverifiedWIT.parse(f"{text}.{encode(signature)}"), bundle(), now=NOW)


def test_a_key_made_elsewhere_signs_nothing_here() -> None:
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        verify_wit(UnverifiedWIT.parse(wit(key=PrivateKey.generate(kid="issuer"))), bundle(), now=NOW)
