"""Reading the members of a JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2), each in the one spelling that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from wimse.errors import Reason, Refused
from wimse.keys.algorithms import Algorithm, algorithm_of_parts
from wimse.keys.edwards import ED448_CURVE, ED25519_CURVE, check_public_point
from wimse.keys.encoding import b64url_decode, b64url_encode
from wimse.keys.primitives import CURVES, NativePublicKey, curve_name
from wimse.keys.rsa_checks import MAX_MODULUS_BITS, check_public

__all__ = [
    "PRIVATE_MEMBERS",
    "PUBLIC_MEMBERS",
    "algorithm_of_jwk",
    "native_public_key",
    "octets",
    "optional_string",
    "public_numbers",
    "uint",
    "uint_octets",
    "write_members",
]

# RFC 7518 §6.2.2, §6.3.2, §6.4.1 and RFC 8037 §2: the members that carry private or secret key material.
PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# What makes two public keys the same (RFC 7638 §3.2, RFC 8037 §2), beside kty and crv.
PUBLIC_MEMBERS: Final = {"EC": ("x", "y"), "OKP": ("x",), "RSA": ("n", "e")}

# FIPS 186-5, SP 800-186 §3.2.1
_PRIMES: Final = {
    "P-256": (2**256 - 2**224 + 2**192 + 2**96 - 1).to_bytes(32, "big"),
    "P-384": (2**384 - 2**128 - 2**96 + 2**32 - 1).to_bytes(48, "big"),
    "P-521": (2**521 - 1).to_bytes(66, "big"),
}
_MAX_UINT_BYTES: Final = MAX_MODULUS_BITS // 8


def algorithm_of_jwk(jwk: Mapping[str, object], chosen: Algorithm | None) -> Algorithm:
    """The algorithm of a key, from its type, curve and `alg`, and what was chosen; raises as `algorithm_of_parts`."""
    key_type, curve = jwk.get("kty"), jwk.get("crv")
    if not isinstance(key_type, str) or not isinstance(curve, str | None):
        raise Refused(Reason.KEY_UNSUPPORTED, "the JWK's kty and crv are not a supported pair")
    # An alg that is there and null says nothing that could agree.
    return algorithm_of_parts(key_type, curve, said=jwk["alg"] or "" if "alg" in jwk else None, chosen=chosen)


def optional_string(jwk: Mapping[str, object], name: str) -> str | None:
    """A member that is a string or absent.

    Raises:
        Refused: `key_malformed` for another type.
    """
    value = jwk.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(Reason.KEY_MALFORMED, f"the JWK's {name} is not a string")
    return value


def octets(jwk: Mapping[str, object], name: str) -> bytes:
    """The bytes of a member.

    Raises:
        Refused: `key_malformed` when it is missing or no string, `base64_malformed`.
    """
    value = jwk.get(name)
    if not isinstance(value, str):
        raise Refused(Reason.KEY_MALFORMED, f"the JWK has no {name}")
    return b64url_decode(value, f"the JWK's {name}")


def uint(jwk: Mapping[str, object], name: str) -> int:
    """The number of a member, of at most 8,192 bits.

    Raises:
        Refused: as `octets`; `key_malformed` when it is empty or has leading zeros; `key_unsupported` when it is too
            large.
    """
    data = octets(jwk, name)
    if not data or (data[0] == 0 and len(data) > 1):  # RFC 7518 §2: the minimum number of octets
        raise Refused(Reason.KEY_MALFORMED, f"the JWK's {name} is not a number in canonical form")
    if len(data) > _MAX_UINT_BYTES:
        raise Refused(Reason.KEY_UNSUPPORTED, f"the JWK's {name} has more than {MAX_MODULUS_BITS} bits")
    return int.from_bytes(data, "big")


def uint_octets(number: int) -> bytes:
    """A number in the minimum number of octets (RFC 7518 §2)."""
    return number.to_bytes(max((number.bit_length() + 7) // 8, 1), "big")


def native_public_key(jwk: Mapping[str, object], algorithm: Algorithm) -> tuple[NativePublicKey, tuple[bytes, ...]]:
    """Make the library's key of a JWK's public members, and give both: the members as `public_numbers` has them.

    What the library takes unseen, `public_numbers` checks.

    Raises:
        Refused: `key_malformed` for members of the wrong type, length or range, or a point off the curve;
            `base64_malformed`; `key_unsupported` for a number that is too large.
    """
    if algorithm.key_type == "RSA":
        n, e = uint(jwk, "n"), uint(jwk, "e")
        check_public(n, e)
        return rsa.RSAPublicNumbers(e, n).public_key(), (uint_octets(n), uint_octets(e))
    # RFC 7518 §6.2.1.2: the octets are as long as a coordinate of the curve, leading zeros included.
    point = [octets(jwk, name) for name in PUBLIC_MEMBERS[algorithm.key_type]]
    if any(len(each) != algorithm.coordinate_bytes for each in point):
        raise Refused(Reason.KEY_MALFORMED, f"a coordinate of the JWK is not {algorithm.coordinate_bytes} bytes long")
    if algorithm.key_type == "EC":
        # On the curve, with coordinates below its prime: these are its numbers, and need not be asked for again.
        return _ec_key(algorithm.curve or "", *point), tuple(point)
    kind = ed448.Ed448PublicKey if algorithm.curve == "Ed448" else ed25519.Ed25519PublicKey
    native = kind.from_public_bytes(point[0])
    return native, public_numbers(native, algorithm)


def public_numbers(native: NativePublicKey, algorithm: Algorithm) -> tuple[bytes, ...]:
    """The public members of a library's key, after every check of the numbers that they stand for.

    Raises:
        Refused: `key_weak`, `key_malformed` or `key_unsupported`, for RSA as `rsa_checks.check_public`, for EdDSA as
            `edwards.check_public_point`.
    """
    kind, _ = curve_name(native)
    if kind == "RSA":
        numbers = cast("rsa.RSAPublicKey", native).public_numbers()
        check_public(numbers.n, numbers.e)
        return uint_octets(numbers.n), uint_octets(numbers.e)
    if kind == "EC":
        point, size = cast("ec.EllipticCurvePublicKey", native).public_numbers(), algorithm.coordinate_bytes
        return point.x.to_bytes(size, "big"), point.y.to_bytes(size, "big")
    encoded = cast("ed25519.Ed25519PublicKey | ed448.Ed448PublicKey", native).public_bytes_raw()
    check_public_point(encoded, ED25519_CURVE if algorithm.curve == "Ed25519" else ED448_CURVE)
    return (encoded,)


def _ec_key(curve: str, x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    prime = _PRIMES[curve]
    if x >= prime or y >= prime:  # of one length, so that bytes compare as numbers; the library may reduce them
        raise Refused(Reason.KEY_MALFORMED, "a coordinate of the key is not in canonical form")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], b"\x04" + x + y)  # SEC 1 §2.3.3
    except ValueError:
        raise Refused(Reason.KEY_MALFORMED, f"the point is not on the curve {curve}") from None


def write_members(names: tuple[str, ...], values: tuple[bytes, ...]) -> dict[str, str]:
    """The members `names` with `values`, as base64url."""
    return dict(zip(names, map(b64url_encode, values), strict=True))
