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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

from google.protobuf.message import Message
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Stream
from h2.exceptions import H2Error

from wimse.errors import Reason, WimseError
from wimse.issuer import Caller, Grant
from wimse.workload_api.caller import ConnectedProcess
from wimse.workload_api.events import CallRefused
from wimse.workload_api.properties import ExecutableHashes
from wimse.workload_api.settings import ServerSettings
from wimse.workload_api.state import ServedState
from wimse.workload_api.transport import Bucket, abort, connected_process, receive, receive_many, send_at_once

__all__ = ["SECURITY_HEADER", "CallGate", "CallHandler", "Session"]

log = logging.getLogger("wimse.workload_api")

_MAX_RATES: Final = 4096  # users whose rate is remembered

SECURITY_HEADER: Final = ("workload.spiffe.io", "true")  # SPIFFE_Workload_Endpoint §3

_Key = TypeVar("_Key")
CallHandler = Callable[[Stream[Any, Any]], Awaitable[None]]


class Session:
    """One call: who makes it, and what that process is entitled to."""

    def __init__(
        self, process: ConnectedProcess, state: ServedState, settings: ServerSettings, hashes: ExecutableHashes
    ) -> None:
        """Hold what is needed to look at the caller again and again."""
        self._process = process
        self._state = state
        self._hashes = hashes
        self._send_seconds = settings.send_timeout.total_seconds()
        self.recheck_seconds = settings.recheck_interval.total_seconds()
        self.max_splay_seconds = settings.max_push_splay.total_seconds()

    @property
    def version(self) -> int:
        """Of what is served; see `wait`."""
        return self._state.changes.version

    @property
    def open_streams(self) -> int:
        """Calls at this time, of all callers."""
        return self._state.open_streams

    async def caller(self) -> Caller:
        """Attest the caller, now.

        Raises:
            Refused: `no_identity`.
        """
        kinds = self._state.registrations.kinds
        if "sha256" in kinds:
            await self._hashes.prepare(self._process.pid)
        return self._process.attest(kinds, self._hashes)

    async def grants(self) -> tuple[Caller, tuple[Grant, ...]]:
        """Attest the caller, now, and look up its identities; at least one.

        Raises:
            Refused: `no_identity`.
            Unavailable: when the server stops.
        """
        self._state.check_running()
        caller = await self.caller()
        return caller, self._state.registrations.grants(caller)

    async def wait(self, seen: int, seconds: float) -> bool:
        """Wait until `version` is another than `seen`, or that long; give whether it is another."""
        return await self._state.changes.wait(seen, seconds)

    async def send(self, stream: Stream[Any, Any], message: Message) -> None:
        """Send a message; a caller that does not read it in time loses its connection.

        Raises:
            GRPCError: `UNAVAILABLE` then.
        """
        if send_at_once(stream, message):
            return
        try:
            async with asyncio.timeout(self._send_seconds):
                await stream.send_message(message)
        except TimeoutError:
            log.warning("the connection of process %d is closed: it does not read its answer", self._process.pid)
            abort(stream)
            raise GRPCError(Status.UNAVAILABLE, "the answer was not read in time") from None


