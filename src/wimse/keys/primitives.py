"""One signing and one verifying function for each algorithm, made once for a key and then called for each message.

All that can be settled beforehand is: type, hash, padding, lengths. What is left for a call is the library's own work
and, for ECDSA, the change of form between DER and the two numbers side by side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeGuard, cast

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils

from wimse.errors import Reason, Refused
from wimse.keys.algorithms import Algorithm

__all__ = [
    "CURVES",
    "UNREADABLE",
    "NativePrivateKey",
    "NativePublicKey",
    "curve_name",
    "is_public_key",
    "signer",
    "verifier",
]

NativePublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | rsa.RSAPublicKey
NativePrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | rsa.RSAPrivateKey

# What the library raises for bytes that are no key. The last is for OpenSSL errors that it does not foresee, such as
# the one for an X448 key of 32 bytes.
UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, InternalError)

_HASHES: Final = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
# RFC 7518 §6.2.1.1
CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_LONGEST_SHORT: Final = 48  # bytes of a coordinate of P-384
_CURVE_NAMES: Final = {curve.name: name for name, curve in CURVES.items()}


def curve_name(native: NativePublicKey | NativePrivateKey) -> tuple[str, str | None]:
    """The `kty` of a native key and its `crv`: None for RSA, and empty for a curve that has no name here."""
    key_type, curve = _kind(type(native))
    if key_type == "EC":
        return key_type, _CURVE_NAMES.get(cast("ec.EllipticCurvePublicKey", native).curve.name, "")
    return key_type, curve


def is_public_key(native: object) -> TypeGuard[NativePublicKey]:
    """Whether it is a public key of a type that is supported."""
    kind: type = type(native)
    return _is_public(kind)


@cache
def _is_public(kind: type) -> bool:
    return issubclass(kind, NativePublicKey)


@cache  # the library has few classes of keys; to ask each of its interfaces costs more than the rest of a key
def _kind(native: type) -> tuple[str, str | None]:
    if issubclass(native, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return "RSA", None
    if issubclass(native, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return "EC", None
    return "OKP", "Ed25519" if issubclass(native, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey) else "Ed448"


def verifier(algorithm: Algorithm, native: NativePublicKey) -> Callable[[bytes, bytes], object]:
    """Make the function that takes a signature and data, and raises `InvalidSignature` unless they fit.

    Raises:
        Refused: `algorithm_mismatch` when the key is not of the algorithm's type and curve.
    """
    _check_kind(algorithm, native)
    if algorithm.key_type == "EC":
        return _ecdsa_verifier(algorithm, cast("ec.EllipticCurvePublicKey", native))
    if algorithm.key_type == "RSA":
        return _rsa_verifier(algorithm, cast("rsa.RSAPublicKey", native))
    return cast("ed25519.Ed25519PublicKey", native).verify  # which refuses every other length


def signer(algorithm: Algorithm, native: NativePrivateKey) -> Callable[[bytes], bytes]:
    """Make the function that signs data; the key is one that `verifier` has taken the public half of."""
    kind, _ = _kind(type(native))
    if kind == "EC":
        return _ecdsa_signer(algorithm, cast("ec.EllipticCurvePrivateKey", native))
    if kind == "RSA":
        return _rsa_signer(algorithm, cast("rsa.RSAPrivateKey", native))
    return cast("ed25519.Ed25519PrivateKey", native).sign


def _check_kind(algorithm: Algorithm, native: NativePublicKey) -> None:
    # CR-04, CR-09: whatever brought the two together, a key is never used by the algorithm of another type.
    if curve_name(native) != (algorithm.key_type, algorithm.curve):
        raise Refused(Reason.ALGORITHM_MISMATCH, "the algorithm is not one for keys of this type")


def _ecdsa_verifier(algorithm: Algorithm, native: ec.EllipticCurvePublicKey) -> Callable[[bytes, bytes], object]:
    size, length = algorithm.coordinate_bytes, algorithm.signature_bytes
    check, (digest, scheme) = native.verify, _ecdsa_scheme(algorithm)

    def verify(signature: bytes, data: bytes) -> None:
        if len(signature) != length:  # RFC 7518 §3.4: exactly, whatever leading zeros there are
            raise InvalidSignature
        check(der_of_numbers(signature, size), digest(data).digest(), scheme)

    return verify


def _ecdsa_signer(algorithm: Algorithm, native: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    size, make, (digest, scheme) = algorithm.coordinate_bytes, native.sign, _ecdsa_scheme(algorithm)
    return lambda data: numbers_of_der(make(digest(data).digest(), scheme), size)


@cache  # one for each algorithm
def _ecdsa_scheme(algorithm: Algorithm) -> tuple[Callable[[bytes], Any], ec.ECDSA]:
    # hashlib begins a hash in less time than the library does inside of a call.
    name = algorithm.hash_name or ""
    return getattr(hashlib, name), ec.ECDSA(utils.Prehashed(_HASHES[name]))


# The two forms of an ECDSA signature, without integers between them, which would cost more than the rest of a call. A
# test holds both functions equal to those of the library. In DER (X.690 §8.3) a number is as short as it can be, with a
# zero in front where its first bit is set; up to P-384 every length is below 128, and one byte.


def der_of_numbers(signature: bytes, size: int) -> bytes:
    """The DER form of r and s, of `size` bytes each, side by side."""
    if size > _LONGEST_SHORT:
        number = int.from_bytes
        return utils.encode_dss_signature(number(signature[:size], "big"), number(signature[size:], "big"))
    r, s = signature[:size].lstrip(b"\0") or b"\0", signature[size:].lstrip(b"\0") or b"\0"
    if r[0] > 127:
        r = b"\0" + r
    if s[0] > 127:
        s = b"\0" + s
    return b"\x30%c\x02%c%b\x02%c%b" % (len(r) + len(s) + 4, len(r), r, len(s), s)


def numbers_of_der(der: bytes, size: int) -> bytes:
    """The numbers r and s, of `size` bytes each, side by side, of a signature that the library has just made."""
    if size > _LONGEST_SHORT:
        r, s = utils.decode_dss_signature(der)
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    end = 4 + der[3]
    return der[4:end].rjust(size, b"\0")[-size:] + der[end + 2 :].rjust(size, b"\0")[-size:]


def _rsa_verifier(algorithm: Algorithm, native: rsa.RSAPublicKey) -> Callable[[bytes, bytes], object]:
    chosen, digest = _rsa_scheme(algorithm)
    check, length = native.verify, (native.key_size + 7) // 8

    def verify(signature: bytes, data: bytes) -> None:
        # RFC 8017 §8.1.2, §8.2.2 step 1. For PSS the library takes one without its leading zeros, too.
        if len(signature) != length:
            raise InvalidSignature
        check(signature, data, chosen, digest)

    return verify


def _rsa_signer(algorithm: Algorithm, native: rsa.RSAPrivateKey) -> Callable[[bytes], bytes]:
    chosen, digest = _rsa_scheme(algorithm)
    make = native.sign

    def sign(data: bytes) -> bytes:
        return make(data, chosen, digest)

    return sign


def _rsa_scheme(algorithm: Algorithm) -> tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]:
    digest = _HASHES[algorithm.hash_name or ""]
    if algorithm.padding == "pss":
        # RFC 9421 §3.3.1, RFC 7518 §3.5: MGF1 with the same hash, the salt exactly as long as its output.
        return padding.PSS(padding.MGF1(digest), algorithm.hash_bytes), digest
    return padding.PKCS1v15(), digest
