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
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import msgspec

from wimse.errors import ConfigurationError
from wimse.issuer import Authority
from wimse.workload_api.audit import AuditLog
from wimse.workload_api.config import ServerConfig
from wimse.workload_api.events import Observer
from wimse.workload_api.metrics import Metrics
from wimse.workload_api.monitoring import monitoring
from wimse.workload_api.server import IdentityServer
from wimse.workload_api.state import ServedState
from wimse.workload_api.systemd import notify, watchdog_seconds

__all__ = ["check_clock", "harden_process", "serve"]

log = logging.getLogger("wimse.workload_api")

_OLDEST_NOW: Final = 1_735_689_600  # 2025-01-01: this program did not exist before
_SETBACK_SECONDS: Final = 120
_PR_SET_DUMPABLE: Final = 4
# What a reload takes over; the rest needs a restart, and says so.
_RELOADED: Final = ("entries", "default_identities")


def harden_process() -> None:
    """Keep signing keys out of core dumps and away from debuggers of the same user, for the rest of the process."""
    _no_core_dump()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        log.warning("prctl(PR_SET_DUMPABLE) is refused: %s", os.strerror(ctypes.get_errno()))


def _no_core_dump() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


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
    config: ServerConfig, *, ready: Callable[[], None] | None = None, reload: Callable[[], ServerConfig] | None = None
) -> None:
    """Run an identity server with new keys until this is cancelled; then clean up.

    The process writes no core dump from here on, since it holds signing keys. systemd is told where it listens.

    Args:
        config: everything it needs.
        ready: called once, when the socket accepts callers.
        reload: gives the configuration anew; called at each SIGHUP, which then also opens the audit log again.

    Raises:
        ConfigurationError: see `IdentityServer.listening`, `ServerConfig` and `check_clock`.
    """
    _no_core_dump()
    check_clock(time.time(), config.audit_log)
    authority = Authority.create(
        config.trust_domain, now=int(time.time()), scheme=config.scheme, settings=config.issuer_settings()
    )
    with contextlib.ExitStack() as stack:
        audit = AuditLog(config.audit_log, required=config.audit_required) if config.audit_log else None
        if audit is not None:
            stack.callback(audit.close)
        metrics = _metrics(config)
        observers: list[Observer] = [each for each in (audit, metrics) if each is not None]
        server = IdentityServer(
            authority,
            config.registrations(),
            config.server_settings(),
            profiles=config.profiles,
            minispire=config.mint_wit_svid,
            observers=observers,
        )
        if metrics is not None:
            metrics.watch(server.state, audit)
        async with server.listening(config.socket_path()), _watched(config, server.state, metrics), _watchdog():
            if reload is not None:
                again = _reloader(server.state, config, audit, reload)
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again)
                stack.callback(asyncio.get_running_loop().remove_signal_handler, signal.SIGHUP)
            notify("READY=1", f"STATUS=serving {config.scheme}://{config.trust_domain}")
            if ready is not None:
                ready()
            try:
                await asyncio.get_running_loop().create_future()  # until cancelled
            finally:
                notify("STOPPING=1")


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
async def _watchdog() -> AsyncIterator[None]:
    seconds = watchdog_seconds()

    async def beat() -> None:
        while seconds is not None:
            notify("WATCHDOG=1")  # from the event loop: it turns
            await asyncio.sleep(seconds)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


def _reloader(
    state: ServedState, config: ServerConfig, audit: AuditLog | None, reload: Callable[[], ServerConfig]
) -> Callable[[], None]:
    def again() -> None:
        notify("RELOADING=1")
        try:
            new = reload()
            registrations = new.registrations()
            if audit is not None:
                audit.reopen()
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
