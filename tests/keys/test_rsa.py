from __future__ import annotations

import base64
import math
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import vectors
from tests.keys.pool import OTHER_RSA, PRIVATE, RSA, private_key
from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason
from wimse.keys import (
    PS256,
    PS384,
    PS512,
    RS256,
    RS384,
    RS512,
    Algorithm,
    PrivateKey,
    PublicKey,
    b64url_decode,
    b64url_encode,
)

PUBLISHED = {case["id"]: case for case in vectors.load("rfc9421/keys.json")["cases"]}
FAMILY = (PS256, PS384, PS512, RS256, RS384, RS512)
EACH = pytest.mark.parametrize("algorithm", FAMILY, ids=lambda each: each.jose_name)
N, E = RSA.public_key().public_numbers().n, 65_537
JWK = PRIVATE["PS256"].to_jwk()
PUBLIC = PRIVATE["PS256"].public_key.to_jwk()
DATA = b"what was signed"


def uint(number: int) -> str:
    return b64url_encode(number.to_bytes(max((number.bit_length() + 7) // 8, 1), "big"))


def number_of(member: str) -> int:
    return int.from_bytes(b64url_decode(JWK[member], member), "big")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n": uint(2**511 + 187)}, Reason.KEY_WEAK),
        ({"n": uint(2**1023 + 1155)}, Reason.KEY_WEAK),
        ({"n": uint(2**2047 - 1)}, Reason.KEY_WEAK),  # one bit too few
        ({"n": uint(N * 3)}, Reason.KEY_WEAK),  # a small factor
        ({"n": uint(N * 751)}, Reason.KEY_WEAK),
        ({"n": uint(N + 1)}, Reason.KEY_MALFORMED),  # even
        ({"n": uint(2**8192 + 1)}, Reason.KEY_UNSUPPORTED),
        ({"n": uint(2**16384 + 1)}, Reason.KEY_UNSUPPORTED),
        ({"n": b64url_encode(b"\0" + N.to_bytes(256, "big"))}, Reason.KEY_MALFORMED),  # two names for one key
        ({"n": ""}, Reason.KEY_MALFORMED),
        ({"n": None}, Reason.KEY_MALFORMED),
        ({"n": 5}, Reason.KEY_MALFORMED),
        ({"n": "AQAB="}, Reason.BASE64_MALFORMED),
        ({"e": uint(0)}, Reason.KEY_MALFORMED),
        ({"e": uint(1)}, Reason.KEY_WEAK),
        ({"e": uint(2)}, Reason.KEY_MALFORMED),
        ({"e": uint(65_536)}, Reason.KEY_MALFORMED),
        ({"e": uint(2**32 + 1)}, Reason.KEY_UNSUPPORTED),
        ({"e": uint(2**2000 + 1)}, Reason.KEY_UNSUPPORTED),
        ({"e": uint(N)}, Reason.KEY_UNSUPPORTED),
        ({"e": "AAEAAQ"}, Reason.KEY_MALFORMED),
    ],
)
def test_a_public_key_that_proves_nothing_or_costs_too_much_is_refused(change: dict[str, Any], reason: Reason) -> None:
    """CR-11: at import."""
    with refused(reason):
        PublicKey.from_jwk({**PUBLIC, **change})


@pytest.mark.parametrize(
    ("n", "e", "reason"),
    [
        (2**1023 + 1155, E, Reason.KEY_WEAK),
        (2**8192 + 81, E, Reason.KEY_UNSUPPORTED),
        (N, 2**33 + 1, Reason.KEY_UNSUPPORTED),
        (N * 3, E, Reason.KEY_WEAK),
    ],
)
def test_from_the_library_and_from_pem_as_well(n: int, e: int, reason: Reason) -> None:
    """CR-11"""
    native = rsa.RSAPublicNumbers(e, n).public_key()
    with refused(reason):
        PublicKey.from_native(native, algorithm=PS256)
    for form in (serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1):
        with refused(reason):
            PublicKey.from_pem(native.public_bytes(serialization.Encoding.PEM, form), algorithm=PS256)


def test_the_limits_are_exact() -> None:
    for bits in (2_048, 8_192):
        n = 2**bits - 1
        while math.gcd(n, math.prod(range(3, 752, 2))) != 1:
            n -= 2
        assert PublicKey.from_jwk({**PUBLIC, "n": uint(n)}).algorithm is PS256
    for e in (3, 2**32 - 1):
        assert PublicKey.from_jwk({**PUBLIC, "e": uint(e)}).algorithm is PS256


def test_a_private_key_of_a_weak_size_is_refused() -> None:
    """CR-11"""
    weak = rsa.generate_private_key(E, 1024)
    pem = weak.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with refused(Reason.KEY_WEAK):
        PrivateKey.from_pem(pem, algorithm=RS256)
    with refused(Reason.KEY_WEAK):
        PrivateKey(weak, algorithm=RS256)
    for bits in (1_024, 2_047, 8_193):
        with pytest.raises(ConfigurationError):
            PrivateKey.generate(PS256, rsa_bits=bits)
    made = PrivateKey.generate(PS256, rsa_bits=2_048)
    assert len(made.sign(DATA)) == 256


def test_without_an_algorithm_an_rsa_key_is_no_key() -> None:
    with refused(Reason.ALGORITHM_MISSING):
        PrivateKey(RSA)
    with refused(Reason.ALGORITHM_MISSING):
        PublicKey.from_native(RSA.public_key())
    with refused(Reason.ALGORITHM_MISSING):
        PublicKey.from_jwk({name: value for name, value in PUBLIC.items() if name != "alg"})


@pytest.mark.parametrize("member", ["p", "q", "dp", "dq", "qi", "d", "n", "e"])
@pytest.mark.parametrize("value", [None, 1, "", "AA==", "AAE"])
def test_a_private_key_has_every_member(member: str, value: object) -> None:
    with refused(Reason.BASE64_MALFORMED if value == "AA==" else Reason.KEY_MALFORMED):
        PrivateKey.from_jwk({**JWK, member: value})


def test_d_alone_and_more_than_two_primes_are_refused() -> None:
    with refused(Reason.KEY_MALFORMED):
        PrivateKey.from_jwk({**PUBLIC, "d": JWK["d"]})
    with refused(Reason.KEY_UNSUPPORTED):
        PrivateKey.from_jwk({**JWK, "oth": []})


@pytest.mark.parametrize("member", ["p", "q", "dp", "dq", "qi", "d"])
@pytest.mark.parametrize("difference", [-2, -1, 1, 2])
def test_members_that_do_not_fit_are_refused(member: str, difference: int) -> None:
    # One wrong member, and a signature gives a factor of the modulus away.
    with refused(Reason.KEY_MISMATCH):
        PrivateKey.from_jwk({**JWK, member: uint(number_of(member) + difference)})


def test_members_that_seem_to_fit_are_refused() -> None:
    p, qi = number_of("p"), number_of("qi")
    for change in (
        {"p": uint(1), "q": uint(N)},
        {"p": JWK["q"], "q": JWK["p"]},
        {"qi": uint(qi + p)},
        {"dp": uint(number_of("dp") + p - 1)},
        {"n": uint(OTHER_RSA.public_key().public_numbers().n)},
    ):
        with refused(Reason.KEY_MISMATCH):
            PrivateKey.from_jwk({**JWK, **change})


def test_numbers_that_fit_and_are_not_prime_are_refused() -> None:
    # p is not a prime, and the rest is worked out from it as if it were one.
    q, factors = number_of("q"), (n for n in range(5_003, 9_000, 4))
    p = next(p for p in (number_of("p") * n for n in factors) if math.gcd(E, (p - 1) * (q - 1)) == 1)
    d = pow(E, -1, math.lcm(p - 1, q - 1))
    numbers = {"n": p * q, "e": E, "d": d, "p": p, "q": q, "dp": d % (p - 1), "dq": d % (q - 1), "qi": pow(q, -1, p)}
    jwk = {"kty": "RSA", "alg": "PS256", **{name: uint(value) for name, value in numbers.items()}}
    with refused(Reason.KEY_MALFORMED):
        PrivateKey.from_jwk(jwk)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["p", "q", "dp", "dq", "qi", "d", "n", "e"]), st.integers(0, 2**2100))
