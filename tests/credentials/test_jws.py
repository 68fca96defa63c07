from __future__ import annotations

import pytest

from tests.credentials.tokens import ISSUER, encode, jws
from tests.refusals import refused
from wimse.credentials import UnverifiedJWS, sign_compact
from wimse.errors import ConfigurationError, Reason
from wimse.keys import EDDSA, PrivateKey, b64url_decode

GOOD = jws({"alg": "ES256", "kid": "k", "typ": "t"}, {"a": 1})
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")


def test_a_token_is_read_and_nothing_is_said_of_its_truth() -> None:
    read = UnverifiedJWS.parse(GOOD)
    assert (read.algorithm_name, read.key_id, dict(read.claims), read.text) == ("ES256", "k", {"a": 1}, GOOD)
    assert read.signing_input == f"{HEADER}.{PAYLOAD}".encode()
    assert read.signature == b64url_decode(SIGNATURE, "it")
    assert UnverifiedJWS.parse(jws({"alg": "x"}, {})).key_id is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        f"{HEADER}.{PAYLOAD}",
        f"{HEADER}.{PAYLOAD}.",
        f"{HEADER}..{SIGNATURE}",
        f".{PAYLOAD}.{SIGNATURE}",
        f"{GOOD}.a",
        f"{GOOD}.a.b",
        f"{HEADER}..a.b.c",
        '{"payload":"e30","signatures":[]}',
    ],
)
def test_a_token_has_three_parts(text: str) -> None:
    """WT-06, WC-25: neither a JWE, nor an unsecured JWS, nor the JSON serialisation."""
    with refused(Reason.TOKEN_MALFORMED):
        UnverifiedJWS.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        f"Bearer {GOOD}",
        f'"{GOOD}"',
        f"{GOOD} ",
        f" {GOOD}",
        f"{GOOD}\n",
        f"{GOOD}=",
        f"{GOOD}==",
        f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD[:3]} {PAYLOAD[3:]}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}+",
        f"{HEADER}.{PAYLOAD}.+/{SIGNATURE[2:]}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}AAA",
        f"{HEADER}.{PAYLOAD}.\u00e9",
        f"{HEADER}.{PAYLOAD}.A",
    ],
)
def test_what_is_not_base64url_is_refused(text: str) -> None:
    """WT-04, WT-05, WC-25"""
    with refused(Reason.BASE64_MALFORMED):
        UnverifiedJWS.parse(text)


