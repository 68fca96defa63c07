"""One call at the server's end.

It stands between HTTP/2 (h2, and grpclib's connection with its flow control) and the services. Rules:

1. A call is admitted when its head has arrived, and begins when its request message is whole. Until then it is no task,
   and of a message no more is kept than the limit allows.
2. What answers runs at once, and is a task from where it first has to wait. A call that has more to say later, when
   something changes, rests without one: ten thousand streams that wait are ten thousand small objects, and one that is
   reset unwinds nothing.
3. However a call ends, what it was admitted with is given back, once.
4. A failure reaches the caller as status and message that the method makes of it, nothing else.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.metadata import decode_timeout, encode_grpc_message
from grpclib.protocol import Stream as FlowControlledStream

if TYPE_CHECKING:
    from wimse.workload_api.caller import ConnectedProcess
    from wimse.workload_api.transport import Calls

__all__ = ["Call", "Method"]

_MAX_TIMEOUT_CHARACTERS: Final = 9
_MESSAGE_HEAD_BYTES: Final = 5  # gRPC over HTTP/2, Length-Prefixed-Message: one flag, four bytes of length


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What is done with the calls of one path.

    Attributes:
        admit: called with the head of a call; gives what is called at its end, or raises.
        answer: answers the request; for a stream of requests it gets an iterator over them.
        failure: what the caller is told of an exception.
        request: the type of the request, with `FromString`.
        reply: the type of what is sent.
        streams: whether several messages can be sent.
        takes_many: whether there are several requests.
    """

    admit: Callable[[Call], Callable[[], None]]
    answer: Callable[[Call, Any], Awaitable[None]]
    failure: Callable[[Call, Exception], GRPCError]
    request: Any
    reply: Any
    streams: bool = False
    takes_many: bool = False


