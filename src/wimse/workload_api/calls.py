"""What every call goes through before its service sees it, and how every failure leaves.

In this order: the security header, the limits, the request message, the caller. A failure reaches the caller as a
gRPC status and a stable reason code, nothing else; the explanation goes to the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from google.protobuf.message import Message
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Stream
from h2.exceptions import H2Error

from wimse.errors import WimseError
from wimse.issuer import Caller, Grant, Registrations
from wimse.workload_api.caller import ConnectedProcess
from wimse.workload_api.settings import ServerSettings
from wimse.workload_api.transport import connected_process, receive

__all__ = ["SECURITY_HEADER", "CallGate", "CallHandler", "Session"]

log = logging.getLogger("wimse.workload_api")

SECURITY_HEADER: Final = ("workload.spiffe.io", "true")  # SPIFFE_Workload_Endpoint §3

CallHandler = Callable[[Stream[Any, Any]], Awaitable[None]]


class Session:
    """One call: who makes it, and what that process is entitled to."""

    def __init__(self, process: ConnectedProcess, registrations: Registrations, settings: ServerSettings) -> None:
        """Hold what is needed to look at the caller again and again."""
        self._process = process
        self._registrations = registrations
        self._recheck_seconds = settings.recheck_interval.total_seconds()

    def caller(self) -> Caller:
        """Attest the caller, now.

        Raises:
            Refused: `no_identity`.
        """
        return self._process.attest()

    def grants(self) -> tuple[Grant, ...]:
        """Attest the caller, now, and look up its identities; at least one.

        Raises:
            Refused: `no_identity`.
        """
        return self._registrations.grants(self.caller())

    async def wait(self, granted: tuple[Grant, ...], *, until: float | None = None) -> None:
        """Wait until there is something new to send.

        Args:
            granted: what the last message was made for.
            until: when it is to be renewed, in seconds since 1970; None for never.

        Returns:
            When `until` has come, by the clock or by the time that has passed, or when the caller's identities
            have changed.

        Raises:
            Refused: `no_identity`, within the recheck interval, when the caller is gone or no longer entitled.
        """
        loop = asyncio.get_running_loop()
        deadline = None if until is None else loop.time() + until - time.time()
        while True:
            pause = self._recheck_seconds
            if deadline is not None and until is not None:
                # The wall clock too: it goes on while the machine is suspended.
                pause = min(pause, deadline - loop.time(), until - time.time())
                if pause <= 0:
                    return
            await asyncio.sleep(pause)
            if self.grants() != granted:
                return


class CallGate:
    """The way into every call of a server; it counts them."""

    def __init__(self, registrations: Registrations, settings: ServerSettings) -> None:
        """Guard calls with these limits."""
        self._registrations = registrations
        self._settings = settings
        self._streams_by_pid: Counter[int] = Counter()

    def guard(
        self,
        kind: type[Message],
        answer: Callable[[Stream[Any, Any], Session, Any], Awaitable[None]],
        *,
        security_header: bool,
    ) -> CallHandler:
        """Make a handler for grpclib.

        Args:
            kind: the type of the request message.
            answer: what the service does with stream, session and request.
            security_header: whether the call must carry it.
        """

        async def handler(stream: Stream[Any, Any]) -> None:
            with _translated(stream):
                if security_header:
                    _check_security_header(stream)
                process = connected_process(stream)
                with self._counted(process.pid):
                    request = await receive(stream, kind, self._settings)
                    await answer(stream, Session(process, self._registrations, self._settings), request)

        return handler

    @contextlib.contextmanager
    def _counted(self, pid: int) -> Iterator[None]:
        per_process, all_together = self._settings.max_streams_per_process, self._settings.max_streams
        if self._streams_by_pid[pid] >= per_process or self._streams_by_pid.total() >= all_together:
            log.warning("a call of process %d is refused: too many at one time", pid)
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many calls at one time")
        self._streams_by_pid[pid] += 1
        try:
            yield
        finally:
            self._streams_by_pid[pid] -= 1
            if not self._streams_by_pid[pid]:
                del self._streams_by_pid[pid]


def _check_security_header(stream: Stream[Any, Any]) -> None:
    # Endpoint §3: present, and exactly `true`; twice is not present once. Before any work on the identity.
    name, value = SECURITY_HEADER
    values = [] if stream.metadata is None else stream.metadata.getall(name, [])
    if values != [value]:
        raise GRPCError(Status.INVALID_ARGUMENT, "security header missing from request")


@contextlib.contextmanager
def _translated(stream: Stream[Any, Any]) -> Iterator[None]:
    method = stream._method_name  # noqa: SLF001 - for the log; grpclib has no public name for it
    try:
        yield
    except (GRPCError, StreamTerminatedError):
        raise
    except WimseError as error:
        log.info("%s is refused: %s", method, error)
        raise GRPCError(Status[error.reason_class.grpc_status], error.reason.code) from None
    except (H2Error, ConnectionError):
        raise GRPCError(Status.UNAVAILABLE, "connection closed") from None
    except Exception as error:  # noqa: BLE001 - the last line: nothing of it reaches the caller
        # Type and place only: an exception's text may quote what was being worked on.
        place = traceback.extract_tb(error.__traceback__)[-1]
        log.error("%s failed: %s at %s:%s", method, type(error).__name__, place.name, place.lineno)  # noqa: TRY400
        raise GRPCError(Status.INTERNAL, "internal error") from None
