"""The entrance for requests: one object, built once, that says who calls, or refuses.

The order, and nothing of a later step before all earlier ones are done:

1. the WIT, completely (http-signature §3: before the signature);
2. the proof, with the WIT's key: that of the one revision that the request satisfies (`proofs`);
3. the digest of the content that was received;
4. the audience;
5. the claim of the nonce, after which this message is spent;
6. the policy, asked with an identity that is true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from wimse.authentication.events import Observer, Role, Trace, watch
from wimse.authentication.needs import (
    BundleLookup,
    NeedBundle,
    answer_with,
    answer_with_async,
    bundle_lookup,
    require,
)
from wimse.authentication.proofs import (
    AnyRevision,
    Judge,
    begin_with,
    challenge_for,
    check_audiences,
    check_meant,
    judges_of,
)
from wimse.authentication.replay import ClaimNonce, ReplayKey, ReplayStore, nonce_alone
from wimse.authentication.result import AuthenticatedWorkload, authenticated
from wimse.authentication.rules import AudienceFunction, AudienceRule, ExactAudience, Policy, audience_rule
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
from wimse.errors import ConfigurationError, Reason, ReasonClass, Refused
from wimse.httpsig import DEFAULT_LIMITS, Fields, Flow, Limits, Request, Response, run, run_async
from wimse.profiles.http_signature import (
    REVISION_07,
    Revision,
    SignatureSettings,
    explained,
    wish_for_signed_requests,
    wit_of,
)
from wimse.profiles.proof_token import ProofTokenSettings

__all__ = ["Authenticator"]


class Authenticator:
    """Authenticates requests by one revision of a profile, or one of several, and signs the responses to them."""

    def __init__(
        self,
        *,
        bundles: Mapping[TrustDomain, TrustBundle] | WorkloadSource | BundleLookup,
        audience: str | Iterable[str] | AudienceRule | AudienceFunction,
        replay: ReplayStore,
        policy: Policy,
        revision: AnyRevision | Iterable[AnyRevision] = REVISION_07,
        replay_key: ReplayKey = nonce_alone,
        settings: SignatureSettings | None = None,
        proof_settings: ProofTokenSettings | None = None,
        token_settings: TokenSettings | None = None,
        limits: Limits = DEFAULT_LIMITS,
        observer: Observer | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Put the entrance together.

        Args:
            bundles: whom to trust: bundles, a source of snapshots, or a function, which may be asynchronous.
            audience: who we are to callers: exact strings, a rule, or a function.
            replay: remembers nonces.
            policy: which workloads may call.
            revision: of the profile, or several, of which a request must satisfy one completely. They are tried in
                this order, before cryptography: the first that fits is the one that counts.
            replay_key: what is remembered of a message: `nonce_alone`, as the draft says, or `nonce_of_key`.
            settings: times and sizes of signatures.
            proof_settings: times and sizes of proof tokens, and which further tokens they bind.
            token_settings: leeway and longest life of WITs.
            limits: how much of a message is read.
            observer: called with each decision; see `wimse.authentication.events`.
            clock: for the times in it, such as `time.monotonic`; without one none are taken.

        Raises:
            ConfigurationError: when bundles, audience, replay store or policy are missing, or there is no revision, or
                one twice: it does not start rather than let everybody in. For an audience that no proof token can have.
        """
        needed: dict[str, object] = {"bundles": bundles, "audience": audience, "replay": replay, "policy": policy}
        require(needed, "an Authenticator")
        lookup = bundle_lookup(bundles)
        self._answer, self._answer_async = answer_with(lookup, replay), answer_with_async(lookup, replay)
        self._audience = audience_rule(audience)
        self._replay_key = replay_key
        self._policy = policy
        self._settings = settings or SignatureSettings()
        self._proof_settings = proof_settings or ProofTokenSettings()
        revisions = tuple(revision) if isinstance(revision, Iterable) else (revision,)
        self._judges = judges_of(revisions, self._settings, limits, self._proof_settings)
        self._wished = next((each for each in revisions if isinstance(each, Revision)), None)
        if isinstance(self._audience, ExactAudience):
            check_audiences(self._judges, self._audience.values)
        self._judge_by_name = {each.name: each for each in self._judges}
        self._only_judge = self._judges[0] if len(self._judges) == 1 else None
        # A claim may last longer than the message that it is for, and never shorter.
        leeway = max(self._settings.leeway, self._proof_settings.leeway)
        self._leeway_seconds = int(leeway.total_seconds())
        self._token_settings = token_settings or TokenSettings()
        self._limits = limits
        self._known = VerifiedWITCache(self._token_settings.max_cached_tokens)
        self._watch = watch(Role.REQUEST, observer, clock)

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
        return run(self.flow(request, content, now=now), self._answer)

    async def authenticate_async(self, request: Request, content: bytes, *, now: int) -> AuthenticatedWorkload:
        """Say who sent the request, awaiting what has to be awaited; as `authenticate`."""
        return await run_async(self.flow(request, content, now=now), self._answer_async)

    def flow(self, request: Request, content: bytes, *, now: int) -> Flow[AuthenticatedWorkload]:
        """The steps, as a generator that yields `NeedBundle` and `ClaimNonce`; arguments as `authenticate`."""
        # Every decision ends here, whoever drives it: with what `_steps` returns, or with the error that it raises,
        # errors of bundles and of the replay store among them.
        if self._watch is None:
            return self._steps(request, content, now, None)
        trace = Trace()
        return self._watch.over(self._steps(request, content, now, trace), trace)

    def check_head(self, request: Request) -> None:
        """Refuse what needs no content to be refused, before any is asked for (RFC 9110 §10.1.1).

        Args:
            request: the head, as received.

        Raises:
            Refused: `wit_missing`, `wit_duplicated`; `signature_missing` or `proof_missing` when there is no proof of
                any kind that is accepted.
        """
        try:
            wit_of(request.fields)
            check_meant(self._judges, request)
        except Refused as refused:
            self._challenge(refused, request)
            if self._watch is not None:
                self._watch.refused_at_once(refused)
            raise

    def wishing(self, response: Response) -> Response:
        """Say in a refusal how the caller's next requests are wished signed (http-signature §3.4).

        It asks for all that the first revision of http-signature covers. Whoever reads it learns what is configured.

        Args:
            response: a refusal, whose sender is not known.

        Raises:
            ConfigurationError: where no revision of http-signature is accepted.
        """
        if self._wished is None:
            raise ConfigurationError("no signature can be wished for, since none is accepted here")
        return wish_for_signed_requests(response, self._wished)

    @property
    def accepts_signatures(self) -> bool:
        """Whether a revision of http-signature is accepted."""
        return self._wished is not None

    def _challenge(self, refused: Refused, request: Request) -> None:
        # wpt-02 §2.1: 401 where it is the credentials that are refused, and all that is refused here is one of them
        # but for the content. What is known and not allowed has a status of its own, and so has what is too large.
        if refused.reason_class is not ReasonClass.DIGEST and refused.http_status == 400:
            refused.challenge = challenge_for(self._judges, request)

    def _steps(self, request: Request, content: bytes, now: int, trace: Trace | None) -> Flow[AuthenticatedWorkload]:
        try:
            wit = yield from verified_wit(request.fields, now, self._token_settings, self._known)  # 1
            if self._only_judge is not None:
                proven = self._only_judge.verify(request, content, wit, now)  # 2, 3
            else:
                proven = begin_with(self._judges, request, content, wit, now)()
            if proven.audience is not None and not self._audience.accepts(proven.audience, request):  # 4
                raise Refused(Reason.AUDIENCE_MISMATCH, "the request is meant for another recipient")
            key = self._replay_key(proven.nonce, wit)
            claim = ClaimNonce(key, proven.expires_at + self._leeway_seconds, now, proven.created_at)
            if (yield claim) is not True:  # 5
                raise Refused(Reason.REPLAYED, "a message with this nonce was seen before")
            if trace is not None:
                trace.identity = wit.identity
            if self._policy(wit.identity) is not True:  # 6
                raise Refused(Reason.IDENTITY_NOT_ALLOWED, "this workload may not call")
        except Refused as refused:
            named = explained(refused, request, self._limits)
            self._challenge(named, request)
            raise named from None
        return authenticated(wit, proven.proof, proven.revision)

    def _judge_of(self, caller: AuthenticatedWorkload) -> Judge:
        judge = self._judge_by_name.get(caller.revision)
        if judge is None:
            raise ConfigurationError("this caller was authenticated by another entrance")
        return judge

    def response_must_be_signed(self, caller: AuthenticatedWorkload) -> bool:
        """Whether the request of `caller` asked for a signed response (§3.2).

        Raises:
            ConfigurationError: for a caller of another entrance.
        """
        return self._judge_of(caller).response_must_be_signed(caller.proof)

    def signs_responses(self, caller: AuthenticatedWorkload) -> bool:
        """Whether responses to `caller` can be signed: not where it came with a proof token.

        Raises:
            ConfigurationError: for a caller of another entrance.
        """
        return self._judge_of(caller).signs_responses

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
        """Sign the response to a request that was authenticated (§3.4), in the revision that it satisfied.

        Args:
            response: the head.
            content: the content as it will be sent; empty for HEAD, 204 and 304.
            credential: our own.
            request: the request, as it was given to `authenticate`.
            caller: what `authenticate` returned for it.
            now: seconds since 1970.
            nonce: new and random, 128 bits at least.

        Raises:
            Unavailable: `credential_expired`; `response_not_signable` where the request came with a proof token.
            Refused: when the signature base cannot be built.
            ConfigurationError: for a caller of another entrance.
        """
        return self._judge_of(caller).sign_response(
            response, content, credential, request=request, proof=caller.proof, now=now, nonce=nonce
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
    known.remember(verified, bundle, now, settings)
    return verified
