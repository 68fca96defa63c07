"""Compact JWS (RFC 7515 §3.1) with a JSON object as payload: the one reader and writer of every token here.

The reader gives an `UnverifiedJWS`: well-formed, and not trusted. What it refuses is what makes two readers of one
token disagree: other serialisations, padding, foreign characters, trailing bits, duplicate members, `crit`, `b64`.
Header parameters that name a key (`jwk`, `jku`, `x5u`, `x5c`) are never looked at: keys come from trust bundles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.keys import (
    ES256,
    ES384,
    ES512,
    PS256,
    PS384,
    PS512,
    RS256,
    RS384,
    RS512,
    Algorithm,
    Signer,
    b64url_decode,
    b64url_encode,
    parse_json_object,
    sign_with,
)

__all__ = ["MAX_TOKEN_BYTES", "SPIFFE_ALGORITHMS", "UnverifiedJWS", "sign_compact"]

MAX_TOKEN_BYTES: Final = 8_192  # what fits a header field through every proxy measured
MAX_KEY_ID_BYTES: Final = 256
# Headers that strangers write are kept too: bounded in number, and in size.
_MAX_HEADERS: Final = 256
_MAX_KEPT_CHARACTERS: Final = 512
_write_json: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True, allow_nan=False).encode
# WIT-SVID §2.3 and §3.2, JWT-SVID §2.1: these and no others.
SPIFFE_ALGORITHMS: Final[frozenset[Algorithm]] = frozenset(
    {RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512}
)


@dataclass(frozen=True, slots=True)
class UnverifiedJWS:
    """A token that is well-formed and whose signature nobody has checked.

    Attributes:
        text: the token as it was received; what `repr` shows is neither this nor what could be put together to it.
        header: the JOSE header; `alg` is a string, `kid` and `typ` are strings or absent.
        claims: the payload.
        signing_input: the bytes that are signed.
        signature: the signature's bytes.
    """

    text: str = field(repr=False)
    header: Mapping[str, object]
    claims: Mapping[str, object]
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str, what: str = "the token", *, max_bytes: int = MAX_TOKEN_BYTES) -> UnverifiedJWS:
        """Read a compact JWS.

        Args:
            text: the token.
            what: what it is, for the explanation.
            max_bytes: largest size accepted, in bytes; checked before anything is decoded.

        Raises:
            Refused: `token_too_large`, `token_malformed`, `base64_malformed`, `json_malformed`,
                `json_duplicate_member`, `json_too_deep`, `token_critical`, `token_algorithm`.
        """
        if len(text) > max_bytes:
            raise Refused(Reason.TOKEN_TOO_LARGE, f"{what} is longer than {max_bytes} bytes")
        parts = text.split(".")
        # ABNF of workload-creds §5.1.1: three non-empty base64url parts. Five would be a JWE.
        if len(parts) != 3 or not all(parts):
            raise Refused(Reason.TOKEN_MALFORMED, f"{what} does not have the three parts of a compact JWS")
        header = _known_header(parts[0]) if len(parts[0]) <= _MAX_KEPT_CHARACTERS else None
        if header is None:
            header = _read_header(parts[0], what)
        claims = parse_json_object(b64url_decode(parts[1], f"{what}'s payload"), f"{what}'s payload")
        signature = b64url_decode(parts[2], f"{what}'s signature")
        signing_input = f"{parts[0]}.{parts[1]}".encode("ascii")
        return cls(text, header, MappingProxyType(claims), signing_input, signature)

    @property
    def algorithm_name(self) -> str:
        """The `alg` of the header."""
        return str(self.header["alg"])

    @property
    def key_id(self) -> str | None:
        """The `kid` of the header, or None."""
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) else None


def _read_header(text: str, what: str) -> Mapping[str, object]:
    header = parse_json_object(b64url_decode(text, f"{what}'s header"), f"{what}'s header")
    _check_header(header, what)
    return MappingProxyType(header)


@lru_cache(maxsize=_MAX_HEADERS)
def _known_header(text: str) -> Mapping[str, object] | None:
    """The header in this text; None for one that is to be refused.

    An issuer writes the same one into each token until its key changes. What it says is as little trusted as ever.
    """
    try:
        return _read_header(text, "the token")
    except Refused:
        return None


def _check_header(header: Mapping[str, object], what: str) -> None:
    # RFC 7515 §4.1.11: a name in `crit` that is not understood makes the JWS invalid. None is understood here, and
    # an empty or malformed list is invalid by itself.
    if "crit" in header:
        raise Refused(Reason.TOKEN_CRITICAL, f"{what} has critical header parameters, and none is supported")
    if "b64" in header:  # RFC 7797 §6: only ever together with crit
        raise Refused(Reason.TOKEN_CRITICAL, f"{what} asks for an unencoded payload")
    if not isinstance(header.get("alg"), str):
        raise Refused(Reason.TOKEN_ALGORITHM, f"{what}'s alg is missing or not a string")
    for name in ("kid", "typ"):
        if name in header and not isinstance(header[name], str):
            raise Refused(Reason.TOKEN_MALFORMED, f"{what}'s {name} is not a string")
    kid = header.get("kid")
    if isinstance(kid, str) and len(kid.encode("utf-8")) > MAX_KEY_ID_BYTES:
        raise Refused(Reason.TOKEN_TOO_LARGE, f"{what}'s kid is longer than {MAX_KEY_ID_BYTES} bytes")


def sign_compact(
    header: Mapping[str, str], claims: Mapping[str, object], signer: Signer, *, algorithm_name: str | None = None
) -> str:
    """Write a compact JWS. `alg` and, where the key has one, `kid` are set from the key.

    Args:
        header: other header parameters, such as `typ`; strings.
        claims: the payload.
        signer: the key; there are no tokens that a shared secret signs.
        algorithm_name: what `alg` says, where the algorithm has several names. Default the first of them.

    Returns:
        The token.

    Raises:
        ConfigurationError: for an `algorithm_name` that is none of the key's algorithm.
        Unavailable: `credential_unavailable` when a remote signer's answer does not verify with its public key.
    """
    key = signer.public_key
    name = key.algorithm.jose_name if algorithm_name is None else algorithm_name
    if not key.algorithm.has_jose_name(name):
        raise ConfigurationError("the key's algorithm has no such name")
    full = {**header, "alg": name, **({"kid": key.kid} if key.kid is not None else {})}
    signing_input = f"{_encode_header(tuple(full.items()))}.{_encode(claims)}"
    return f"{signing_input}.{b64url_encode(sign_with(signer, signing_input.encode('ascii')))}"


@lru_cache(maxsize=_MAX_HEADERS)  # an issuer writes the same one until its key changes
def _encode_header(members: tuple[tuple[str, str], ...]) -> str:
    return _encode(dict(members))


def _encode(value: Mapping[str, object]) -> str:
    return b64url_encode(_write_json(value).encode("utf-8"))
