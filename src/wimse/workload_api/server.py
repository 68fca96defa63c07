"""The identity server: one Unix socket, and on it the SPIFFE Workload API and minispire's call.

It listens on no network address (SPIFFE_Workload_Endpoint §3): there the kernel does not say who calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wimse.credentials import TrustBundles
from wimse.errors import ConfigurationError
from wimse.issuer import Authority, Registrations
from wimse.workload_api.address import check_socket_path
from wimse.workload_api.calls import CallGate
from wimse.workload_api.events import Observer
from wimse.workload_api.service import PROFILES, MiniSPIREService, WorkloadAPIService
from wimse.workload_api.settings import ServerSettings
from wimse.workload_api.standard_services import HealthService, reflection_services
from wimse.workload_api.state import ServedState
from wimse.workload_api.transport import BoundedServer

if TYPE_CHECKING:
    from grpclib._typing import IServable

__all__ = ["IdentityServer"]

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
        advice = f"; make it first: install -d -m 0755 {directory}" if error.errno == errno.ENOENT else ""
        raise ConfigurationError(f"the directory {directory} of the socket: {error.strerror}{advice}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{directory}, where the socket is to be, is not a directory; choose another path")
    real = directory.resolve()
    # Whoever may rename in one of these could put a socket of his own in the place of ours.
    for each in (real, *real.parents):
        _check_writers(each, each.stat())


def _check_writers(directory: Path, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(
            f"the directory {directory} of the socket belongs to another user, who could replace the socket; "
            "choose one that belongs to root or to the server's user, such as /run/wimse"
        )
    if status.st_mode & stat.S_ISVTX:
        return
    if status.st_mode & stat.S_IWOTH:
        raise ConfigurationError(
            f"others may write to the directory {directory} of the socket, which is not sticky; chmod o-w it"
        )
    if status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid()):
        raise ConfigurationError(
            f"a group may write to the directory {directory} of the socket, which is not sticky; chmod g-w it"
        )


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on; refuse anything else that is there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"the socket {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"{path} is there and is not a socket; move it away, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        code = probe.connect_ex(str(path))
    if code not in (errno.ECONNREFUSED, errno.ENOENT):
        raise ConfigurationError(f"a server is listening on {path} already; stop it first, or choose another path")
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
