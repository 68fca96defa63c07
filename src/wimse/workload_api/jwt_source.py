"""JWT-SVIDs of this process, from the Workload API: by audience, kept until half of their life is over (§6).

A JWT-SVID is a bearer token. One fetch is made at a time for an audience, and all who need its outcome wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from wimse.credentials import JWT_SVID, TrustBundle, TrustBundles, TrustDomain, UnverifiedJWS, WorkloadIdentifier
from wimse.credentials.claims import required_time
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.workload_api.address import EndpointAddress
from wimse.workload_api.background import BackgroundSource
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.settings import SourceSettings
from wimse.workload_api.source import wanted_identifier

__all__ = ["JWTCredential", "WorkloadAPIJWTSource"]


@dataclass(frozen=True, slots=True)
class JWTCredential:
    """A JWT-SVID as its issuer handed it to us.

    Attributes:
        identity: our own identifier.
        token: the compact JWS.
        fetched_at: seconds since 1970.
        expires_at: seconds since 1970.
    """

    identity: WorkloadIdentifier
    token: str = field(repr=False)
    fetched_at: int
    expires_at: int

    @property
    def renew_at(self) -> float:
        """When half of the life that was left is over, in seconds since 1970."""
        return (self.fetched_at + self.expires_at) / 2


class WorkloadAPIJWTSource(BackgroundSource[TrustBundles]):
    """JWT-SVIDs by audience, and the bundles to judge others' by; used as ``async with``, in one event loop."""

    _what = "JWT bundle"

    def __init__(
        self,
        socket: str | EndpointAddress | None = None,
        spiffe_id: str | WorkloadIdentifier | None = None,
        *,
        settings: SourceSettings | None = None,
        on_renewal: Callable[[TrustBundles], None] | None = None,
    ) -> None:
        """Choose the endpoint and the identity; as `WorkloadAPISource`. `on_renewal` is called for new bundles."""
        super().__init__(socket, settings, on_renewal)
        self._wanted = wanted_identifier(spiffe_id)
        self._bundles: TrustBundles | None = None
        self._tokens: dict[tuple[str, ...], JWTCredential] = {}
        self._flights: dict[tuple[str, ...], asyncio.Task[JWTCredential]] = {}

    def bundles(self) -> TrustBundles:
        """The newest bundles.

        Raises:
            Unavailable: `credential_unavailable` when there are none, as `WorkloadAPISource.snapshot`.
        """
        return self._current()

    async def token(self, *audience: str) -> JWTCredential:
        """A JWT-SVID for an audience: the one that is kept, or a new one.

        Args:
            audience: at least one recipient, none of them empty.

        Raises:
            ConfigurationError: for an empty audience, or when the server has no JWT-SVIDs.
            Unavailable: `issuer_unavailable` when a new one is needed and none comes within `call_timeout`;
                `credential_unavailable` when the source is not open, or what came is no JWT-SVID for us.
            Refused: when the server gives us no such identity.
        """
        if not audience or not all(audience):
            raise ConfigurationError("a JWT-SVID has an audience, and none of it is empty")
        if self._snapshot is None or not self._tasks:
            self._current()
        kept, now = self._tokens.get(audience), time.time()
        if kept is not None and now < kept.renew_at:
            return kept
        flight = self._flights.get(audience)
        if flight is None:
            flight = self._flights[audience] = asyncio.create_task(self._fetch(audience))
            flight.add_done_callback(lambda done: self._landed(audience, done))
        try:
            return await asyncio.shield(flight)  # one who does not wait any longer does not take it from the others
        except Unavailable:
            if kept is not None and time.time() < kept.expires_at:
                return kept
            raise

    async def close(self) -> None:
        """End the streams and forget bundles and tokens."""
        for flight in tuple(self._flights.values()):
            flight.cancel()
        await super().close()

    async def _fetch(self, audience: tuple[str, ...]) -> JWTCredential:
        try:
            response = await self._client.fetch_jwt_svids(audience, "" if self._wanted is None else str(self._wanted))
        except Refused:
            self._tokens.pop(audience, None)
            raise
        now = int(time.time())
        try:
            made = _credential(response, audience, self._wanted, now)
        except Refused as refused:
            detail = f"FetchJWTSVID: the identity server's answer is discarded: {refused.detail}"
            raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, detail) from None
        self._tokens.pop(audience, None)
        while len(self._tokens) >= self._settings.max_cached_audiences:
            del self._tokens[next(iter(self._tokens))]  # the one that was fetched first
        self._tokens[audience] = made
        return made

    def _landed(self, audience: tuple[str, ...], done: asyncio.Task[JWTCredential]) -> None:
        self._flights.pop(audience, None)
        if not done.cancelled():
            done.exception()  # nobody may have waited to the end

    def _keepers(self) -> list[Coroutine[Any, Any, None]]:
        return [self._keep("FetchJWTBundles", self._client.watch_jwt_bundles, self._take_bundles)]

    def _take_bundles(self, message: pb.JWTBundlesResponse | None) -> None:
        if message is None:
            self._forget()
            return
        if not message.bundles:
            raise Refused(Reason.BUNDLE_MALFORMED, "there is no bundle in it")
        self._bundles = TrustBundles(
            *(
                TrustBundle.parse(TrustDomain.parse(name), data, default_use=JWT_SVID)
                for name, data in message.bundles.items()
            )
        )

    def _compose(self) -> TrustBundles | None:
        return self._bundles

    def _forget(self) -> None:
        self._bundles = None
        self._tokens.clear()


def _credential(
    message: pb.JWTSVIDResponse, audience: tuple[str, ...], wanted: WorkloadIdentifier | None, now: int
) -> JWTCredential:
    if not message.svids:
        raise Refused(Reason.TOKEN_MALFORMED, "there is no JWT-SVID in it")
    svid = message.svids[0]
    if not (svid.spiffe_id and svid.svid):
        raise Refused(Reason.TOKEN_MALFORMED, "a mandatory field of the JWT-SVID is empty")
    claims = UnverifiedJWS.parse(svid.svid, "the JWT-SVID").claims
    identity = WorkloadIdentifier.parse(svid.spiffe_id)
    if claims.get("sub") != svid.spiffe_id or (wanted is not None and identity != wanted):
        raise Refused(Reason.IDENTITY_UNEXPECTED, "its sub is not the identity that was asked for or announced")
    named = claims.get("aud")
    names = named if isinstance(named, list) else [named]
    if not set(audience) <= {each for each in names if isinstance(each, str)}:
        raise Refused(Reason.TOKEN_AUDIENCE, "its aud is not the audience that was asked for")
    expires_at = required_time(claims, "exp")
    if expires_at <= now:
        raise Refused(Reason.TOKEN_EXPIRED, "it has expired already")
    return JWTCredential(identity, svid.svid, now, expires_at)
