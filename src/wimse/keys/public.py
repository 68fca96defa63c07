"""Public keys: what a verifier holds. Nothing becomes one without passing every check of this room."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from wimse.errors import Reason, Refused
from wimse.keys.algorithms import Algorithm, algorithm_of_parts
from wimse.keys.encoding import b64url_encode
from wimse.keys.jwk import (
    PRIVATE_MEMBERS,
    PUBLIC_MEMBERS,
    algorithm_of_jwk,
    native_public_key,
    optional_string,
    public_numbers,
    write_members,
)
from wimse.keys.pem import check_restriction
from wimse.keys.primitives import UNREADABLE, NativePublicKey, curve_name, is_public_key, verifier

__all__ = ["PRIVATE_MEMBERS", "PublicKey"]


@dataclass(frozen=True, slots=True, repr=False)
class PublicKey:
    """A public key for one algorithm.

    Make it with `from_jwk`, `from_pem` or `from_native`; they refuse what must not be trusted. It is never a shared
    secret: that is a `SecretKey`, and no bytes of a public key become one (RFC 9421 §7.3.6).

    Attributes:
        algorithm: the only algorithm that this key verifies.
        native: the key as `cryptography` holds it.
        kid: the key's identifier, or None.
        use: the JWK's `use`, or None.
    """

    algorithm: Algorithm
    native: NativePublicKey = field(compare=False)
    _members: tuple[bytes, ...]
    kid: str | None = None
    use: str | None = None
    _check: Callable[[bytes, bytes], object] = field(init=False, compare=False)
    _thumbprint: str = field(init=False, compare=False, default="")
    _written: Mapping[str, str] | None = field(init=False, compare=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_check", verifier(self.algorithm, self.native))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object], *, algorithm: Algorithm | None = None) -> PublicKey:
        """Read a public key from a JWK (RFC 7517, RFC 7518 §6.2.1, §6.3.1, RFC 8037 §2).

        Args:
            jwk: the members.
            algorithm: what the key is for; needed for an RSA key without `alg`.

        Raises:
            Refused: `key_private` when a private member is present; `key_unsupported` for another type or
                curve, or an RSA modulus or exponent that is too large; `algorithm_mismatch` when `alg`, the curve
                and `algorithm` do not agree; `algorithm_not_allowed` for an `alg` of an RSA key that is not in the
                table, `algorithm_missing` when nothing says which it is; `key_malformed` for members of the wrong type,
                length or range, or a point off the curve; `key_weak` for a point of low order or an RSA key
                that proves nothing.
        """
        if not PRIVATE_MEMBERS.isdisjoint(jwk):
            raise Refused(Reason.KEY_PRIVATE, "a private key stands where a public key belongs")
        return cls._from_public_members(jwk, algorithm)

    @classmethod
    def _from_public_members(cls, jwk: Mapping[str, object], chosen: Algorithm | None) -> PublicKey:
        if jwk.get("kty") == "oct":
            raise Refused(Reason.KEY_UNSUPPORTED, "a shared secret is neither a public nor a private key")
        algorithm = algorithm_of_jwk(jwk, chosen)
        kid, use = optional_string(jwk, "kid"), optional_string(jwk, "use")
        native, numbers = native_public_key(jwk, algorithm)
        return cls(algorithm, native, numbers, kid, use)

    @classmethod
    def from_native(cls, native: object, *, kid: str | None = None, algorithm: Algorithm | None = None) -> PublicKey:
        """Wrap a key of the `cryptography` package, with the same checks.

        Args:
            native: the library's public key.
            kid: the key's identifier.
            algorithm: what the key is for; needed for RSA.

        Raises:
            Refused: as `from_jwk`.
        """
        if not is_public_key(native):
            raise Refused(Reason.KEY_UNSUPPORTED, "the key is not of a type that is supported")
        settled = algorithm_of_parts(*curve_name(native), said=None, chosen=algorithm)
        return cls(settled, native, public_numbers(native, settled), kid)

    @classmethod
    def from_pem(cls, pem: bytes, *, kid: str | None = None, algorithm: Algorithm | None = None) -> PublicKey:
        """Read a public key from PEM (SubjectPublicKeyInfo, or PKCS#1 for RSA); arguments as `from_native`.

        Raises:
            Refused: `key_malformed` when it cannot be read; else as `from_jwk`.
        """
        try:
            native = serialization.load_pem_public_key(pem)
        except UNREADABLE:
            raise Refused(Reason.KEY_MALFORMED, "the PEM holds no public key that can be read") from None
        key = cls.from_native(native, kid=kid, algorithm=algorithm)
        check_restriction(pem, key.algorithm)
        return key

    def with_kid(self, kid: str | None) -> PublicKey:
        """Return the same key under another identifier."""
        return self if kid == self.kid else replace(self, kid=kid)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check a signature over `data`.

        Args:
            signature: in JOSE's form, which is RFC 9421's: for ECDSA r and s, each as long as a coordinate
                (RFC 7518 §3.4); for EdDSA 64 or 114 bytes (RFC 8032); for RSA as long as the modulus.
            data: the signed bytes.

        Raises:
            Refused: `signature_invalid`.
        """
        try:
            self._check(signature, data)
        except InvalidSignature:
            raise Refused(Reason.SIGNATURE_INVALID, "the signature does not verify with this key") from None

    def to_jwk(self, *, use: str | None = None) -> dict[str, str]:
        """Write the key as a JWK with `alg`, with `kid` where it has one, and with `use` where one is given."""
        jwk = {**self._type_members(), "alg": self.algorithm.jose_name, **self._public_members()}
        if self.kid is not None:
            jwk["kid"] = self.kid
        if use or self.use:
            jwk["use"] = use or self.use or ""
        return jwk

    def to_pem(self) -> bytes:
        """Write the key as PEM (SubjectPublicKeyInfo). PEM does not say which algorithm an RSA key is for."""
        return self.native.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def thumbprint(self) -> str:
        """The JWK thumbprint with SHA-256, base64url (RFC 7638 §3, RFC 8037 §2)."""
        if not self._thumbprint:  # of numbers that never change
            canonical = json.dumps(
                {**self._type_members(), **self._public_members()}, sort_keys=True, separators=(",", ":")
            )
            made = b64url_encode(hashlib.sha256(canonical.encode("ascii")).digest())
            object.__setattr__(self, "_thumbprint", made)
        return self._thumbprint

    @property
    def numbers(self) -> tuple[bytes, ...]:
        """What tells the key from every other one of its type, whatever it is for and is called."""
        return self._members

    def same_key(self, other: PublicKey) -> bool:
        """Whether both are the same numbers for the same algorithm, whatever they are called."""
        return self.algorithm is other.algorithm and self._members == other._members

    def _type_members(self) -> dict[str, str]:
        curve = self.algorithm.curve
        return {"kty": self.algorithm.key_type, **({} if curve is None else {"crv": curve})}

    def _public_members(self) -> Mapping[str, str]:
        if self._written is None:  # of numbers that never change
            written = write_members(PUBLIC_MEMBERS[self.algorithm.key_type], self._members)
            object.__setattr__(self, "_written", written)
            return written
        return self._written

    def __repr__(self) -> str:
        return f"PublicKey({self.algorithm.jose_name}, kid={self.kid!r})"
