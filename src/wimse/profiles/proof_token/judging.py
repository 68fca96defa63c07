"""Judging proofs, and nothing of HTTP (§2, "To validate the WPT").

The WIT comes first and is the caller's to verify; its key and no other judges the proof. What is left to the caller,
who has what it takes: whether an audience is ours, and whether this `jti` was seen before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from wimse.credentials import UnverifiedJWS, VerifiedWIT, WorkloadIdentifier
from wimse.credentials.claims import MAX_LEEWAY
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.profiles.proof_token.hashes import TokenHashes, token_hash
from wimse.profiles.proof_token.making import confirmed_algorithm, without_query
from wimse.profiles.proof_token.revision import PROOF_TYPE, ProofRevision
from wimse.profiles.proof_token.settings import ProofTokenSettings

__all__ = ["VerifiedProof", "begin_proof", "verify_proof"]

_MADE_BY_VERIFICATION: Final = object()
_NO_TOKENS: Final = TokenHashes()
_MAX_TIME: Final = 253_402_300_799  # the last second of the year 9999
# The reader speaks of any token; what is wrong with a proof is told as a proof's.
_AS_PROOF: Final = MappingProxyType(
    {Reason.TOKEN_ALGORITHM: Reason.ALGORITHM_MISSING, Reason.TOKEN_CRITICAL: Reason.PROOF_CRITICAL}
)


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """What a proof says, after it was verified. Only `verify_proof` makes one. The token itself is not kept.

    It says that the holder of the WIT's key made it, for this audience and beside these tokens. It says nothing of
    the method, the target, the other fields or the content of the message that it came with.

    Attributes:
        identity: whose proof it is: the identity of the WIT.
        audience: for whom it is, without query and fragment; not yet compared with anything.
        token_id: its `jti`; not yet claimed.
        expires_at: its `exp`, in seconds since 1970.
        earliest_use: the earliest time at which it may have been accepted by anybody, in seconds since 1970: its `iat`,
            or, without one, when it began to be no more than `max_lifetime` from its end.
        claims: all of its claims. Those that are not named in this package were not looked at.
    """

    identity: WorkloadIdentifier
    audience: str
    token_id: str
    expires_at: int
    earliest_use: int
    claims: Mapping[str, object] = field(repr=False)
    # Not kept: what is kept could be handed on, and `dataclasses.replace` would.
    _made_by: InitVar[object] = None

    def __post_init__(self, _made_by: object) -> None:
        if _made_by is not _MADE_BY_VERIFICATION:
            raise TypeError("a VerifiedProof is made by verify_proof only")

    @property
    def scoped_id(self) -> str:
        """What makes the proof unique: its sender and its `jti`.

        The draft wants replay to be judged within the scope of a sender (§3.1), so that nobody spends another's.
        """
        return f"wpt\0{self.identity}\0{self.token_id}"

    @property
    def replay_key(self) -> bytes:
        """What is claimed, so that the proof is good once: the SHA-256 of `scoped_id`."""
        return sha256(self.scoped_id.encode("utf-8")).digest()


def verify_proof(
    token: str | bytes,
    wit: VerifiedWIT,
    *,
    revision: ProofRevision,
    settings: ProofTokenSettings,
    now: int,
    tokens: TokenHashes = _NO_TOKENS,
) -> VerifiedProof:
    """Verify a proof with the key of its WIT.

    The audience and the `jti` are the caller's: compare `audience` with what is configured, and claim `replay_key`
    until `expires_at` plus the leeway.

    Args:
        token: the proof as it came.
        wit: the WIT beside it, verified.
        revision: of the profile.
        settings: times and sizes.
        now: seconds since 1970.
        tokens: the other tokens that came with it. Each must be bound, and nothing else may be.

    Raises:
        Refused: as `UnverifiedJWS.parse`, but `algorithm_missing` without `alg` and `proof_critical` for `crit`;
            `algorithm_mismatch`, `proof_type`, `signature_invalid`; `audience_missing`, `proof_claim`; `proof_time`,
            `proof_expired`, `proof_not_yet_valid`, `proof_lifetime`, and `token_expired` for a WIT that has expired
            since it was verified; `token_hash_missing`, `token_hash_mismatch`, `token_hash_unknown`.
        ConfigurationError: for an access token under a revision that binds none.
    """
    return begin_proof(token, wit, revision=revision, settings=settings, now=now, tokens=tokens)()


def begin_proof(
    token: str | bytes,
    wit: VerifiedWIT,
    *,
    revision: ProofRevision,
    settings: ProofTokenSettings,
    now: int,
    tokens: TokenHashes = _NO_TOKENS,
) -> Callable[[], VerifiedProof]:
    """Do all of `verify_proof` that comes before cryptography: whether the token is a proof for this WIT at all.

    Arguments and errors as `verify_proof`, which does both parts.

    Returns:
        What does the rest. Nothing of the token is to be believed before.
    """
    if tokens.access_token is not None and not revision.binds_access_token:
        raise ConfigurationError(f"revision {revision.name} binds no access token")
    # Whoever verified it some time ago and kept it; that one may have allowed for the longest leeway.
    if now >= wit.expires_at + int(MAX_LEEWAY.total_seconds()):
        raise Refused(Reason.TOKEN_EXPIRED, "the WIT has expired since it was verified")
    jws = _parse(token)
    _check_header(jws, wit)
    # Not a partial, whose repr would show the token.
    return lambda: _finished(jws, wit, revision, settings, now, tokens)


def _finished(  # noqa: PLR0917 - the arguments of `begin_proof`
    jws: UnverifiedJWS,
    wit: VerifiedWIT,
    revision: ProofRevision,
    settings: ProofTokenSettings,
    now: int,
    tokens: TokenHashes,
) -> VerifiedProof:
    # One check, by one key: the one of cnf.jwk, which was confirmed by the WIT's issuer.
    wit.key.verify(jws.signature, jws.signing_input)
    claims = jws.claims
    audience = _audience(claims)
    expires_at = _check_times(claims, now, settings)
    token_id = _token_id(claims, settings)
    _check_hash(claims.get("wth"), token_hash(wit.text), "wth", "the WIT")
    if revision.binds_access_token:
        _check_hash(claims.get("ath"), tokens.access_token, "ath", "the access token")
    _check_hash(claims.get("tth"), tokens.txn_token, "tth", "the transaction token")
    _check_others(claims, tokens.others)
    return VerifiedProof(
        wit.identity,
        audience,
        token_id,
        expires_at,
        _earliest(claims, expires_at, now, settings),
        MappingProxyType(dict(claims)),
        _made_by=_MADE_BY_VERIFICATION,
    )


def _parse(token: str | bytes) -> UnverifiedJWS:
    text = token if isinstance(token, str) else token.decode("latin-1")  # other bytes than base64url are refused
    try:
        return UnverifiedJWS.parse(text, "the proof")
    except Refused as refused:
        raise Refused(_AS_PROOF.get(refused.reason, refused.reason), refused.detail) from None


def _check_header(jws: UnverifiedJWS, wit: VerifiedWIT) -> None:
    # §2: string-equal. That none and the symmetric ones are never in cnf.jwk.alg was checked with the WIT.
    if jws.algorithm_name != confirmed_algorithm(wit.claims):
        raise Refused(Reason.ALGORITHM_MISMATCH, "the proof's alg is not the WIT's cnf.jwk.alg")
    # §2: it conveys the media type wpt+jwt; RFC 7515 §4.1.9: compared without case, "application/" may be left out.
    typ = jws.header.get("typ")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") != PROOF_TYPE:
        raise Refused(Reason.PROOF_TYPE, f"the proof's typ is not {PROOF_TYPE}")


def _audience(claims: Mapping[str, object]) -> str:
    value = claims.get("aud")
    members = value if isinstance(value, list) else [value]  # RFC 7519 §4.1.3: one, or a list
    if len(members) > 1:
        # §3.1 asks for a careful analysis: whoever else it is for can present it to us, and we to them.
        raise Refused(Reason.PROOF_CLAIM, "the proof is for more than one audience")
    audience = without_query(members[0]) if members and isinstance(members[0], str) else ""
    if not audience:
        raise Refused(Reason.AUDIENCE_MISSING, "the proof has no aud, or one that is no text")
    return audience


def _check_times(claims: Mapping[str, object], now: int, settings: ProofTokenSettings) -> int:
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise Refused(Reason.PROOF_TIME, "the proof has no exp")
    leeway = int(settings.leeway.total_seconds())
    longest = int(settings.max_lifetime.total_seconds())
    if now >= expires_at + leeway:
        raise Refused(Reason.PROOF_EXPIRED, "the proof has expired")
    # §2 asks for no iat to count from: what is left of its life is what it lives at least.
    if expires_at > now + longest + leeway:
        raise Refused(Reason.PROOF_LIFETIME, f"the proof expires more than {longest} seconds from now")
    not_before = _time(claims, "nbf")  # RFC 7519 §4.1.5: not accepted before, where it is there
    if not_before is not None and now < not_before - leeway:
        raise Refused(Reason.PROOF_NOT_YET_VALID, "the proof's nbf is in the future")
    return expires_at


def _earliest(claims: Mapping[str, object], expires_at: int, now: int, settings: ProofTokenSettings) -> int:
    # Before this it would have been refused for its life, here and in every process with these settings
    # (docs/decisions/0012). An iat says it better, where there is one; the profile does not ask for it, so one that is
    # no time, or is not to be believed, is not there.
    leeway = int(settings.leeway.total_seconds())
    bound = expires_at - int(settings.max_lifetime.total_seconds()) - leeway
    issued_at = claims.get("iat")
    return max(bound, issued_at) if type(issued_at) is int and issued_at <= now + leeway else bound


def _time(claims: Mapping[str, object], name: str) -> int | None:
    if name not in claims:
        return None
    value = claims[name]
    # type() and not isinstance(): bool is an int
    if type(value) is not int or not 0 <= value <= _MAX_TIME:
        raise Refused(Reason.PROOF_TIME, f"the proof's {name} is not a time in whole seconds")
    return value


def _token_id(claims: Mapping[str, object], settings: ProofTokenSettings) -> str:
    value = claims.get("jti")
    least, most = settings.min_token_id_characters, settings.max_token_id_characters
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise Refused(Reason.PROOF_CLAIM, f"the proof has no jti of {least} to {most} characters")
    return value


def _check_hash(claimed: object, expected: str | None, name: str, what: str) -> None:
    if expected is None:
        # §2 asks for the claim where the token is there. One without its token was taken out of the message.
        if claimed is not None:
            raise Refused(Reason.TOKEN_HASH_MISMATCH, f"the proof's {name} is for a token that is not there")
    elif claimed is None:
        raise Refused(Reason.TOKEN_HASH_MISSING, f"the proof has no {name}, and so does not bind {what}")
    elif claimed != expected:
        raise Refused(Reason.TOKEN_HASH_MISMATCH, f"the proof's {name} is not the hash of {what}")


def _check_others(claims: Mapping[str, object], others: Mapping[str, str]) -> None:
    claimed = claims.get("oth", {})
    if not isinstance(claimed, dict):
        raise Refused(Reason.PROOF_CLAIM, "the proof's oth is not an object")
    # §2: an entry that is not understood rejects the proof. That it names a field which is there does not suffice.
    if not claimed.keys() <= others.keys():
        raise Refused(Reason.TOKEN_HASH_UNKNOWN, "the proof's oth has an entry for which there is no token known here")
    for name, expected in others.items():
        _check_hash(claimed.get(name), expected, "oth", "a token that is to be bound")
