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

import base64
import json
import logging
import random
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final, cast

from google.protobuf.struct_pb2 import Struct
from grpclib.const import Cardinality, Handler
from grpclib.server import Stream

from wimse.credentials import JWT_SVID, WIT_SVID, TrustDomain, WorkloadIdentifier, verify_jwt_svid
from wimse.errors import Reason, Refused
from wimse.issuer import Authority, Grant, IssuedCertificate, IssuedToken
from wimse.keys import ES256, PrivateKey
from wimse.workload_api.calls import CallGate, Session
from wimse.workload_api.proto import workload_pb2 as pb

__all__ = ["MiniSPIREService", "WorkloadAPIService"]

log = logging.getLogger("wimse.workload_api")

# The renewal comes between these parts of a credential's life, so that many workloads do not renew at one moment
# (SPIFFE_Workload_API §4.3), and always before half of it is over.
_EARLIEST_RENEWAL: Final = 0.35
_LATEST_RENEWAL: Final = 0.45
_SHORTEST_WAIT: Final = 0.1  # as a part of the life: for lives of seconds, which are rounded to seconds
_jitter = random.SystemRandom()


class WorkloadAPIService:
    """`SpiffeWorkloadAPI`, all three profiles."""

    def __init__(self, authority: Authority, gate: CallGate) -> None:
        """Serve what `authority` issues.

        Args:
            authority: signs, and publishes its bundles.
            gate: every call goes through it.
        """
        self._authority = authority
        self._gate = gate

    def __mapping__(self) -> dict[str, Handler]:
        """The calls by path, as grpclib asks for them."""
        calls = (
            ("FetchX509SVID", self._fetch_x509_svid, pb.X509SVIDRequest, pb.X509SVIDResponse, True),
            ("FetchX509Bundles", self._fetch_x509_bundles, pb.X509BundlesRequest, pb.X509BundlesResponse, True),
            ("FetchJWTSVID", self._fetch_jwt_svid, pb.JWTSVIDRequest, pb.JWTSVIDResponse, False),
            ("FetchJWTBundles", self._fetch_jwt_bundles, pb.JWTBundlesRequest, pb.JWTBundlesResponse, True),
            ("ValidateJWTSVID", self._validate, pb.ValidateJWTSVIDRequest, pb.ValidateJWTSVIDResponse, False),
            ("FetchWITSVID", self._fetch_wit_svid, pb.WITSVIDRequest, pb.WITSVIDResponse, True),
            ("FetchWITBundles", self._fetch_wit_bundles, pb.WITBundlesRequest, pb.WITBundlesResponse, True),
        )
        return {
            f"/SpiffeWorkloadAPI/{name}": Handler(
                self._gate.guard(request, answer, security_header=True),
                Cardinality.UNARY_STREAM if streams else Cardinality.UNARY_UNARY,
                request,
                response,
            )
            for name, answer, request, response, streams in calls
        }

    async def _fetch_x509_svid(self, stream: Stream[Any, Any], session: Session, _: pb.X509SVIDRequest) -> None:
        while True:
            grants = session.grants()
            response, issued = self._x509_svids(grants)
            await stream.send_message(response)
            await session.wait(grants, until=_renewal(issued))

    def _x509_svids(self, grants: Sequence[Grant]) -> tuple[pb.X509SVIDResponse, list[IssuedCertificate]]:
        response, issued = pb.X509SVIDResponse(), []
        for grant in grants:
            subject = self._authority.spiffe_trust_domain.workload(grant.path)
            key = PrivateKey.generate(ES256)
            certificate = self._authority.issue_x509_svid(subject, key.public_key, now=int(time.time()))
            issued.append(certificate)
            response.svids.add(
                spiffe_id=str(subject),
                x509_svid=certificate.chain_der,
                x509_svid_key=key.to_pkcs8_der(),
                bundle=self._x509_bundle(),
                hint=grant.hint,
            )
            log.info("an X.509-SVID is issued to %s until %d", subject, certificate.expires_at)
        return response, issued

    def _x509_bundle(self) -> bytes:
        domain = self._authority.spiffe_trust_domain
        return b"".join(self._authority.bundles()[domain].x509_authorities)

    async def _fetch_x509_bundles(self, stream: Stream[Any, Any], session: Session, _: pb.X509BundlesRequest) -> None:
        bundles = {str(self._authority.spiffe_trust_domain): self._x509_bundle()}
        await _keep_open(stream, session, pb.X509BundlesResponse(bundles=bundles))

    async def _fetch_jwt_svid(self, stream: Stream[Any, Any], session: Session, request: pb.JWTSVIDRequest) -> None:
        domain, response = self._authority.spiffe_trust_domain, pb.JWTSVIDResponse()
        for grant, subject in _wanted(session.grants(), request.spiffe_id, domain):
            token = self._authority.issue_jwt_svid(subject, list(request.audience), now=int(time.time()))
            response.svids.add(spiffe_id=str(subject), svid=token.text, hint=grant.hint)
            log.info("a JWT-SVID is issued to %s until %d", subject, token.expires_at)
        await stream.send_message(response)

    async def _fetch_jwt_bundles(self, stream: Stream[Any, Any], session: Session, _: pb.JWTBundlesRequest) -> None:
        domain = self._authority.spiffe_trust_domain
        bundles = {str(domain): self._authority.bundles()[domain].to_json(JWT_SVID)}
        await _keep_open(stream, session, pb.JWTBundlesResponse(bundles=bundles))

    async def _validate(self, stream: Stream[Any, Any], session: Session, request: pb.ValidateJWTSVIDRequest) -> None:
        session.caller()
        if not request.audience or not request.svid:  # §6.2.3, §4.5: mandatory
            raise Refused(Reason.AUDIENCE_MISSING if request.svid else Reason.TOKEN_MALFORMED, "a field is empty")
        bundle = self._authority.bundles()[self._authority.spiffe_trust_domain]
        try:
            svid = verify_jwt_svid(request.svid, bundle, audience=request.audience, now=int(time.time()))
        except Refused as refused:
            raise _invalid_argument(refused) from None
        claims = Struct()
        claims.update(cast("dict[str, Any]", dict(svid.claims)))  # JSON, as it was parsed
        await stream.send_message(pb.ValidateJWTSVIDResponse(spiffe_id=str(svid.identity), claims=claims))

    async def _fetch_wit_svid(self, stream: Stream[Any, Any], session: Session, request: pb.WITSVIDRequest) -> None:
        while True:
            grants = session.grants()
            response, issued = self._wit_svids(grants, request.spiffe_id)
            await stream.send_message(response)
            await session.wait(grants, until=_renewal(issued))

    def _wit_svids(self, grants: Sequence[Grant], requested: str) -> tuple[pb.WITSVIDResponse, list[IssuedToken]]:
        response, issued = pb.WITSVIDResponse(), []
        for grant, subject in _wanted(grants, requested, self._authority.wit_trust_domain):
            key = PrivateKey.generate(ES256)
            token_id = secrets.token_hex(32)
            token = self._authority.issue_wit(subject, key.public_key, now=int(time.time()), token_id=token_id)
            issued.append(token)
            response.svids.add(
                spiffe_id=str(subject), wit_svid=token.text, wit_svid_key=json.dumps(key.to_jwk()), hint=grant.hint
            )
            log.info("a WIT is issued to %s until %d, jti %s", subject, token.expires_at, token_id)
        return response, issued

    async def _fetch_wit_bundles(self, stream: Stream[Any, Any], session: Session, _: pb.WITBundlesRequest) -> None:
        domain = self._authority.wit_trust_domain
        bundles = {str(domain): self._authority.bundles()[domain].to_json(WIT_SVID).decode("utf-8")}
        await _keep_open(stream, session, pb.WITBundlesResponse(bundles=bundles))


