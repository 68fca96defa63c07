"""Proofs in requests: where they stand, which tokens stand beside them, and both sides of the exchange (§2).

A proof covers neither the method nor the path nor any field or content, but for the tokens whose hashes it has. What
else of a request is to be believed is for TLS to say (§3.3, middle boxes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from wimse.credentials import WIT_FIELD, VerifiedWIT, WorkloadCredential
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import ComponentIdentifier, Fields, Request, component_value, with_fields
from wimse.profiles.proof_token.hashes import TokenHashes, token_hash
from wimse.profiles.proof_token.judging import VerifiedProof, begin_proof
from wimse.profiles.proof_token.making import make_proof
from wimse.profiles.proof_token.revision import ProofRevision
from wimse.profiles.proof_token.settings import TXN_TOKEN_FIELD, ProofTokenSettings

__all__ = [
    "ProvenRequest",
    "VerifiedRequestProof",
    "begin_request",
    "default_audience",
    "has_proof",
    "prove_request",
    "verify_request",
]

_AUTHORIZATION: Final = "authorization"
# RFC 9110 §11.4: a scheme without regard to case, spaces, and here a token68.
_CREDENTIALS: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([A-Za-z0-9._~+/-]+=*)", re.ASCII)
_ACCESS_TOKEN_SCHEMES: Final = ("bearer", "dpop")  # RFC 6750 §2.1, RFC 9449 §7.1
_SCHEME, _AUTHORITY, _PATH = (ComponentIdentifier(name) for name in ("@scheme", "@authority", "@path"))
_MADE_BY_VERIFICATION: Final = object()
_CANONICAL_NAMES: Final = {"authorization": "Authorization", "workload-proof-token": "Workload-Proof-Token"}


@dataclass(frozen=True, slots=True)
class ProvenRequest:
    """A request as it is sent.

    Attributes:
        request: with the WIT and its proof.
        token_id: the `jti` of the proof.
    """

    request: Request
    token_id: str


@dataclass(frozen=True, slots=True)
class VerifiedRequestProof:
    """The proof of a request, verified, with the VALUES that it binds. Only `verify_request` makes one.

    Attributes:
        proof: the proof.
        covered: the WIT and the other tokens that the proof binds, each under the name of its field. An access token
            (revision 01) stands there alone: the scheme before it is not bound. No other field of the request is in it.
    """

    proof: VerifiedProof
    covered: Mapping[str, str] = field(repr=False)
    _made_by: InitVar[object] = None

    def __post_init__(self, _made_by: object) -> None:
        if _made_by is not _MADE_BY_VERIFICATION:
            raise TypeError("a VerifiedRequestProof is made by verify_request only")


class _Beside(NamedTuple):
    """The tokens beside a proof: by field, and as hashes."""

    values: Mapping[str, str]
    hashes: TokenHashes


def default_audience(request: Request) -> str:
    """The target URI without query and fragment (§2), as the sender knows it."""
    scheme, authority, path = (component_value(each, request) for each in (_SCHEME, _AUTHORITY, _PATH))
    return f"{scheme}://{authority}{path}"


def has_proof(fields: Fields, revision: ProofRevision) -> bool:
    """Whether a message carries what is meant as a proof of this revision, well-formed or not."""
    values = fields.values(revision.field)
    if revision.scheme is None:
        return bool(values)
    return any(each.partition(" ")[0].lower() == revision.scheme.lower() for each in values)


def prove_request(
    request: Request,
    credential: WorkloadCredential,
    *,
    revision: ProofRevision,
    settings: ProofTokenSettings,
    now: int,
    token_id: str,
    audience: str | None = None,
) -> ProvenRequest:
    """Put our WIT and a proof into a request, in place of those that it may have.

    Args:
        request: the head.
        credential: the WIT and its key.
        revision: of the profile.
        settings: the life of the proof, and which further fields hold tokens that it binds.
        now: seconds since 1970.
        token_id: `jti`, new and random, 128 bits at least.
        audience: for whom it is; None means `default_audience`.

    Raises:
        Unavailable: `credential_expired`, `credential_unavailable`.
        Refused: `field_duplicated` for two lines of a field with a token; `field_malformed`.
        ConfigurationError: as `make_proof`; where the proof stands in Authorization (02), for other credentials there,
            since a request cannot carry both.
    """
    if revision.field == _AUTHORIZATION and not all(_is_of(revision, value) for value in _authorizations(request)):
        raise ConfigurationError("Authorization holds the proof: other credentials go into a field of their own")
    fields = request.fields.without(WIT_FIELD, revision.field)
    token = make_proof(
        credential,
        audience=default_audience(request) if audience is None else audience,
        now=now,
        token_id=token_id,
        revision=revision,
        settings=settings,
        tokens=_beside(fields, revision, settings).hashes,
    )
    value = token if revision.scheme is None else f"{revision.scheme} {token}"
    lines = (("Workload-Identity-Token", credential.wit), (_CANONICAL_NAMES[revision.field], value))
    return ProvenRequest(with_fields(request, fields.adding(*lines)), token_id)


def verify_request(
    request: Request, wit: VerifiedWIT, *, revision: ProofRevision, settings: ProofTokenSettings, now: int
) -> VerifiedRequestProof:
    """Verify the proof of a request with the key of its WIT.

    Audience and replay are the caller's, as with `verify_proof`.

    Args:
        request: the head, as received.
        wit: the request's own WIT, verified.
        revision: of the profile; the request must satisfy all of it.
        settings: times and sizes, and which further fields hold tokens that must be bound.
        now: seconds since 1970.

    Raises:
        Refused: `proof_missing`; `field_duplicated` for two lines of a field with a proof or a token;
            `token_malformed`, `field_malformed`; as `verify_proof`.
    """
    return begin_request(request, wit, revision=revision, settings=settings, now=now)()


def begin_request(
    request: Request, wit: VerifiedWIT, *, revision: ProofRevision, settings: ProofTokenSettings, now: int
) -> Callable[[], VerifiedRequestProof]:
    """Do all of `verify_request` that comes before cryptography; arguments and errors as `verify_request`.

    Returns:
        What does the rest.
    """
    if request.fields.values(WIT_FIELD) != [wit.text]:
        raise Refused(Reason.TOKEN_HASH_MISMATCH, "the WIT that was verified is not the one of this request")
    token = _proof_of(request.fields, revision)
    beside = _beside(request.fields, revision, settings)
    finish = begin_proof(token, wit, revision=revision, settings=settings, now=now, tokens=beside.hashes)
    covered = MappingProxyType({WIT_FIELD: wit.text, **beside.values})
    return lambda: VerifiedRequestProof(finish(), covered, _made_by=_MADE_BY_VERIFICATION)


def _authorizations(request: Request) -> list[str]:
    return request.fields.values(_AUTHORIZATION)


def _is_of(revision: ProofRevision, credentials: str) -> bool:
    return revision.scheme is not None and credentials.partition(" ")[0].lower() == revision.scheme.lower()


def _proof_of(fields: Fields, revision: ProofRevision) -> str:
    """Take the one proof out of a message."""
    value = _single(fields, revision.field)
    if value is None:
        raise Refused(Reason.PROOF_MISSING, f"the request has no {revision.field}")
    if revision.scheme is None:
        return value
    if not _is_of(revision, value):
        # 02 §2.2: other credentials in this field are never used for the calling workload, nor looked at.
        raise Refused(Reason.PROOF_MISSING, f"the request's {revision.field} is not of the scheme {revision.scheme}")
    found = _CREDENTIALS.fullmatch(value)
    if found is None:
        raise Refused(Reason.TOKEN_MALFORMED, f"the credentials after {revision.scheme} are no token68")
    return found[2]


def _beside(fields: Fields, revision: ProofRevision, settings: ProofTokenSettings) -> _Beside:
    """All tokens beside the proof that are to be bound."""
    access_token = _access_token(fields) if revision.binds_access_token else None
    txn_token = _single(fields, TXN_TOKEN_FIELD)
    others = {name: value for name in settings.context_fields if (value := _single(fields, name)) is not None}
    values = {
        **({} if access_token is None else {_AUTHORIZATION: access_token}),
        **({} if txn_token is None else {TXN_TOKEN_FIELD: txn_token}),
        **others,
    }
    hashes = TokenHashes(
        access_token=None if access_token is None else token_hash(access_token),
        txn_token=None if txn_token is None else token_hash(txn_token),
        others={name: token_hash(value) for name, value in others.items()},
    )
    return _Beside(values, hashes)


def _access_token(fields: Fields) -> str | None:
    value = _single(fields, _AUTHORIZATION)
    # By any white space: a reader that is laxer than the grammar would take what follows a tab for a token.
    if not value or value.split(maxsplit=1)[0].lower() not in _ACCESS_TOKEN_SCHEMES:
        return None
    found = _CREDENTIALS.fullmatch(value)
    if found is None:
        raise Refused(Reason.FIELD_MALFORMED, "Authorization has no access token after its scheme")
    return found[2]


def _single(fields: Fields, name: str) -> str | None:
    # §2: fields that occur several times are not supported: which of their lines is the token is anybody's guess.
    values = fields.values(name)
    if len(values) > 1:
        raise Refused(Reason.FIELD_DUPLICATED, f"the message has more than one {name}")
    return values[0] if values else None
