"""One key for each algorithm, made once: RSA keys take long to make, and one pair of primes serves all six."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from wimse.keys import ALGORITHMS, HS256, HS384, HS512, PUBLIC_KEY_ALGORITHMS, Algorithm, PrivateKey, SecretKey

__all__ = ["EVERY", "OTHER_RSA", "PRIVATE", "RSA", "SECRET", "name_of", "private_key"]

RSA: Final = rsa.generate_private_key(65_537, 2_048)
OTHER_RSA: Final = rsa.generate_private_key(65_537, 2_048)


def name_of(algorithm: Algorithm) -> str:
    """The name that no other algorithm has."""
    return algorithm.jose_names[-1]


def private_key(algorithm: Algorithm, native: rsa.RSAPrivateKey = RSA, kid: str | None = None) -> PrivateKey:
    """A key for `algorithm`: a new one, or `native` for RSA."""
    if algorithm.key_type == "RSA":
        return PrivateKey(native, algorithm=algorithm, kid=kid)
    return PrivateKey.generate(algorithm, kid=kid)


PRIVATE: Final = {name_of(each): private_key(each) for each in PUBLIC_KEY_ALGORITHMS}
SECRET: Final = {name_of(each): SecretKey.generate(each) for each in (HS256, HS384, HS512)}
EVERY: Final[dict[str, PrivateKey | SecretKey]] = {**PRIVATE, **SECRET}
assert list(EVERY) == [name_of(each) for each in ALGORITHMS]
