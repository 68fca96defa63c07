"""Shared secrets for HMAC (RFC 9421 §3.3.3, RFC 7518 §3.2): one class for both sides, and a class of its own.

An attacker who knows a public key must not be able to use its bytes as a secret (RFC 9421 §7.3.6). So a secret comes
from a JWK of the type `oct`, or from bytes that the caller calls one; never from PEM and never from a `PublicKey`; and
whoever asks for a `PublicKey` is never given a secret.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from functools import partial
from typing import NoReturn

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.keys.algorithms import HS256, Algorithm
from wimse.keys.encoding import b64url_encode
from wimse.keys.jwk import algorithm_of_jwk, octets, optional_string

__all__ = ["SecretKey"]


class SecretKey:
    """A shared secret for one algorithm: it signs and verifies, and has no public half.

    It does not show itself: not in `repr`, not in a pickle. There is no thumbprint of it, for whoever sees the
    thumbprint of a secret can try guesses against it (RFC 7638 §7).

    Make it with `generate`, `from_jwk` or `from_bytes`.
    """

    __slots__ = ("_algorithm", "_digest", "_kid", "_secret")

    def __init__(self, secret: bytes, *, algorithm: Algorithm, kid: str | None = None) -> None:
        """Hold `secret`.

        Args:
            secret: at least as many bytes as the hash has.
            algorithm: one of `HS256`, `HS384`, `HS512`.
            kid: the key's identifier.

        Raises:
            Refused: `algorithm_mismatch` for an algorithm that is not symmetric; `key_weak` for a secret that is
                shorter than the hash's output (RFC 7518 §3.2).
        """
        if not algorithm.symmetric:
            raise Refused(Reason.ALGORITHM_MISMATCH, "the algorithm is not one for shared secrets")
        if len(secret) < algorithm.hash_bytes:
            raise Refused(Reason.KEY_WEAK, f"the secret is shorter than {algorithm.hash_bytes} bytes")
        self._secret, self._algorithm, self._kid = bytes(secret), algorithm, kid
        self._digest: Callable[[bytes], bytes] = partial(_mac, self._secret, algorithm.hash_name or "")

    @classmethod
    def generate(cls, algorithm: Algorithm = HS256, *, kid: str | None = None) -> SecretKey:
        """Make a new secret as long as the hash's output, with randomness of `cryptography`.

        Raises:
            ConfigurationError: for an algorithm that is not symmetric.
        """
        if not algorithm.symmetric:
            raise ConfigurationError(f"{algorithm.jose_name} has no shared secrets: its keys are PrivateKey")
        # The library gives random keys of 32 bytes at most at once.
        random = AESGCM.generate_key(256) + AESGCM.generate_key(256)
        return cls(random[: algorithm.hash_bytes], algorithm=algorithm, kid=kid)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object], *, algorithm: Algorithm | None = None) -> SecretKey:
        """Read a secret from a JWK of the type `oct` (RFC 7518 §6.4).

        Args:
            jwk: the members.
            algorithm: what the secret is for; needed when it has no `alg`.

        Raises:
            Refused: `key_unsupported` for another type; `key_malformed` when `k` is missing; `base64_malformed`;
                `algorithm_mismatch`, `algorithm_not_allowed`, `algorithm_missing` and `key_weak` as for every key.
        """
        if jwk.get("kty") != "oct":
            raise Refused(Reason.KEY_UNSUPPORTED, "the JWK is not a shared secret")
        settled = algorithm_of_jwk(jwk, algorithm)
        return cls(octets(jwk, "k"), algorithm=settled, kid=optional_string(jwk, "kid"))

    @classmethod
    def from_bytes(cls, secret: bytes, *, algorithm: Algorithm, kid: str | None = None) -> SecretKey:
        """Hold the bytes of a secret; arguments and errors as the constructor's."""
        return cls(secret, algorithm=algorithm, kid=kid)

    @property
    def algorithm(self) -> Algorithm:
        """The only algorithm that this key is for."""
        return self._algorithm

    @property
    def kid(self) -> str | None:
        """The key's identifier, or None."""
        return self._kid

    @property
    def verification_key(self) -> SecretKey:
        """What verifies the signatures of this key: itself."""
        return self

    def with_kid(self, kid: str | None) -> SecretKey:
        """Return the same secret under another identifier."""
        return SecretKey(self._secret, algorithm=self._algorithm, kid=kid)

    def sign(self, data: bytes) -> bytes:
        """The HMAC of `data`, as long as the hash's output."""
        return self._digest(data)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Compare the HMAC of `data` with `signature`, in time that does not depend on where they differ.

        Raises:
            Refused: `signature_invalid`; one that is cut short is not accepted.
        """
        if not hmac.compare_digest(self._digest(data), signature):
            raise Refused(Reason.SIGNATURE_INVALID, "the signature does not verify with this key")

    def same_key(self, other: SecretKey) -> bool:
        """Whether both are the same secret for the same algorithm, whatever they are called."""
        return self._algorithm is other._algorithm and hmac.compare_digest(self._secret, other._secret)

    def to_jwk(self) -> dict[str, str]:
        """Write the secret as a JWK."""
        named = {} if self._kid is None else {"kid": self._kid}
        return {"kty": "oct", "alg": self._algorithm.jose_name, "k": b64url_encode(self._secret), **named}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretKey) and self._kid == other._kid and self.same_key(other)

    def __hash__(self) -> int:
        return hash((SecretKey, self._algorithm, self._kid))  # nothing of the secret

    def __repr__(self) -> str:
        return f"SecretKey({self._algorithm.jose_name}, kid={self._kid!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: write it with to_jwk")


def _mac(secret: bytes, hash_name: str, data: bytes) -> bytes:
    return hmac.digest(secret, data, hash_name)
