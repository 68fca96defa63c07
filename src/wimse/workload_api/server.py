"""The identity server: one Unix socket, and on it the SPIFFE Workload API and minispire's call.

It listens on no network address (SPIFFE_Workload_Endpoint §3): there the kernel does not say who calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

from wimse.credentials import TrustBundles
from wimse.issuer import Authority, Registrations
from wimse.workload_api.address import check_socket_path
from wimse.workload_api.calls import CallGate
from wimse.workload_api.events import Observer
from wimse.workload_api.service import PROFILES, MiniSPIREService, WorkloadAPIService
from wimse.workload_api.settings import ServerSettings
from wimse.workload_api.sockets import bind_socket, remove_socket
from wimse.workload_api.standard_services import HealthService, reflection_services
from wimse.workload_api.state import ServedState
from wimse.workload_api.transport import BoundedServer, Service

__all__ = ["IdentityServer"]

log = logging.getLogger("wimse.workload_api")

_BACKLOG = 128


class IdentityServer:
    """Serves an authority to the processes of this machine."""

    def __init__(
        self,
        authority: Authority,
        registrations: Registrations,
        settings: ServerSettings | None = None,
        *,
        federated: TrustBundles | None = None,
        profiles: Collection[str] = PROFILES,
        minispire: bool = False,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Put the server together; it does not listen yet.

        Args:
            authority: signs.
            registrations: who is entitled to what.
            settings: limits.
            federated: bundles of other trust domains.
            profiles: which of `x509`, `jwt` and `wit` are served; the others are Unimplemented.
            minispire: whether `MintWITSVID` is answered, for the Go proof of concept.
            observers: called with each issue and each refusal.

        Raises:
            ConfigurationError: for no or an unknown profile, or a federated bundle of the own trust domain.
        """
        self._settings = settings or ServerSettings()
        self.state = ServedState(authority, registrations, federated=federated, observers=observers)
        gate = CallGate(self.state, self._settings)
        services: list[Service] = [WorkloadAPIService(self.state, gate, profiles)]
        names = ["SpiffeWorkloadAPI"]
        if minispire:
            services.append(MiniSPIREService(self.state, gate))
            names.append("MiniSPIREWorkloadAPI")
        services.append(HealthService(self.state, gate, names))
        names.append("grpc.health.v1.Health")
        self._services = [*services, *reflection_services(gate, names)]

    @contextlib.asynccontextmanager
    async def listening(self, path: str | os.PathLike[str]) -> AsyncIterator[None]:
        """Listen on a Unix socket inside the `async with`; at its end all calls end and the socket is removed.

        Calls that are open then end with `UNAVAILABLE`, so that clients connect again.

        Args:
            path: absolute path of the socket; a socket that nobody listens on any more is replaced.

        Raises:
            ConfigurationError: when the path is relative or longer than 107 bytes; its directory is missing, or
                others may write to it without the sticky bit, or its owner is another user; when there is a
                symbolic link, another kind of file, or a socket that is in use.
        """
        listener, identity = bind_socket(check_socket_path(os.fspath(path)), self._settings.socket_mode)
        self.state.stopping = False
        server = BoundedServer(self._services, self._settings)
        try:
            await server.start(sock=listener, backlog=_BACKLOG)
            log.info("serving the trust domain %s on %s", self.state.authority.name, path)
            try:
                yield
            finally:
                # The path goes first: who connects now finds the successor, or nobody.
                remove_socket(Path(path), identity)
                await self._end_calls()
                server.close()
                await server.wait_closed()
        finally:
            listener.close()
            remove_socket(Path(path), identity)

    async def _end_calls(self) -> None:
        self.state.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_timeout.total_seconds()):
                await self.state.no_streams.wait()