class CallGate:
    """The way into every call of a server; it counts them."""

    def __init__(self, state: ServedState, settings: ServerSettings) -> None:
        """Guard calls with these limits."""
        self._state = state
        self._settings = settings
        self._hashes = ExecutableHashes(settings.max_executable_bytes)
        self._by_process: Counter[int] = Counter()
        self._by_user: Counter[int | None] = Counter()
        self._rates: dict[int | None, Bucket] = {}

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
            with self._translated(stream):
                if security_header:
                    _check_security_header(stream)
                process = connected_process(stream)
                with self._counted(process):
                    self._state.check_running()
                    request = await receive(stream, kind, self._settings)
                    await answer(stream, self._session(process), request)

        return handler

    def guard_many(
        self,
        kind: type[Message],
        answer: Callable[[Stream[Any, Any], Session, AsyncIterator[Any]], Awaitable[None]],
    ) -> CallHandler:
        """As `guard`, for a call with several requests."""

        async def handler(stream: Stream[Any, Any]) -> None:
            with self._translated(stream):
                _check_security_header(stream)
                process = connected_process(stream)
                with self._counted(process):
                    self._state.check_running()
                    await answer(stream, self._session(process), receive_many(stream, kind, self._settings))

        return handler

    def _session(self, process: ConnectedProcess) -> Session:
        return Session(process, self._state, self._settings, self._hashes)

    @contextlib.contextmanager
    def _counted(self, process: ConnectedProcess) -> Iterator[None]:
        limits, pid, uid = self._settings, process.pid, process.uid
        if (
            self._by_process[pid] >= limits.max_streams_per_process
            or self._by_user[uid] >= limits.max_streams_per_user
            or self._by_user.total() >= limits.max_streams
        ):
            log.warning("a call of process %d is refused: too many at one time", pid)
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many calls at one time")
        if not self._rate(uid).take(time.monotonic()):
            log.warning("a call of process %d is refused: its user makes too many in a second", pid)
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many calls in a second")
        self._by_process[pid] += 1
        self._by_user[uid] += 1
        self._state.count_stream(1)
        try:
            yield
        finally:
            self._state.count_stream(-1)
            _count_down(self._by_process, pid)
            _count_down(self._by_user, uid)

    def _rate(self, uid: int | None) -> Bucket:
        bucket = self._rates.get(uid)
        if bucket is None:
            if len(self._rates) >= _MAX_RATES:
                self._rates.clear()  # at worst a user gets its burst once more
            bucket = self._rates[uid] = Bucket(self._settings.max_calls_per_second_per_user)
        return bucket

    @contextlib.contextmanager
    def _translated(self, stream: Stream[Any, Any]) -> Iterator[None]:
        method = stream._method_name  # noqa: SLF001 - for the log; grpclib has no public name for it
        try:
            yield
        except GRPCError as error:
            self._tell_refusal(stream, error.status, None, error.message or "")
            raise
        except StreamTerminatedError:
            raise
        except WimseError as error:
            log.info("%s is refused: %s", method, error)
            status = Status[error.reason_class.grpc_status]
            self._tell_refusal(stream, status, error.reason, error.detail)
            raise GRPCError(status, error.reason.code) from None
        except (H2Error, ConnectionError):
            raise GRPCError(Status.UNAVAILABLE, "connection closed") from None
        except Exception as error:  # noqa: BLE001 - the last line: nothing of it reaches the caller
            # Type and place only: an exception's text may quote what was being worked on.
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error("%s failed: %s at %s:%s", method, type(error).__name__, place.name, place.lineno)  # noqa: TRY400
            self._tell_refusal(stream, Status.INTERNAL, None, "internal error")
            raise GRPCError(Status.INTERNAL, "internal error") from None

    def _tell_refusal(self, stream: Stream[Any, Any], status: Status, reason: Reason | None, detail: str) -> None:
        try:
            process = connected_process(stream)
            pid, uid = process.pid, process.uid
        except GRPCError:
            pid, uid = 0, None
        event = CallRefused(
            method=stream._method_name,  # noqa: SLF001 - as above
            status=status.name,
            reason=reason,
            detail=detail,
            pid=pid,
            uid=uid,
        )
        with contextlib.suppress(WimseError):  # a refusal that cannot be recorded is a refusal all the same
            self._state.tell(event)


def _count_down(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


def _check_security_header(stream: Stream[Any, Any]) -> None:
    # Endpoint §3: present, and exactly `true`; twice is not present once. Before any work on the identity.
    name, value = SECURITY_HEADER
    values = [] if stream.metadata is None else stream.metadata.getall(name, [])
    if values != [value]:
        raise GRPCError(Status.INVALID_ARGUMENT, "security header missing from request")