class Call:
    """One call; see the rules of this module.

    Attributes:
        path: of the method, such as ``/SpiffeWorkloadAPI/FetchWITSVID``.
        headers: of the request, until the call is admitted.
    """

    __slots__ = (
        "_at_end",
        "_begun",
        "_calls",
        "_data",
        "_deadline",
        "_ended",
        "_head_sent",
        "_method",
        "_more",
        "_number",
        "_patience",
        "_resting",
        "_task",
        "_unacknowledged",
        "_whole",
        "headers",
        "path",
    )

    def __init__(self, calls: Calls, number: int, path: str, method: Method, headers: list[tuple[str, str]]) -> None:
        """Hold what has arrived; `admit` comes next."""
        self.path = path
        self.headers = headers
        self._calls = calls
        self._number = number
        self._method = method
        self._data = bytearray()
        self._unacknowledged = 0
        self._begun = self._whole = self._ended = self._head_sent = False
        self._more: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._resting: Callable[[], None] | None = None
        self._at_end: Callable[[], None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None

    @property
    def process(self) -> ConnectedProcess:
        """The process that calls.

        Raises:
            GRPCError: `UNAVAILABLE` when the connection is already gone.
        """
        process = self._calls.caller
        if process is None:
            raise GRPCError(Status.UNAVAILABLE, "connection closed")
        return process

    @property
    def caller_ids(self) -> tuple[int, int | None]:
        """Process and user that call, for a record; 0 and None when the connection is already gone."""
        process = self._calls.caller
        return (0, None) if process is None else (process.pid, process.uid)

    def values(self, name: str) -> list[str]:
        """The values of a header, which may be there several times."""
        return [value for each, value in self.headers if each == name]

    def abort(self) -> None:
        """Close the connection of this call at once, with all that it was to be sent."""
        self._calls.abort()

    # ------------------------------------------------------------------------------------------- what arrives

    def admit(self) -> None:
        """Let the method look at the head."""
        try:
            self._at_end = self._method.admit(self)
            seconds = min(map(_seconds, self.values("grpc-timeout")), default=None)
        except Exception as error:  # noqa: BLE001 - the method says what the caller is told
            self._fail(error)
            return
        self.headers = []  # nobody asks again, and a call may be open for long
        if seconds is not None:
            self._deadline = self._end_in(seconds, "deadline exceeded")
        if self._method.takes_many:
            self._begin(self._requests())

    def wait_for_request(self) -> None:
        """Give the caller its time for the rest of its request message, unless all of it is here."""
        if not (self._begun or self._ended):
            seconds = self._calls.settings.request_timeout.total_seconds()
            self._patience = self._end_in(seconds, "the request message did not arrive in time")

    def _end_in(self, seconds: float, why: str) -> asyncio.TimerHandle:
        error = GRPCError(Status.DEADLINE_EXCEEDED, why)
        return asyncio.get_running_loop().call_later(seconds, self._fail, error)

    def receive(self, data: bytes, size: int) -> None:
        """Take a part of a request message, of `size` bytes for flow control."""
        self._unacknowledged += size
        if self._begun and not self._method.takes_many:
            self._acknowledge()  # more than the one message is of no use
            return
        self._data += data
        if self._method.takes_many:
            self._wake()
            return
        try:
            request = self._next_message()
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
            return
        if request is None:
            self._acknowledge()  # of a length that is within the limit
            return
        if self._patience is not None:
            self._patience.cancel()
        self._data.clear()
        self._begin(request)

    def receive_end(self) -> None:
        """Take that the caller sends no more."""
        self._whole = True
        if self._method.takes_many:
            self._wake()
        elif not self._begun:
            self._fail(_malformed())

    def _begin(self, request: Any) -> None:
        self._begun = True
        self.resume(self._method.answer, self, request)

    def _next_message(self) -> Any:
        """The first message of what has arrived; None while it is not whole.

        Raises:
            GRPCError: `RESOURCE_EXHAUSTED` above the limit, before all of it is here; `UNIMPLEMENTED` for a
                compressed message; `INVALID_ARGUMENT` for a malformed one.
        """
        data = self._data
        if len(data) < _MESSAGE_HEAD_BYTES:
            return None
        if data[0]:
            raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not supported")
        end = _MESSAGE_HEAD_BYTES + int.from_bytes(data[1:_MESSAGE_HEAD_BYTES], "big")
        if end - _MESSAGE_HEAD_BYTES > self._calls.settings.max_request_bytes:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "document_too_large")
        if len(data) < end:
            return None
        message = bytes(data[_MESSAGE_HEAD_BYTES:end])
        del data[:end]
        try:
            return self._method.request.FromString(message)
        except DecodeError:
            raise _malformed() from None

    async def _requests(self) -> AsyncIterator[Any]:
        settings = self._calls.settings
        await asyncio.sleep(0)  # see `resume`
        for _ in range(settings.max_requests_per_stream):
            try:
                async with asyncio.timeout(settings.request_timeout.total_seconds()):
                    while (message := self._next_message()) is None:
                        if self._whole and not self._data:
                            return
                        if self._whole:
                            raise _malformed()
                        self._acknowledge()
                        self._more = asyncio.get_running_loop().create_future()
                        await self._more
            except TimeoutError:
                raise GRPCError(Status.DEADLINE_EXCEEDED, "the request message did not arrive in time") from None
            yield message
        raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many requests in one call")

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def _acknowledge(self) -> None:
        size, self._unacknowledged = self._unacknowledged, 0
        self._calls.acknowledge(self._number, size)

    # ---------------------------------------------------------------------------------------- what is answered

    def resume(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Let `work` answer; at its end the call ends, unless it rests.

        Until it waits for the first time there is no `asyncio.current_task`, which `asyncio.timeout` asks for.
        """
        self._resting = None
        answering = self._run(work, *arguments)
        try:
            waiting = answering.send(None)
        except StopIteration:
            return
        self._task = asyncio.get_running_loop().create_task(_as_task(answering, waiting))

    async def _run(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        try:
            await work(*arguments)
        except Exception as error:  # noqa: BLE001 - as above
            self._task = None
            self._fail(error)
        else:
            self._task = None
            if self._resting is None:
                self._finish(Status.OK, None)

    def rest(self, cancel: Callable[[], None]) -> None:
        """Stay open when the task ends, until somebody calls `resume`; `cancel` is called if the call ends first."""
        self._resting = cancel

    def send_at_once(self, message: Any) -> bool:
        """Send a message without waiting, with the head of the answer in the same write where it is the first.

        Returns:
            Whether it is sent. It is not where it would have to wait for its reader, or is longer than one frame.
        """
        calls, number = self._calls, self._number
        h2 = calls.h2
        if not calls.may_write(number):
            return False
        data = calls.encode(message, self._method.reply)
        if len(data) > min(h2.local_flow_control_window(number), h2.max_outbound_frame_size):
            return False
        if not self._head_sent:
            h2.send_headers(number, calls.answer_head)
            self._head_sent = True
        h2.send_data(number, data)
        if self._method.streams:  # else it goes with the status
            calls.write()
        return True

    async def send(self, message: Any) -> None:
        """Send a message, as fast as it is read.

        Raises:
            ConnectionError, H2Error: when the call has ended.
        """
        if self.send_at_once(message):
            return
        stream: FlowControlledStream = self._calls.flow_controlled(self._number)
        if not self._head_sent:
            await stream.send_headers(list(self._calls.answer_head))
            self._head_sent = True
        await stream.send_data(self._calls.encode(message, self._method.reply))

    # ---------------------------------------------------------------------------------------------- how it ends

    def _fail(self, error: Exception) -> None:
        if not self._ended:
            told = self._method.failure(self, error)
            self._finish(told.status, told.message)

    def _finish(self, status: Status, message: str | None) -> None:
        if self._ended:
            return
        trailers = [] if self._head_sent else [*self._calls.answer_head]
        trailers.append(("grpc-status", str(status.value)))
        if message:
            trailers.append(("grpc-message", encode_grpc_message(message)))
        self._calls.finish(self._number, trailers)
        self.end()

    def end(self) -> None:
        """Give back what the call was admitted with; nothing more is sent. May be called twice."""
        if self._ended:
            return
        self._ended = True
        self._calls.forget(self._number)
        if self._unacknowledged:
            self._acknowledge()
        for timer in (self._deadline, self._patience):
            if timer is not None:
                timer.cancel()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        resting, self._resting = self._resting, None
        if resting is not None:
            resting()
        at_end, self._at_end = self._at_end, None
        if at_end is not None:
            at_end()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What answers now."""
        return self._task


async def _as_task(answering: Coroutine[Any, Any, None], waiting: Any) -> None:
    await _rest_of(answering, waiting)


@types.coroutine
def _rest_of(answering: Coroutine[Any, Any, None], waiting: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that has given back what it waits for."""
    try:
        while True:
            try:
                got = yield waiting
            except BaseException as error:  # noqa: BLE001 - a cancellation above all; it is not for us
                waiting = answering.throw(error)
            else:
                waiting = answering.send(got)
    except StopIteration:
        return


def _seconds(timeout: str) -> float:
    # gRPC over HTTP/2, Timeout: at most eight digits
    try:
        return decode_timeout(timeout[:_MAX_TIMEOUT_CHARACTERS])
    except ValueError:
        raise GRPCError(Status.INVALID_ARGUMENT, "grpc-timeout is malformed") from None


def _malformed() -> GRPCError:
    return GRPCError(Status.INVALID_ARGUMENT, "message_malformed")
