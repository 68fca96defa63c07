"""Workload proof tokens (draft-ietf-wimse-wpt): a signed JWT beside the WIT shows who holds its key.

Implements revisions 02 and 01. A draft: revisions are values, and a verifier accepts the ones it was configured for.

`make_proof` and `verify_proof` know nothing of HTTP: tokens in, verified claims out. `prove_request` and
`verify_request` do the same with requests. A proof covers far less than a signature: see `VerifiedProof`.
"""

from __future__ import annotations

from wimse.profiles.proof_token.hashes import TokenHashes, token_hash
from wimse.profiles.proof_token.judging import VerifiedProof, verify_proof
from wimse.profiles.proof_token.making import make_proof, without_query
from wimse.profiles.proof_token.requests import (
    ProvenRequest,
    VerifiedRequestProof,
    begin_request,
    default_audience,
    has_proof,
    prove_request,
    verify_request,
)
from wimse.profiles.proof_token.revision import PROOF_TYPE, REVISION_01, REVISION_02, REVISIONS, ProofRevision
from wimse.profiles.proof_token.settings import TXN_TOKEN_FIELD, ProofTokenSettings

__all__ = [
    "PROOF_TYPE",
    "REVISIONS",
    "REVISION_01",
    "REVISION_02",
    "TXN_TOKEN_FIELD",
    "ProofRevision",
    "ProofTokenSettings",
    "ProvenRequest",
    "TokenHashes",
    "VerifiedProof",
    "VerifiedRequestProof",
    "begin_request",
    "default_audience",
    "has_proof",
    "make_proof",
    "prove_request",
    "token_hash",
    "verify_proof",
    "verify_request",
    "without_query",
]
