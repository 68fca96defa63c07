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

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import itemgetter
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

from wimse.credentials import VerifiedWIT, WorkloadCredential
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable, Violation
from wimse.httpsig import CONTENT_DIGEST, Limits, Request, Response, VerifiedSignature, check_content_digest
from wimse.profiles import http_signature, proof_token
from wimse.profiles.http_signature import AUDIENCE, SIGN_RESPONSE, SignatureRules, SignatureSettings
from wimse.profiles.proof_token import ProofRevision, ProofTokenSettings, VerifiedRequestProof

__all__ = [
    "AnyRevision",
    "Judge",
    "Proof",
    "Proven",
    "begin_with",
    "challenge_for",
    "check_audiences",
    "check_meant",
    "first_that_fits",
    "judges_of",
    "warn_of",
]

_LOG: Final = logging.getLogger("wimse.authentication")

Fitting = TypeVar("Fitting")

AnyRevision: TypeAlias = http_signature.Revision | ProofRevision
"""A revision of any of the profiles; which one, its type says."""

Proof: TypeAlias = VerifiedSignature | VerifiedRequestProof
"""What a workload proved the possession of its key with, verified."""


class Proven(NamedTuple):
    """A proof that was verified, and what the entrance still has to judge of it.

    Attributes:
        proof: what was verified, the digest of the content included.
        revision: the name of the revision that the request satisfies.
        audience: for whom it is; None where the revision has none and the request names none.
        nonce: what makes it unique.
        expires_at: when it ends, in seconds since 1970, without leeway.
        created_at: when it was made, as it says, or else the earliest time at which it could have been accepted; in
            seconds since 1970.
    """

    proof: Proof
    revision: str
    audience: str | None
    nonce: str
    expires_at: int
    created_at: int


class Judge(Protocol):
    """One revision of one profile, as the entrance asks it."""

    @property
    def name(self) -> str:
        """Of the revision, unlike that of any other."""

    @property
    def challenge(self) -> str | None:
        """What WWW-Authenticate says where credentials are refused; None for a profile that challenges nobody."""

    def is_meant(self, request: Request) -> bool:
        """Whether the request carries what may be a proof of this profile, of whatever quality."""

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

    @property
    def signs_responses(self) -> bool:
        """Whether responses can be signed in this revision."""

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

    __slots__ = ("_limits", "_revision", "_rules", "_settings", "name")
    challenge = None  # http-signature §3.5
    signs_responses = True

    def __init__(self, revision: http_signature.Revision, settings: SignatureSettings, limits: Limits) -> None:
        self.name = revision.name
        self._revision = revision
        self._settings = settings
        self._limits = limits
        self._rules = SignatureRules(revision, settings, limits, of_request=True)
        warn_of(revision)

    def is_meant(self, request: Request) -> bool:
        """Whether there is any signature at all; as `Judge.is_meant`."""
        return "signature" in request.fields and "signature-input" in request.fields

    def verify(self, request: Request, content: bytes, wit: VerifiedWIT, now: int) -> Proven:
        """Verify the signature and the digest; as `Judge.verify`."""
        return self._proven(self._rules.verify(request, wit, now=now), request, content)

    def begin(self, request: Request, content: bytes, wit: VerifiedWIT, now: int) -> Callable[[], Proven]:
        """Judge what the signature covers and carries; as `Judge.begin`."""
        finish = self._rules.begin(request, wit, now=now)
        return lambda: self._proven(finish(), request, content)

    def _proven(self, signature: VerifiedSignature, request: Request, content: bytes) -> Proven:
        check_content_digest(request.fields, content, limits=self._limits)
        parameters = signature.parameters
        created, expires = parameters["created"], parameters["expires"]
        if not isinstance(created, int) or not isinstance(expires, int):
            raise Refused(Reason.PARAMETER_TYPE, "created or expires is not an Integer")
        # Also where the revision does not ask for it: who is named and is not us is not answered.
        audience = parameters.get(AUDIENCE)
        named = None if audience is None else str(audience)
        return Proven(signature, self.name, named, str(parameters["nonce"]), expires, created)

    def response_must_be_signed(self, proof: Proof) -> bool:
        """Whether it has wimse-sign-response (§3.2)."""
        return isinstance(proof, VerifiedSignature) and proof.parameters.get(SIGN_RESPONSE) is True

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
        if not isinstance(proof, VerifiedSignature):
            raise ConfigurationError("the proof that is answered is no signature")
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


