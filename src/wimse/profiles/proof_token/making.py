"""Making proofs, and nothing of HTTP (§2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wimse.credentials import UnverifiedWIT, WorkloadCredential, sign_compact
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.profiles.proof_token.hashes import TokenHashes, token_hash
from wimse.profiles.proof_token.revision import PROOF_TYPE, ProofRevision
from wimse.profiles.proof_token.settings import ProofTokenSettings

__all__ = ["confirmed_algorithm", "make_proof", "without_query"]

_TOKEN_ID_CHARACTERS: Final = 22  # §2: 128 random bits, in base64url


def make_proof(
    credential: WorkloadCredential,
    *,
    audience: str,
    now: int,
    token_id: str,
    revision: ProofRevision,
    settings: ProofTokenSettings,
    tokens: TokenHashes | None = None,
) -> str:
    """Write a proof that we hold the key of our WIT.

    Args:
        credential: the WIT and its key.
        audience: for whom it is: a URI, without query and fragment, or what both sides agreed on.
        now: seconds since 1970.
        token_id: `jti`, new and random: 128 bits at least, as base64url or longer.
        revision: of the profile.
        settings: the life of the proof.
        tokens: what else stands in the message and is bound.

    Returns:
        The token.

    Raises:
        Refused: `key_mismatch` when the WIT names another algorithm than that of the key.
        Unavailable: `credential_expired`; `credential_unavailable` when a remote signer's answer does not verify.
        ConfigurationError: for a `token_id` that is too short, an audience that is empty or has a query or a fragment,
            or an access token under a revision that does not bind one.
    """
    credential.check_usable(now)
    if len(token_id) < _TOKEN_ID_CHARACTERS:
        raise ConfigurationError(f"a jti of ours has {_TOKEN_ID_CHARACTERS} random characters at least")
    if not audience or without_query(audience) != audience:
        raise ConfigurationError("an audience is not empty, and has neither query nor fragment")
    bound = tokens or TokenHashes()
    if bound.access_token is not None and not revision.binds_access_token:
        raise ConfigurationError(f"revision {revision.name} binds no access token")
    claims: dict[str, object] = {
        "aud": audience,
        "iat": now,  # not asked for, and good for a replay store that has just begun to remember
        # The proof does not outlive the credential that it proves.
        "exp": min(now + int(settings.lifetime.total_seconds()), credential.expires_at),
        "jti": token_id,
        "wth": token_hash(credential.wit),
        **({} if bound.access_token is None else {"ath": bound.access_token}),
        **({} if bound.txn_token is None else {"tth": bound.txn_token}),
        **({"oth": dict(bound.others)} if bound.others else {}),
    }
    return sign_compact({"typ": PROOF_TYPE}, claims, credential.key, algorithm_name=_name_in_wit(credential))


def without_query(audience: str) -> str:
    """An audience up to its query or fragment, which are ignored (§2)."""
    return audience.partition("#")[0].partition("?")[0]


def _name_in_wit(credential: WorkloadCredential) -> str | None:
    # §2: `alg` is the very string of cnf.jwk.alg. Ed25519 is also called EdDSA (RFC 9864).
    algorithm = credential.key.public_key.algorithm
    if not algorithm.jose_aliases:
        return None
    name = confirmed_algorithm(UnverifiedWIT.parse(credential.wit).jws.claims)
    if name is not None and not algorithm.has_jose_name(name):
        raise Refused(Reason.KEY_MISMATCH, "the WIT's cnf.jwk.alg is not the algorithm of the workload's key")
    return name


def confirmed_algorithm(claims: Mapping[str, object]) -> str | None:
    """The string in a WIT's `cnf.jwk.alg`; None without one."""
    confirmation = claims.get("cnf")
    jwk = confirmation.get("jwk") if isinstance(confirmation, dict) else None
    name = jwk.get("alg") if isinstance(jwk, dict) else None
    return name if isinstance(name, str) else None
