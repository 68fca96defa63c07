"""Public keys: what a verifier holds. Nothing becomes one without passing every check of this module."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from wimse.errors import Reason, Refused
from wimse.keys.algorithms import EDDSA, ES256, Algorithm, algorithm_of_jose_name, algorithm_of_key
from wimse.keys.ed25519_points import check_public_point
from wimse.keys.encoding import b64url_decode, b64url_encode

__all__ = ["PublicKey"]

type_of_native = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

# RFC 7518 §6.2.2, §6.3.2 and RFC 8037 §2: the members that carry private or secret key material.
PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_SHA256 = ec.ECDSA(hashes.SHA256())
_P256_PRIME: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1  # FIPS 186-5, SP 800-186 §3.2.1.3


@dataclass(frozen=True, slots=True, repr=False)
class PublicKey:
    """A public key for one algorithm.

    Make it with `from_jwk`, `from_pem` or `from_native`; they refuse what must not be trusted.

    Attributes:
        algorithm: the only algorithm that this key verifies.
        kid: the key's identifier, or None.
        use: the JWK's `use`, or None.
    """

    algorithm: Algorithm
    native: type_of_native = field(compare=False)
    _point: tuple[bytes, ...]
    kid: str | None = None
    use: str | None = None

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> PublicKey:
        """Read a public key from a JWK (RFC 7517, RFC 7518 §6.2.1, RFC 8037 §2).

        Raises:
            Refused: `key_private` when a private member is present; `key_unsupported` for another type or
                curve; `algorithm_mismatch` when `alg` is not the algorithm of the curve; `key_malformed`
                for members of the wrong type, length or range, or a point off the curve; `key_weak` for an
                Ed25519 point of low order.
        """
        if not PRIVATE_MEMBERS.isdisjoint(jwk):
            raise Refused(Reason.KEY_PRIVATE, "a private key stands where a public key belongs")
        return cls._from_public_members(jwk)

    @classmethod
    def _from_public_members(cls, jwk: Mapping[str, object]) -> PublicKey:
        algorithm = algorithm_of_key(jwk.get("kty"), jwk.get("crv"))
        if algorithm is None:
            raise Refused(Reason.KEY_UNSUPPORTED, "the JWK's kty and crv are not a supported pair")
        if "alg" in jwk and algorithm_of_jose_name(jwk["alg"]) is not algorithm:
            raise Refused(Reason.ALGORITHM_MISMATCH, "the JWK's alg is not the algorithm of its curve")
        kid, use = _optional_string(jwk, "kid"), _optional_string(jwk, "use")
        members = ("x", "y") if algorithm.key_type == "EC" else ("x",)
        point = tuple(_coordinate(jwk, name, algorithm) for name in members)
        native = _p256_key(*point) if algorithm is ES256 else _ed25519_key(*point)
        return cls(algorithm, native, point, kid, use)

    @classmethod
    def from_native(cls, native: object, *, kid: str | None = None) -> PublicKey:
        """Wrap a key of the `cryptography` package, with the same checks.

        Raises:
            Refused: `key_unsupported` for any other type or curve, `key_weak` for an Ed25519 point of low order.
        """
        if isinstance(native, ec.EllipticCurvePublicKey) and isinstance(native.curve, ec.SECP256R1):
            numbers = native.public_numbers()
            point = (numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))
            return cls(ES256, native, point, kid)
        if isinstance(native, ed25519.Ed25519PublicKey):
            encoded = native.public_bytes_raw()
            return cls(EDDSA, _ed25519_key(encoded), (encoded,), kid)
        raise Refused(Reason.KEY_UNSUPPORTED, "the key is neither P-256 nor Ed25519")

    @classmethod
    def from_pem(cls, pem: bytes, *, kid: str | None = None) -> PublicKey:
        """Read a public key from PEM (SubjectPublicKeyInfo).

        Raises:
            Refused: `key_malformed` when it cannot be read, `key_unsupported` for another type or curve.
        """
        try:
            native = serialization.load_pem_public_key(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise Refused(Reason.KEY_MALFORMED, "the PEM holds no public key that can be read") from None
        return cls.from_native(native, kid=kid)

    def with_kid(self, kid: str | None) -> PublicKey:
        """Return the same key under another identifier."""
        return replace(self, kid=kid)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check a signature over `data`.

        Args:
            signature: for ES256 r and s, 32 bytes each (RFC 7518 §3.4); for EdDSA 64 bytes (RFC 8032).
            data: the signed bytes.

        Raises:
            Refused: `signature_invalid`.
        """
        try:
            if len(signature) != self.algorithm.signature_bytes:
                raise InvalidSignature
            if isinstance(self.native, ed25519.Ed25519PublicKey):
                self.native.verify(signature, data)
            else:
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                self.native.verify(utils.encode_dss_signature(r, s), data, _SHA256)
        except InvalidSignature:
            raise Refused(Reason.SIGNATURE_INVALID, "the signature does not verify with this key") from None

    def to_jwk(self, *, use: str | None = None) -> dict[str, str]:
        """Write the key as a JWK with `alg`, with `kid` where it has one, and with `use` where one is given."""
        jwk = {"kty": self.algorithm.key_type, "crv": self.algorithm.curve, "alg": self.algorithm.jose_name}
        jwk.update(zip(("x", "y"), map(b64url_encode, self._point), strict=False))
        if self.kid is not None:
            jwk["kid"] = self.kid
        if use or self.use:
            jwk["use"] = use or self.use or ""
        return jwk

    def to_pem(self) -> bytes:
        """Write the key as PEM (SubjectPublicKeyInfo)."""
        return self.native.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def thumbprint(self) -> str:
        """The JWK thumbprint with SHA-256, base64url (RFC 7638 §3, RFC 8037 §2)."""
        members = {"kty": self.algorithm.key_type, "crv": self.algorithm.curve}
        members.update(zip(("x", "y"), map(b64url_encode, self._point), strict=False))
        canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
        return b64url_encode(hashlib.sha256(canonical.encode("ascii")).digest())

    def same_key(self, other: PublicKey) -> bool:
        """Whether both are the same point of the same curve, whatever they are called."""
        return self.algorithm is other.algorithm and self._point == other._point

    def __repr__(self) -> str:
        return f"PublicKey({self.algorithm.jose_name}, kid={self.kid!r})"


def _optional_string(jwk: Mapping[str, object], name: str) -> str | None:
    value = jwk.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(Reason.KEY_MALFORMED, f"the JWK's {name} is not a string")
    return value


def _coordinate(jwk: Mapping[str, object], name: str, algorithm: Algorithm) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise Refused(Reason.KEY_MALFORMED, f"the JWK has no {name}")
    # RFC 7518 §6.2.1.2: the octets are as long as a coordinate of the curve, leading zeros included.
    octets = b64url_decode(value, f"the JWK's {name}")
    if len(octets) != algorithm.coordinate_bytes:
        raise Refused(Reason.KEY_MALFORMED, f"the JWK's {name} is not {algorithm.coordinate_bytes} bytes long")
    return octets


def _p256_key(x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
    if max(numbers.x, numbers.y) >= _P256_PRIME:  # the library reduces them: one key would have two names
        raise Refused(Reason.KEY_MALFORMED, "a coordinate of the key is not in canonical form")
    try:
        return numbers.public_key()
    except ValueError:
        raise Refused(Reason.KEY_MALFORMED, "the point is not on the curve P-256") from None


def _ed25519_key(encoded: bytes) -> ed25519.Ed25519PublicKey:
    check_public_point(encoded)
    return ed25519.Ed25519PublicKey.from_public_bytes(encoded)
