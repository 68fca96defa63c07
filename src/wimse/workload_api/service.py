"""The two services of the endpoint: the SPIFFE Workload API, and minispire's one call beside it.

The standard's service gives what the standard says: `spiffe` subjects, bundles by SPIFFE ID of the trust domain, the
security header. An authority of the scheme `wimse` departs from it in one way, asked for by its operator: its WITs have
`wimse` subjects, and their bundle is under ``wimse://<trust domain>``.

Decided for `MintWITSVID`: its tokens are minispire's (sub and iss of the scheme `wimse`, an empty aud), signed by our
WIT key under its own kid. minispire publishes the one key that signs everything through FetchJWTBundles, under the
bare name of the trust domain. We do not: that answer MUST NOT hold keys of other uses and is keyed by SPIFFE ID
(SPIFFE_Workload_API §6.2.2). The Go clients of the proof of concept wait for that answer, take both spellings, and
never verify a WIT with it, so they lose nothing. Who does verify such a WIT needs the bundle of
``wimse://<trust domain>``. FetchWITBundles gives it where the authority is of the scheme `wimse`; where it is of the
scheme `spiffe` it does not, because a SPIFFE client that meets a key of that map which is no SPIFFE ID rejects the
whole answer.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import logging
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, cast

import msgspec

from wimse.credentials import (
    JWT_SVID,
    WIT_SVID,
    TrustBundle,
    TrustDomain,
    WorkloadIdentifier,
    jwt_svid_trust_domain,
    verify_jwt_svid,
)
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import Caller, Grant, IssuedCertificate, IssuedToken
from wimse.keys import ES256, PrivateKey
from wimse.workload_api.call import Call, Method
from wimse.workload_api.calls import CallGate, Session
from wimse.workload_api.events import Issued
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.state import ServedState
from wimse.workload_api.streams import Answer, keep_answering

__all__ = ["PROFILES", "MiniSPIREService", "WorkloadAPIService"]

log = logging.getLogger("wimse.workload_api")

PROFILES: Final = ("x509", "jwt", "wit")
_NAMES: Final = {"wit": "a WIT", "jwt-svid": "a JWT-SVID", "x509-svid": "an X.509-SVID"}


class _Issuing:
    """What both services do when they issue: count failures, tell the observers, or the log where none records it."""

    def __init__(self, state: ServedState, gate: CallGate) -> None:
        """Serve what `state` holds.

        Args:
            state: authority, registrations, bundles; as they are at the moment of each answer.
            gate: every call goes through it.
        """
        self._state = state
        self._gate = gate

    def _issue(
        self,
        credential: str,
        subject: WorkloadIdentifier,
        caller: Caller,
        sign: Callable[..., Any],
        token_id: str = "",
    ) -> Any:
        try:
            issued = sign(now=int(time.time()))
        except Unavailable:
            if not self._state.issuer_fails:
                log.error("nothing can be issued now; see the next refusal")  # noqa: TRY400 - the caller is told, too
            self._state.issuer_fails = True
            raise
        self._state.issuer_fails = False
        self._state.tell(
            Issued(
                credential=credential,
                subject=str(subject),
                issued_at=issued.issued_at,
                expires_at=issued.expires_at,
                token_id=token_id,
                caller=caller,
            )
        )
        if not self._state.recorded:
            number = f", jti {token_id}" if token_id else ""
            log.info("%s is issued to %s until %d%s", _NAMES[credential], subject, issued.expires_at, number)
        return issued


class WorkloadAPIService(_Issuing):
    """`SpiffeWorkloadAPI`, all three profiles, or those that are not switched off."""

    def __init__(self, state: ServedState, gate: CallGate, profiles: Collection[str] = PROFILES) -> None:
        """Serve what `state` holds.

        Args:
            state: authority, registrations, bundles; as they are at the moment of each answer.
            gate: every call goes through it.
            profiles: `x509`, `jwt`, `wit`; the calls of the others are Unimplemented (§1, §7).

        Raises:
            ConfigurationError: for another profile, or none at all.
        """
        super().__init__(state, gate)
        if not profiles or not set(profiles) <= set(PROFILES):
            raise ConfigurationError(f"profiles are some of {', '.join(PROFILES)}")
        self._profiles = frozenset(profiles)

    def __mapping__(self) -> dict[str, Method]:
        """The methods by path."""
        calls = (
            ("x509", "FetchX509SVID", self._fetch_x509_svid, pb.X509SVIDRequest, pb.X509SVIDResponse, True),
            ("x509", "FetchX509Bundles", self._fetch_x509_bundles, pb.X509BundlesRequest, pb.X509BundlesResponse, True),
            ("jwt", "FetchJWTSVID", self._fetch_jwt_svid, pb.JWTSVIDRequest, pb.JWTSVIDResponse, False),
            ("jwt", "FetchJWTBundles", self._fetch_jwt_bundles, pb.JWTBundlesRequest, pb.JWTBundlesResponse, True),
            ("jwt", "ValidateJWTSVID", self._validate, pb.ValidateJWTSVIDRequest, pb.ValidateJWTSVIDResponse, False),
            ("wit", "FetchWITSVID", self._fetch_wit_svid, pb.WITSVIDRequest, pb.WITSVIDResponse, True),
            ("wit", "FetchWITBundles", self._fetch_wit_bundles, pb.WITBundlesRequest, pb.WITBundlesResponse, True),
        )
        return {
            f"/SpiffeWorkloadAPI/{name}": self._gate.guard(request, response, answer, streams=streams)
            for profile, name, answer, request, response, streams in calls
            if profile in self._profiles
        }

    # ------------------------------------------------------------------------------------------------------- X.509

    async def _fetch_x509_svid(self, call: Call, session: Session, _: pb.X509SVIDRequest) -> None:
        def basis(grants: Sequence[Grant]) -> object:
            return grants, self._state.renewals, self._x509_bundle(), self._federated_x509(grants)

        await keep_answering(call, session, self._x509_svids, basis, self._worthless)

    async def _x509_svids(self, caller: Caller, grants: Sequence[Grant]) -> Answer:
        authority, issued = self._state.authority, list[IssuedCertificate]()
        response = pb.X509SVIDResponse(federated_bundles=self._federated_x509(grants))
        for grant in grants:
            subject = authority.spiffe_trust_domain.workload(grant.path)
            key, terms = await _new_key(grant), grant.terms
            certificate = self._issue(
                "x509-svid",
                subject,
                caller,
                functools.partial(
                    authority.issue_x509_svid,
                    subject,
                    key.public_key,
                    lifetime=terms.x509_svid_lifetime,
                    dns_names=terms.dns_names,
                ),
            )
            issued.append(certificate)
            response.svids.add(
                spiffe_id=str(subject),
                x509_svid=certificate.chain_der,
                x509_svid_key=key.to_pkcs8_der(),
                bundle=self._x509_bundle(),
                hint=grant.hint,
            )
        return Answer(response, issued)

    def _x509_bundle(self) -> bytes:
        return b"".join(self._state.own_bundle(self._state.authority.spiffe_trust_domain).x509_authorities)

    def _federated_x509(self, grants: Sequence[Grant]) -> dict[str, bytes]:
        return {
            str(domain): b"".join(bundle.x509_authorities)
            for domain, bundle in self._federated(grants).items()
            if bundle.x509_authorities
        }

    def _federated(self, grants: Sequence[Grant]) -> dict[TrustDomain, TrustBundle]:
        # These two profiles are SPIFFE's: a trust domain of another scheme has no place in their maps.
        federated = self._state.federated_for(grants)
        return {domain: bundle for domain, bundle in federated.items() if domain.scheme == "spiffe"}

    async def _fetch_x509_bundles(self, call: Call, session: Session, _: pb.X509BundlesRequest) -> None:
        def bundles(grants: Sequence[Grant]) -> dict[str, bytes]:
            own = {str(self._state.authority.spiffe_trust_domain): self._x509_bundle()}
            return {**self._federated_x509(grants), **own}

        async def answer(_: Caller, grants: Sequence[Grant]) -> Answer:
            return Answer(pb.X509BundlesResponse(bundles=bundles(grants)))

        await keep_answering(call, session, answer, bundles)

    # --------------------------------------------------------------------------------------------------------- JWT

    async def _fetch_jwt_svid(self, call: Call, session: Session, request: pb.JWTSVIDRequest) -> None:
        authority, response, audience = self._state.authority, pb.JWTSVIDResponse(), list(request.audience)
        caller, grants = await session.grants()
        for grant, subject in _wanted(grants, request.spiffe_id, authority.spiffe_trust_domain):
            token = self._issue(
                "jwt-svid",
                subject,
                caller,
                functools.partial(authority.issue_jwt_svid, subject, audience, lifetime=grant.terms.jwt_svid_lifetime),
            )
            response.svids.add(spiffe_id=str(subject), svid=token.text, hint=grant.hint)
        await session.send(call, response)

    async def _fetch_jwt_bundles(self, call: Call, session: Session, _: pb.JWTBundlesRequest) -> None:
        def bundles(grants: Sequence[Grant]) -> dict[str, bytes]:
            domain = self._state.authority.spiffe_trust_domain
            own = {str(domain): self._state.own_bundle(domain).to_json(JWT_SVID)}
            others = {str(d): b.to_json(JWT_SVID) for d, b in self._federated(grants).items() if b.jwt_keys}
            return {**others, **own}

        async def answer(_: Caller, grants: Sequence[Grant]) -> Answer:
            return Answer(pb.JWTBundlesResponse(bundles=bundles(grants)))

        await keep_answering(call, session, answer, bundles)

    async def _validate(self, call: Call, session: Session, request: pb.ValidateJWTSVIDRequest) -> None:
        await session.caller()
        if not request.audience or not request.svid:  # §6.2.3, §4.5: mandatory
            raise Refused(Reason.AUDIENCE_MISSING if request.svid else Reason.TOKEN_MALFORMED, "a field is empty")
        try:
            domain = jwt_svid_trust_domain(request.svid)
        except Refused as refused:
            raise _invalid_argument(refused) from None
        bundle = await self._bundle_of(domain, session)
        try:
            svid = verify_jwt_svid(request.svid, bundle, audience=request.audience, now=int(time.time()))
        except Refused as refused:
            raise _invalid_argument(refused) from None
        response = pb.ValidateJWTSVIDResponse(spiffe_id=str(svid.identity))
        response.claims.update(cast("dict[str, Any]", dict(svid.claims)))  # JSON, as it was parsed
        await session.send(call, response)

    async def _bundle_of(self, domain: TrustDomain, session: Session) -> TrustBundle:
        """The bundle that FetchJWTBundles gives this caller for a trust domain (§6.3).

        Where it has none, our own, by which a token is refused for its trust domain.
        """
        own = self._state.own_bundle(self._state.authority.spiffe_trust_domain)
        if domain == own.trust_domain:
            return own
        _, grants = await session.grants()
        return self._federated(grants).get(domain, own)

    # --------------------------------------------------------------------------------------------------------- WIT

    async def _fetch_wit_svid(self, call: Call, session: Session, request: pb.WITSVIDRequest) -> None:
        def basis(grants: Sequence[Grant]) -> object:
            wanted = _wanted(grants, request.spiffe_id, self._state.authority.wit_trust_domain)
            return wanted, self._state.renewals

        answer = functools.partial(self._wit_svids, requested=request.spiffe_id)
        await keep_answering(call, session, answer, basis, self._worthless)

    async def _wit_svids(self, caller: Caller, grants: Sequence[Grant], *, requested: str) -> Answer:
        authority, response, issued = self._state.authority, pb.WITSVIDResponse(), list[IssuedToken]()
        for grant, subject in _wanted(grants, requested, authority.wit_trust_domain):
            key = await _new_key(grant)
            number = secrets.token_hex(32)
            token = self._issue(
                "wit",
                subject,
                caller,
                functools.partial(
                    authority.issue_wit,
                    subject,
                    key.public_key,
                    token_id=number,
                    lifetime=grant.terms.wit_lifetime,
                ),
                number,
            )
            issued.append(token)
            jwk = msgspec.json.encode(key.to_jwk()).decode("ascii")
            response.svids.add(spiffe_id=str(subject), wit_svid=token.text, wit_svid_key=jwk, hint=grant.hint)
        return Answer(response, issued)

    def _worthless(self, issued: IssuedToken | IssuedCertificate) -> bool:
        """Whether its key is tainted or revoked, or a token's has left the bundle: then it is made again at once."""
        keys = self._state.authority.keys
        if isinstance(issued, IssuedCertificate):
            return issued.kid in keys.distrusted
        return issued.kid in keys.distrusted or all(key.kid != issued.kid for key in keys.wit_keys)

    async def _fetch_wit_bundles(self, call: Call, session: Session, _: pb.WITBundlesRequest) -> None:
        def bundles(grants: Sequence[Grant]) -> dict[str, str]:
            domain = self._state.authority.wit_trust_domain
            own = {str(domain): self._state.own_bundle(domain).to_json(WIT_SVID).decode("utf-8")}
            others = {
                str(each): bundle.to_json(WIT_SVID).decode("utf-8")
                for each, bundle in self._state.federated_for(grants).items()
                # A SPIFFE client rejects an answer with a key that is no SPIFFE ID; see the module's docstring.
                if bundle.wit_keys and each.scheme in {"spiffe", domain.scheme}
            }
            return {**others, **own}

        async def answer(_: Caller, grants: Sequence[Grant]) -> Answer:
            return Answer(pb.WITBundlesResponse(bundles=bundles(grants)))

        await keep_answering(call, session, answer, bundles)


