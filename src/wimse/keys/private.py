"""Private keys, and the one method that any signer has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, Protocol, runtime_checkable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from wimse.errors import Reason, Refused
from wimse.keys.algorithms import EDDSA, ES256, Algorithm
from wimse.keys.encoding import b64url_decode, b64url_encode
from wimse.keys.public import PublicKey

__all__ = ["PrivateKey", "Signer"]

_SHA256 = ec.ECDSA(hashes.SHA256())


@runtime_checkable
class Signer(Protocol):
    """Whoever can sign bytes with one key: a `PrivateKey`, or a front of a KMS, an HSM or an agent."""

    @property
    def public_key(self) -> PublicKey:
        """The public key that verifies what `sign` makes."""

    def sign(self, data: bytes) -> bytes:
        """Sign `data`; the form of the result is that of `PublicKey.verify`."""


class PrivateKey:
    """A private key for one algorithm. It does not show itself: not in `repr`, not in a pickle.

    Make it with `generate`, `from_jwk` or `from_pem`.
    """

    __slots__ = ("_native", "_public_key")

    def __init__(
        self, native: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, *, kid: str | None = None
    ) -> None:
        """Wrap a key of the `cryptography` package.

        Raises:
            Refused: `key_unsupported` when it is neither P-256 nor Ed25519.
        """
        self._public_key = PublicKey.from_native(native.public_key(), kid=kid)
        self._native = native

    @classmethod
    def generate(cls, algorithm: Algorithm = ES256, *, kid: str | None = None) -> PrivateKey:
        """Make a new key of `algorithm`, with randomness of `cryptography`."""
        if algorithm is EDDSA:
            return cls(ed25519.Ed25519PrivateKey.generate(), kid=kid)
        return cls(ec.generate_private_key(ec.SECP256R1()), kid=kid)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> PrivateKey:
        """Read a private key from a JWK (RFC 7518 §6.2.2, RFC 8037 §2).

        Raises:
            Refused: as `PublicKey.from_jwk` for the public members; `key_malformed` when `d` is missing or
                malformed; `key_mismatch` when the public members are not those of `d`.
        """
        public = PublicKey._from_public_members(jwk)  # noqa: SLF001 - the other half of the same format
        d = jwk.get("d")
        if not isinstance(d, str):
            raise Refused(Reason.KEY_MALFORMED, "the JWK is not a private key: it has no d")
        octets = b64url_decode(d, "the JWK's d")
        if len(octets) != public.algorithm.coordinate_bytes:
            raise Refused(Reason.KEY_MALFORMED, "the JWK's d has the wrong length")
        native: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
        if public.algorithm is EDDSA:
            native = ed25519.Ed25519PrivateKey.from_private_bytes(octets)
        else:
            try:
                native = ec.derive_private_key(int.from_bytes(octets, "big"), ec.SECP256R1())
            except ValueError:
                raise Refused(Reason.KEY_MALFORMED, "the JWK's d is out of range") from None
        key = cls(native, kid=public.kid)
        if not key.public_key.same_key(public):
            raise Refused(Reason.KEY_MISMATCH, "the JWK's public members are not those of its private key")
        return key

    @classmethod
    def from_pem(cls, pem: bytes, *, kid: str | None = None) -> PrivateKey:
        """Read an unencrypted private key from PEM (PKCS#8, SEC1).

        Raises:
            Refused: `key_malformed` when it cannot be read, `key_unsupported` for another type or curve.
        """
        try:
            native = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise Refused(Reason.KEY_MALFORMED, "the PEM holds no unencrypted private key that can be read") from None
        return cls._from_loaded(native, kid=kid)

    @classmethod
    def from_pkcs8_der(cls, der: bytes, *, kid: str | None = None) -> PrivateKey:
        """Read an unencrypted private key from PKCS#8 DER; raises as `from_pem`."""
        try:
            native = serialization.load_der_private_key(der, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise Refused(Reason.KEY_MALFORMED, "the DER holds no unencrypted private key that can be read") from None
        return cls._from_loaded(native, kid=kid)

    @classmethod
    def _from_loaded(cls, native: object, *, kid: str | None) -> PrivateKey:
        if not isinstance(native, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise Refused(Reason.KEY_UNSUPPORTED, "the key is neither P-256 nor Ed25519")
        return cls(native, kid=kid)

    @property
    def public_key(self) -> PublicKey:
        """The public half, with the same `kid`."""
        return self._public_key

    @property
    def algorithm(self) -> Algorithm:
        """The only algorithm that this key signs with."""
        return self._public_key.algorithm

    @property
    def kid(self) -> str | None:
        """The key's identifier, or None."""
        return self._public_key.kid

    @property
    def native(self) -> ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
        """The key as `cryptography` holds it, for what builds certificates."""
        return self._native

    def with_kid(self, kid: str | None) -> PrivateKey:
        """Return the same key under another identifier."""
        return PrivateKey(self._native, kid=kid)

    def sign(self, data: bytes) -> bytes:
        """Sign `data`: r and s of 32 bytes each for ES256, the 64 bytes of RFC 8032 for EdDSA."""
        if isinstance(self._native, ed25519.Ed25519PrivateKey):
            return self._native.sign(data)
        r, s = utils.decode_dss_signature(self._native.sign(data, _SHA256))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def to_jwk(self) -> dict[str, str]:
        """Write the key, private part included, as a JWK."""
        if isinstance(self._native, ed25519.Ed25519PrivateKey):
            secret = self._native.private_bytes_raw()
        else:
            secret = self._native.private_numbers().private_value.to_bytes(32, "big")
        return {**self._public_key.to_jwk(), "d": b64url_encode(secret)}

    def to_pem(self) -> bytes:
        """Write the key, unencrypted, as PEM (PKCS#8)."""
        return self._private_bytes(serialization.Encoding.PEM)

    def to_pkcs8_der(self) -> bytes:
        """Write the key, unencrypted, as PKCS#8 DER."""
        return self._private_bytes(serialization.Encoding.DER)

    def _private_bytes(self, encoding: serialization.Encoding) -> bytes:
        return self._native.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def __repr__(self) -> str:
        return f"PrivateKey({self.algorithm.jose_name}, kid={self.kid!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled: write it with to_jwk or to_pem")
