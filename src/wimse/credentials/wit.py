"""The Workload Identity Token: parsed, verified, issued.

Rules (workload-creds §5.1, §5.1.4; WIT-SVID §2 to §4 on top for `spiffe` subjects). Verification is in the draft's
order, and nothing of the token is used before all of it is done:

1. one well-formed compact JWT;
2. `sub` is present and one workload identifier, and its trust domain selects the trust anchors;
3. `typ`;
4. the signature, under those anchors and no others: never a key or URL that the token itself names (`iss`, `jwk`,
   `jku`, `x5u`, `x5c`);
5. `exp`, with `nbf` and the length of life;
6. `cnf`: the public key whose holder the token identifies.

A WIT is not a bearer token: a `VerifiedWIT` says whose key it is, not that the sender holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from types import MappingProxyType
from typing import Final

from wimse.credentials.bundle import TrustBundle
from wimse.credentials.claims import TokenSettings, check_times, optional_text, optional_time
from wimse.credentials.identifier import TrustDomain, WorkloadIdentifier
from wimse.credentials.jws import MAX_TOKEN_BYTES, SPIFFE_ALGORITHMS, UnverifiedJWS, sign_compact
from wimse.errors import Reason, Refused
from wimse.keys import PUBLIC_KEY_ALGORITHMS, PublicKey, Signer

__all__ = ["WIT_FIELD", "WIT_TYPE", "UnverifiedWIT", "VerifiedWIT", "issue_wit", "verify_wit"]

WIT_FIELD: Final = "workload-identity-token"  # workload-creds §5.1.1
WIT_TYPE: Final = "wit+jwt"

# workload-creds §5.1: any asymmetric algorithm for signatures, so EdDSA with either curve too. Never a shared secret.
_NAMES: Final = frozenset(name for each in PUBLIC_KEY_ALGORITHMS for name in each.jose_names)
_SPIFFE_NAMES: Final = frozenset(name for each in SPIFFE_ALGORITHMS for name in each.jose_names)
# RFC 7800 §3: other ways to name the key. Beside `jwk` they would leave open which one is meant.
_OTHER_CONFIRMATIONS: Final = ("jwe", "kid", "jku", "x5t#S256", "jkt")

_ISSUED_BY_VERIFICATION: Final = object()


@dataclass(frozen=True, slots=True)
class UnverifiedWIT:
    """A well-formed token that claims a subject. Nobody has checked that it is true.

    Attributes:
        jws: the token's parts.
        claimed_identity: what `sub` says.
    """

    jws: UnverifiedJWS = field(repr=False)
    claimed_identity: WorkloadIdentifier

    @classmethod
    def parse(cls, text: str, *, max_bytes: int = MAX_TOKEN_BYTES) -> UnverifiedWIT:
        """Do steps 1 and 2: read the token and its subject.

        Raises:
            Refused: as `UnverifiedJWS.parse`; `token_subject` when `sub` is missing or no workload identifier.
        """
        jws = UnverifiedJWS.parse(text, "the WIT", max_bytes=max_bytes)
        subject = jws.claims.get("sub")
        if not isinstance(subject, str):
            raise Refused(Reason.TOKEN_SUBJECT, "the WIT has no sub, or one that is not a string")
        try:
            identity = WorkloadIdentifier.parse(subject)
        except Refused as refused:
            raise Refused(Reason.TOKEN_SUBJECT, f"the WIT's sub: {refused.detail}") from None
        return cls(jws, identity)

    @property
    def trust_domain(self) -> TrustDomain:
        """The trust domain whose bundle must verify the token."""
        return self.claimed_identity.trust_domain


@dataclass(frozen=True, slots=True)
class VerifiedWIT:
    """A token that its trust domain's bundle has verified. Only `verify_wit` makes one.

    Attributes:
        identity: the workload.
        key: the workload's public key, from `cnf.jwk`; its algorithm is the only one for proofs.
        expires_at: `exp`, in seconds since 1970.
        issued_at: `iat`, in seconds since 1970, or None.
        issuer: `iss`, or None.
        token_id: `jti`, or None; for audit only, never against replay (WIT-SVID §3.3).
        claims: all claims.
        text: the token.
    """

    identity: WorkloadIdentifier
    key: PublicKey
    expires_at: int
    issued_at: int | None
    issuer: str | None
    token_id: str | None
    claims: Mapping[str, object] = field(repr=False)
    text: str = field(repr=False)
    # Not kept: what is kept could be handed on, and `dataclasses.replace` would.
    _made_by: InitVar[object] = None

    def __post_init__(self, _made_by: object) -> None:
        if _made_by is not _ISSUED_BY_VERIFICATION:
            raise TypeError("a VerifiedWIT is made by verify_wit only")


def verify_wit(
    unverified: UnverifiedWIT, bundle: TrustBundle, *, now: int, settings: TokenSettings | None = None
) -> VerifiedWIT:
    """Do steps 2 (the anchors) to 6.

    Args:
        unverified: the token.
        bundle: the bundle of the token's trust domain.
        now: seconds since 1970.
        settings: leeway and longest life.

    Raises:
        Refused: `trust_domain_unknown` for another domain's bundle; `token_type`; `token_algorithm`,
            `key_id_missing`, `key_unknown`, `algorithm_mismatch`, `token_signature_invalid`; `token_expired`,
            `token_not_yet_valid`, `token_lifetime`, `token_claim`; `token_confirmation` or the reason why
            the key in `cnf.jwk` is not acceptable.
    """
    jws, claims = unverified.jws, unverified.jws.claims
    spiffe = unverified.trust_domain.scheme == "spiffe"
    if bundle.trust_domain != unverified.trust_domain:
        raise Refused(Reason.TRUST_DOMAIN_UNKNOWN, "the bundle is not the one of the WIT's trust domain")
    _check_type(jws.header.get("typ"), spiffe=spiffe)
    _check_signature(jws, bundle, spiffe=spiffe)
    expires_at = check_times(claims, now, settings or TokenSettings())
    if settings is not None and settings.issuers:
        settings.check_issuer(claims, unverified.trust_domain)
    if spiffe and "aud" in claims:
        raise Refused(Reason.TOKEN_CLAIM, "a WIT-SVID has no aud")  # WIT-SVID §3.8
    return VerifiedWIT(
        identity=unverified.claimed_identity,
        key=_confirmation_key(claims, spiffe=spiffe),
        expires_at=expires_at,
        issued_at=optional_time(claims, "iat"),
        issuer=optional_text(claims, "iss"),
        token_id=optional_text(claims, "jti"),
        claims=MappingProxyType(dict(claims)),
        text=jws.text,
        _made_by=_ISSUED_BY_VERIFICATION,
    )


def _check_type(typ: object, *, spiffe: bool) -> None:
    if spiffe:
        acceptable = typ == WIT_TYPE  # WIT-SVID §2.2: set to wit+jwt, nothing else
    else:
        # RFC 7515 §4.1.9: a media type, compared without case, whose "application/" may be left out.
        acceptable = isinstance(typ, str) and typ.lower().removeprefix("application/") == WIT_TYPE
    if typ == "wimse-id+jwt":
        raise Refused(Reason.TOKEN_TYPE, "the typ wimse-id+jwt is that of drafts before August 2025; now it is wit+jwt")
    if not acceptable:
        raise Refused(Reason.TOKEN_TYPE, "the token's typ is not wit+jwt")


def _is_permitted(name: object, *, spiffe: bool) -> bool:
    return isinstance(name, str) and name in (_SPIFFE_NAMES if spiffe else _NAMES)


def _check_signature(jws: UnverifiedJWS, bundle: TrustBundle, *, spiffe: bool) -> None:
    if not _is_permitted(jws.algorithm_name, spiffe=spiffe):
        raise Refused(Reason.TOKEN_ALGORITHM, "the WIT's alg is not one that its scheme permits and we support")
    if spiffe and jws.key_id is None:
        raise Refused(Reason.KEY_ID_MISSING, "a WIT-SVID has a kid")  # WIT-SVID §2.1
    key = bundle.wit_key(jws.key_id)
    # RFC 8725 §3.1: the key decides; a header that says otherwise is refused (CVE-2026-48523).
    if not key.algorithm.has_jose_name(jws.algorithm_name):
        raise Refused(Reason.ALGORITHM_MISMATCH, "the WIT's alg is not the algorithm of the key that it names")
    try:
        key.verify(jws.signature, jws.signing_input)
    except Refused:
        raise Refused(Reason.TOKEN_SIGNATURE_INVALID, "the WIT's signature does not verify") from None


def _confirmation_key(claims: Mapping[str, object], *, spiffe: bool) -> PublicKey:
    confirmation = claims.get("cnf")
    jwk = confirmation.get("jwk") if isinstance(confirmation, dict) else None
    if not isinstance(confirmation, dict) or not isinstance(jwk, dict):
        raise Refused(Reason.TOKEN_CONFIRMATION, "the WIT has no cnf.jwk")
    if any(name in confirmation for name in _OTHER_CONFIRMATIONS):
        raise Refused(Reason.TOKEN_CONFIRMATION, "the WIT's cnf names a key beside its jwk")
    # workload-creds §5.1: alg is required, and neither none, symmetric nor for encryption. WIT-SVID §3.2 as well.
    if not _is_permitted(jwk.get("alg"), spiffe=spiffe):
        raise Refused(
            Reason.TOKEN_CONFIRMATION,
            "the WIT's cnf.jwk.alg is not one that its scheme permits and we support",
        )
    if jwk.get("use", "sig") != "sig":  # RFC 7517 §4.2
        raise Refused(Reason.TOKEN_CONFIRMATION, "the WIT's cnf.jwk is not for signatures")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:  # RFC 7517 §4.3
        raise Refused(Reason.TOKEN_CONFIRMATION, "the WIT's cnf.jwk is not for verifying")
    return PublicKey.from_jwk(jwk)


def issue_wit(
    *,
    subject: WorkloadIdentifier,
    workload_key: PublicKey,
    signer: Signer,
    issued_at: int,
    expires_at: int,
    issuer: str,
    token_id: str,
    other_claims: Mapping[str, object] | None = None,
) -> str:
    """Write a WIT that binds `workload_key` to `subject`.

    Args:
        subject: the workload.
        workload_key: its public key.
        signer: the issuing key, with a `kid`.
        issued_at: `iat`, in seconds since 1970.
        expires_at: `exp`, in seconds since 1970.
        issuer: `iss`, a URI.
        token_id: `jti`, unique.
        other_claims: further claims, which cannot replace those above.

    Returns:
        The token.

    Raises:
        ValueError: when it expires before it is issued, when the issuing key has no kid, when the workload's
            key is the issuing key (workload-creds §9.4: a key is bound to one identifier), or when one of both has an
            algorithm that the subject's scheme does not permit (WIT-SVID §2.3, §3.2).
    """
    if expires_at <= issued_at:
        raise ValueError("a WIT expires after it is issued")
    if signer.public_key.kid is None:
        raise ValueError("the issuing key has no kid")
    # By what they are, not by what they are for: one RSA key can be two, for PS256 and for RS256.
    if signer.public_key.numbers == workload_key.numbers:
        raise ValueError("the workload's key is the issuing key")
    spiffe = subject.trust_domain.scheme == "spiffe"
    if not all(_is_permitted(each.algorithm.jose_name, spiffe=spiffe) for each in (signer.public_key, workload_key)):
        raise ValueError("a key's algorithm is not one for WITs of this scheme")
    jwk = workload_key.with_kid(None).to_jwk()
    claims = {
        **(other_claims or {}),
        "sub": str(subject),
        "iss": issuer,
        "iat": issued_at,
        "exp": expires_at,
        "jti": token_id,
        "cnf": {"jwk": jwk},
    }
    return sign_compact({"typ": WIT_TYPE}, claims, signer)
