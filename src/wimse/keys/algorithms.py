"""The one table of signature algorithms, with the name that each registry gives them."""

from __future__ import annotations

from dataclasses import dataclass

from wimse.errors import Reason, Refused

__all__ = ["ALGORITHMS", "EDDSA", "ES256", "Algorithm", "algorithm_named"]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A signature algorithm, tied to one type of key and one curve.

    Attributes:
        jose_name: the name that this package writes in JOSE (`alg` of a JWK or a JWS header).
        jose_aliases: other names of the same algorithm, accepted when read.
        http_name: the name in the HTTP Signature Algorithms registry (RFC 9421 §6.2.2).
        key_type: `kty` of its keys.
        curve: `crv` of its keys.
        coordinate_bytes: length of a coordinate, or of the encoded point, in bytes.
        signature_bytes: exact length of a signature, in bytes.
    """

    jose_name: str
    jose_aliases: tuple[str, ...]
    http_name: str
    key_type: str
    curve: str
    coordinate_bytes: int
    signature_bytes: int

    @property
    def jose_names(self) -> tuple[str, ...]:
        """All names that mean this algorithm in JOSE, the one we write first."""
        return (self.jose_name, *self.jose_aliases)


# RFC 7518 §3.4 and RFC 9421 §3.3.4 agree: r and s as 32 bytes each, concatenated.
ES256 = Algorithm("ES256", (), "ecdsa-p256-sha256", "EC", "P-256", 32, 64)
# RFC 8037 §3.1 calls it EdDSA, RFC 9864 Ed25519; RFC 9421 §3.3.6 ed25519.
EDDSA = Algorithm("EdDSA", ("Ed25519",), "ed25519", "OKP", "Ed25519", 32, 64)

ALGORITHMS: tuple[Algorithm, ...] = (ES256, EDDSA)

_BY_JOSE_NAME = {name: algorithm for algorithm in ALGORITHMS for name in algorithm.jose_names}
_BY_HTTP_NAME = {algorithm.http_name: algorithm for algorithm in ALGORITHMS}
_BY_KEY = {(algorithm.key_type, algorithm.curve): algorithm for algorithm in ALGORITHMS}


def algorithm_named(name: str) -> Algorithm:
    """Find an algorithm by any of its names, compared exactly.

    Raises:
        Refused: `algorithm_not_allowed` when the name is not in the table; `none` and every symmetric
            algorithm are not.
    """
    algorithm = _BY_JOSE_NAME.get(name) or _BY_HTTP_NAME.get(name)
    if algorithm is None:
        raise Refused(Reason.ALGORITHM_NOT_ALLOWED, "the algorithm is not one that is supported")
    return algorithm


def algorithm_of_jose_name(name: object) -> Algorithm | None:
    """Find an algorithm by its JOSE name only; None when it is unknown or not a string."""
    return _BY_JOSE_NAME.get(name) if isinstance(name, str) else None


def algorithm_of_http_name(name: object) -> Algorithm | None:
    """Find an algorithm by its RFC 9421 name only; None when it is unknown or not a string."""
    return _BY_HTTP_NAME.get(name) if isinstance(name, str) else None


def algorithm_of_key(key_type: object, curve: object) -> Algorithm | None:
    """Find the algorithm of a type of key and a curve; None when there is none."""
    if not (isinstance(key_type, str) and isinstance(curve, str)):
        return None
    return _BY_KEY.get((key_type, curve))
