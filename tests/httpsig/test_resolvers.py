"""Resolvers: what they see, what may come of them, and those that are included."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.httpsig import (
    Fields,
    JWKSet,
    KeyResolver,
    NeedKey,
    Request,
    Requirements,
    Response,
    StaticKeys,
    VerifiedSignature,
    content_digest,
    parse_signatures,
    run,
    sign,
    verify,
    verify_message,
    verify_message_async,
    with_fields,
)
from wimse.keys import EDDSA, ES256, Algorithm, PrivateKey, PublicKey

ONE, TWO = PrivateKey.generate(kid="one"), PrivateKey.generate(EDDSA, kid="two")
NAMELESS = PrivateKey.generate()
PLAIN = Requirements()


def signed(
    signer: PrivateKey = ONE, target: str = "/", components: tuple[str, ...] = ("@path",), **more: Any
) -> Request:
    return sign(Request(method="POST", target=target), signer, components, more)


def judge(message: Request | Response, resolver: KeyResolver, **more: Any) -> VerifiedSignature:
    return verify_message(message, more.pop("requirements", PLAIN), resolver, now=0, **more)


TENANTS = {"/a/": ONE.public_key, "/b/": TWO.public_key}


def by_tenant(need: NeedKey) -> PublicKey:
    """The tenant is the first segment of the path, and brings its key and with it the algorithm."""
    return TENANTS["/" + need.covered_value("@path").split("/")[1] + "/"]


def test_a_tenant_in_the_path_chooses_key_and_algorithm() -> None:
    assert judge(signed(ONE, "/a/x"), by_tenant).key.algorithm is ES256
    assert judge(signed(TWO, "/b/x"), by_tenant).key.algorithm is EDDSA
    with refused(Reason.SIGNATURE_INVALID):
        judge(signed(ONE, "/b/x"), by_tenant)


def test_a_tenant_that_is_not_known_is_an_unknown_key() -> None:
    """RF-16: what a mapping raises is no error of another kind."""
    with refused(Reason.KEY_UNKNOWN):
        judge(signed(ONE, "/c/x"), by_tenant)


def test_what_is_not_covered_chooses_no_key() -> None:
    """Or whoever changes the path on the way would choose it."""
    with refused(Reason.COMPONENT_NOT_COVERED):
        judge(signed(ONE, "/a/x", ("@method",)), by_tenant)


def by_application(need: NeedKey) -> PublicKey:
    """The application says in the body who it is."""
    if need.content is None:
        raise Refused(Reason.KEY_UNKNOWN, "the body is not covered")
    return {"app-1": ONE, "app-2": TWO}[json.loads(need.content)["application"]].public_key


def with_content(content: bytes, signer: PrivateKey, *components: str) -> Request:
    head = Request(method="POST", target="/", fields=Fields([("Content-Digest", content_digest(content))]))
    return sign(head, signer, components, {})


def test_an_application_in_the_body_chooses_its_key() -> None:
    for name, signer in (("app-1", ONE), ("app-2", TWO)):
        content = json.dumps({"application": name}).encode()
        result = judge(with_content(content, signer, "content-digest"), by_application, content=content)
        assert (result.key, result.content) == (signer.public_key, content)


def test_a_resolver_sees_no_body_that_is_not_the_one_signed() -> None:
    """RF-16: neither one that the digest does not fit, nor one whose digest is not covered."""
    content = b'{"application": "app-1"}'
    other = content.replace(b"1", b"2")
    asked: list[NeedKey] = []

    def note(need: NeedKey) -> PublicKey:
        asked.append(need)
        return ONE.public_key

    with refused(Reason.DIGEST_MISMATCH):
        judge(with_content(content, ONE, "content-digest"), note, content=other)
    assert asked == []
    for components in ((), ("@method",)):
        judge(with_content(content, ONE, *components), note, content=content)
        assert asked.pop().content is None
    judge(with_content(content, ONE, "content-digest"), note)
    assert asked.pop().content is None
    judge(with_content(content, ONE, "content-digest"), note, content=content)
    assert asked[0].content == content
    assert "app-1" not in repr(asked)


@pytest.mark.parametrize("content", [b"\xff", b"{", b"[]", b"{}", b'{"application": 1}', b"1" * 5_000])
def test_a_body_that_a_resolver_does_not_expect_is_no_other_error(content: bytes) -> None:
    message = with_content(content, ONE, "content-digest")
    with pytest.raises((Refused, Unavailable)) as caught:
        judge(message, by_application, content=content)
    assert caught.value.reason in (Reason.KEY_UNKNOWN, Reason.TRUST_UNAVAILABLE)


def test_a_resolver_sees_the_request_that_a_response_answers() -> None:
    asked = Request(method="GET", target="/a/x")
    answer = sign(Response(status=200), ONE, ["@status", '"@path";req'], {}, request=asked)

    def by_request(need: NeedKey) -> PublicKey:
        assert need.request is asked
        return TENANTS["/" + need.covered_value('"@path";req').split("/")[1] + "/"]

    assert judge(answer, by_request, request=asked).value_of('"@path";req') == "/a/x"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("k"), Reason.KEY_UNKNOWN),
        (IndexError(), Reason.KEY_UNKNOWN),
        (ValueError(), Reason.KEY_UNKNOWN),
        (UnicodeDecodeError("utf-8", b"", 0, 0, ""), Reason.KEY_UNKNOWN),
        (Refused(Reason.KEY_WEAK, "weak"), Reason.KEY_WEAK),
        (Unavailable(Reason.TRUST_UNAVAILABLE, "away"), Reason.TRUST_UNAVAILABLE),
        (OSError(), Reason.TRUST_UNAVAILABLE),
        (TypeError(), Reason.TRUST_UNAVAILABLE),
        (RecursionError(), Reason.TRUST_UNAVAILABLE),
        (StopIteration(), Reason.TRUST_UNAVAILABLE),
        (ConfigurationError("wrong"), Reason.CONFIGURATION),
    ],
)
async def test_what_a_resolver_raises_is_one_of_the_documented_errors(error: Exception, reason: Reason) -> None:
    """RF-16: and never a yes."""

    def resolver(_: NeedKey) -> PublicKey:
        raise error

    async def later(_: NeedKey) -> PublicKey:
        raise error

    with pytest.raises((Refused, Unavailable, ConfigurationError)) as caught:
        judge(signed(), resolver)
    assert caught.value.reason is reason
    if not isinstance(error, StopIteration):  # which no coroutine can raise
        with pytest.raises((Refused, Unavailable, ConfigurationError)) as caught:
            await verify_message_async(signed(), PLAIN, later, now=0)
        assert caught.value.reason is reason


async def test_a_resolver_may_answer_later() -> None:
    async def later(need: NeedKey) -> PublicKey | None:
        return ONE.public_key if need.keyid is None else None

    assert (await verify_message_async(signed(), PLAIN, later, now=0)).label == "sig1"
    assert (await verify_message_async(signed(), PLAIN, lambda _: ONE.public_key, now=0)).label == "sig1"
    with refused(Reason.KEY_UNKNOWN):
        await verify_message_async(signed(keyid="k"), PLAIN, later, now=0)


def test_an_asynchronous_resolver_is_a_mistake_where_nobody_waits() -> None:
    async def later(_: NeedKey) -> PublicKey:
        return ONE.public_key

    class Later:
        def __await__(self) -> Any:
            yield

    for resolver in (later, lambda _: Later()):
        with pytest.raises(ConfigurationError, match="verify_message_async"):
            judge(signed(), resolver)  # type: ignore[arg-type]  # that is the mistake


def test_what_only_looks_like_a_key_is_none() -> None:
    """RF-16: a key has passed the checks of `PublicKey` or `SecretKey`."""

    class Lookalike:
        algorithm: Algorithm = ES256

        def verify(self, signature: bytes, data: bytes) -> None:
            ONE.public_key.verify(signature, data)

    def resolver(_: NeedKey) -> Any:
        return Lookalike()

    with refused(Reason.KEY_UNKNOWN):
        judge(signed(NAMELESS), resolver)


def test_configured_keys_are_found_by_keyid() -> None:
    """RF-16, CR-21"""
    keys = StaticKeys([ONE.public_key, TWO.public_key])
    assert judge(signed(ONE, keyid="one"), keys).key == ONE.public_key
    assert judge(signed(TWO, keyid="two"), keys).key == TWO.public_key
    for keyid in ("One", "", "three", "one "):
        with refused(Reason.KEY_UNKNOWN):
            judge(signed(ONE, keyid=keyid), keys)
    with refused(Reason.KEY_ID_MISSING):
        judge(signed(ONE), keys)
    with refused(Reason.SIGNATURE_INVALID):
        judge(signed(TWO, keyid="one"), keys)


def test_configured_keys_have_the_names_that_are_given_them() -> None:
    keys = StaticKeys({"other": ONE.public_key, "two": NAMELESS.public_key})
    assert judge(signed(ONE, keyid="other"), keys).key == ONE.public_key
    assert judge(signed(NAMELESS, keyid="two"), keys).key == NAMELESS.public_key
    with refused(Reason.KEY_UNKNOWN):
        judge(signed(ONE, keyid="one"), keys)


def test_the_only_configured_key_needs_no_name_in_the_signature() -> None:
    assert judge(signed(ONE), StaticKeys([ONE.public_key])).key == ONE.public_key
    assert judge(signed(NAMELESS), StaticKeys([NAMELESS.public_key])).key == NAMELESS.public_key
    assert judge(signed(NAMELESS, keyid="any"), StaticKeys([NAMELESS.public_key])).key == NAMELESS.public_key
    with refused(Reason.KEY_UNKNOWN):  # what does not match something preconfigured fails (§3.2 step 5)
        judge(signed(ONE, keyid="two"), StaticKeys([ONE.public_key]))


@pytest.mark.parametrize(
    "keys",
    [
        [],
        {},
        [ONE],
        ["key"],
        [ONE.public_key, ONE.public_key],
        [ONE.public_key, TWO.public_key.with_kid("one")],
        [ONE.public_key, NAMELESS.public_key],
    ],
)
def test_keys_that_cannot_be_told_apart_are_a_mistake(keys: Any) -> None:
    with pytest.raises(ConfigurationError):
        StaticKeys(keys)


def jwks(*keys: object) -> JWKSet:
    return JWKSet.parse(json.dumps({"keys": [*keys]}).encode())


def jwk(key: PrivateKey, **more: object) -> dict[str, object]:
    return {**key.public_key.to_jwk(), **more}


def test_the_keys_of_a_set_are_found_by_keyid() -> None:
    """RF-16"""
    keys = jwks(jwk(ONE), jwk(TWO, use="sig", key_ops=["verify"]))
    assert judge(signed(ONE, keyid="one"), keys).key == ONE.public_key
    assert judge(signed(TWO, keyid="two"), keys).key.algorithm is EDDSA
    for keyid in ("", "ONE", "three"):
        with refused(Reason.KEY_UNKNOWN):
            judge(signed(ONE, keyid=keyid), keys)
    with refused(Reason.KEY_ID_MISSING):
        judge(signed(ONE), keys)
    assert judge(signed(ONE), jwks(jwk(ONE))).key == ONE.public_key
    with refused(Reason.KEY_UNKNOWN):
        judge(signed(NAMELESS, keyid="any"), jwks(jwk(NAMELESS)))
    with refused(Reason.KEY_ID_MISSING):
        judge(signed(ONE), jwks())


def test_keys_of_one_kid_are_told_apart_by_alg_or_not_at_all() -> None:
    keys = jwks(jwk(ONE, kid="k"), jwk(TWO, kid="k"))
    for signer in (ONE, TWO):
        message = signed(signer, keyid="k", alg=signer.algorithm.http_name)
        assert judge(message, keys).key.algorithm is signer.algorithm
    for parameters in ({}, {"alg": "hmac-sha256"}):
        message = signed(ONE, keyid="k")
        text = f'sig1=("@path");keyid="k"{"".join(f";{name}={value!r}" for name, value in parameters.items())}'
        lines = message.fields.without("signature-input").adding(("Signature-Input", text.replace("'", '"')))
        with refused(Reason.KEY_UNKNOWN):
            judge(with_fields(message, lines), keys)
    with refused(Reason.KEY_UNKNOWN):
        judge(signed(ONE, keyid="k", alg=ES256.http_name), jwks(jwk(ONE, kid="k"), jwk(NAMELESS, kid="k")))


@pytest.mark.parametrize(
    "useless",
    [
        {"kty": "XYZ"},
        {},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "one"},
        {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "one"},
        jwk(ONE, kid=1),
        jwk(ONE, alg="none"),
        jwk(ONE, use="enc"),
        jwk(ONE, use=1),
        jwk(ONE, key_ops=["sign"]),
        jwk(ONE, key_ops="verify"),
    ],
)
def test_keys_of_a_set_that_cannot_be_used_are_left_out(useless: dict[str, object]) -> None:
    """RFC 7517 §5; a weak or foreign one is no reason to lose the others."""
    keys = jwks(useless, jwk(TWO))
    assert keys.keys == (TWO.public_key,)
    with refused(Reason.KEY_UNKNOWN):
        judge(signed(ONE, keyid="one"), keys)


@pytest.mark.parametrize("private", [ONE.to_jwk(), {"kty": "oct", "k": "AAAA"}, {"kty": "XYZ", "d": 1}])
def test_a_set_with_a_private_key_is_refused_as_a_whole(private: object) -> None:
    """CR-04"""
    with refused(Reason.KEY_PRIVATE):
        jwks(jwk(TWO), private)
    with refused(Reason.KEY_PRIVATE):
        jwks(jwk(TWO), {**jwk(ONE, use="enc"), "d": "AA"})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.JSON_MALFORMED),
        (b"[]", Reason.JSON_MALFORMED),
        (b"{}", Reason.KEY_MALFORMED),
        (b'{"keys": 1}', Reason.KEY_MALFORMED),
        (b'{"keys": ["a"]}', Reason.KEY_MALFORMED),
        (b'{"keys": [{}, {}, {}]}', Reason.KEY_MALFORMED),
        (b" " * 101, Reason.DOCUMENT_TOO_LARGE),
    ],
)
def test_what_is_no_set_is_refused(data: bytes, reason: Reason) -> None:
    with refused(reason):
        JWKSet.parse(data, max_bytes=100, max_keys=2)


def test_a_resolver_runs_a_flow_as_it_is() -> None:
    assert run(verify(signed(keyid="one"), PLAIN, now=0), StaticKeys([ONE.public_key])).label == "sig1"


def test_a_covered_value_is_asked_for_by_identifier_or_text() -> None:
    message = signed(components=("@path", '"@query-param";name="a"'), target="/x?a=1")
    need = NeedKey(parse_signatures(message.fields)[0], message)
    assert need.covered_value(need.signature.input.components[1]) == "1"
    assert need.covered_value("@path") == "/x"
    with refused(Reason.COMPONENT_NOT_COVERED):
        need.covered_value('"@query-param";name="b"')
