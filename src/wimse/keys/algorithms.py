"""The one table of signature algorithms, with the name that each registry gives them.

RFC 9421 §3.3.1 to §3.3.6 (the six of its registry, §6.2.2) and §3.3.7 (any JWS algorithm that is neither `none` nor
prohibited). What is not in this table does not exist here: `none`, `RS1`, `HS1`, `ES256K` and their like have no row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from wimse.errors import Reason, Refused

__all__ = [
    "ALGORITHMS",
    "ED448",
    "EDDSA",
    "ES256",
    "ES384",
    "ES512",
    "HS256",
    "HS384",
    "HS512",
    "PS256",
    "PS384",
    "PS512",
    "PUBLIC_KEY_ALGORITHMS",
    "RS256",
    "RS384",
    "RS512",
    "Algorithm",
    "algorithm_named",
]

HashName = Literal["sha256", "sha384", "sha512"]
Padding = Literal["pss", "pkcs1v15"]
_HASH_BYTES: Final = {"sha256": 32, "sha384": 48, "sha512": 64}


# Each row is the one object that means the algorithm: compared by identity, which a copy keeps.
@dataclass(frozen=True, slots=True, eq=False)
class Algorithm:
    """A signature algorithm, tied to one type of key and, where it has one, to one curve.

    Attributes:
        jose_name: the name that this package writes in JOSE (`alg` of a JWK or a JWS header).
        jose_aliases: other names of the same algorithm, accepted when read.
        http_name: the name in the HTTP Signature Algorithms registry (RFC 9421 §6.2.2); None when it has none there,
            and then the parameter `alg` cannot be used (§3.3.7).
        key_type: `kty` of its keys: EC, OKP, RSA or oct.
        curve: `crv` of its keys; None for RSA and secrets.
        coordinate_bytes: length of a coordinate, or of the encoded point, in bytes; 0 without a curve.
        signature_bytes: exact length of a signature, in bytes; None for RSA, where it is that of the modulus.
        hash_name: the hash over the data, as `hashlib` calls it; None where the algorithm has its own (EdDSA).
        padding: of RSA; None for the others. PSS has MGF1 with the same hash, and a salt as long as its output.
    """

    jose_name: str
    jose_aliases: tuple[str, ...]
    http_name: str | None
    key_type: str
    curve: str | None
    coordinate_bytes: int
    signature_bytes: int | None
    hash_name: HashName | None = None
    padding: Padding | None = None

    @property
    def jose_names(self) -> tuple[str, ...]:
        """All names that mean this algorithm in JOSE, the one we write first."""
        return (self.jose_name, *self.jose_aliases)

    @property
    def symmetric(self) -> bool:
        """Whether the key that verifies is the secret that signs."""
        return self.key_type == "oct"

    @property
    def decided_by_key(self) -> bool:
        """Whether a key's type and curve alone decide for this algorithm. RSA and secrets fit several."""
        return self.curve is not None

    @property
    def hash_bytes(self) -> int:
        """Length of the hash's output, in bytes; 0 without a hash. No HMAC key is shorter (RFC 7518 §3.2)."""
        return _HASH_BYTES.get(self.hash_name or "", 0)

    def has_jose_name(self, name: object) -> bool:
        """Whether `name` is one of its names in JOSE, compared exactly. `EdDSA` is a name of two algorithms."""
        return isinstance(name, str) and name in self.jose_names

    def __reduce__(self) -> tuple[Callable[[str], Algorithm], tuple[str]]:
        return algorithm_named, (self.jose_names[-1],)


# RFC 7518 §3.4 and RFC 9421 §3.3.4, §3.3.5 agree: r and s, each as long as a coordinate, concatenated.
ES256: Final = Algorithm("ES256", (), "ecdsa-p256-sha256", "EC", "P-256", 32, 64, "sha256")
ES384: Final = Algorithm("ES384", (), "ecdsa-p384-sha384", "EC", "P-384", 48, 96, "sha384")
ES512: Final = Algorithm("ES512", (), None, "EC", "P-521", 66, 132, "sha512")
# RFC 8037 §3.1 calls both EdDSA, RFC 9864 each by its own name; RFC 9421 §3.3.6 knows ed25519 only.
EDDSA: Final = Algorithm("EdDSA", ("Ed25519",), "ed25519", "OKP", "Ed25519", 32, 64)
ED448: Final = Algorithm("EdDSA", ("Ed448",), None, "OKP", "Ed448", 57, 114)
# RFC 7518 §3.5: PSS with MGF1 of the same hash and a salt of its length, as RFC 9421 §3.3.1 has it.
PS256: Final = Algorithm("PS256", (), None, "RSA", None, 0, None, "sha256", "pss")
PS384: Final = Algorithm("PS384", (), None, "RSA", None, 0, None, "sha384", "pss")
PS512: Final = Algorithm("PS512", (), "rsa-pss-sha512", "RSA", None, 0, None, "sha512", "pss")
# RFC 7518 §3.3, RFC 9421 §3.3.2
RS256: Final = Algorithm("RS256", (), "rsa-v1_5-sha256", "RSA", None, 0, None, "sha256", "pkcs1v15")
RS384: Final = Algorithm("RS384", (), None, "RSA", None, 0, None, "sha384", "pkcs1v15")
RS512: Final = Algorithm("RS512", (), None, "RSA", None, 0, None, "sha512", "pkcs1v15")
# RFC 7518 §3.2, RFC 9421 §3.3.3
HS256: Final = Algorithm("HS256", (), "hmac-sha256", "oct", None, 0, 32, "sha256")
HS384: Final = Algorithm("HS384", (), None, "oct", None, 0, 48, "sha384")
HS512: Final = Algorithm("HS512", (), None, "oct", None, 0, 64, "sha512")

