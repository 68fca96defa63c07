"""A call as it comes over HTTP/2: in pieces, malformed, too long, too late, given up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from h2.events import DataReceived, ResponseReceived, StreamEnded, TrailersReceived

from tests.workload_api.support import FAST, authority, eventually
from tests.workload_api.test_limits import HEADERS, RawCaller, raw_caller
from tests.workload_api.test_service import API
from wimse.issuer import Registrations
from wimse.workload_api import Event, IdentityServer
from wimse.workload_api.audit import AuditLog
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.standard_messages import REFLECTION_FILES

EMPTY = b"\0\0\0\0\0"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


@contextlib.asynccontextmanager
async def started(path: Path, **settings: Any) -> AsyncIterator[tuple[IdentityServer, RawCaller]]:
    """A server, and a caller that does as it is told."""
    server = IdentityServer(authority(), Registrations(), replace(FAST, **settings))
    async with server.listening(path / "s"), raw_caller(path / "s") as caller:
        yield server, caller


def headers(**changed: str | None) -> list[tuple[str, str]]:
    """Those of a call, with others instead; underscores are hyphens, and `_path` is a pseudo-header."""
    new = {re.sub("^_", ":", name).replace("_", "-"): value for name, value in changed.items()}
    found: dict[str, str | None] = {**dict(HEADERS), **new}
    return [(name, value) for name, value in found.items() if value is not None]


async def told(caller: RawCaller) -> dict[str, Any]:
    """What a call is told until it ends: headers and trailers, and the bytes of messages."""
    found: dict[str, Any] = {"data": b""}
    async with asyncio.timeout(5):
        while True:
            for event in caller.h2.receive_data(await caller.reader.read(65_536)):
                if isinstance(event, ResponseReceived | TrailersReceived):
                    fields: Any = event.headers
                    found |= dict(fields)
                elif isinstance(event, DataReceived):
                    found["data"] += event.data
                    caller.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                elif isinstance(event, StreamEnded):
                    return found
            await caller.flush()


async def call(caller: RawCaller, data: bytes = EMPTY, *, end: bool = True, **changed: Any) -> dict[str, Any]:
    number = caller.h2.get_next_available_stream_id()
    caller.h2.send_headers(number, headers(**changed))
    caller.h2.send_data(number, data, end_stream=end)
    await caller.flush()
    return await told(caller)


@pytest.mark.parametrize(
    ("changed", "status", "grpc_status"),
    [
        ({"_method": "GET"}, "405", None),
        ({"content_type": "text/plain"}, "415", "2"),
        ({"content_type": None}, "415", "2"),
        ({"te": None}, "400", "2"),
        ({"_path": "/SpiffeWorkloadAPI/Other"}, "200", "12"),
    ],
)
async def test_what_is_no_call(tmp_path: Path, changed: dict[str, Any], status: str, grpc_status: str | None) -> None:
    async with started(tmp_path) as (server, caller):
        answer = await call(caller, **changed)
        assert (answer[":status"], answer.get("grpc-status")) == (status, grpc_status)
        assert server.state.open_streams == 0


@pytest.mark.parametrize(
    ("data", "grpc_status", "message"),
    [
        (b"", "3", "message_malformed"),
        (b"\0\0\0", "3", "message_malformed"),
        (b"\0\0\0\0\2x", "3", "message_malformed"),
        (b"\0\0\0\0\1\xff", "3", "message_malformed"),
        (b"\1\0\0\0\0", "12", "compressed messages are not supported"),
        (b"\0\xff\xff\xff\xff", "8", "document_too_large"),
    ],
)
async def test_message_that_is_none(tmp_path: Path, data: bytes, grpc_status: str, message: str) -> None:
    """IS-18: a message that is too long before it is there."""
    async with started(tmp_path) as (server, caller):
        answer = await call(caller, data)
        assert (answer["grpc-status"], answer["grpc-message"], answer["data"]) == (grpc_status, message, b"")
        await eventually(lambda: server.state.open_streams == 0)


async def test_message_that_is_too_long_is_not_waited_for(tmp_path: Path) -> None:
    """IS-18: the rest of it is not taken."""
    async with started(tmp_path, max_request_bytes=10) as (_, caller):
        answer = await call(caller, b"\0\0\0\0\x0bx", end=False)
        assert answer["grpc-status"] == "8"


async def test_message_in_pieces(tmp_path: Path) -> None:
    """The largest one that there is, and it is larger than what the caller may send without being told to go on."""
    request = pb.JWTSVIDRequest(audience=["a" * 65_525])
    data = request.SerializeToString()
    data = b"\0" + len(data).to_bytes(4, "big") + data
    async with started(tmp_path) as (server, caller):
        await caller.flush()
        caller.h2.receive_data(await caller.reader.read(65_536))
        number = caller.h2.get_next_available_stream_id()
        caller.h2.send_headers(number, headers(_path=API + "FetchJWTSVID"))
        for begin in (0, 1, 3, 5, 6):
            caller.h2.send_data(number, data[begin : {0: 1, 1: 3, 3: 5, 5: 6, 6: 7}[begin]])
            await caller.flush()
            await asyncio.sleep(0.01)
        begin = 7
        while begin < len(data):
            room = min(caller.h2.local_flow_control_window(number), 16_384, len(data) - begin)
            if not room:
                caller.h2.receive_data(await asyncio.wait_for(caller.reader.read(65_536), 5))
                continue
            caller.h2.send_data(number, data[begin : begin + room])
            begin += room
            await caller.flush()
        answer = await told(caller)
        assert answer["grpc-status"] == "0"
        assert len(pb.JWTSVIDResponse.FromString(answer["data"][5:]).svids) == 1
        await eventually(lambda: server.state.open_streams == 0)


async def test_what_comes_after_the_message_is_of_no_use(tmp_path: Path) -> None:
    async with started(tmp_path) as (server, caller):
        number = caller.h2.get_next_available_stream_id()
        caller.h2.send_headers(number, HEADERS)
        caller.h2.send_data(number, EMPTY + b"\0\0\0\0\1\xff")
        caller.h2.send_data(number, b"x" * 10_000)
        await caller.flush()
        await eventually(lambda: server.state.open_streams == 1)
        caller.h2.send_data(number, b"x" * 10_000, end_stream=True)
        caller.h2.reset_stream(number)
        await caller.flush()
        await eventually(lambda: server.state.open_streams == 0)


async def test_request_that_does_not_come(tmp_path: Path) -> None:
    """IS-18: it has its time, counts until then, and is told."""
    async with started(tmp_path, request_timeout=timedelta(seconds=0.2)) as (server, caller):
        number = caller.h2.get_next_available_stream_id()
        caller.h2.send_headers(number, HEADERS)
        caller.h2.send_data(number, b"\0\0")
        await caller.flush()
        await eventually(lambda: server.state.open_streams == 1)
        answer = await told(caller)
        assert (answer["grpc-status"], answer["grpc-message"]) == ("4", "the request message did not arrive in time")
        await eventually(lambda: server.state.open_streams == 0)


async def test_deadline_of_the_caller(tmp_path: Path) -> None:
    async with started(tmp_path) as (server, caller):
        answer = await call(caller, grpc_timeout="100m")
        assert (answer["grpc-status"], answer["grpc-message"]) == ("4", "deadline exceeded")
        assert answer["data"]
        await eventually(lambda: server.state.open_streams == 0)


@pytest.mark.parametrize("text", ["", "1", "m", "-1m", "1.5S", "9" * 5000 + "H"], ids=lambda each: each[:5])
async def test_malformed_deadline(tmp_path: Path, text: str) -> None:
    async with started(tmp_path) as (server, caller):
        answer = await call(caller, grpc_timeout=text)
        assert (answer["grpc-status"], answer["grpc-message"]) == ("3", "grpc-timeout is malformed")
        assert server.state.open_streams == 0


async def test_call_that_is_given_up_while_it_rests_is_counted_no_more(tmp_path: Path) -> None:
    """IS-18: by the caller, and with its connection."""
    async with started(tmp_path) as (server, caller):
        for _ in range(3):
            await caller.fetch()
        await eventually(lambda: server.state.open_streams == 3)
        caller.h2.reset_stream(1)
        await caller.flush()
        await eventually(lambda: server.state.open_streams == 2)
        caller.writer.close()
        await eventually(lambda: server.state.open_streams == 0)


async def test_call_that_is_given_up_at_once(tmp_path: Path) -> None:
    async with started(tmp_path) as (server, caller):
        await caller.fetch()
        number = caller.h2.get_next_available_stream_id()
        caller.h2.send_headers(number, headers(_path=REFLECTION))
        caller.h2.send_data(number, EMPTY)
        caller.h2.reset_stream(1)
        caller.h2.reset_stream(number)
        await caller.flush()
        await caller.fetch()
        await eventually(lambda: server.state.open_streams == 1)


def reflection(text: bytes = b"") -> bytes:
    request: bytes = REFLECTION_FILES[0].message("ServerReflectionRequest")(list_services="*").SerializeToString()
    return b"\0" + len(request).to_bytes(4, "big") + request + text


@pytest.mark.parametrize(
    ("data", "end", "grpc_status"),
    [(reflection(), True, "0"), (reflection(b"\0\0\0"), True, "3"), (reflection(b"\0\0"), False, "4")],
)
async def test_requests_that_do_not_come(tmp_path: Path, data: bytes, end: bool, grpc_status: str) -> None:
    """IS-18: of a call that takes many."""
    async with started(tmp_path, request_timeout=timedelta(seconds=0.3)) as (server, caller):
        answer = await call(caller, data, end=end, _path=REFLECTION)
        assert answer["data"]
        assert answer["grpc-status"] == grpc_status
        await eventually(lambda: server.state.open_streams == 0)


async def test_calls_that_rest_are_no_tasks(tmp_path: Path) -> None:
    """IS-18: ten thousand of them are ten thousand small objects, looked at again without one."""
    async with started(tmp_path) as (server, caller):
        for _ in range(20):
            await caller.fetch()
        await eventually(lambda: server.state.open_streams == 20)
        await asyncio.sleep(FAST.recheck_interval.total_seconds() * 2)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert server.state.open_streams == 20


async def test_what_is_issued_is_in_the_log_where_no_audit_log_has_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In one of both, always."""
    caplog.set_level(logging.INFO, logger="wimse")
    audit = AuditLog(tmp_path / "audit")
    for observers, in_log in (((), True), ((list[Event]().append,), True), ((audit,), False)):
        caplog.clear()
        server = IdentityServer(authority(), Registrations(), FAST, observers=observers)
        async with server.listening(tmp_path / "s"), raw_caller(tmp_path / "s") as caller:
            answer = await call(caller, grpc_timeout="100m")
        assert answer["data"]
        assert ("is issued to" in caplog.text) is in_log
    assert '"event":"issued"' in (tmp_path / "audit").read_text()
    audit.close()