class MiniSPIREService(_Issuing):
    """`MiniSPIREWorkloadAPI`: `MintWITSVID` as minispire answers it, without the security header."""

    def __mapping__(self) -> dict[str, Method]:
        """The method by path."""
        method = self._gate.guard(pb.WITSVIDRequest, pb.WITSVIDResponse, self._mint, security_header=False)
        return {"/MiniSPIREWorkloadAPI/MintWITSVID": method}

    async def _mint(self, call: Call, session: Session, request: pb.WITSVIDRequest) -> None:
        authority, response = self._state.authority, pb.WITSVIDResponse()
        caller, grants = await session.grants()
        for grant, subject in _wanted(grants, request.spiffe_id, authority.spiffe_trust_domain):
            key = PrivateKey.generate(ES256)
            number = secrets.token_hex(32)  # 64 hex digits, as minispire's
            token = self._issue(
                "wit",
                TrustDomain("wimse", authority.name).workload(grant.path),
                caller,
                functools.partial(authority.issue_minispire_wit, grant.path, key.public_key, token_id=number),
                number,
            )
            encoded_key = base64.b64encode(key.to_pkcs8_der()).decode("ascii")
            response.svids.add(spiffe_id=str(subject), wit_svid=token.text, wit_svid_key=encoded_key, hint=grant.hint)
        await session.send(call, response)