PUBLIC_KEY_ALGORITHMS: tuple[Algorithm, ...] = (
    *(ES256, ES384, ES512, EDDSA, ED448),
    *(PS256, PS384, PS512, RS256, RS384, RS512),
)
ALGORITHMS: tuple[Algorithm, ...] = (*PUBLIC_KEY_ALGORITHMS, HS256, HS384, HS512)

# Backwards, so that the first row of a name wins: EdDSA by itself is Ed25519, as nearly everybody means it.
_BY_JOSE_NAME = {name: algorithm for algorithm in reversed(ALGORITHMS) for name in algorithm.jose_names}
_BY_HTTP_NAME = {algorithm.http_name: algorithm for algorithm in ALGORITHMS if algorithm.http_name is not None}
_BY_KEY = {(algorithm.key_type, algorithm.curve): algorithm for algorithm in ALGORITHMS if algorithm.decided_by_key}


def algorithm_named(name: str) -> Algorithm:
    """Find an algorithm by any of its names, compared exactly; `EdDSA` finds Ed25519.

    Raises:
        Refused: `algorithm_not_allowed` when the name is not in the table; `none` and what is prohibited are not.
    """
    algorithm = _BY_JOSE_NAME.get(name) or _BY_HTTP_NAME.get(name)
    if algorithm is None:
        raise Refused(Reason.ALGORITHM_NOT_ALLOWED, "the algorithm is not one that is supported")
    return algorithm


def algorithm_of_jose_name(name: object) -> Algorithm | None:
    """Find an algorithm by its JOSE name only; None when it is unknown or not a string.

    `EdDSA` finds Ed25519. Whether a key is for a name that was read is a question for `Algorithm.has_jose_name`.
    """
    return _BY_JOSE_NAME.get(name) if isinstance(name, str) else None


def algorithm_of_http_name(name: object) -> Algorithm | None:
    """Find an algorithm by its RFC 9421 name only; None when it is unknown or not a string."""
    return _BY_HTTP_NAME.get(name) if isinstance(name, str) else None


def algorithm_of_key(key_type: object, curve: object) -> Algorithm | None:
    """Find the algorithm that a type of key and a curve decide for; None when they decide for none."""
    if not (isinstance(key_type, str) and isinstance(curve, str)):
        return None
    return _BY_KEY.get((key_type, curve))


def algorithm_of_parts(key_type: str, curve: str | None, *, said: object, chosen: Algorithm | None) -> Algorithm:
    """Settle the one algorithm of a key (RFC 9421 §3.2 step 6): all that say something must agree.

    Args:
        key_type: `kty`.
        curve: `crv`, where the type has curves.
        said: `alg` of the JWK, of whatever type; None when there is none.
        chosen: the algorithm from configuration, or None.

    Raises:
        Refused: `key_unsupported` for another type or curve; `algorithm_mismatch` when two do not agree;
            `algorithm_not_allowed` for an `alg` of an RSA key or a secret that is not in the table; `algorithm_missing`
            when nothing decides.
    """
    decided = algorithm_of_key(key_type, curve)
    if decided is None and key_type not in ("RSA", "oct"):
        raise Refused(Reason.KEY_UNSUPPORTED, "the key's type and curve are not a supported pair")
    if decided is None and said is not None:
        decided = algorithm_of_jose_name(said)
        if decided is None:
            raise Refused(Reason.ALGORITHM_NOT_ALLOWED, "the JWK's alg is not an algorithm that is supported")
    elif decided is not None and said is not None and not decided.has_jose_name(said):
        raise Refused(Reason.ALGORITHM_MISMATCH, "the JWK's alg is not the algorithm of its curve")
    if decided is not None and chosen is not None and decided is not chosen:
        raise Refused(Reason.ALGORITHM_MISMATCH, "the algorithm that was asked for is not the one of the key")
    decided = decided or chosen
    if decided is None:
        raise Refused(Reason.ALGORITHM_MISSING, "neither the key nor the caller says which algorithm it is for")
    if decided.key_type != key_type:
        raise Refused(Reason.ALGORITHM_MISMATCH, "the algorithm is not one for keys of this type")
    return decided
