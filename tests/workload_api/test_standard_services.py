from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tests.workload_api.support import FAST, HEADER, authority, serving
from wimse.errors import Unavailable
from wimse.issuer import Registrations
from wimse.workload_api import IdentityServer, WorkloadAPIClient
from wimse.workload_api.standard_messages import HEALTH_FILE

CLIENT = Path(__file__).with_name("grpcio_client.py")
REQUEST, RESPONSE = HEALTH_FILE.message("HealthCheckRequest"), HEALTH_FILE.message("HealthCheckResponse")
SERVING, NOT_SERVING = 1, 2


def judged(address: str) -> dict[str, Any]:
    outcome = subprocess.run([sys.executable, str(CLIENT), address], check=False, capture_output=True, timeout=60)
    assert outcome.returncode == 0, outcome.stderr.decode()
    return dict(json.loads(outcome.stdout))


async def test_grpcio_asks_for_health_and_reflection(tmp_path: Path) -> None:
    """SV-22, SV-23, IS-01, IS-28: no answer without the header, and none that shows more than the services served."""
    async with serving(tmp_path / "s", minispire=False) as address:
        said = await asyncio.to_thread(judged, address)
    assert said["without"] == ["INVALID_ARGUMENT", "INVALID_ARGUMENT"]
    assert said["checks"] == {"": SERVING, "SpiffeWorkloadAPI": SERVING}
    assert said["unknown"] == "NOT_FOUND"
    assert said["watched"] == SERVING
    reflection = [f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")]
    assert said["services"] == ["SpiffeWorkloadAPI", "grpc.health.v1.Health", *reflection]
    name, calls = said["files"]["SpiffeWorkloadAPI"]
    assert name == said["files"]["X509SVIDResponse"][0] == "wimse/workload_api/proto/workload.proto"
    assert len(calls) == 7
    assert said["imported"] == ["google/protobuf/struct.proto"]
    assert said["missing"] == [
        "google.protobuf.FileDescriptorProto",
        "google.protobuf.Duration",
        "MiniSPIREWorkloadAPI",
    ]
    assert said["answers"] == ["error_response", "all_extension_numbers_response", "error_response"]
    assert said["flood"] == "RESOURCE_EXHAUSTED"


async def check(address: str) -> int:
    async with Channel(path=address.removeprefix("unix://")) as channel:
        method: Any = UnaryUnaryMethod(channel, "/grpc.health.v1.Health/Check", REQUEST, RESPONSE)
        return int((await method(REQUEST(), metadata=HEADER)).status)


async def test_issuer_that_fails_is_not_healthy_until_it_issues(tmp_path: Path) -> None:
    """IS-34."""
    issuer = authority()
    newest = issuer._newest_issue
    async with serving(tmp_path / "s", issuer) as address, WorkloadAPIClient(address) as client:
        issuer._newest_issue = int(time.time()) + 86_400
        with pytest.raises(Unavailable):
            await client.fetch_jwt_svids(["a"])
        assert await check(address) == NOT_SERVING
        issuer._newest_issue = newest
        await client.fetch_jwt_svids(["a"])
        assert await check(address) == SERVING


async def test_watch_of_health_ends_with_the_server(tmp_path: Path) -> None:
    server = IdentityServer(authority(), Registrations(), FAST)
    async with Channel(path=str(tmp_path / "s")) as channel:
        method: Any = UnaryStreamMethod(channel, "/grpc.health.v1.Health/Watch", REQUEST, RESPONSE)
        async with server.listening(tmp_path / "s"):
            stream = await method.open(metadata=HEADER).__aenter__()
            await stream.send_message(REQUEST(), end=True)
            assert (await stream.recv_message()).status == SERVING
            ending = asyncio.create_task(stream.recv_message())
            await asyncio.sleep(0)
        assert (await ending).status == NOT_SERVING
        with pytest.raises((GRPCError, StreamTerminatedError)):  # noqa: PT012 - the status, or the end of the connection
            await stream.recv_message()
            await stream.recv_trailing_metadata()