def test_each_of_the_twins_of_a_signature_is_refused() -> None:
    """WT-05: 64 bytes leave four bits that say nothing; the other fifteen spellings are other tokens."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(GOOD[-1])
    for twin in range(last + 1, last + 16):
        with refused(Reason.BASE64_MALFORMED):
            UnverifiedJWS.parse(GOOD[:-1] + alphabet[twin])


@pytest.mark.parametrize(
    "part", [b"", b"[]", b"1", b"x", b'{"a":NaN}', b'{"a":1e999}', b"\xef\xbb\xbf{}", b'{"a":"\\ud800"}', b"\xff"]
)
def test_each_part_is_a_json_object(part: bytes) -> None:
    """WT-31"""
    with refused(Reason.JSON_MALFORMED if part else Reason.TOKEN_MALFORMED):
        UnverifiedJWS.parse(f"{HEADER}.{encode(part)}.{SIGNATURE}")
    with refused(Reason.JSON_MALFORMED if part else Reason.TOKEN_MALFORMED):
        UnverifiedJWS.parse(f"{encode(part)}.{PAYLOAD}.{SIGNATURE}")


@pytest.mark.parametrize("part", [b'{"alg":"ES256","alg":"none"}', b'{"alg":"ES256","x":{"a":1,"a":2}}'])
def test_a_member_that_occurs_twice_is_refused(part: bytes) -> None:
    """WT-30"""
    for text in (f"{encode(part)}.{PAYLOAD}.{SIGNATURE}", f"{HEADER}.{encode(part)}.{SIGNATURE}"):
        with refused(Reason.JSON_DUPLICATE_MEMBER):
            UnverifiedJWS.parse(text)


def test_deep_json_is_refused() -> None:
    """WT-31"""
    deep = encode(b'{"a":' + b"[" * 3000)
    with refused(Reason.JSON_TOO_DEEP):
        UnverifiedJWS.parse(f"{HEADER}.{deep}.{SIGNATURE}")


@pytest.mark.parametrize("crit", [["exp"], ["cnf"], ["b64"], ["unknown"], [], "exp", None, {}, 1])
def test_critical_parameters_are_refused(crit: object) -> None:
    """WT-15, SV-04: unknown, empty or malformed (CVE-2025-59420, CVE-2026-32597)."""
    with refused(Reason.TOKEN_CRITICAL):
        UnverifiedJWS.parse(jws({"alg": "ES256", "crit": crit, "exp": 1}, {}))


@pytest.mark.parametrize("b64", [False, True, None])
def test_an_unencoded_payload_is_refused(b64: object) -> None:
    """WT-16"""
    for header in ({"alg": "ES256", "b64": b64}, {"alg": "ES256", "b64": b64, "crit": ["b64"]}):
        with refused(Reason.TOKEN_CRITICAL):
            UnverifiedJWS.parse(jws(header, {}))


@pytest.mark.parametrize("header", [{}, {"alg": None}, {"alg": 1}, {"alg": ["ES256"]}, {"alg": {}}, {"alg": True}])
def test_an_alg_is_a_string(header: dict[str, object]) -> None:
    """WT-09, WC-05"""
    with refused(Reason.TOKEN_ALGORITHM):
        UnverifiedJWS.parse(jws(header, {}))


@pytest.mark.parametrize("value", [None, 1, ["k"], {}, True])
def test_kid_and_typ_are_strings(value: object) -> None:
    """WT-21, SV-01"""
    for name in ("kid", "typ"):
        with refused(Reason.TOKEN_MALFORMED):
            UnverifiedJWS.parse(jws({"alg": "ES256", name: value}, {}))


def test_the_limits_are_exact() -> None:
    """WT-41, WT-21: 8 KiB for a token, before anything is decoded; 256 bytes for a kid."""
    UnverifiedJWS.parse(GOOD, max_bytes=len(GOOD))
    with refused(Reason.TOKEN_TOO_LARGE):
        UnverifiedJWS.parse(GOOD, max_bytes=len(GOOD) - 1)
    with refused(Reason.TOKEN_MALFORMED):
        UnverifiedJWS.parse("a" * 8_192)
    for text in ("a" * 8_193, f"{'A' * 900_000}.a.b", "\u00e9" * 1_000_000):
        with refused(Reason.TOKEN_TOO_LARGE):
            UnverifiedJWS.parse(text)
    assert UnverifiedJWS.parse(jws({"alg": "x", "kid": "\u00e9" * 128}, {})).key_id == "\u00e9" * 128
    with refused(Reason.TOKEN_TOO_LARGE):
        UnverifiedJWS.parse(jws({"alg": "x", "kid": "\u00e9" * 128 + "a"}, {}))


def test_a_token_is_written_with_the_keys_own_alg_and_kid() -> None:
    read = UnverifiedJWS.parse(sign_compact({"typ": "t", "alg": "none", "kid": "x"}, {"b": "\u00e9", "a": 1}, ISSUER))
    assert dict(read.header) == {"alg": "ES256", "kid": "issuer", "typ": "t"}
    assert dict(read.claims) == {"a": 1, "b": "\u00e9"}
    ISSUER.public_key.verify(read.signature, read.signing_input)
    assert "kid" not in UnverifiedJWS.parse(sign_compact({}, {}, PrivateKey.generate())).header


def test_a_number_that_json_does_not_have_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        sign_compact({}, {"a": float("nan")}, ISSUER)


def test_what_was_read_cannot_be_changed() -> None:
    read = UnverifiedJWS.parse(GOOD)
    with pytest.raises(TypeError):
        read.claims["a"] = 2  # type: ignore[index]  # that it is read-only is the point


def test_an_algorithm_goes_by_any_of_its_names_and_no_other() -> None:
    """WPTC-03."""
    key = PrivateKey.generate(EDDSA)
    names = [sign_compact({}, {}, key, algorithm_name=name) for name in (None, "Ed25519", "EdDSA")]
    found = [UnverifiedJWS.parse(text).algorithm_name for text in names]
    assert sorted(set(found)) == ["Ed25519", "EdDSA"]
    for name in ("", "ES256", "eddsa"):
        with pytest.raises(ConfigurationError):
            sign_compact({}, {}, key, algorithm_name=name)


def test_what_is_shown_of_a_token_is_not_the_token() -> None:
    text = sign_compact({}, {"sub": "a"}, ISSUER)
    shown = repr(UnverifiedJWS.parse(text))
    assert not any(part in shown for part in text.split("."))
