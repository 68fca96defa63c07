from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.keys.pool import EVERY, PRIVATE
from tests.refusals import refused
from wimse.errors import Reason, Refused
from wimse.keys import (
    PrivateKey,
    PublicKey,
    SecretKey,
    b64url_decode,
    b64url_encode,
    encoding,
    load_keys,
    parse_json_object,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
# Each try of a private RSA key takes the library a while, so the properties of reading are of the other types;
# tests/keys/test_rsa.py has those of RSA.
KEYS = {name: key for name, key in EVERY.items() if key.algorithm.key_type != "RSA"}
READERS = (PublicKey.from_jwk, PrivateKey.from_jwk, SecretKey.from_jwk)
every = st.sampled_from(sorted(EVERY))
names = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "k", "alg", "kid", "use", "key_ops"])
likely = st.sampled_from(
    [
        "RSA",
        *(value for key in KEYS.values() for value in key.to_jwk().values()),
        *PRIVATE["PS256"].public_key.to_jwk().values(),
    ]
)


@given(st.binary())
def test_base64url_survives_the_way_there_and_back(data: bytes) -> None:
    assert b64url_decode(b64url_encode(data), "it") == data


@given(st.text(alphabet=st.characters(max_codepoint=0x17F)) | st.text(alphabet="AQw-_=+/ \n"))
def test_base64url_has_one_spelling(text: str) -> None:
    with contextlib.suppress(Refused):
        assert b64url_encode(b64url_decode(text, "it")) == text


@given(st.binary() | st.text(alphabet='{}[]",:\\ue0123456789.-truefalsn').map(str.encode))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    with contextlib.suppress(Refused):
        assert isinstance(parse_json_object(data, "it"), dict)


def read_by(data: bytes, *, strict: bool) -> str:
    """What is read or why it is refused, types included: 1, 1.0 and true are three values."""
    with pytest.MonkeyPatch.context() as patch:
        if strict:
            patch.setattr(encoding, "_parse_canonical", lambda _: None)
        try:
            return repr(parse_json_object(data, "it"))
        except Refused as refused:
            return refused.reason.code


NUMBERS = st.integers(-(2**66), 2**66) | st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.dictionaries(st.text(), JSON | NUMBERS | st.lists(NUMBERS), max_size=4)


@given(DOCUMENTS, st.booleans())
def test_what_is_written_again_to_the_letter_is_read_as_by_the_strict_parser(
    document: dict[str, object], ascii_only: bool
) -> None:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=ascii_only)
    data = text.encode("utf-8", "surrogatepass")
    assert read_by(data, strict=False) == read_by(data, strict=True)


@given(DOCUMENTS, st.data())
def test_what_is_damaged_is_read_as_by_the_strict_parser(document: dict[str, object], data: st.DataObject) -> None:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    at = data.draw(st.integers(0, len(text)))
    piece = data.draw(
        st.sampled_from([b"", b" ", b",", b'"', b"0", b"-", b"e1", b".0", b'"a":1,', b"\\u0061", b"\xff"])
    )
    damaged = text[:at] + piece + text[at + data.draw(st.integers(0, 2)) :]
    assert read_by(damaged, strict=False) == read_by(damaged, strict=True)


@given(st.dictionaries(names | st.text(), likely | JSON))
def test_any_jwk_is_a_key_or_refused(jwk: dict[str, object]) -> None:
    for read in READERS:
        with contextlib.suppress(Refused):
            read(jwk)


@given(st.sampled_from(sorted(KEYS)), names, likely | JSON)
def test_a_key_with_any_member_changed_is_a_key_or_refused(name: str, member: str, value: object) -> None:
    key = KEYS[name]
    public = {} if isinstance(key, SecretKey) else key.public_key.to_jwk()
    for jwk in (key.to_jwk(), public, PRIVATE["PS256"].public_key.to_jwk()):
        for read in READERS:
            with contextlib.suppress(Refused):
                read({**jwk, member: value})


@given(st.binary() | st.binary().map(lambda data: b"-----BEGIN PRIVATE KEY-----" + data))
def test_any_file_holds_keys_or_is_refused(data: bytes) -> None:
    for read in (load_keys, PublicKey.from_pem, PrivateKey.from_pem, PrivateKey.from_pkcs8_der):
        with contextlib.suppress(Refused):
            read(data)


@given(st.sampled_from(sorted(PRIVATE)), st.none() | st.text())
def test_a_public_key_survives_the_way_there_and_back(name: str, kid: str | None) -> None:
    key = PRIVATE[name].public_key.with_kid(kid)
    assert PublicKey.from_jwk(key.to_jwk()) == key
    assert PublicKey.from_pem(key.to_pem(), kid=kid, algorithm=key.algorithm) == key


@given(every, st.binary())
def test_what_is_signed_is_verified(name: str, data: bytes) -> None:
    key = EVERY[name]
    key.verification_key.verify(key.sign(data), data)


@given(every, st.binary(min_size=1), st.data())
def test_what_is_changed_is_refused(name: str, data: bytes, draw: st.DataObject) -> None:
    key = EVERY[name]
    changed = bytearray(data)
    changed[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    signature = key.sign(data)
    with refused(Reason.SIGNATURE_INVALID):
        key.verification_key.verify(signature, bytes(changed))


@given(every, st.data())
def test_random_bytes_are_no_signature(name: str, draw: st.DataObject) -> None:
    key = EVERY[name]
    size = key.algorithm.signature_bytes or 256
    signature = draw.draw(st.binary(max_size=80) | st.binary(min_size=size, max_size=size))
    with refused(Reason.SIGNATURE_INVALID):
        key.verification_key.verify(signature, b"data")