def _wanted(
    grants: Sequence[Grant], requested: str, trust_domain: TrustDomain
) -> list[tuple[Grant, WorkloadIdentifier]]:
    """All identities, or the one that is asked for; `identifier_malformed`, or `identity_not_allowed`."""
    everything = [(grant, trust_domain.workload(grant.path)) for grant in grants]
    if not requested:
        return everything
    wanted = WorkloadIdentifier.parse(requested)
    found = [(grant, subject) for grant, subject in everything if subject == wanted]
    if not found:
        raise Refused(Reason.IDENTITY_NOT_ALLOWED, "the caller is not entitled to the identity that it asks for")
    return found


async def _new_key(grant: Grant) -> PrivateKey:
    """A key for a workload; one that takes long to make is made beside the event loop."""
    algorithm = grant.terms.algorithm
    if algorithm.key_type == "RSA":
        return await asyncio.to_thread(PrivateKey.generate, algorithm)
    return PrivateKey.generate(algorithm)


def _invalid_argument(refused: Refused) -> Refused:
    # Whatever is wrong with a token is the argument's fault here, also where its reason has another status by itself.
    if refused.reason_class.grpc_status == "INVALID_ARGUMENT":
        return refused
    return Refused(Reason.TOKEN_MALFORMED, refused.detail)
