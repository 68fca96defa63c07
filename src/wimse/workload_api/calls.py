"""What every call goes through before its service sees it, and how every failure leaves.

In this order: the security header, the limits, the request message, the caller. A failure reaches the caller as a
gRPC status and a stable reason code, nothing else; the explanation goes to the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from google.protobuf.message import Message
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.exceptions import H2Error

from wimse.errors import Reason, WimseError
from wimse.issuer import Caller, Grant
from wimse.workload_api.call import Call, Method
from wimse.workload_api.caller import ConnectedProcess
from wimse.workload_api.events import CallRefused
from wimse.workload_api.properties import ExecutableHashes
from wimse.workload_api.settings import ServerSettings
from wimse.workload_api.state import ServedState
from wimse.workload_api.transport import Bucket

__all__ = ["SECURITY_HEADER", "CallGate", "Session"]

log = logging.getLogger("wimse.workload_api")

_MAX_RATES: Final = 4096  # users whose rate is remembered

SECURITY_HEADER: Final = ("workload.spiffe.io", "true")  # SPIFFE_Workload_Endpoint §3

_Key = TypeVar("_Key")


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

    def when_changed(self, seen: int, seconds: float, done: Callable[[bool], None]) -> Callable[[], None]:
        """As `wait`, without waiting: `done` is told; gives what stops it."""
        return self._state.changes.call(seen, seconds, done)

    async def send(self, call: Call, message: Message) -> None:
        """Send a message; a caller that does not read it in time loses its connection.

        Raises:
            GRPCError: `UNAVAILABLE` then.
        """
        if call.send_at_once(message):
            return
        await asyncio.sleep(0)  # see `Call.resume`
        try:
            async with asyncio.timeout(self._send_seconds):
                await call.send(message)
        except TimeoutError:
            log.warning("the connection of process %d is closed: it does not read its answer", self._process.pid)
            call.abort()
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
        request: type[Message],
        reply: type[Message],
        answer: Callable[[Call, Session, Any], Awaitable[None]],
        *,
        streams: bool = False,
        takes_many: bool = False,
        security_header: bool = True,
    ) -> Method:
        """Make a method.

        Args:
            request: the type of the request message.
            reply: the type of what is answered.
            answer: what the service does with call, session and request, or an iterator over requests.
            streams: whether there may be several answers.
            takes_many: whether there are several requests.
            security_header: whether the call must carry it.
        """

        async def answered(call: Call, received: Any) -> None:
            self._state.check_running()
            await answer(call, self._session(call.process), received)

        return Method(
            admit=functools.partial(self._admit, security_header=security_header),
            answer=answered,
            failure=self._failure,
            request=request,
            reply=reply,
            streams=streams,
            takes_many=takes_many,
        )

    def _session(self, process: ConnectedProcess) -> Session:
        return Session(process, self._state, self._settings, self._hashes)

    def _admit(self, call: Call, *, security_header: bool) -> Callable[[], None]:
        """Check the head of a call, and count it until it ends."""
        if security_header:
            _check_security_header(call)
        process = call.process
        limits, pid, uid = self._settings, process.pid, process.uid
        if (
            self._by_process[pid] >= limits.max_streams_per_process
            or self._by_user[uid] >= limits.max_streams_per_user
            or self._state.open_streams >= limits.max_streams
        ):
            log.warning("a call of process %d is refused: too many at one time", pid)
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many calls at one time")
        if not self._rate(uid).take(time.monotonic()):
            log.warning("a call of process %d is refused: its user makes too many in a second", pid)
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many calls in a second")
        self._by_process[pid] += 1
        self._by_user[uid] += 1
        self._state.count_stream(1)
        return functools.partial(self._leave, pid, uid)

    def _leave(self, pid: int, uid: int | None) -> None:
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

    def _failure(self, call: Call, error: Exception) -> GRPCError:
        """What the caller is told of an exception; the rest goes to the log and to the observers."""
        if isinstance(error, GRPCError):
            self._tell_refusal(call, error.status, None, error.message or "")
            return error
        if isinstance(error, WimseError):
            log.info("%s is refused: %s", call.path, error)
            status = Status[error.reason_class.grpc_status]
            self._tell_refusal(call, status, error.reason, error.detail)
            return GRPCError(status, error.reason.code)
        if isinstance(error, H2Error | ConnectionError):
            return GRPCError(Status.UNAVAILABLE, "connection closed")
        # Type and place only: an exception's text may quote what was being worked on.
        place = traceback.extract_tb(error.__traceback__)[-1]
        log.error("%s failed: %s at %s:%s", call.path, type(error).__name__, place.name, place.lineno)
        self._tell_refusal(call, Status.INTERNAL, None, "internal error")
        return GRPCError(Status.INTERNAL, "internal error")

    def _tell_refusal(self, call: Call, status: Status, reason: Reason | None, detail: str) -> None:
        pid, uid = call.caller_ids
        event = CallRefused(method=call.path, status=status.name, reason=reason, detail=detail, pid=pid, uid=uid)
        with contextlib.suppress(WimseError):  # a refusal that cannot be recorded is a refusal all the same
            self._state.tell(event)


def _count_down(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


def _check_security_header(call: Call) -> None:
    # Endpoint §3: present, and exactly `true`; twice is not present once. Before any work on the identity.
    name, value = SECURITY_HEADER
    if call.values(name) != [value]:
        raise GRPCError(Status.INVALID_ARGUMENT, "security header missing from request")
