"""The proofs that the entrance accepts: which revision of which profile a request satisfies.

Each revision that is configured has a `Judge`, made once by the kind of its value. With several of them the rules are:

1. A request satisfies one of them completely; nothing of one is ever combined with anything of another.
2. Which one is decided by what the request carries and covers, before cryptography: it is the first that is configured
   of those that have nothing to object to.
3. That one decides. When its signature is wrong the request is refused, and no other is tried: at most one proof is
   checked cryptographically.
4. When none fits, the reason is that of the one that comes nearest, which is the one with the fewest requirements that
   are not met; of several that are as near, the first that is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeAlias

from wimse.credentials import VerifiedWIT, WorkloadCredential
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import Limits, Request, Response, VerifiedSignature, check_content_digest
from wimse.profiles import http_signature
from wimse.profiles.http_signature import AUDIENCE, SIGN_RESPONSE, SignatureSettings

__all__ = ["AnyRevision", "Judge", "Proof", "Proven", "begin_with", "judges_of"]

AnyRevision: TypeAlias = http_signature.Revision
"""A revision of any of the profiles; which one, its type says."""

Proof: TypeAlias = VerifiedSignature
"""What a workload proved the possession of its key with, verified."""


class Proven(NamedTuple):
    """A proof that was verified, and what the entrance still has to judge of it.

    Attributes:
        proof: what was verified, the digest of the content included.
        revision: the name of the revision that the request satisfies.
        audience: for whom it is; None where the revision has none and the request names none.
        nonce: what makes it unique.
        expires_at: when it ends, in seconds since 1970, without leeway.
        created_at: when it was made, as it says, in seconds since 1970; None where it does not say.
    """

    proof: Proof
    revision: str
    audience: str | None
    nonce: str
    expires_at: int
    created_at: int | None = None


class Judge(Protocol):
    """One revision of one profile, as the entrance asks it."""

    @property
    def name(self) -> str:
        """Of the revision, unlike that of any other."""

    def verify(self, request: Request, content: bytes, wit: VerifiedWIT, now: int) -> Proven:
        """Verify the proof of a request and the digest of its content.

        Args:
            request: the head, as received.
            content: all of the content, as received.
            wit: the request's own WIT, verified.
            now: seconds since 1970.

        Raises:
            Refused: when the request does not satisfy this revision.
        """

    def begin(self, request: Request, content: bytes, wit: VerifiedWIT, now: int) -> Callable[[], Proven]:
        """Do all of `verify` that comes before cryptography.

        Returns:
            What does the rest.

        Raises:
            Refused: when the request is none of this revision.
        """

    def response_must_be_signed(self, proof: Proof) -> bool:
        """Whether the request asked for a signed response."""

    def sign_response(
        self,
        response: Response,
        content: bytes,
        credential: WorkloadCredential,
        *,
        request: Request,
        proof: Proof,
        now: int,
        nonce: str,
    ) -> Response:
        """Sign the response to a request that satisfied this revision; arguments as `Authenticator.sign_response`.

        Raises:
            Unavailable: `credential_expired`; `response_not_signable` where this revision signs none.
            Refused: when it cannot be signed as it is.
        """


class SignatureJudge:
    """Judges by a revision of http-signature."""

    __slots__ = ("_limits", "_revision", "_settings", "name")

    def __init__(self, revision: http_signature.Revision, settings: SignatureSettings, limits: Limits) -> None:
        self.name = revision.name
        self._revision = revision
        self._settings = settings
        self._limits = limits

    def verify(self, request: Request, content: bytes, wit: VerifiedWIT, now: int) -> Proven:
        """Verify the signature and the digest; as `Judge.verify`."""
        signature = http_signature.verify_signature(
            request, wit, revision=self._revision, settings=self._settings, limits=self._limits, now=now
        )
        return self._proven(signature, request, content)

    def begin(self, request: Request, content: bytes, wit: VerifiedWIT, now: int) -> Callable[[], Proven]:
        """Judge what the signature covers and carries; as `Judge.begin`."""
        finish = http_signature.begin_signature(
            request, wit, revision=self._revision, settings=self._settings, limits=self._limits, now=now
        )
        return lambda: self._proven(finish(), request, content)

    def _proven(self, signature: VerifiedSignature, request: Request, content: bytes) -> Proven:
        check_content_digest(request.fields, content, limits=self._limits)
        parameters = signature.parameters
        created, expires = parameters["created"], parameters["expires"]
        if not isinstance(created, int) or not isinstance(expires, int):
            raise Refused(Reason.PARAMETER_TYPE, "created or expires is not an Integer")
        return Proven(signature, self.name, str(parameters[AUDIENCE]), str(parameters["nonce"]), expires, created)

    def response_must_be_signed(self, proof: Proof) -> bool:
        """Whether it has wimse-sign-response (§3.2)."""
        return proof.parameters.get(SIGN_RESPONSE) is True

    def sign_response(
        self,
        response: Response,
        content: bytes,
        credential: WorkloadCredential,
        *,
        request: Request,
        proof: Proof,
        now: int,
        nonce: str,
    ) -> Response:
        """Sign it in the same revision (§3.4); as `Judge.sign_response`."""
        return http_signature.sign_response(
            response,
            content,
            credential,
            request=request,
            request_nonce=str(proof.parameters["nonce"]),
            revision=self._revision,
            settings=self._settings,
            now=now,
            nonce=nonce,
        )


# The kinds of revisions, by the type of the value. Another profile is another line.
_KINDS: Final[Mapping[type, Callable[[AnyRevision, SignatureSettings, Limits], Judge]]] = MappingProxyType(
    {http_signature.Revision: SignatureJudge}
)


def judges_of(
    revision: AnyRevision | Iterable[AnyRevision], settings: SignatureSettings, limits: Limits
) -> tuple[Judge, ...]:
    """The judges of what was configured, in this order.

    Raises:
        ConfigurationError: for none, for one that is no revision, or for two of one name.
    """
    revisions = tuple(revision) if isinstance(revision, Iterable) else (revision,)
    made: list[Judge] = []
    for each in revisions:
        kind = _KINDS.get(type(each))
        if kind is None:
            raise ConfigurationError("a revision is a value of one of the profiles")
        made.append(kind(each, settings, limits))
    if not made or len({each.name for each in made}) != len(made):
        raise ConfigurationError("an entrance accepts one revision at least, and each once")
    return tuple(made)


def begin_with(
    judges: tuple[Judge, ...], request: Request, content: bytes, wit: VerifiedWIT, now: int
) -> Callable[[], Proven]:
    """Begin with the first judge that has nothing to object to; arguments and result as `Judge.begin`.

    Raises:
        Refused: when none fits, with the reason of the one that comes nearest.
    """
    objections: list[tuple[float, str, Refused]] = []
    for judge in judges:
        try:
            return judge.begin(request, content, wit, now)
        except Refused as refused:
            objections.append((_distance(refused), judge.name, refused))
    _, name, nearest = min(objections, key=itemgetter(0))
    detail = f"the message fits none of the revisions that are accepted; by {name}: {nearest.detail}"
    raise Refused(nearest.reason, detail, violations=nearest.violations)


def _distance(refused: Refused) -> float:
    # A refusal without a list came before its requirements were compared: no signature at all, or an unreadable one.
    return len(refused.violations) or float("inf")
