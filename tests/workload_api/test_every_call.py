"""grpcio talks to every call of the proto, as the proto says it, and to the real command."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.drills.stored import identity_server
from wimse.workload_api.proto import minispire_pb2, workload_pb2

HEADER = (("workload.spiffe.io", "true"),)
STANDARD = workload_pb2.DESCRIPTOR.services_by_name["SpiffeWorkloadAPI"]
MINISPIRE = minispire_pb2.DESCRIPTOR.services_by_name["MiniSPIREWorkloadAPI"]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="w") as name:  # a socket's path is short
        yield Path(name)


def written(folder: Path, text: str) -> Path:
    config = folder / "s.toml"
    config.write_text(f'socket = "unix://{folder}/s"\n{text}')
    return config


def answered(address: str, fields: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What a client that is made of the descriptors alone gets: the first message of each call, or the status.

    Args:
        address: of the server.
        fields: what to ask, by the name of the request.
    """
    found: dict[str, Any] = {}
    with grpc.insecure_channel(address) as channel:
        for service in (STANDARD, MINISPIRE):
            for method in service.methods:
                request = getattr(workload_pb2, method.input_type.name)(**fields.get(method.input_type.name, {}))
                kind = getattr(workload_pb2, method.output_type.name)
                assert not method.client_streaming
                call = channel.unary_stream if method.server_streaming else channel.unary_unary
                bound = call(
                    f"/{service.full_name}/{method.name}",
                    request_serializer=type(request).SerializeToString,
                    response_deserializer=kind.FromString,
                )
                try:
                    answer = bound(request, metadata=HEADER, timeout=10)
                    found[method.name] = next(answer) if method.server_streaming else answer
                except grpc.RpcError as error:
                    found[method.name] = error.code().name
    return found


async def test_every_call_of_the_proto_is_answered_by_the_command(folder: Path) -> None:
    """SV-22: all of them in one process, the call of minispire where it is switched on."""
    config = written(folder, "mint_wit_svid = true\n")
    async with identity_server(config):
        address = f"unix://{folder}/s"
        asked: dict[str, dict[str, Any]] = {"JWTSVIDRequest": {"audience": ["a"]}}
        token = (await asyncio.to_thread(answered, address, asked))["FetchJWTSVID"].svids[0].svid
        asked["ValidateJWTSVIDRequest"] = {"audience": "a", "svid": token}
        found = await asyncio.to_thread(answered, address, asked)
    assert set(found) == {each.name for each in (*STANDARD.methods, *MINISPIRE.methods)}
    assert len(found) == 8
    assert [name for name, answer in found.items() if isinstance(answer, str)] == []
    assert len({each.svids[0].spiffe_id for each in found.values() if hasattr(each, "svids")}) == 1


@pytest.mark.parametrize("on", ["x509", "jwt", "wit"])
async def test_profile_that_the_configuration_switches_off_is_unimplemented(folder: Path, on: str) -> None:
    """IS-19: and so is the call of minispire, which is off."""
    async with identity_server(written(folder, f'profiles = ["{on}"]\n')):
        asked = {"JWTSVIDRequest": {"audience": ["a"]}}
        found = await asyncio.to_thread(answered, f"unix://{folder}/s", asked)
    assert found.pop("MintWITSVID") == "UNIMPLEMENTED"
    for name, answer in found.items():
        if on.upper() not in name:
            assert answer == "UNIMPLEMENTED", name
        elif name != "ValidateJWTSVID":  # it is answered: there is no token
            assert not isinstance(answer, str), name
        else:
            assert answer == "INVALID_ARGUMENT"
