"""Keys and algorithms: one table, JWK and PEM, thumbprints, signing and verifying bytes.

This room knows nothing of HTTP messages, tokens or workloads.
"""

from __future__ import annotations

from wimse.keys.algorithms import ALGORITHMS, EDDSA, ES256, Algorithm, algorithm_named
from wimse.keys.encoding import b64url_decode, b64url_encode, parse_json_object
from wimse.keys.loading import load_keys, load_private_key, load_public_keys
from wimse.keys.private import PrivateKey, Signer
from wimse.keys.public import PublicKey

__all__ = [
    "ALGORITHMS",
    "EDDSA",
    "ES256",
    "Algorithm",
    "PrivateKey",
    "PublicKey",
    "Signer",
    "algorithm_named",
    "b64url_decode",
    "b64url_encode",
    "load_keys",
    "load_private_key",
    "load_public_keys",
    "parse_json_object",
]
