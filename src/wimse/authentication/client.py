"""The other side of the exchange: signing or proving requests of ours, and judging the responses to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from wimse.authentication.events import Observer, Role, Trace, watch
from wimse.authentication.needs import BundleLookup, answer_with, answer_with_async, bundle_lookup, require
from wimse.authentication.proofs import AnyRevision, first_that_fits, warn_of
from wimse.authentication.result import AuthenticatedWorkload, authenticated
from wimse.authentication.rules import PeerRule
from wimse.authentication.server import verified_wit
from wimse.credentials import TokenSettings, VerifiedWIT, VerifiedWITCache, WorkloadSource
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import (
    DEFAULT_LIMITS,
    Flow,
    Limits,
    Request,
    Response,
    VerifiedSignature,
    check_content_digest,
    run,
    run_async,
)
from wimse.profiles.http_signature import (
    REVISION_07,
    Revision,
    SignatureRules,
    SignatureSettings,
    SignedRequest,
    check_request_nonce,
    explained,
    has_profile_signature,
    sign_request,
    wish_for_signed_response,
)
from wimse.profiles.proof_token import ProofRevision, ProofTokenSettings, prove_request

__all__ = ["ClientAuthenticator"]


class ClientAuthenticator:
    """Signs requests with the newest credential of a source, and says who answered.

    With a revision of wpt it puts proof tokens into them instead, which no response answers.
    """

    def __init__(
        self,
        source: WorkloadSource,
        *,
        server: PeerRule,
        audience: Callable[[Request], str] | None = None,
        require_signed_response: bool = True,
        wish_for_signed_response: bool = False,
        bundles: BundleLookup | None = None,
        revision: AnyRevision = REVISION_07,
        response_revisions: Iterable[Revision] | None = None,
        settings: SignatureSettings | None = None,
        proof_settings: ProofTokenSettings | None = None,
        token_settings: TokenSettings | None = None,
        limits: Limits = DEFAULT_LIMITS,
        observer: Observer | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Put it together.

        Args:
            source: of our WIT, its key and, unless `bundles` is given, of the bundles.
            server: which workload may answer which request; a valid WIT of another one is refused.
            audience: for whom a request is; None sends the target URI without query (§3.1).
            require_signed_response: whether an unsigned response is refused. With proof tokens it has to be False: none
                is ever signed, and it is TLS alone that says who answers (wpt §3.1).
            wish_for_signed_response: whether requests have an Accept-Signature too, for servers that know RFC 9421 and
                not the profile. Default False.
            bundles: whom to trust, if not whom the source trusts.
            revision: of the profile, in which requests are signed.
            response_revisions: those of which a response must satisfy one completely; None means `revision` alone. A
                client that speaks to servers of two kinds needs them, such as one that signs with `BRIDGE`.
            settings: times and sizes of signatures.
            proof_settings: the life of proof tokens, and which further tokens they bind.
            token_settings: leeway and longest life of WITs.
            limits: how much of a message is read.
            observer: called with each decision over a response; see `wimse.authentication.events`.
            clock: for the times in it, such as `time.monotonic`; without one none are taken.

        Raises:
            ConfigurationError: without a source or a rule for servers, for bundles that are a mapping of none, for no
                response revision, or one twice, or for proof tokens together with signed responses.
        """
        require({"source": source, "server": server}, "a ClientAuthenticator")
        self._source = source
        self._server = server
        self._audience = audience
        self._require_signed_response = require_signed_response
        self._wishes = wish_for_signed_response
        self._lookup = bundle_lookup(source if bundles is None else bundles)
        self._revision = revision
        self._response_revisions = _of_responses(
            revision, response_revisions, signed=require_signed_response or wish_for_signed_response
        )
        for each in dict.fromkeys((revision, *self._response_revisions)):
            warn_of(each)
        self._settings = settings or SignatureSettings()
        self._proof_settings = proof_settings or ProofTokenSettings()
        self._token_settings = token_settings or TokenSettings()
        self._limits = limits
        self._known = VerifiedWITCache(self._token_settings.max_cached_tokens)
        self._rules = {
            each.name: SignatureRules(each, self._settings, limits, of_request=False)
            for each in self._response_revisions
        }
        self._watch = watch(Role.RESPONSE, observer, clock)

    def sign(self, request: Request, content: bytes, *, now: int, nonce: str) -> SignedRequest:
        """Sign a request, or put a proof token into it, anew for each time that it is sent.

        Args:
            request: the head; fields of ours that it has already are replaced.
            content: the content as it will be sent.
            now: seconds since 1970.
            nonce: new and random, 128 bits at least.

        Raises:
            Unavailable: `credential_unavailable` or `credential_expired`: nothing is signed then.
            Refused: when the signature base cannot be built; as `prove_request`.
            ConfigurationError: as `prove_request`.
        """
        credential = self._source.snapshot().credential
        audience = None if self._audience is None else self._audience(request)
        if isinstance(self._revision, ProofRevision):
            proven = prove_request(
                request,
                credential,
                revision=self._revision,
                settings=self._proof_settings,
                now=now,
                token_id=nonce,
                audience=audience,
            )
            return SignedRequest(proven.request, proven.token_id, response_must_be_signed=False)
        return sign_request(
            wish_for_signed_response(request, self._revision) if self._wishes else request,
            content,
            credential,
            revision=self._revision,
            settings=self._settings,
            now=now,
            nonce=nonce,
            audience=audience,
            require_signed_response=self._require_signed_response,
        )

    def verify_response(
        self, response: Response, content: bytes, sent: SignedRequest, *, now: int
    ) -> AuthenticatedWorkload | None:
        """Say who answered; with bundles that are there at once.

        Args:
            response: the head, as received.
            content: all of the content, as received, before any content coding is undone.
            sent: what `sign` returned for the request.
            now: seconds since 1970.

        Returns:
            Who answered; None for an unsigned response where none had to be signed.

        Raises:
            Refused: `response_unsigned` when it had to be; else the reason of the first step that fails.
            Unavailable: when a bundle cannot be had.
        """
        return run(self.flow(response, content, sent, now=now), answer_with(self._lookup, None))

    async def verify_response_async(
        self, response: Response, content: bytes, sent: SignedRequest, *, now: int
    ) -> AuthenticatedWorkload | None:
        """Say who answered, awaiting what has to be awaited; as `verify_response`."""
        return await run_async(self.flow(response, content, sent, now=now), answer_with_async(self._lookup, None))

    def flow(
        self, response: Response, content: bytes, sent: SignedRequest, *, now: int
    ) -> Flow[AuthenticatedWorkload | None]:
        """The steps, as a generator that yields `NeedBundle`; arguments as `verify_response`."""
        trace = Trace()
        steps = self._explained(response, content, sent, now, trace)
        return (yield from (steps if self._watch is None else self._watch.over(steps, trace)))

    def _explained(
        self, response: Response, content: bytes, sent: SignedRequest, now: int, trace: Trace
    ) -> Flow[AuthenticatedWorkload | None]:
        if isinstance(self._revision, ProofRevision):
            return None  # nothing of a response is looked at, and so nobody is said to have sent it
        try:
            return (yield from self._steps(response, content, sent, now, trace))
        except Refused as refused:
            raise explained(refused, response, self._limits) from None

    def _steps(
        self, response: Response, content: bytes, sent: SignedRequest, now: int, trace: Trace
    ) -> Flow[AuthenticatedWorkload | None]:
        if not any(has_profile_signature(response, each, self._limits) for each in self._response_revisions):
            # §3.4: unsigned is refused where a signature was asked for, and accepted where it was not: somebody on
            # the way may have removed it.
            if sent.response_must_be_signed:
                raise Refused(Reason.RESPONSE_UNSIGNED, "the response is not signed, and had to be")
            return None
        wit = yield from verified_wit(response.fields, now, self._token_settings, self._known)
        # As at the entrance: one revision, completely, and one signature that is checked.
        revision, finish = first_that_fits(
            [(each.name, partial(self._begin, response, wit, sent, now, each)) for each in self._response_revisions]
        )
        signature = finish()
        check_request_nonce(signature, sent, revision)
        check_content_digest(response.fields, content, limits=self._limits)
        trace.identity = wit.identity
        if self._server(sent.request, wit.identity) is not True:
            raise Refused(Reason.IDENTITY_UNEXPECTED, "another workload answered than the one that was called")
        return authenticated(wit, signature, revision.name)

    def _begin(
        self, response: Response, wit: VerifiedWIT, sent: SignedRequest, now: int, revision: Revision
    ) -> tuple[Revision, Callable[[], VerifiedSignature]]:
        return revision, self._rules[revision.name].begin(response, wit, now=now, request=sent.request)


def _of_responses(revision: AnyRevision, accepted: Iterable[Revision] | None, *, signed: bool) -> tuple[Revision, ...]:
    if isinstance(revision, ProofRevision):
        if signed or accepted is not None:
            raise ConfigurationError("responses to proof tokens are not signed: require_signed_response must be False")
        return ()
    revisions = (revision,) if accepted is None else tuple(accepted)
    names = {each.name for each in revisions}
    if not names or len(names) != len(revisions):
        raise ConfigurationError("a client accepts responses of one revision at least, and each once")
    return revisions