def test_any_other_number_is_refused(member: str, value: int) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which reason depends on the number
        PrivateKey.from_jwk({**JWK, member: uint(value)})
    assert type(caught.value).__name__ == "Refused"


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
@EACH
def test_both_forms_of_private_pem_are_read(algorithm: Algorithm, form: serialization.PrivateFormat) -> None:
    pem = RSA.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    key = PrivateKey.from_pem(pem, algorithm=algorithm)
    assert key.public_key.same_key(private_key(algorithm).public_key)


@EACH
def test_a_key_for_one_algorithm_takes_no_signature_of_another(algorithm: Algorithm) -> None:
    """CR-03, CR-09: PSS and v1.5, and each hash; the same numbers are another key."""
    key = private_key(algorithm).public_key
    for other in FAMILY:
        signature = private_key(other).sign(DATA)
        if other is algorithm:
            key.verify(signature, DATA)
            continue
        assert not key.same_key(private_key(other).public_key)
        assert key.thumbprint() == private_key(other).public_key.thumbprint()
        with refused(Reason.SIGNATURE_INVALID):
            key.verify(signature, DATA)


HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@pytest.mark.parametrize("algorithm", [PS256, PS384, PS512], ids=lambda each: each.jose_name)
def test_pss_has_one_salt_length_and_one_mask(algorithm: Algorithm) -> None:
    """CR-10: a salt as long as the hash, and MGF1 with the same hash."""
    key, digest = private_key(algorithm).public_key, HASHES[algorithm.hash_name or ""]
    key.verify(RSA.sign(DATA, padding.PSS(padding.MGF1(digest), algorithm.hash_bytes), digest), DATA)
    for salt in (0, 8, 20, algorithm.hash_bytes - 1, algorithm.hash_bytes + 1, 256 - 2 - algorithm.hash_bytes):
        with refused(Reason.SIGNATURE_INVALID):
            key.verify(RSA.sign(DATA, padding.PSS(padding.MGF1(digest), salt), digest), DATA)
    others = [each for each in HASHES.values() if each.name != digest.name]
    for mask in (*others, hashes.SHA1()):
        with refused(Reason.SIGNATURE_INVALID):
            key.verify(RSA.sign(DATA, padding.PSS(padding.MGF1(mask), algorithm.hash_bytes), digest), DATA)


