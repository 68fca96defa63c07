"""The identity of this process from minispire itself, which has no FetchWITSVID.

It departs from the Workload API in what it serves, so that this is a source of its own, and not a fallback:

- `MintWITSVID` gives one answer and never another: it is asked again when half of the WIT's life is over;
- keys are PKCS#8 in base64, subjects are of the scheme `wimse`;
- the key that verifies WITs is published by FetchJWTBundles, under the bare name of the trust domain, without `use`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from wimse.credentials import (
    WIT_SVID,
    TrustBundle,
    TrustBundles,
    TrustDomain,
    WorkloadCredential,
    WorkloadIdentifier,
    WorkloadSnapshot,
)
from wimse.errors import Reason, Refused
from wimse.keys import PrivateKey
from wimse.workload_api.address import EndpointAddress
from wimse.workload_api.background import BackgroundSource
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.settings import SourceSettings

__all__ = ["MiniSPIRESource"]

_SHORTEST_POLL_SECONDS: Final = 0.5


class MiniSPIRESource(BackgroundSource[WorkloadSnapshot]):
    """A `WorkloadSource` that minispire keeps new; used as ``async with``."""

    def __init__(
        self,
        socket: str | EndpointAddress | None = None,
        *,
        settings: SourceSettings | None = None,
        on_renewal: Callable[[WorkloadSnapshot], None] | None = None,
    ) -> None:
        """Choose the endpoint; arguments and errors as `WorkloadAPISource`. minispire gives one identity only."""
        super().__init__(socket, settings, on_renewal)
        self._credential: WorkloadCredential | None = None
        self._bundles: TrustBundles | None = None

    def snapshot(self) -> WorkloadSnapshot:
        """The newest WIT with its key and the bundles; errors as `WorkloadAPISource.snapshot`."""
        snapshot = self._current()
        snapshot.credential.check_usable(int(time.time()))
        return snapshot

    def _keepers(self) -> list[Coroutine[Any, Any, None]]:
        return [
            self._keep("MintWITSVID", self._mint, self._take_svids),
            self._keep("FetchJWTBundles", self._client.watch_jwt_bundles, self._take_bundles),
        ]

    async def _mint(self) -> AsyncIterator[pb.WITSVIDResponse]:
        """A stream made of single calls, each when half of the life that is left is over."""
        while True:
            yield await self._client.mint_wit_svids()
            now, credential = time.time(), self._credential
            left = 0.0 if credential is None else (credential.expires_at - now) / 2
            await asyncio.sleep(max(left, _SHORTEST_POLL_SECONDS))

    def _take_svids(self, message: pb.WITSVIDResponse | None) -> int | None:
        self._credential = None if message is None else _credential(message, int(time.time()))
        return None if self._credential is None else self._credential.expires_at

    def _take_bundles(self, message: pb.JWTBundlesResponse | None) -> None:
        if message is None:
            self._bundles = None
            return
        if not message.bundles:
            raise Refused(Reason.BUNDLE_MALFORMED, "there is no bundle in it")
        self._bundles = TrustBundles(
            *(
                TrustBundle.parse(TrustDomain("wimse", name.rpartition("://")[2]), data, default_use=WIT_SVID)
                for name, data in message.bundles.items()
            )
        )

    def _compose(self) -> WorkloadSnapshot | None:
        if self._credential is None or self._bundles is None:
            return None
        return WorkloadSnapshot(self._credential, self._bundles)

    def _forget(self) -> None:
        self._credential = self._bundles = None


def _credential(message: pb.WITSVIDResponse, now: int) -> WorkloadCredential:
    if not message.svids:
        raise Refused(Reason.WIT_MISSING, "there is no WIT in it")
    svid = message.svids[0]
    if not (svid.spiffe_id and svid.wit_svid and svid.wit_svid_key):
        raise Refused(Reason.WIT_MISSING, "a mandatory field of the WIT is empty")
    try:
        der = base64.b64decode(svid.wit_svid_key, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(Reason.BASE64_MALFORMED, "the WIT's key is not base64") from None
    credential = WorkloadCredential.from_wit(svid.wit_svid, PrivateKey.from_pkcs8_der(der))
    announced, identity = WorkloadIdentifier.parse(svid.spiffe_id), credential.identity
    # The one is of the scheme `spiffe` and the other of `wimse`.
    if (announced.trust_domain.name, announced.path) != (identity.trust_domain.name, identity.path):
        raise Refused(Reason.IDENTITY_UNEXPECTED, "the WIT's sub is not the identity that was announced")
    credential.check_usable(now)
    return credential
