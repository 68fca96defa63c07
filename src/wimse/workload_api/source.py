"""The identity of this process, from the Workload API, always new: the asyncio source.

Rules:

1. (WIT, key, bundles) are one immutable snapshot, replaced as a whole: a proof is made with the key of the very WIT
   that goes with it (workload-creds §5.1).
2. A message replaces everything that the one before it said (SPIFFE_Workload_API §4.4). One that lacks a mandatory
   field, or whose WIT does not fit its key, is discarded and reported, and the old one stays (§4.5).
3. PermissionDenied withdraws what was given (§7.2.1): the snapshot is gone at once.
4. When the connection is lost the snapshot stays, and the source connects again: at once, then with backoff and jitter.
   InvalidArgument and Unimplemented are not tried again (Endpoint §6).
5. After the WIT has expired the source refuses (workload-creds §9.4).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from wimse.credentials import (
    TrustBundle,
    TrustBundles,
    TrustDomain,
    WorkloadCredential,
    WorkloadIdentifier,
    WorkloadSnapshot,
)
from wimse.errors import ConfigurationError, Reason, ReasonClass, Refused, Unavailable, WimseError
from wimse.keys import PrivateKey, parse_json_object
from wimse.workload_api.address import EndpointAddress
from wimse.workload_api.client import WorkloadAPIClient
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.settings import SourceSettings

__all__ = ["WorkloadAPISource"]

log = logging.getLogger("wimse.workload_api")

# A stream that has lasted so long was a good one: its end is answered at once (§4.2). Shorter ones wait their turn.
_STEADY_SECONDS: Final = 1.0
_jitter = random.SystemRandom()
_Message = TypeVar("_Message")


class WorkloadAPISource:
    """A `WorkloadSource` that the Workload API keeps new; used as ``async with``.

    Leaving the ``async with`` closes it: then `snapshot` refuses.
    """

    def __init__(
        self,
        socket: str | EndpointAddress | None = None,
        spiffe_id: str | WorkloadIdentifier | None = None,
        *,
        settings: SourceSettings | None = None,
    ) -> None:
        """Choose the endpoint and the identity.

        Args:
            socket: ``unix:///path`` or ``tcp://address:port``; by default what `SPIFFE_ENDPOINT_SOCKET` says, else
                ``unix:///tmp/spire.sock``.
            spiffe_id: the identity that is wanted; by default the first that the server gives (§8).
            settings: waits.

        Raises:
            ConfigurationError: when the address or the identity is malformed.
        """
        self._settings = settings or SourceSettings()
        self._client = WorkloadAPIClient(socket, settings=self._settings)
        self._wanted = wanted_identifier(spiffe_id)
        self._credential: WorkloadCredential | None = None
        self._bundles: TrustBundles | None = None
        self._snapshot: WorkloadSnapshot | None = None
        self._failures: dict[str, WimseError] = {}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def address(self) -> EndpointAddress:
        """Where the identity server is expected."""
        return self._client.address

    def snapshot(self) -> WorkloadSnapshot:
        """The newest WIT with its key and the bundles.

        Raises:
            Unavailable: `credential_unavailable` when there is none: not yet, withdrawn, or the source is closed;
                `credential_expired`.
        """
        snapshot = self._snapshot
        if snapshot is None:
            raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, f"there is no identity from {self._state()}")
        snapshot.credential.check_usable(int(time.time()))
        return snapshot

    async def __aenter__(self) -> Self:
        """Connect, and wait for the first snapshot.

        Raises:
            Unavailable: `issuer_unavailable` when the server cannot be reached within `first_snapshot_timeout`,
                `credential_unavailable` when it gave no identity until then.
            Refused: when the server refuses the request as malformed.
            ConfigurationError: when the server does not have the WIT-SVID profile.
        """
        self._failures.clear()
        wanted = "" if self._wanted is None else str(self._wanted)
        self._tasks = [
            asyncio.create_task(
                self._keep("FetchWITSVID", lambda: self._client.watch_wit_svids(wanted), self._take_svids)
            ),
            asyncio.create_task(self._keep("FetchWITBundles", self._client.watch_wit_bundles, self._take_bundles)),
        ]
        try:
            async with asyncio.timeout(self._settings.first_snapshot_timeout.total_seconds()):
                await self._wait_for_first()
        except TimeoutError:
            await self.close()
            raise self._first_failure() from None
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End both streams and forget the key."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._client.close()
        self._credential = self._bundles = self._snapshot = None

    async def _wait_for_first(self) -> None:
        while self._snapshot is None:
            for failure in self._failures.values():
                if _is_final(failure):
                    raise failure
            self._changed.clear()
            await self._changed.wait()

    def _first_failure(self) -> Unavailable:
        within = f"within {self._settings.first_snapshot_timeout.total_seconds():g} s"
        denied = any(isinstance(each, Refused) for each in self._failures.values())
        reason = Reason.CREDENTIAL_UNAVAILABLE if denied else Reason.ISSUER_UNAVAILABLE
        return Unavailable(reason, f"no identity {within} from {self._state()}")

    def _state(self) -> str:
        details = [failure.detail for failure in self._failures.values()]
        return "; ".join([str(self.address), *details])

    async def _keep(
        self, name: str, watch: Callable[[], AsyncIterator[_Message]], take: Callable[[_Message | None], None]
    ) -> None:
        """Keep one stream open for ever; `take` gets its messages, and None when what it gave is withdrawn."""
        backoff = initial = self._settings.initial_backoff.total_seconds()
        at_once = True
        while True:
            opened_at = time.monotonic()
            try:
                async with contextlib.aclosing(_closable(watch())) as messages:
                    async for message in messages:
                        self._take(name, take, message)
            except WimseError as error:
                self._report(name, error)
                if _is_denial(error):
                    take(None)
                if _is_final(error):
                    return
            if time.monotonic() - opened_at > _STEADY_SECONDS:
                backoff, at_once = initial, True
            if not at_once:
                await asyncio.sleep(backoff * _jitter.uniform(0.5, 1.0))
                backoff = min(backoff * 2, self._settings.max_backoff.total_seconds())
            at_once = False

    def _take(self, name: str, take: Callable[[_Message | None], None], message: _Message) -> None:
        try:
            take(message)
            self._failures.pop(name, None)
        except WimseError as error:
            detail = f"{name}: a message of the identity server is discarded: {error.detail}"
            self._report(name, Unavailable(Reason.CREDENTIAL_UNAVAILABLE, detail))

    def _report(self, name: str, error: WimseError) -> None:
        known = self._failures.get(name)
        if known is None or known.detail != error.detail:  # once, not at every attempt
            log.warning("%s", error)
        self._failures[name] = error
        self._changed.set()

    def _take_svids(self, message: pb.WITSVIDResponse | None) -> None:
        self._credential = None if message is None else _credential(message, self._wanted, int(time.time()))
        self._publish()

    def _take_bundles(self, message: pb.WITBundlesResponse | None) -> None:
        self._bundles = None if message is None else _bundles(message)
        self._publish()

    def _publish(self) -> None:
        if self._credential is None or self._bundles is None:
            self._snapshot = None
        else:
            self._snapshot = WorkloadSnapshot(self._credential, self._bundles)
        self._changed.set()


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


def _closable(messages: AsyncIterator[_Message]) -> Any:
    return messages  # an asynchronous generator: it has aclose, though its declared type does not say so


def _is_denial(error: WimseError) -> bool:
    return isinstance(error, Refused) and error.reason_class is ReasonClass.AUTHORIZATION


def _is_final(error: WimseError) -> bool:
    return isinstance(error, ConfigurationError) or (isinstance(error, Refused) and not _is_denial(error))


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
