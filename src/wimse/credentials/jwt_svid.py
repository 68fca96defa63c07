"""The JWT-SVID: issued and verified (JWT-SVID.md). A bearer token, kept for what still needs one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from types import MappingProxyType
from typing import Final

from wimse.credentials.bundle import TrustBundle
from wimse.credentials.claims import TokenSettings, check_times
from wimse.credentials.identifier import TrustDomain, WorkloadIdentifier
from wimse.credentials.jws import SPIFFE_ALGORITHMS, UnverifiedJWS, sign_compact
from wimse.errors import Reason, Refused
from wimse.keys import Signer
from wimse.keys.algorithms import algorithm_of_jose_name

__all__ = ["VerifiedJWTSVID", "issue_jwt_svid", "jwt_svid_trust_domain", "verify_jwt_svid"]

_MADE_BY_VERIFICATION: Final = object()


@dataclass(frozen=True, slots=True)
class VerifiedJWTSVID:
    """A JWT-SVID that its trust domain's bundle has verified for one audience.

    Attributes:
        identity: the workload.
        expires_at: `exp`, in seconds since 1970.
        claims: all claims.
    """

    identity: WorkloadIdentifier
    expires_at: int
    claims: Mapping[str, object] = field(repr=False)
    # Not kept: what is kept could be handed on, and `dataclasses.replace` would.
    _made_by: InitVar[object] = None

    def __post_init__(self, _made_by: object) -> None:
        if _made_by is not _MADE_BY_VERIFICATION:
            raise TypeError("a VerifiedJWTSVID is made by verify_jwt_svid only")


def issue_jwt_svid(
    *, subject: WorkloadIdentifier, audience: Sequence[str], signer: Signer, issued_at: int, expires_at: int
) -> str:
    """Write a JWT-SVID.

    Args:
        subject: the workload, of the scheme `spiffe`.
        audience: at least one recipient.
        signer: the issuing key.
        issued_at: `iat`, in seconds since 1970.
        expires_at: `exp`, in seconds since 1970.

    Returns:
        The token.

    Raises:
        ValueError: when the issuing key's algorithm is not one for JWT-SVIDs (JWT-SVID §2.1).
    """
    if signer.public_key.algorithm not in SPIFFE_ALGORITHMS:
        raise ValueError("the issuing key's algorithm is not one for JWT-SVIDs")
    claims = {"sub": str(subject), "aud": list(audience), "iat": issued_at, "exp": expires_at}
    return sign_compact({"typ": "JWT"}, claims, signer)


def jwt_svid_trust_domain(text: str) -> TrustDomain:
    """The trust domain whose bundle must verify the token; nothing is trusted yet.

    Raises:
        Refused: when the token is malformed or its subject is no SPIFFE ID.
    """
    return _subject(UnverifiedJWS.parse(text, "the JWT-SVID")).trust_domain


def verify_jwt_svid(
    text: str, bundle: TrustBundle, *, audience: str, now: int, settings: TokenSettings | None = None
) -> VerifiedJWTSVID:
    """Verify a JWT-SVID for one audience (JWT-SVID §2 to §4).

    Args:
        text: the token.
        bundle: the bundle of the token's trust domain.
        audience: who we are.
        now: seconds since 1970.
        settings: leeway and longest life.

    Raises:
        Refused: `token_malformed` and its kin, `token_subject`, `trust_domain_unknown`, `token_type`,
            `token_algorithm`, `key_unknown`, `key_id_missing`, `algorithm_mismatch`,
            `token_signature_invalid`, `token_expired`, `token_audience`.
    """
    jws = UnverifiedJWS.parse(text, "the JWT-SVID")
    identity = _subject(jws)
    if identity.trust_domain != bundle.trust_domain:
        raise Refused(Reason.TRUST_DOMAIN_UNKNOWN, "the bundle is not the one of the JWT-SVID's trust domain")
    if jws.header.get("typ", "JWT") not in ("JWT", "JOSE"):  # JWT-SVID §2.3
        raise Refused(Reason.TOKEN_TYPE, "the token's typ is not that of a JWT-SVID")
    algorithm = algorithm_of_jose_name(jws.algorithm_name)
    if algorithm not in SPIFFE_ALGORITHMS:  # JWT-SVID §2.1
        raise Refused(Reason.TOKEN_ALGORITHM, "the JWT-SVID's alg is not one that is permitted and supported")
    key = bundle.jwt_key(jws.key_id)
    if key.algorithm is not algorithm:
        raise Refused(Reason.ALGORITHM_MISMATCH, "the JWT-SVID's alg is not the algorithm of the key that it names")
    try:
        key.verify(jws.signature, jws.signing_input)
    except Refused:
        raise Refused(Reason.TOKEN_SIGNATURE_INVALID, "the JWT-SVID's signature does not verify") from None
    expires_at = check_times(jws.claims, now, settings or TokenSettings())
    _check_audience(jws.claims.get("aud"), audience)
    return VerifiedJWTSVID(identity, expires_at, MappingProxyType(dict(jws.claims)), _made_by=_MADE_BY_VERIFICATION)


def _subject(jws: UnverifiedJWS) -> WorkloadIdentifier:
    subject = jws.claims.get("sub")
    if not isinstance(subject, str):
        raise Refused(Reason.TOKEN_SUBJECT, "the JWT-SVID has no sub, or one that is not a string")
    try:
        identity = WorkloadIdentifier.parse(subject)
    except Refused as refused:
        raise Refused(Reason.TOKEN_SUBJECT, f"the JWT-SVID's sub: {refused.detail}") from None
    if identity.trust_domain.scheme != "spiffe":
        raise Refused(Reason.TOKEN_SUBJECT, "the JWT-SVID's sub is not a SPIFFE ID")
    return identity


def _check_audience(value: object, audience: str) -> None:
    # RFC 7519 §4.1.3: a string, or a list of strings
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(each, str) for each in values):
        raise Refused(Reason.TOKEN_AUDIENCE, "the JWT-SVID has no aud")
    if audience not in values:
        raise Refused(Reason.TOKEN_AUDIENCE, "the JWT-SVID is not for this audience")
