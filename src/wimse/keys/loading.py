"""Keys from the bytes of a file: a JWK, a JWK Set, or PEM, told apart by what they begin with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from wimse.errors import Reason, Refused
from wimse.keys.algorithms import algorithm_of_key
from wimse.keys.encoding import parse_json_object
from wimse.keys.private import PrivateKey
from wimse.keys.public import PublicKey

__all__ = ["load_keys", "load_private_key", "load_public_keys"]

MAX_KEY_FILE_BYTES: Final = 1_048_576

_PEM_KEY: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]*KEY)-----[^-]*-----END \1-----")


def load_keys(data: bytes) -> list[PrivateKey | PublicKey]:
    """Read every key of a JWK, a JWK Set or a PEM file.

    In a JWK Set, keys of a type or curve that is not supported are left out (RFC 7517 §5).

    Raises:
        Refused: with the reason of the first key that is not acceptable; `key_malformed` when there is none,
            `key_unsupported` when none is of a supported type; `document_too_large` above 1 MiB.
    """
    if len(data) > MAX_KEY_FILE_BYTES:
        raise Refused(Reason.DOCUMENT_TOO_LARGE, f"the key file is larger than {MAX_KEY_FILE_BYTES} bytes")
    if data.lstrip().startswith(b"-----BEGIN"):
        # Block by block: the library reads the first one of a kind and is silent about the rest.
        keys_in_pem = [_from_pem(block[0]) for block in _PEM_KEY.finditer(data)]
        if not keys_in_pem:
            raise Refused(Reason.KEY_MALFORMED, "the PEM file holds no key")
        return keys_in_pem
    document = parse_json_object(data, "the key file", max_bytes=MAX_KEY_FILE_BYTES)
    if "keys" not in document:
        return [_from_jwk(document)]
    keys = document["keys"]
    if not isinstance(keys, list) or not keys or not all(isinstance(each, dict) for each in keys):
        raise Refused(Reason.KEY_MALFORMED, "the JWK Set's keys are not a list of at least one JWK")
    supported = [each for each in keys if algorithm_of_key(each.get("kty"), each.get("crv")) is not None]
    if not supported:
        raise Refused(Reason.KEY_UNSUPPORTED, "the JWK Set has no key of a supported type and curve")
    return [_from_jwk(each) for each in supported]


def load_private_key(data: bytes) -> PrivateKey:
    """Read exactly one private key.

    Raises:
        Refused: as `load_keys`; `key_malformed` when the file does not hold exactly one, private, key.
    """
    keys = load_keys(data)
    if len(keys) != 1 or not isinstance(keys[0], PrivateKey):
        raise Refused(Reason.KEY_MALFORMED, "the key file does not hold exactly one private key")
    return keys[0]


def load_public_keys(data: bytes) -> list[PublicKey]:
    """Read every key and keep the public half of each; raises as `load_keys`."""
    return [key.public_key if isinstance(key, PrivateKey) else key for key in load_keys(data)]


def _from_pem(data: bytes) -> PrivateKey | PublicKey:
    return PrivateKey.from_pem(data) if b"PRIVATE KEY-----" in data else PublicKey.from_pem(data)


def _from_jwk(jwk: Mapping[str, object]) -> PrivateKey | PublicKey:
    return PrivateKey.from_jwk(jwk) if "d" in jwk else PublicKey.from_jwk(jwk)
