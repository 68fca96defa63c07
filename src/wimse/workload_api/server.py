"""The identity server: one Unix socket, and on it the SPIFFE Workload API and minispire's call.

It listens on no network address (SPIFFE_Workload_Endpoint §3): there the kernel does not say who calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wimse.credentials import TrustBundles
from wimse.errors import ConfigurationError
from wimse.issuer import Authority, Registrations
from wimse.workload_api.address import check_socket_path
from wimse.workload_api.calls import CallGate
from wimse.workload_api.config import ServerConfig
from wimse.workload_api.events import Observer
from wimse.workload_api.service import PROFILES, MiniSPIREService, WorkloadAPIService
from wimse.workload_api.settings import ServerSettings
from wimse.workload_api.standard_services import HealthService, reflection_services
from wimse.workload_api.state import ServedState
from wimse.workload_api.transport import BoundedServer

if TYPE_CHECKING:
    from grpclib._typing import IServable

__all__ = ["IdentityServer", "serve"]

log = logging.getLogger("wimse.workload_api")

_BACKLOG = 128
_PROBE_SECONDS = 1.0


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
        minispire: bool = True,
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
        services: list[IServable] = [WorkloadAPIService(self.state, gate, profiles)]
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
        listener, identity = _bind(check_socket_path(os.fspath(path)), self._settings.socket_mode)
        self.state.stopping = False
        server = BoundedServer(self._services, self._settings)
        try:
            await server.start(sock=listener, backlog=_BACKLOG)
            log.info("serving the trust domain %s on %s", self.state.authority.name, path)
            try:
                yield
            finally:
                # The path goes first: who connects now finds the successor, or nobody.
                _remove(Path(path), identity)
                await self._end_calls()
                server.close()
                await server.wait_closed()
        finally:
            listener.close()
            _remove(Path(path), identity)

    async def _end_calls(self) -> None:
        self.state.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_timeout.total_seconds()):
                await self.state.no_streams.wait()


async def serve(config: ServerConfig, *, ready: Callable[[], None] | None = None) -> None:
    """Run an identity server with new keys until this is cancelled; then clean up.

    The process writes no core dump from here on, since it holds signing keys.

    Args:
        config: everything it needs.
        ready: called once, when the socket accepts callers.

    Raises:
        ConfigurationError: see `IdentityServer.listening` and `ServerConfig`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    authority = Authority.create(
        config.trust_domain, now=int(time.time()), scheme=config.scheme, settings=config.issuer_settings()
    )
    server = IdentityServer(authority, config.registrations(), config.server_settings())
    async with server.listening(config.socket_path()):
        if ready is not None:
            ready()
        await asyncio.get_running_loop().create_future()  # until cancelled


def _bind(path: str, mode: int) -> tuple[socket.socket, tuple[int, int]]:
    """Make the socket; its file is there with `mode` before anybody can connect, because it does not listen yet."""
    _check_directory(Path(path).parent)
    _clear(Path(path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        made = os.lstat(path)
        Path(path).chmod(mode, follow_symlinks=True)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot make the socket {path}: {error.strerror}") from None
    return listener, (made.st_dev, made.st_ino)


def _check_directory(directory: Path) -> None:
    try:
        status = directory.stat()
    except OSError as error:
        raise ConfigurationError(f"the directory {directory} of the socket: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{directory}, where the socket is to be, is not a directory")
    sticky = bool(status.st_mode & stat.S_ISVTX)
    # Whoever may rename in the directory could put a socket of his own in the place of ours.
    if status.st_mode & stat.S_IWOTH and not sticky:
        raise ConfigurationError(f"others may write to the directory {directory} of the socket, which is not sticky")
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(f"the directory {directory} of the socket belongs to another user")


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on; refuse anything else that is there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"the socket {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"{path} is there and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        code = probe.connect_ex(str(path))
    if code not in (errno.ECONNREFUSED, errno.ENOENT):
        raise ConfigurationError(f"a server is listening on {path} already")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot remove the stale socket {path}: {error.strerror}") from None


def _remove(path: Path, identity: tuple[int, int]) -> None:
    """Remove our socket, and not one that another server has put in its place."""
    try:
        status = path.lstat()
        if (status.st_dev, status.st_ino) == identity:
            path.unlink()
    except FileNotFoundError:
        return
    except OSError:
        log.warning("the socket %s cannot be removed", path)
