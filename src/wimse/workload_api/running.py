"""An identity server as a process: put together from its configuration, watched, reloaded, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError
from wimse.issuer import Authority
from wimse.workload_api.audit import AuditLog
from wimse.workload_api.config import ServerConfig
from wimse.workload_api.events import Observer
from wimse.workload_api.keeping import IssuerKeeping, KeptIssuer, ServedEntries
from wimse.workload_api.metrics import Metrics
from wimse.workload_api.monitoring import monitoring
from wimse.workload_api.server import IdentityServer
from wimse.workload_api.state import ServedState
from wimse.workload_api.systemd import notify, watchdog_seconds

__all__ = ["Beside", "RunningServer", "check_clock", "harden_process", "serve"]

log = logging.getLogger("wimse.workload_api")

_OLDEST_NOW: Final = 1_735_689_600  # 2025-01-01: this program did not exist before
_SETBACK_SECONDS: Final = 120
_PR_SET_DUMPABLE: Final = 4
_EXPIRY_SECONDS: Final = 2.0
# What a reload takes over; the rest needs a restart, and says so.
_RELOADED: Final = ("entries", "default_identities")
_FILES_BESIDE_CONNECTIONS: Final = 256  # the store, the log, what is hashed, who watches


@dataclass(frozen=True, slots=True)
class RunningServer:
    """What services that run beside the Workload API are given.

    Attributes:
        state: what is served.
        keeping: how it follows its store, and how to change something there; None without a store.
        entries: which are served.
        observers: who records what happens.
    """

    state: ServedState
    keeping: IssuerKeeping | None
    entries: ServedEntries
    observers: tuple[Observer, ...]

    def take_template(self, *, template: bool) -> None:
        """Let callers without an entry have an identity as well, or not any more: for a template entry."""
        if self.entries.take_template(template=template):
            self.state.replace_registrations(self.entries.registrations())


Beside = Callable[[RunningServer], contextlib.AbstractAsyncContextManager[object]]
"""A service that runs from when the socket accepts callers until the server stops."""


def harden_process() -> None:
    """Keep signing keys out of core dumps and away from debuggers of the same user, for the rest of the process."""
    _no_core_dump()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        log.warning("prctl(PR_SET_DUMPABLE) is refused: %s", os.strerror(ctypes.get_errno()))


def _no_core_dump() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _make_room_for_files(connections: int) -> None:
    """Let each connection have its three files: the socket, and pidfd and /proc directory of who connected."""
    needed = 3 * connections + _FILES_BESIDE_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < needed:
            log.warning(
                "%d connections need %d open files and %d are permitted: raise LimitNOFILE= (or ulimit -n), or lower "
                "limits.max_connections",
                connections,
                needed,
                most,
            )


def check_clock(now: float, audit_log: str = "") -> None:
    """Refuse a clock that has gone back: what is signed by it is expired on arrival, or lives too long.

    Args:
        now: seconds since 1970.
        audit_log: a file that was written when something was issued, or empty.

    Raises:
        ConfigurationError: when it is before this program was written, or before the audit log was.
    """
    if now < _OLDEST_NOW:
        raise ConfigurationError("the clock is years behind; set it (timedatectl, chronyc makestep), then start again")
    try:
        written_at = Path(audit_log).stat().st_mtime if audit_log else 0.0
    except OSError:
        return
    if written_at > now + _SETBACK_SECONDS:
        raise ConfigurationError(
            f"the audit log was written {written_at - now:.0f} s from now, so the clock has gone back; set it, or move "
            f"{audit_log} away if it was wrong then, and start again"
        )


async def serve(
    config: ServerConfig,
    *,
    ready: Callable[[], None] | None = None,
    reload: Callable[[], ServerConfig] | None = None,
    keeper: KeptIssuer | None = None,
    beside: Sequence[Beside] = (),
) -> None:
    """Run an identity server until this is cancelled; then clean up.

    The process writes no core dump from here on, since it holds signing keys. systemd is told where it listens.

    Args:
        config: everything it needs.
        ready: called once, when the socket accepts callers and what is beside it runs.
        reload: gives the configuration anew; called at each SIGHUP, which then also opens the audit log again.
        keeper: brings signing keys and entries from a store. Without one keys are new, and stay until the end.
        beside: what else is to run in this process.

    Raises:
        ConfigurationError: see `IdentityServer.listening`, `ServerConfig`, `check_clock` and `KeptIssuer.start`.
        Unavailable: `store_unavailable` when the store cannot be reached at the start.
    """
    _no_core_dump()
    _make_room_for_files(config.server_settings().max_connections)
    check_clock(time.time(), config.audit_log)
    authority, entries = await _begin(config, keeper)
    async with contextlib.AsyncExitStack() as stack:
        audit = AuditLog(config.audit_log, required=config.audit_required) if config.audit_log else None
        if audit is not None:
            stack.callback(audit.close)
        metrics = _metrics(config)
        observers: list[Observer] = [each for each in (audit, metrics) if each is not None]
        server = IdentityServer(
            authority,
            entries.registrations(),
            config.server_settings(),
            profiles=config.profiles,
            minispire=config.mint_wit_svid,
            observers=observers,
        )
        if metrics is not None:
            metrics.watch(server.state, audit)
        keeping = None
        if keeper is not None:
            staleness = float(config.keys.max_staleness_seconds)
            keeping = IssuerKeeping(keeper, server.state, entries, max_staleness=staleness)
            await stack.enter_async_context(keeping.running())
        await stack.enter_async_context(server.listening(config.socket_path()))
        await stack.enter_async_context(_watched(config, server.state, metrics))
        await stack.enter_async_context(_repeated(_EXPIRY_SECONDS, lambda: _end_entries(entries, server.state)))
        # From the event loop, which this shows to turn.
        await stack.enter_async_context(_repeated(watchdog_seconds(), lambda: notify("WATCHDOG=1")))
        for each in beside:
            await stack.enter_async_context(each(RunningServer(server.state, keeping, entries, tuple(observers))))
        if reload is not None:
            again = _reloader(server.state, config, entries, audit, reload)
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again)
            stack.callback(asyncio.get_running_loop().remove_signal_handler, signal.SIGHUP)
        _say_what_is_for_development(config, keeper)
        notify("READY=1", f"STATUS=serving {config.scheme}://{config.trust_domain}")
        stack.callback(notify, "STOPPING=1")  # the first thing of the end
        if ready is not None:
            ready()
        await asyncio.get_running_loop().create_future()  # until cancelled


async def _begin(config: ServerConfig, keeper: KeptIssuer | None) -> tuple[Authority, ServedEntries]:
    """The authority, with keys that have been checked, and the entries."""
    now, settings = int(time.time()), config.issuer_settings()
    entries = ServedEntries(config.own_entries(), default_identities=config.gives_default_identities, now=now)
    if keeper is None:
        return Authority.create(config.trust_domain, now=now, scheme=config.scheme, settings=settings), entries
    keys = await asyncio.to_thread(keeper.start, now=now)
    entries.take_stored(keeper.entries, now=now)
    return Authority(TrustDomain(config.scheme, config.trust_domain), keys, settings=settings), entries


def _say_what_is_for_development(config: ServerConfig, keeper: KeptIssuer | None) -> None:
    if keeper is None:
        log.warning("signing keys are in memory only, and new at each start: a production server has a [store]")
    if config.gives_default_identities:
        log.warning("callers without an entry have an identity as well: for development only")


def _metrics(config: ServerConfig) -> Metrics | None:
    if not config.monitoring:
        return None
    try:
        return Metrics()
    except ConfigurationError as error:
        log.warning("there is no /metrics: %s", error.detail)
        return None


@contextlib.asynccontextmanager
async def _watched(config: ServerConfig, state: ServedState, metrics: Metrics | None) -> AsyncIterator[None]:
    address = config.monitoring_address()
    if address is None:
        yield
        return
    async with monitoring(address, ready=lambda: state.healthy, metrics=None if metrics is None else metrics.text):
        yield


@contextlib.asynccontextmanager
async def _repeated(seconds: float | None, work: Callable[[], object]) -> AsyncIterator[None]:
    """Do `work` at once and every so many seconds; never when they are None."""

    async def repeat() -> None:
        while seconds is not None:
            work()
            await asyncio.sleep(seconds)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()


def _end_entries(entries: ServedEntries, state: ServedState) -> None:
    """Let entries of the configuration end; those of a store end with `IssuerKeeping`."""
    if entries.take_time(int(time.time())):
        state.replace_registrations(entries.registrations())


def _reloader(
    state: ServedState,
    config: ServerConfig,
    entries: ServedEntries,
    audit: AuditLog | None,
    reload: Callable[[], ServerConfig],
) -> Callable[[], None]:
    def again() -> None:
        notify("RELOADING=1")
        try:
            new = reload()
            own, default_identities = new.own_entries(), new.gives_default_identities
            if audit is not None:
                audit.reopen()
            registrations = entries.take_own(own, default_identities=default_identities)
        except ConfigurationError as error:
            log.error("nothing is changed: %s", error.detail)  # noqa: TRY400 - one sentence says it
        else:
            taken = {name: getattr(new, name) for name in _RELOADED}
            if msgspec.structs.replace(config, **taken) != new:
                log.warning("only entries are taken from the new configuration; the rest needs a restart")
            state.replace_registrations(registrations)
            log.info("the configuration is read again: %d entries", len(new.entries))
        notify("READY=1")

    return again