class MiniSPIREService:
    """`MiniSPIREWorkloadAPI`: `MintWITSVID` as minispire answers it, without the security header."""

    def __init__(self, authority: Authority, gate: CallGate) -> None:
        """Serve what `authority` issues; arguments as `WorkloadAPIService`."""
        self._authority = authority
        self._gate = gate

    def __mapping__(self) -> dict[str, Handler]:
        """The call by path, as grpclib asks for it."""
        handler = self._gate.guard(pb.WITSVIDRequest, self._mint, security_header=False)
        return {
            "/MiniSPIREWorkloadAPI/MintWITSVID": Handler(
                handler, Cardinality.UNARY_UNARY, pb.WITSVIDRequest, pb.WITSVIDResponse
            )
        }

    async def _mint(self, stream: Stream[Any, Any], session: Session, request: pb.WITSVIDRequest) -> None:
        response = pb.WITSVIDResponse()
        for grant, subject in _wanted(session.grants(), request.spiffe_id, self._authority.spiffe_trust_domain):
            key = PrivateKey.generate(ES256)
            token_id = secrets.token_hex(32)  # 64 hex digits, as minispire's
            token = self._authority.issue_minispire_wit(
                grant.path, key.public_key, now=int(time.time()), token_id=token_id
            )
            encoded_key = base64.b64encode(key.to_pkcs8_der()).decode("ascii")
            response.svids.add(spiffe_id=str(subject), wit_svid=token.text, wit_svid_key=encoded_key, hint=grant.hint)
            log.info("a WIT is minted for %s until %d, jti %s", subject, token.expires_at, token_id)
        await stream.send_message(response)


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


def _renewal(issued: Sequence[IssuedToken | IssuedCertificate]) -> float:
    """When to send the next message, in seconds since 1970: before half of the shortest life is over."""
    first = min(issued, key=lambda each: each.expires_at)
    life = first.expires_at - first.issued_at
    part = _jitter.uniform(_EARLIEST_RENEWAL, _LATEST_RENEWAL)
    return max(first.issued_at + part * life, time.time() + _SHORTEST_WAIT * life)


def _invalid_argument(refused: Refused) -> Refused:
    # Whatever is wrong with a token is the argument's fault here, also where its reason has another status by itself.
    if refused.reason_class.grpc_status == "INVALID_ARGUMENT":
        return refused
    return Refused(Reason.TOKEN_MALFORMED, refused.detail)


async def _keep_open(stream: Stream[Any, Any], session: Session, response: object) -> None:
    # The keys do not change while the server runs; the stream stays open so that its end says that it does not.
    while True:
        grants = session.grants()
        await stream.send_message(response)
        await session.wait(grants)