class ProofTokenJudge:
    """Judges by a revision of wpt. Such a proof says nothing of the content, and no response is signed."""

    __slots__ = ("_limits", "_revision", "_settings", "challenge", "name")
    signs_responses = False

    def __init__(self, revision: ProofRevision, settings: ProofTokenSettings, limits: Limits) -> None:
        self.name = f"wpt-{revision.name}"
        self.challenge = revision.challenge
        self._revision = revision
        self._settings = settings
        self._limits = limits

    def is_meant(self, request: Request) -> bool:
        """Whether there is a proof where this revision has it; as `Judge.is_meant`."""
        return proof_token.has_proof(request.fields, self._revision)

    def verify(self, request: Request, content: bytes, wit: VerifiedWIT, now: int) -> Proven:
        """Verify the proof, and the digest where there is one; as `Judge.verify`."""
        return self.begin(request, content, wit, now)()

    def begin(self, request: Request, content: bytes, wit: VerifiedWIT, now: int) -> Callable[[], Proven]:
        """Judge the form of the proof; as `Judge.begin`."""
        try:
            finish = proof_token.begin_request(request, wit, revision=self._revision, settings=self._settings, now=now)
        except Refused as refused:
            if refused.violations or not self.is_meant(request):
                raise
            # Whoever sends a broken proof is told of it, and not of other revisions.
            raise Refused.for_violations([Violation(refused.reason, refused.detail)]) from None
        return lambda: self._proven(finish(), request, content)

    def _proven(self, verified: VerifiedRequestProof, request: Request, content: bytes) -> Proven:
        # Nobody signed the digest: it guards against accidents. A wrong one is refused all the same.
        if CONTENT_DIGEST in request.fields:
            check_content_digest(request.fields, content, limits=self._limits)
        proof = verified.proof
        return Proven(verified, self.name, proof.audience, proof.scoped_id, proof.expires_at, proof.earliest_use)

    def response_must_be_signed(self, *_: object) -> bool:
        """Never: a proof token cannot ask for it."""
        return False

    def sign_response(self, *_: object, **__: object) -> Response:
        """Proof tokens are for requests; as `Judge.sign_response`."""
        raise Unavailable(Reason.RESPONSE_NOT_SIGNABLE, "a response to a proof token is not signed")


def judges_of(
    revision: AnyRevision | Iterable[AnyRevision],
    settings: SignatureSettings,
    limits: Limits,
    proof_settings: ProofTokenSettings | None = None,
) -> tuple[Judge, ...]:
    """The judges of what was configured, in this order.

    Raises:
        ConfigurationError: for none, for one that is no revision, or for two of one name.
    """
    revisions = tuple(revision) if isinstance(revision, Iterable) else (revision,)
    made = [_judge_of(each, settings, limits, proof_settings or ProofTokenSettings()) for each in revisions]
    if not made or len({each.name for each in made}) != len(made):
        raise ConfigurationError("an entrance accepts one revision at least, and each once")
    return tuple(made)


def _judge_of(
    revision: object, settings: SignatureSettings, limits: Limits, proof_settings: ProofTokenSettings
) -> Judge:
    # The kinds of revisions, by the type of the value. Another profile is another line.
    if isinstance(revision, http_signature.Revision):
        return SignatureJudge(revision, settings, limits)
    if isinstance(revision, ProofRevision):
        return ProofTokenJudge(revision, proof_settings, limits)
    raise ConfigurationError("a revision is a value of one of the profiles")


def check_audiences(judges: tuple[Judge, ...], configured: Iterable[str]) -> None:
    """Refuse audiences that no proof token can have: their query and fragment are ignored (wpt §2).

    Raises:
        ConfigurationError: for one with a query or a fragment, where proof tokens are accepted.
    """
    tokens = any(isinstance(each, ProofTokenJudge) for each in judges)
    if tokens and any(proof_token.without_query(each) != each for each in configured):
        raise ConfigurationError("an audience of proof tokens has neither query nor fragment")


def check_meant(judges: tuple[Judge, ...], request: Request) -> None:
    """Refuse a request that has no proof of any kind that is accepted.

    Raises:
        Refused: `proof_missing` where proof tokens only are accepted, else `signature_missing`.
    """
    if any(each.is_meant(request) for each in judges):
        return
    if all(isinstance(each, ProofTokenJudge) for each in judges):
        raise Refused(Reason.PROOF_MISSING, "the message has no proof token")
    raise Refused(Reason.SIGNATURE_MISSING, "the message has no signature, nor another proof")


def challenge_for(judges: tuple[Judge, ...], request: Request) -> str | None:
    """What the refusal of a request challenges with: as the profile that it is meant for, or else the first one."""
    return next((each for each in judges if each.is_meant(request)), judges[0]).challenge


def begin_with(
    judges: tuple[Judge, ...], request: Request, content: bytes, wit: VerifiedWIT, now: int
) -> Callable[[], Proven]:
    """Begin with the first judge that has nothing to object to; arguments and result as `Judge.begin`.

    Raises:
        Refused: when none fits, with the reason of the one that comes nearest.
    """
    return first_that_fits([(judge.name, partial(judge.begin, request, content, wit, now)) for judge in judges])


def first_that_fits(attempts: Sequence[tuple[str, Callable[[], Fitting]]]) -> Fitting:
    """What the first of these gives that does not refuse; each stands with the name of its revision.

    Raises:
        Refused: when all refuse, with the reason of the one that comes nearest.
    """
    objections: list[tuple[float, str, Refused]] = []
    for name, attempt in attempts:
        try:
            return attempt()
        except Refused as refused:
            objections.append((_distance(refused), name, refused))
    _, name, nearest = min(objections, key=itemgetter(0))
    if len(attempts) == 1:
        raise nearest
    detail = f"the message fits none of the revisions that are accepted; by {name}: {nearest.detail}"
    raise Refused(nearest.reason, detail, violations=nearest.violations)


def warn_of(revision: AnyRevision) -> None:
    """Say once, to whoever reads the log, what the revision that was just configured does not protect."""
    if isinstance(revision, http_signature.Revision) and revision.warning is not None:
        _LOG.warning("%s", revision.warning, extra={"revision": revision.name})


def _distance(refused: Refused) -> float:
    # A refusal without a list came before its requirements were compared: no signature at all, or an unreadable one.
    return len(refused.violations) or float("inf")
