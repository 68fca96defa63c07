"""Keys from the bytes of a file: a JWK, a JWK Set, or PEM, told apart by what they begin with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from wimse.errors import Reason, Refused
from wimse.keys.algorithms import Algorithm, algorithm_of_jose_name, algorithm_of_key
from wimse.keys.encoding import parse_json_object
from wimse.keys.private import PrivateKey
from wimse.keys.public import PublicKey
from wimse.keys.secret import SecretKey

__all__ = ["load_keys", "load_private_key", "load_public_keys", "load_signing_key", "load_verification_keys"]

MAX_KEY_FILE_BYTES: Final = 1_048_576

_PEM_KEY: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]*KEY)-----[^-]*-----END \1-----")
AnyKey = PrivateKey | PublicKey | SecretKey


def load_keys(data: bytes, *, algorithm: Algorithm | None = None) -> list[AnyKey]:
    """Read every key of a JWK, a JWK Set or a PEM file.

    In a JWK Set, keys are left out (RFC 7517 §5) that are of a type or curve that is not supported. So are, among
    several keys of a file, RSA keys and secrets of which nothing says that they are for an algorithm that is.

    Args:
        data: the file's bytes.
        algorithm: what RSA keys and secrets are for that do not say so themselves. The only key of a file must be for
            it, whatever its type; among several, a key that says what it is for keeps that.

    Raises:
        Refused: with the reason of the first key that is not acceptable; `key_malformed` when there is none,
            `key_unsupported` when none is of a supported type, `algorithm_missing` when none says what it is for;
            `document_too_large` above 1 MiB.
    """
    if len(data) > MAX_KEY_FILE_BYTES:
        raise Refused(Reason.DOCUMENT_TOO_LARGE, f"the key file is larger than {MAX_KEY_FILE_BYTES} bytes")
    if data.lstrip().startswith(b"-----BEGIN"):
        return _from_pem_file(data, algorithm)
    document = parse_json_object(data, "the key file", max_bytes=MAX_KEY_FILE_BYTES)
    if "keys" not in document:
        return [_from_jwk(document, algorithm)]
    keys = document["keys"]
    if not isinstance(keys, list) or not keys or not all(isinstance(each, dict) for each in keys):
        raise Refused(Reason.KEY_MALFORMED, "the JWK Set's keys are not a list of at least one JWK")
    supported = [each for each in keys if _is_supported(each)]
    if not supported:
        raise Refused(Reason.KEY_UNSUPPORTED, "the JWK Set has no key of a supported type and curve")
    settled = [(each, _default_of(each, algorithm)) for each in supported]
    usable = [(each, default) for each, default in settled if _decides_itself(each) or default is not None]
    if not usable:
        raise Refused(Reason.ALGORITHM_MISSING, "no key of the JWK Set says which algorithm it is for")
    return [_from_jwk(each, default) for each, default in usable]


def load_private_key(data: bytes, *, algorithm: Algorithm | None = None) -> PrivateKey:
    """Read exactly one private key; arguments as `load_keys`.

    Raises:
        Refused: as `load_keys`; `key_malformed` when the file does not hold exactly one, private, key.
    """
    key = load_signing_key(data, algorithm=algorithm)
    if not isinstance(key, PrivateKey):
        raise Refused(Reason.KEY_MALFORMED, "the key file does not hold exactly one private key")
    return key


def load_signing_key(data: bytes, *, algorithm: Algorithm | None = None) -> PrivateKey | SecretKey:
    """Read exactly one key that signs: private, or a shared secret; arguments and errors as `load_private_key`."""
    keys = load_keys(data, algorithm=algorithm)
    if len(keys) != 1 or isinstance(keys[0], PublicKey):
        raise Refused(Reason.KEY_MALFORMED, "the key file does not hold exactly one private key")
    return keys[0]


def load_public_keys(data: bytes, *, algorithm: Algorithm | None = None) -> list[PublicKey]:
    """Read every key and keep the public half of each; a secret has none and is left out. Arguments as `load_keys`.

    Raises:
        Refused: as `load_keys`; `key_private` when there are secrets only.
    """
    found = [key for key in load_verification_keys(data, algorithm=algorithm) if isinstance(key, PublicKey)]
    if not found:
        raise Refused(Reason.KEY_PRIVATE, "a shared secret stands where a public key belongs")
    return found


def load_verification_keys(data: bytes, *, algorithm: Algorithm | None = None) -> list[PublicKey | SecretKey]:
    """Read every key and keep what verifies: public halves, and shared secrets; as `load_keys`.

    A secret comes from a JWK of the type `oct` only. PEM and public keys never become one, whatever `algorithm` is.
    """
    return [key.public_key if isinstance(key, PrivateKey) else key for key in load_keys(data, algorithm=algorithm)]


def _from_pem_file(data: bytes, algorithm: Algorithm | None) -> list[AnyKey]:
    # Block by block: the library reads the first one of a kind and is silent about the rest.
    blocks = [block[0] for block in _PEM_KEY.finditer(data)]
    if not blocks:
        raise Refused(Reason.KEY_MALFORMED, "the PEM file holds no key")
    if len(blocks) == 1:
        return [_from_pem(blocks[0], algorithm)]
    keys = [key for block in blocks for key in _one_of_several(block, algorithm)]
    if not keys:
        raise Refused(Reason.ALGORITHM_MISSING, "no key of the PEM file says which algorithm it is for")
    return keys


def _one_of_several(data: bytes, algorithm: Algorithm | None) -> list[AnyKey]:
    try:
        return [_from_pem(data, None)]
    except Refused as refused:
        if refused.reason is not Reason.ALGORITHM_MISSING:
            raise
        # As in a JWK Set: an RSA key of which nothing says what it is for is left out.
        return [_from_pem(data, algorithm)] if algorithm is not None and algorithm.key_type == "RSA" else []


def _from_pem(data: bytes, algorithm: Algorithm | None) -> PrivateKey | PublicKey:
    kind: type[PrivateKey | PublicKey] = PrivateKey if b"PRIVATE KEY-----" in data else PublicKey
    return kind.from_pem(data, algorithm=algorithm)


def _from_jwk(jwk: Mapping[str, object], algorithm: Algorithm | None) -> AnyKey:
    if jwk.get("kty") == "oct":
        return SecretKey.from_jwk(jwk, algorithm=algorithm)
    if "d" in jwk:
        return PrivateKey.from_jwk(jwk, algorithm=algorithm)
    return PublicKey.from_jwk(jwk, algorithm=algorithm)


def _is_supported(jwk: Mapping[str, object]) -> bool:
    if jwk.get("kty") not in ("RSA", "oct"):
        return algorithm_of_key(jwk.get("kty"), jwk.get("crv")) is not None
    # RFC 7517 §4.2, §4.4: many sets hold RSA keys for encryption beside those for signatures.
    return jwk.get("use") != "enc" and ("alg" not in jwk or algorithm_of_jose_name(jwk["alg"]) is not None)


def _decides_itself(jwk: Mapping[str, object]) -> bool:
    return "alg" in jwk or algorithm_of_key(jwk.get("kty"), jwk.get("crv")) is not None


def _default_of(jwk: Mapping[str, object], algorithm: Algorithm | None) -> Algorithm | None:
    fits = algorithm is not None and algorithm.key_type == jwk.get("kty") and not _decides_itself(jwk)
    return algorithm if fits else None
