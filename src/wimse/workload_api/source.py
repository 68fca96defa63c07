"""The identity of this process, from the Workload API, always new: the asyncio source of WITs.

(WIT, key, bundles) are one immutable snapshot, replaced as a whole: a proof is made with the key of the very WIT that
goes with it. After the WIT has expired the source refuses (workload-creds §9.4). All else is in `background`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from wimse.credentials import (
    TrustBundle,
    TrustBundles,
    TrustDomain,
    WorkloadCredential,
    WorkloadIdentifier,
    WorkloadSnapshot,
)
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.keys import PrivateKey, parse_json_object
from wimse.workload_api.address import EndpointAddress
from wimse.workload_api.background import BackgroundSource
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.settings import SourceSettings

__all__ = ["WorkloadAPISource", "wanted_identifier"]


class WorkloadAPISource(BackgroundSource[WorkloadSnapshot]):
    """A `WorkloadSource` that the Workload API keeps new; used as ``async with``.

    Leaving the ``async with`` closes it: then `snapshot` refuses. So it does in a process that was forked from the one
    that opened it.
    """

    def __init__(
        self,
        socket: str | EndpointAddress | None = None,
        spiffe_id: str | WorkloadIdentifier | None = None,
        *,
        settings: SourceSettings | None = None,
        on_renewal: Callable[[WorkloadSnapshot], None] | None = None,
    ) -> None:
        """Choose the endpoint and the identity.

        Args:
            socket: ``unix:///path`` or ``tcp://address:port``; by default what `SPIFFE_ENDPOINT_SOCKET` says, else
                ``unix:///tmp/spire.sock``.
            spiffe_id: the identity that is wanted; by default the first that the server gives (§8).
            settings: waits.
            on_renewal: called in the event loop once for each new snapshot, the first included. What it raises is
                logged, and changes nothing.

        Raises:
            ConfigurationError: when the address or the identity is malformed.
        """
        super().__init__(socket, settings, on_renewal)
        self._wanted = wanted_identifier(spiffe_id)
        self._credential: WorkloadCredential | None = None
        self._bundles: TrustBundles | None = None

    def snapshot(self) -> WorkloadSnapshot:
        """The newest WIT with its key and the bundles.

        Raises:
            Unavailable: `credential_unavailable` when there is none: not yet, withdrawn, the source is closed, or this
                process was forked from the one that opened it; `credential_expired`.
        """
        snapshot = self._current()
        snapshot.credential.check_usable(int(time.time()))
        return snapshot

    def _keepers(self) -> list[Coroutine[Any, Any, None]]:
        wanted = "" if self._wanted is None else str(self._wanted)
        return [
            self._keep("FetchWITSVID", lambda: self._client.watch_wit_svids(wanted), self._take_svids),
            self._keep("FetchWITBundles", self._client.watch_wit_bundles, self._take_bundles),
        ]

    def _take_svids(self, message: pb.WITSVIDResponse | None) -> int | None:
        self._credential = None if message is None else _credential(message, self._wanted, int(time.time()))
        return None if self._credential is None else self._credential.expires_at

    def _take_bundles(self, message: pb.WITBundlesResponse | None) -> None:
        self._bundles = None if message is None else _bundles(message)

    def _compose(self) -> WorkloadSnapshot | None:
        if self._credential is None or self._bundles is None:
            return None
        return WorkloadSnapshot(self._credential, self._bundles)

    def _forget(self) -> None:
        self._credential = self._bundles = None


def wanted_identifier(spiffe_id: str | WorkloadIdentifier | None) -> WorkloadIdentifier | None:
    """Read the identity that a program asks for.

    Raises:
        ConfigurationError: when it is malformed.
    """
    if not isinstance(spiffe_id, str):
        return spiffe_id
    try:
        return WorkloadIdentifier.parse(spiffe_id)
    except Refused as refused:
        raise ConfigurationError(f"the identity that is asked for: {refused.detail}") from None


def _credential(message: pb.WITSVIDResponse, wanted: WorkloadIdentifier | None, now: int) -> WorkloadCredential:
    """The default identity of a message (§8: the first), checked (§4.5)."""
    if not message.svids:
        raise Refused(Reason.WIT_MISSING, "there is no WIT in it")
    svid = message.svids[0]
    if not (svid.spiffe_id and svid.wit_svid and svid.wit_svid_key):
        raise Refused(Reason.WIT_MISSING, "a mandatory field of the WIT is empty")
    key = PrivateKey.from_jwk(parse_json_object(svid.wit_svid_key.encode("utf-8"), "the WIT's key"))
    credential = WorkloadCredential.from_wit(svid.wit_svid, key)
    if str(credential.identity) != svid.spiffe_id or (wanted is not None and credential.identity != wanted):
        raise Refused(Reason.IDENTITY_UNEXPECTED, "the WIT's sub is not the identity that was asked for or announced")
    credential.check_usable(now)
    return credential


def _bundles(message: pb.WITBundlesResponse) -> TrustBundles:
    """All bundles of a message (§7.2.2: at least that of the server's own trust domain)."""
    if not message.bundles:
        raise Refused(Reason.BUNDLE_MALFORMED, "there is no bundle in it")
    return TrustBundles(
        *(TrustBundle.parse(TrustDomain.parse(name), text.encode("utf-8")) for name, text in message.bundles.items())
    )