@EACH
def test_a_signature_is_as_long_as_the_modulus(algorithm: Algorithm) -> None:
    """RF-15: RFC 8017 §8.1.2 and §8.2.2, step 1."""
    key, signature = private_key(algorithm), private_key(algorithm).sign(DATA)
    for changed in (b"", signature[:-1], signature + b"\0", b"\0" + signature, signature * 2, bytes(256)):
        with refused(Reason.SIGNATURE_INVALID):
            key.public_key.verify(changed, DATA)
    as_number = int.from_bytes(signature, "big") + N
    if as_number < 2**2048:
        with refused(Reason.SIGNATURE_INVALID):
            key.public_key.verify(as_number.to_bytes(256, "big"), DATA)


def test_a_leading_zero_is_not_left_out() -> None:
    # The library takes a PSS signature without it: one signature would have two forms.
    key, number = PRIVATE["PS256"], 0
    while (signature := key.sign(number.to_bytes(4, "big")))[0] != 0:
        number += 1
    data = number.to_bytes(4, "big")
    key.public_key.verify(signature, data)
    with refused(Reason.SIGNATURE_INVALID):
        key.public_key.verify(signature[1:], data)


def test_two_pss_signatures_of_one_message_both_verify() -> None:
    """CR-21"""
    key = PRIVATE["PS256"]
    first, second = key.sign(DATA), key.sign(DATA)
    assert first != second
    key.public_key.verify(first, DATA)
    key.public_key.verify(second, DATA)


def test_a_key_that_is_for_pss_alone_is_for_pss_alone() -> None:
    """CR-09: RFC 4055 §1.2. The library forgets what such a key is for."""
    pem = PUBLISHED["test-key-rsa-pss"]["private_pem"].encode()
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    for algorithm in FAMILY:
        if algorithm.padding == "pss":
            assert PrivateKey.from_pem(pem, algorithm=algorithm).algorithm is algorithm
            assert PrivateKey.from_pkcs8_der(der, algorithm=algorithm).algorithm is algorithm
            continue
        with refused(Reason.ALGORITHM_MISMATCH):
            PrivateKey.from_pem(pem, algorithm=algorithm)
        with refused(Reason.ALGORITHM_MISMATCH):
            PrivateKey.from_pkcs8_der(der, algorithm=algorithm)


def _for_pss(parameters: bytes) -> bytes:
    spki = RSA.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    plain = bytes.fromhex("300d06092a864886f70d0101010500")
    name = bytes.fromhex("06092a864886f70d01010a") + parameters
    body = bytes([0x30, len(name)]) + name + spki[spki.index(plain) + len(plain) :]
    der = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(der) + b"-----END PUBLIC KEY-----\n"


def test_a_public_key_that_is_for_pss_alone_too() -> None:
    """CR-09: with parameters as well it is refused, for their defaults are SHA-1."""
    assert PublicKey.from_pem(_for_pss(b""), algorithm=PS256).algorithm is PS256
    with refused(Reason.ALGORITHM_MISMATCH):
        PublicKey.from_pem(_for_pss(b""), algorithm=RS256)
    sha256 = bytes.fromhex("3011a00f300d06096086480165030402010500")
    for algorithm in (PS256, RS256):
        with refused(Reason.KEY_UNSUPPORTED):
            PublicKey.from_pem(_for_pss(sha256), algorithm=algorithm)


def test_every_block_of_pem_is_looked_at() -> None:
    """CR-09"""
    plain = PRIVATE["PS256"].to_pem()
    with refused(Reason.ALGORITHM_MISMATCH):
        PrivateKey.from_pem(plain + PUBLISHED["test-key-rsa-pss"]["private_pem"].encode(), algorithm=RS256)
    with refused(Reason.KEY_MALFORMED):
        PrivateKey.from_pem(plain + b"-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----\n", algorithm=RS256)
