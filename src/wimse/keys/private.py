"""Private keys: what a signer holds when the key is in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NoReturn, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.keys.algorithms import ES256, Algorithm
from wimse.keys.encoding import b64url_encode
from wimse.keys.jwk import octets, uint, uint_octets, write_members
from wimse.keys.pem import check_der_restriction, check_restriction
from wimse.keys.primitives import CURVES, UNREADABLE, NativePrivateKey, signer
from wimse.keys.public import PublicKey
from wimse.keys.rsa_checks import MAX_MODULUS_BITS, MIN_MODULUS_BITS, check_private

__all__ = ["DEFAULT_RSA_BITS", "PrivateKey"]

DEFAULT_RSA_BITS: Final = 3_072  # SP 800-57 part 1, table 2: 128 bits of security, as P-256 and Ed25519 have
_RSA_PRIVATE_MEMBERS: Final = ("d", "p", "q", "dp", "dq", "qi")


class PrivateKey:
    """A private key for one algorithm. It does not show itself: not in `repr`, not in a pickle.

    Make it with `generate`, `from_jwk` or `from_pem`.
    """

    __slots__ = ("_native", "_public_key", "_sign")

    def __init__(self, native: NativePrivateKey, *, kid: str | None = None, algorithm: Algorithm | None = None) -> None:
        """Wrap a key of the `cryptography` package.

        Args:
            native: the library's private key.
            kid: the key's identifier.
            algorithm: what the key is for; needed for RSA.

        Raises:
            Refused: as `PublicKey.from_native`; `key_mismatch` when the members of an RSA key do not fit each other.
        """
        self._public_key = PublicKey.from_native(native.public_key(), kid=kid, algorithm=algorithm)
        if self._public_key.algorithm.key_type == "RSA":
            check_private(cast("rsa.RSAPrivateKey", native).private_numbers())
        self._native = native
        self._sign: Callable[[bytes], bytes] = signer(self._public_key.algorithm, native)

    @classmethod
    def generate(
        cls, algorithm: Algorithm = ES256, *, kid: str | None = None, rsa_bits: int = DEFAULT_RSA_BITS
    ) -> PrivateKey:
        """Make a new key of `algorithm`, with randomness of `cryptography`.

        Args:
            algorithm: any of `PUBLIC_KEY_ALGORITHMS`.
            kid: the key's identifier.
            rsa_bits: size of the modulus for RSA, 2,048 to 8,192.

        Raises:
            ConfigurationError: for a symmetric algorithm, or a size out of range.
        """
        if algorithm.symmetric:
            raise ConfigurationError(f"{algorithm.jose_name} has no private keys: its keys are SecretKey")
        native: NativePrivateKey
        if algorithm.key_type == "RSA":
            if not MIN_MODULUS_BITS <= rsa_bits <= MAX_MODULUS_BITS:
                raise ConfigurationError(f"an RSA modulus has {MIN_MODULUS_BITS} to {MAX_MODULUS_BITS} bits")
            native = rsa.generate_private_key(65_537, rsa_bits)
        elif algorithm.key_type == "EC":
            native = ec.generate_private_key(CURVES[algorithm.curve or ""])
        elif algorithm.curve == "Ed448":
            native = ed448.Ed448PrivateKey.generate()
        else:
            native = ed25519.Ed25519PrivateKey.generate()
        return cls(native, kid=kid, algorithm=algorithm)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object], *, algorithm: Algorithm | None = None) -> PrivateKey:
        """Read a private key from a JWK (RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2).

        Args:
            jwk: the members; of an RSA key all of p, q, dp, dq and qi.
            algorithm: what the key is for; needed for an RSA key without `alg`.

        Raises:
            Refused: as `PublicKey.from_jwk` for the public members; `key_malformed` when a private member is
                missing or malformed; `key_mismatch` when the members do not fit each other; `key_unsupported` for
                an RSA key of more than two primes.
        """
        public = PublicKey._from_public_members(jwk, algorithm)  # noqa: SLF001 - the other half of the same format
        if "d" not in jwk:
            raise Refused(Reason.KEY_MALFORMED, "the JWK is not a private key: it has no d")
        native = _native_rsa_key(jwk) if public.algorithm.key_type == "RSA" else _native_key(jwk, public)
        key = cls(native, kid=public.kid, algorithm=public.algorithm)
        if not key.public_key.same_key(public):
            raise Refused(Reason.KEY_MISMATCH, "the JWK's public members are not those of its private key")
        return key

    @classmethod
    def from_pem(cls, pem: bytes, *, kid: str | None = None, algorithm: Algorithm | None = None) -> PrivateKey:
        """Read an unencrypted private key from PEM (PKCS#8; SEC1 for EC, PKCS#1 for RSA).

        Args:
            pem: the bytes.
            kid: the key's identifier.
            algorithm: what the key is for; needed for RSA.

        Raises:
            Refused: `key_malformed` when it cannot be read; else as `PublicKey.from_pem`.
        """
        try:
            native = serialization.load_pem_private_key(pem, password=None)
        except UNREADABLE:
            raise Refused(Reason.KEY_MALFORMED, "the PEM holds no unencrypted private key that can be read") from None
        key = cls._from_loaded(native, kid=kid, algorithm=algorithm)
        check_restriction(pem, key.algorithm)
        return key

    @classmethod
    def from_pkcs8_der(cls, der: bytes, *, kid: str | None = None, algorithm: Algorithm | None = None) -> PrivateKey:
        """Read an unencrypted private key from PKCS#8 DER; arguments and errors as `from_pem`."""
        try:
            native = serialization.load_der_private_key(der, password=None)
        except UNREADABLE:
            raise Refused(Reason.KEY_MALFORMED, "the DER holds no unencrypted private key that can be read") from None
        key = cls._from_loaded(native, kid=kid, algorithm=algorithm)
        check_der_restriction(der, key.algorithm)
        return key

    @classmethod
    def _from_loaded(cls, native: object, *, kid: str | None, algorithm: Algorithm | None) -> PrivateKey:
        known = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | rsa.RSAPrivateKey
        if not isinstance(native, known):
            raise Refused(Reason.KEY_UNSUPPORTED, "the key is not of a type that is supported")
        return cls(native, kid=kid, algorithm=algorithm)

    @property
    def public_key(self) -> PublicKey:
        """The public half, with the same `kid`."""
        return self._public_key

    @property
    def verification_key(self) -> PublicKey:
        """What verifies the signatures of this key: its public half."""
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
    def native(self) -> NativePrivateKey:
        """The key as `cryptography` holds it, for what builds certificates."""
        return self._native

    def with_kid(self, kid: str | None) -> PrivateKey:
        """Return the same key under another identifier."""
        return PrivateKey(self._native, kid=kid, algorithm=self.algorithm)

    def sign(self, data: bytes) -> bytes:
        """Sign `data`; the form of the result is that of `PublicKey.verify`."""
        return self._sign(data)

    def to_jwk(self) -> dict[str, str]:
        """Write the key, private part included, as a JWK."""
        native, kind = self._native, self.algorithm.key_type
        if kind == "RSA":
            numbers = cast("rsa.RSAPrivateKey", native).private_numbers()
            secret = (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
            private = write_members(_RSA_PRIVATE_MEMBERS, tuple(uint_octets(each) for each in secret))
        elif kind == "EC":
            # RFC 7518 §6.2.2.1: as long as the order, which for these curves is as long as a coordinate.
            number = cast("ec.EllipticCurvePrivateKey", native).private_numbers().private_value
            private = {"d": b64url_encode(number.to_bytes(self.algorithm.coordinate_bytes, "big"))}
        else:
            private = {"d": b64url_encode(cast("ed25519.Ed25519PrivateKey", native).private_bytes_raw())}
        return {**self._public_key.to_jwk(), **private}

    def to_pem(self) -> bytes:
        """Write the key, unencrypted, as PEM (PKCS#8). PEM does not say which algorithm an RSA key is for."""
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


def _native_key(jwk: Mapping[str, object], public: PublicKey) -> NativePrivateKey:
    secret = octets(jwk, "d")
    if len(secret) != public.algorithm.coordinate_bytes:
        raise Refused(Reason.KEY_MALFORMED, "the JWK's d has the wrong length")
    curve = public.algorithm.curve or ""
    if curve == "Ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(secret)
    if curve == "Ed448":
        return ed448.Ed448PrivateKey.from_private_bytes(secret)
    try:
        return ec.derive_private_key(int.from_bytes(secret, "big"), CURVES[curve])
    except ValueError:
        raise Refused(Reason.KEY_MALFORMED, "the JWK's d is out of range") from None


def _native_rsa_key(jwk: Mapping[str, object]) -> rsa.RSAPrivateKey:
    if "oth" in jwk:  # RFC 7518 §6.3.2.7
        raise Refused(Reason.KEY_UNSUPPORTED, "an RSA key of more than two primes is not supported")
    # §6.3.2: a key may have d alone, and we may ask for all. Nothing is worked out that could be checked.
    d, p, q, dp, dq, qi = (uint(jwk, name) for name in _RSA_PRIVATE_MEMBERS)
    numbers = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(uint(jwk, "e"), uint(jwk, "n")))
    check_private(numbers)
    try:
        return numbers.private_key()
    except ValueError:
        raise Refused(Reason.KEY_MALFORMED, "the JWK's private members are no RSA key") from None
