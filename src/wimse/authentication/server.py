"""The entrance for requests: one object, built once, that says who calls, or refuses.

The order, and nothing of a later step before all earlier ones are done:

1. the WIT, completely (http-signature §3: before the signature);
2. the signature, with the WIT's key;
3. the digest of the content that was received;
4. the audience;
5. the claim of the nonce, after which this message is spent;
6. the policy, asked with an identity that is true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wimse.authentication.needs import (
    BundleLookup,
    NeedBundle,
    answer_with,
    answer_with_async,
    bundle_lookup,
    require,
)
from wimse.authentication.replay import ClaimNonce, ReplayKey, ReplayStore, nonce_alone
from wimse.authentication.result import MADE_BY_AUTHENTICATION, AuthenticatedWorkload
from wimse.authentication.rules import AudienceRule, Policy, audience_rule
from wimse.credentials import (
    TokenSettings,
    TrustBundle,
    TrustDomain,
    UnverifiedWIT,
    VerifiedWIT,
    VerifiedWITCache,
    WorkloadCredential,
    WorkloadSource,
    verify_wit,
)
from wimse.errors import Reason, Refused
from wimse.httpsig import DEFAULT_LIMITS, Fields, Flow, Limits, Request, Response, check_content_digest, run, run_async
from wimse.profiles.http_signature import (
    AUDIENCE,
    REVISION_07,
    SIGN_RESPONSE,
    Revision,
    SignatureSettings,
    sign_response,
    verify_signature,
    wit_of,
)

__all__ = ["Authenticator"]


class Authenticator:
    """Authenticates requests by one revision of the profile, and signs the responses to them."""

    def __init__(
        self,
        *,
        bundles: Mapping[TrustDomain, TrustBundle] | WorkloadSource | BundleLookup,
        audience: str | Iterable[str] | AudienceRule,
        replay: ReplayStore,
        policy: Policy,
        replay_key: ReplayKey = nonce_alone,
        revision: Revision = REVISION_07,
        settings: SignatureSettings | None = None,
        token_settings: TokenSettings | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Put the entrance together.

        Args:
            bundles: whom to trust: bundles, a source of snapshots, or a function, which may be asynchronous.
            audience: who we are to callers: exact strings, or a rule.
            replay: remembers nonces.
            policy: which workloads may call.
            replay_key: what is remembered of a message: `nonce_alone`, as the draft says, or `nonce_of_key`.
            revision: of the profile.
            settings: times and sizes of signatures.
            token_settings: leeway and longest life of WITs.
            limits: how much of a message is read.

        Raises:
            ConfigurationError: when bundles, audience, replay store or policy are missing: it does not start
                rather than let everybody in.
        """
        needed: dict[str, object] = {"bundles": bundles, "audience": audience, "replay": replay, "policy": policy}
        require(needed, "an Authenticator")
        self._lookup = bundle_lookup(bundles)
        self._audience = audience_rule(audience)
        self._replay = replay
        self._replay_key = replay_key
        self._policy = policy
        self._revision = revision
        self._settings = settings or SignatureSettings()
        self._token_settings = token_settings or TokenSettings()
        self._limits = limits
        self._known = VerifiedWITCache(self._token_settings.max_cached_tokens)

    def authenticate(self, request: Request, content: bytes, *, now: int) -> AuthenticatedWorkload:
        """Say who sent the request; with bundles and a replay store that answer at once.

        Args:
            request: the head, as received.
            content: all of the content, as received.
            now: seconds since 1970.

        Raises:
            Refused: with the reason of the first step that fails.
            Unavailable: when a bundle or the replay store cannot be had: the answer is neither yes nor no.
        """
        return run(self.flow(request, content, now=now), answer_with(self._lookup, self._replay))

    async def authenticate_async(self, request: Request, content: bytes, *, now: int) -> AuthenticatedWorkload:
        """Say who sent the request, awaiting what has to be awaited; as `authenticate`."""
        return await run_async(self.flow(request, content, now=now), answer_with_async(self._lookup, self._replay))

    def flow(self, request: Request, content: bytes, *, now: int) -> Flow[AuthenticatedWorkload]:
        """The steps, as a generator that yields `NeedBundle` and `ClaimNonce`; arguments as `authenticate`."""
        wit = yield from verified_wit(request.fields, now, self._token_settings, self._known)  # 1
        signature = verify_signature(  # 2
            request, wit, revision=self._revision, settings=self._settings, limits=self._limits, now=now
        )
        check_content_digest(request.fields, content, limits=self._limits)  # 3
        if not self._audience.accepts(str(signature.parameters[AUDIENCE]), request):  # 4
            raise Refused(Reason.AUDIENCE_MISMATCH, "the request is meant for another recipient")
        created, expires = signature.parameters["created"], signature.parameters["expires"]
        if not isinstance(created, int) or not isinstance(expires, int):
            raise Refused(Reason.PARAMETER_TYPE, "created or expires is not an Integer")
        key = self._replay_key(str(signature.parameters["nonce"]), wit)
        until = expires + int(self._settings.leeway.total_seconds())
        if (yield ClaimNonce(key, until, now, created)) is not True:  # 5
            raise Refused(Reason.REPLAYED, "a message with this nonce was seen before")
        if self._policy(wit.identity) is not True:  # 6
            raise Refused(Reason.IDENTITY_NOT_ALLOWED, "this workload may not call")
        return AuthenticatedWorkload(wit, signature, self._revision.name, _made_by=MADE_BY_AUTHENTICATION)

    def response_must_be_signed(self, caller: AuthenticatedWorkload) -> bool:
        """Whether the request of `caller` asked for a signed response (§3.2)."""
        return caller.signature.parameters.get(SIGN_RESPONSE) is True

    def sign_response(
        self,
        response: Response,
        content: bytes,
        credential: WorkloadCredential,
        *,
        request: Request,
        caller: AuthenticatedWorkload,
        now: int,
        nonce: str,
    ) -> Response:
        """Sign the response to a request that was authenticated (§3.4).

        Args:
            response: the head.
            content: the content as it will be sent; empty for HEAD, 204 and 304.
            credential: our own.
            request: the request, as it was given to `authenticate`.
            caller: what `authenticate` returned for it.
            now: seconds since 1970.
            nonce: new and random, 128 bits at least.

        Raises:
            Unavailable: `credential_expired`.
            Refused: when the signature base cannot be built.
        """
        return sign_response(
            response,
            content,
            credential,
            request=request,
            request_nonce=caller.nonce,
            revision=self._revision,
            settings=self._settings,
            now=now,
            nonce=nonce,
        )


def verified_wit(fields: Fields, now: int, settings: TokenSettings, known: VerifiedWITCache) -> Flow[VerifiedWIT]:
    """Take the WIT out of a message and verify it, unless the same bundle has done so before; yields one `NeedBundle`.

    Args:
        fields: of the message.
        now: seconds since 1970.
        settings: leeway and longest life.
        known: the tokens that were verified with these settings; this one is added.

    Raises:
        Refused: with the reason of the first step of workload-creds §5.1.4 that fails.
    """
    text = wit_of(fields)
    before = known.find(text)
    if before is not None:
        bundle = yield NeedBundle(before.wit.identity.trust_domain)
        if isinstance(bundle, TrustBundle) and (wit := before.verified_by(bundle, now, settings)) is not None:
            return wit
        unverified = UnverifiedWIT.parse(text)
    else:
        unverified = UnverifiedWIT.parse(text)
        bundle = yield NeedBundle(unverified.trust_domain)
    if not isinstance(bundle, TrustBundle):
        raise Refused(Reason.TRUST_DOMAIN_UNKNOWN, "the WIT's trust domain is not one that is trusted")
    verified = verify_wit(unverified, bundle, now=now, settings=settings)
    known.remember(verified, bundle)
    return verified
