"""The other side of the exchange: signing requests of ours, and judging the responses to them."""

from __future__ import annotations

from collections.abc import Callable

from wimse.authentication.events import Observer, Role, Trace, watch
from wimse.authentication.needs import BundleLookup, answer_with, answer_with_async, bundle_lookup, require
from wimse.authentication.result import MADE_BY_AUTHENTICATION, AuthenticatedWorkload
from wimse.authentication.rules import PeerRule
from wimse.authentication.server import verified_wit
from wimse.credentials import TokenSettings, VerifiedWITCache, WorkloadSource
from wimse.errors import Reason, Refused
from wimse.httpsig import DEFAULT_LIMITS, Flow, Limits, Request, Response, check_content_digest, run, run_async
from wimse.profiles.http_signature import (
    REVISION_07,
    Revision,
    SignatureSettings,
    SignedRequest,
    check_request_nonce,
    has_profile_signature,
    sign_request,
    verify_signature,
)

__all__ = ["ClientAuthenticator"]


class ClientAuthenticator:
    """Signs requests with the newest credential of a source, and says who answered."""

    def __init__(
        self,
        source: WorkloadSource,
        *,
        server: PeerRule,
        audience: Callable[[Request], str] | None = None,
        require_signed_response: bool = True,
        bundles: BundleLookup | None = None,
        revision: Revision = REVISION_07,
        settings: SignatureSettings | None = None,
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
            require_signed_response: whether an unsigned response is refused.
            bundles: whom to trust, if not whom the source trusts.
            revision: of the profile.
            settings: times and sizes of signatures.
            token_settings: leeway and longest life of WITs.
            limits: how much of a message is read.
            observer: called with each decision over a response; see `wimse.authentication.events`.
            clock: for the times in it, such as `time.monotonic`; without one none are taken.

        Raises:
            ConfigurationError: without a source or a rule for servers, or for bundles that are a mapping of none.
        """
        require({"source": source, "server": server}, "a ClientAuthenticator")
        self._source = source
        self._server = server
        self._audience = audience
        self._require_signed_response = require_signed_response
        self._lookup = bundle_lookup(source if bundles is None else bundles)
        self._revision = revision
        self._settings = settings or SignatureSettings()
        self._token_settings = token_settings or TokenSettings()
        self._limits = limits
        self._known = VerifiedWITCache(self._token_settings.max_cached_tokens)
        self._watch = watch(Role.RESPONSE, observer, clock)

    def sign(self, request: Request, content: bytes, *, now: int, nonce: str) -> SignedRequest:
        """Sign a request, anew for each time that it is sent.

        Args:
            request: the head; fields of ours that it has already are replaced.
            content: the content as it will be sent.
            now: seconds since 1970.
            nonce: new and random, 128 bits at least.

        Raises:
            Unavailable: `credential_unavailable` or `credential_expired`: nothing is signed then.
            Refused: when the signature base cannot be built.
        """
        return sign_request(
            request,
            content,
            self._source.snapshot().credential,
            revision=self._revision,
            settings=self._settings,
            now=now,
            nonce=nonce,
            audience=None if self._audience is None else self._audience(request),
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
        steps = self._steps(response, content, sent, now, trace)
        return (yield from (steps if self._watch is None else self._watch.over(steps, trace)))

    def _steps(
        self, response: Response, content: bytes, sent: SignedRequest, now: int, trace: Trace
    ) -> Flow[AuthenticatedWorkload | None]:
        if not has_profile_signature(response, self._revision, self._limits):
            # §3.4: unsigned is refused where a signature was asked for, and accepted where it was not: somebody on
            # the way may have removed it.
            if sent.response_must_be_signed:
                raise Refused(Reason.RESPONSE_UNSIGNED, "the response is not signed, and had to be")
            return None
        wit = yield from verified_wit(response.fields, now, self._token_settings, self._known)
        signature = verify_signature(
            response,
            wit,
            revision=self._revision,
            settings=self._settings,
            limits=self._limits,
            now=now,
            request=sent.request,
        )
        check_request_nonce(signature, sent)
        check_content_digest(response.fields, content, limits=self._limits)
        trace.identity = wit.identity
        if self._server(sent.request, wit.identity) is not True:
            raise Refused(Reason.IDENTITY_UNEXPECTED, "another workload answered than the one that was called")
        return AuthenticatedWorkload(wit, signature, self._revision.name, _made_by=MADE_BY_AUTHENTICATION)
