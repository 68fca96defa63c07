from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import Reason, Refused
from wimse.keys import (
    ALGORITHMS,
    Algorithm,
    PrivateKey,
    PublicKey,
    b64url_decode,
    b64url_encode,
    load_keys,
    parse_json_object,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
KEYS = {each.jose_name: PrivateKey.generate(each) for each in ALGORITHMS}
algorithms = st.sampled_from(ALGORITHMS)
names = st.sampled_from(["kty", "crv", "x", "y", "d", "k", "alg", "kid", "use", "key_ops"])
likely = st.sampled_from(
    [
        "EC",
        "OKP",
        "P-256",
        "Ed25519",
        "ES256",
        "EdDSA",
        *KEYS["ES256"].to_jwk().values(),
        *KEYS["EdDSA"].to_jwk().values(),
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


@given(st.dictionaries(names | st.text(), likely | JSON))
def test_any_jwk_is_a_key_or_refused(jwk: dict[str, object]) -> None:
    for read in (PublicKey.from_jwk, PrivateKey.from_jwk):
        with contextlib.suppress(Refused):
            read(jwk)


@given(st.sampled_from(sorted(KEYS)), names, likely | JSON)
def test_a_key_with_any_member_changed_is_a_key_or_refused(name: str, member: str, value: object) -> None:
    for jwk in (KEYS[name].to_jwk(), KEYS[name].public_key.to_jwk()):
        for read in (PublicKey.from_jwk, PrivateKey.from_jwk):
            with contextlib.suppress(Refused):
                read({**jwk, member: value})


@given(st.binary() | st.binary().map(lambda data: b"-----BEGIN PRIVATE KEY-----" + data))
def test_any_file_holds_keys_or_is_refused(data: bytes) -> None:
    for read in (load_keys, PublicKey.from_pem, PrivateKey.from_pem, PrivateKey.from_pkcs8_der):
        with contextlib.suppress(Refused):
            read(data)


@given(algorithms, st.none() | st.text())
def test_a_public_key_survives_the_way_there_and_back(algorithm: Algorithm, kid: str | None) -> None:
    key = PrivateKey.generate(algorithm, kid=kid).public_key
    assert PublicKey.from_jwk(key.to_jwk()) == key
    assert PublicKey.from_pem(key.to_pem(), kid=kid) == key


@given(algorithms, st.binary())
def test_what_is_signed_is_verified(algorithm: Algorithm, data: bytes) -> None:
    key = KEYS[algorithm.jose_name]
    key.public_key.verify(key.sign(data), data)


@given(algorithms, st.binary(min_size=1), st.data())
def test_what_is_changed_is_refused(algorithm: Algorithm, data: bytes, draw: st.DataObject) -> None:
    key = KEYS[algorithm.jose_name]
    changed = bytearray(data)
    changed[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    signature = key.sign(data)
    with refused(Reason.SIGNATURE_INVALID):
        key.public_key.verify(signature, bytes(changed))


@given(algorithms, st.binary(max_size=80) | st.binary(min_size=64, max_size=64))
def test_random_bytes_are_no_signature(algorithm: Algorithm, signature: bytes) -> None:
    with refused(Reason.SIGNATURE_INVALID):
        KEYS[algorithm.jose_name].public_key.verify(signature, b"data")
