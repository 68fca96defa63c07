"""Keys and algorithms: one table, JWK and PEM, thumbprints, signing and verifying bytes.

This room knows nothing of HTTP messages, tokens or workloads.
"""

from __future__ import annotations

from wimse.keys.algorithms import (
    ALGORITHMS,
    ED448,
    EDDSA,
    ES256,
    ES384,
    ES512,
    HS256,
    HS384,
    HS512,
    PS256,
    PS384,
    PS512,
    PUBLIC_KEY_ALGORITHMS,
    RS256,
    RS384,
    RS512,
    Algorithm,
    algorithm_named,
)
from wimse.keys.encoding import b64url_decode, b64url_encode, parse_json_object
from wimse.keys.loading import (
    load_keys,
    load_private_key,
    load_public_keys,
    load_signing_key,
    load_verification_keys,
)
from wimse.keys.private import PrivateKey
from wimse.keys.public import PublicKey
from wimse.keys.secret import SecretKey
from wimse.keys.signers import (
    AnySigner,
    AsyncSigner,
    Signer,
    VerificationKey,
    sign_with,
    sign_with_async,
    verification_key,
)

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
    "AnySigner",
    "AsyncSigner",
    "PrivateKey",
    "PublicKey",
    "SecretKey",
    "Signer",
    "VerificationKey",
    "algorithm_named",
    "b64url_decode",
    "b64url_encode",
    "load_keys",
    "load_private_key",
    "load_public_keys",
    "load_signing_key",
    "load_verification_keys",
    "parse_json_object",
    "sign_with",
    "sign_with_async",
    "verification_key",
]
