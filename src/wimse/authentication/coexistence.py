"""Bearer tokens beside WITs, while a deployment moves from one to the other (workload-creds §5.3).

The rules, which no setting loosens:

1. What decides is whether a request carries a WIT or anything of a signature, never whether they are good: who sends a
   bad WIT, an expired one or half of a proof is refused, and its bearer token is not looked at.
2. A bearer token alone is accepted only where this is configured, and only of callers that the policy names.
3. Which credential counts is decided before anybody is authenticated, so it is judged again afterwards: a bearer token
   of a caller that has a WIT by now is refused.
4. Beside a WIT the bearer token says what it always said (a user, a scope), not who calls, and it is taken from the
   signed values.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from inspect import isawaitable
from typing import Final

from wimse.authentication.result import AuthenticatedWorkload
from wimse.authentication.rules import Policy
from wimse.credentials import WIT_FIELD, WorkloadIdentifier
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import Fields, Request
from wimse.profiles.proof_token import VerifiedRequestProof

__all__ = ["BearerCaller", "BearerEntrance", "BearerPolicy", "BearerVerifier", "Presented", "bearer_of"]

BearerVerifier = Callable[[str], WorkloadIdentifier | Awaitable[WorkloadIdentifier]]
"""What a service did until now: verify a bearer token, audience and expiry included, and say whose it is."""

# Of any proof: with one of these a request is one that claims to prove something.
_PROOFS: Final = (WIT_FIELD, "signature", "signature-input", "workload-proof-token")
_SCHEMES: Final = ("wpt",)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1
_CHALLENGE: Final = 'Bearer error="invalid_token"'


class Presented(Enum):
    """By what a caller wants to be known."""

    WIT = "wit"
    BEARER = "bearer"


def _nobody(_: WorkloadIdentifier) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerPolicy:
    """Who may still come with a bearer token alone.

    Attributes:
        bearer_callers: the callers that have no WIT yet. Default nobody, so that every request needs a WIT.
    """

    bearer_callers: Policy = _nobody

    def choose(self, request: Request) -> Presented:
        """Which credential of a request counts, before any is verified.

        Returns:
            `WIT` for a request with a WIT or any part of a proof: then `Authenticator.authenticate` decides and nobody
            else. `BEARER` for one with a bearer token and nothing of a proof: verify it, and then call `recheck`.

        Raises:
            Refused: `wit_missing` when there is neither, or no caller may come with a bearer token;
                `field_duplicated` for a second Authorization.
        """
        fields = request.fields
        if any(name in fields for name in _PROOFS) or _scheme(fields) in _SCHEMES:
            return Presented.WIT
        if self.bearer_callers is _nobody or _scheme(fields) != "bearer":
            raise Refused(Reason.WIT_MISSING, "the message has no Workload-Identity-Token")
        return Presented.BEARER

    def recheck(self, caller: WorkloadIdentifier) -> None:
        """Judge the choice of a bearer token again, now that its caller is known.

        Args:
            caller: who the verified bearer token says it is.

        Raises:
            Refused: `identity_not_allowed` for a caller that has to come with a WIT.
        """
        if self.bearer_callers(caller) is not True:
            raise Refused(Reason.IDENTITY_NOT_ALLOWED, "this workload has to authenticate with its WIT")


@dataclass(frozen=True, slots=True)
class BearerCaller:
    """Who came with a bearer token alone. Nobody proved anything: no value of the message is signed, or new.

    It is no `AuthenticatedWorkload`, so that nothing which wants one takes it for one.

    Attributes:
        identity: whose token it is.
    """

    identity: WorkloadIdentifier


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerEntrance:
    """The other entrance, for those who have no WIT yet. Servers ask it only when it is handed to them.

    Attributes:
        policy: who may come through it.
        verify: says whose a bearer token is, or raises `Refused` or `Unavailable`. It gets the token alone: whatever
            else the message says is not proven by one.
    """

    policy: BearerPolicy
    verify: BearerVerifier

    def __post_init__(self) -> None:
        given: tuple[object, object] = (self.policy, self.verify)
        if not isinstance(given[0], BearerPolicy) or not callable(given[1]):
            raise ConfigurationError("bearer tokens need a BearerPolicy and what verifies them")

    async def authenticate(self, request: Request) -> BearerCaller | None:
        """Say who sent the request, if it came with a bearer token alone.

        Args:
            request: the head, as received.

        Returns:
            None for a request that the WIT's entrance decides.

        Raises:
            Refused: as `BearerPolicy.choose`; `token_malformed`; what `verify` raises; and `identity_not_allowed` for
                a caller that has to come with its WIT.
            Unavailable: what `verify` raises.
            ConfigurationError: when `verify` gives anything else than an identifier.
        """
        if self.policy.choose(request) is Presented.WIT:
            return None
        token = request.fields.values("authorization")[0].partition(" ")[2].strip(" ")
        if not _TOKEN.fullmatch(token):
            raise _challenged(Refused(Reason.TOKEN_MALFORMED, "the bearer token has characters that none has"))
        try:
            verified = self.verify(token)
            identity = await verified if isawaitable(verified) else verified
        except Refused as refused:
            raise _challenged(refused) from None
        if not isinstance(identity, WorkloadIdentifier):
            raise ConfigurationError("what verifies bearer tokens has to give a WorkloadIdentifier")
        self.policy.recheck(identity)
        return BearerCaller(identity)


def _challenged(refused: Refused) -> Refused:
    if refused.challenge is None and refused.http_status == 400:
        refused.challenge = _CHALLENGE  # RFC 6750 §3: a token that is refused is answered with it
    return refused


def bearer_of(caller: AuthenticatedWorkload) -> str | None:
    """The bearer token beside a WIT, from the signed values; None without one.

    Beside a proof token of wpt-01 it is the access token that is bound, whose scheme is not.
    """
    if isinstance(caller.proof, VerifiedRequestProof):
        return caller.covered.get("authorization")
    scheme, _, token = caller.covered.get("authorization", "").partition(" ")
    return token.strip(" ") or None if scheme.lower() == "bearer" else None


def _scheme(fields: Fields) -> str:
    values = fields.values("authorization")
    if len(values) > 1:
        raise Refused(Reason.FIELD_DUPLICATED, "the message has more than one authorization")
    return values[0].partition(" ")[0].lower() if values else ""
