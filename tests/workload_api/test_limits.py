# ruff: noqa: PT012 - a call of a stream is several statements
"""One caller that is rude, and the others who do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from grpclib.client import Channel, UnaryStreamMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.config import H2Configuration
from h2.connection import H2Connection

from tests.workload_api.support import FAST, HEADER, serving
from tests.workload_api.test_service import API
from wimse.errors import Unavailable, WimseError
from wimse.issuer import Entry, Registrations, Selector
from wimse.workload_api import ServerSettings, WorkloadAPIClient
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.transport import Bucket

HEADERS: list[tuple[str, str]] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", API + "FetchWITSVID"),
    (":authority", "x"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("workload.spiffe.io", "true"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


class RawCaller:
    """An HTTP/2 connection that does as it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def fetch(self) -> None:
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, HEADERS)
        self.h2.send_data(number, b"\0\0\0\0\0", end_stream=True)
        await self.flush()

    async def is_closed(self) -> bool:
        """Read until the server closes; False when it does not."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                while await self.reader.read(65_536):
                    pass
        return True


@contextlib.asynccontextmanager
async def raw_caller(path: Path) -> AsyncIterator[RawCaller]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield RawCaller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def others_are_served(address: str) -> None:
    started = time.monotonic()
    async with WorkloadAPIClient(address) as client:
        assert (await asyncio.wait_for(anext(aiter(client.watch_wit_svids())), 3)).svids
    assert time.monotonic() - started < 1.0


async def test_reader_that_stops_reading_harms_nobody(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """IS-18: it holds one message, others are served at once, and in the end it loses its connection."""
    settings = replace(FAST, send_timeout=timedelta(seconds=0.5))
    many = Registrations(
        [Entry(f"/w/{number}", (Selector.parse("unix:pid:" + str(os.getpid())),)) for number in range(200)]
    )
    async with serving(path, registrations=many, settings=settings) as address, raw_caller(path) as slow:
        await slow.fetch()  # 200 WITs are more than its window of 64 KiB
        async with asyncio.timeout(5):
            while "does not read its answer" not in caplog.text:
                await others_are_served(address)
        assert await slow.is_closed()
        await others_are_served(address)


@pytest.mark.parametrize("kind", ["ping", "settings", "reset"])
async def test_flood_of_control_frames_ends_the_connection(
    path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """IS-18: CVE-2019-9512, CVE-2019-9515, CVE-2023-44487."""
    settings = replace(FAST, max_control_frames_per_second=50)
    async with serving(path, settings=settings) as address, raw_caller(path) as rude:
        await rude.flush()
        with contextlib.suppress(ConnectionError):
            for number in range(200):
                if kind == "ping":
                    rude.h2.ping(number.to_bytes(8, "big"))
                elif kind == "settings":
                    rude.h2.update_settings({3: 100 + number})
                else:
                    stream = rude.h2.get_next_available_stream_id()
                    rude.h2.send_headers(stream, HEADERS)
                    rude.h2.reset_stream(stream)
                await rude.flush()
        assert await rude.is_closed()
        assert "too many control frames" in caplog.text
        await others_are_served(address)


async def test_honest_keepalive_is_no_flood(path: Path) -> None:
    async with serving(path) as _, raw_caller(path) as honest:
        for number in range(20):
            honest.h2.ping(number.to_bytes(8, "big"))
        await honest.fetch()
        assert await asyncio.wait_for(honest.reader.read(100), 5)


async def test_answers_to_frames_that_nobody_reads_are_bounded(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """IS-18: acknowledgements are under no flow control."""
    settings = replace(FAST, max_control_frames_per_second=1_000_000, max_write_buffer_bytes=20_000)
    async with serving(path, settings=settings) as address, raw_caller(path) as deaf:
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            while "does not read what it is answered" not in caplog.text:
                for number in range(1000):
                    deaf.h2.ping(number.to_bytes(8, "big"))
                await deaf.flush()
                await asyncio.sleep(0)
        assert "does not read what it is answered" in caplog.text
        await others_are_served(address)


async def refused_call(address: str) -> str:
    async with WorkloadAPIClient(address) as client:
        with pytest.raises(WimseError) as error:
            await asyncio.wait_for(anext(aiter(client.watch_wit_bundles())), 3)
    return error.value.detail


async def test_streams_of_one_user_are_limited(path: Path) -> None:
    """IS-18: RESOURCE_EXHAUSTED, and those that are open go on."""
    settings = replace(FAST, max_streams_per_user=3)
    async with serving(path, settings=settings) as address, WorkloadAPIClient(address) as client:
        streams = [aiter(client.watch_wit_bundles()) for _ in range(3)]
        for stream in streams:
            await anext(stream)
        method = UnaryStreamMethod(Channel(path=str(path)), API + "FetchWITSVID", pb.WITSVIDRequest, pb.WITSVIDResponse)
        with pytest.raises(GRPCError) as error:
            async with method.open(metadata=HEADER) as stream_:
                await stream_.send_message(pb.WITSVIDRequest(), end=True)
                await stream_.recv_message()
        assert error.value.status is Status.RESOURCE_EXHAUSTED
        method.channel.close()


async def test_calls_in_a_second_are_limited(path: Path) -> None:
    """IS-18."""
    settings = replace(FAST, max_calls_per_second_per_user=5)
    async with serving(path, settings=settings) as address, WorkloadAPIClient(address) as client:
        for _ in range(5):
            await client.fetch_jwt_svids(["a"])
        with pytest.raises(Unavailable):
            await client.fetch_jwt_svids(["a"])


async def test_connections_of_one_user_are_limited(path: Path) -> None:
    """IS-18: one above the limit is closed at once; when one goes, there is room again."""
    async with serving(path, settings=replace(FAST, max_connections_per_user=1)) as address:
        async with raw_caller(path) as first:
            await first.fetch()
            await first.reader.read(1)
            async with raw_caller(path) as second:
                assert await second.is_closed()
        await asyncio.sleep(0.05)
        await others_are_served(address)


async def test_idle_streams_of_one_process_do_not_keep_another_from_its_identity(path: Path) -> None:
    """IS-18: a thousand attempts."""
    settings = ServerSettings(recheck_interval=timedelta(seconds=5), max_streams_per_process=64)
    async with serving(path, settings=settings), raw_caller(path) as idle:
        idle.h2.local_settings.max_concurrent_streams = 2000
        refused = 0
        for _ in range(99):  # the server's limit for one connection is 100
            await idle.fetch()
        await asyncio.sleep(0.2)
        while refused < 35:
            for event in idle.h2.receive_data(await asyncio.wait_for(idle.reader.read(65_536), 3)):
                headers = dict(getattr(event, "headers", None) or [])
                refused += headers.get("grpc-status") == "8"
        assert refused == 35
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import asyncio, sys\n"
            "from wimse.workload_api import WorkloadAPIClient\n"
            "async def main():\n"
            "    async with WorkloadAPIClient(sys.argv[1]) as client:\n"
            "        assert (await anext(aiter(client.watch_wit_svids()))).svids\n"
            "asyncio.run(main())\n",
            f"unix://{path}",
        )
        assert await asyncio.wait_for(child.wait(), 20) == 0


def test_bucket() -> None:
    bucket = Bucket(2)
    assert [bucket.take(10.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(10.5) for _ in range(2)] == [True, False]
    assert not bucket.take(10.4)  # a clock that goes back gives nothing
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]
