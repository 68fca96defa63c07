"""A real server on a real socket, and two clients: our own parts, and grpcio as the independent one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from wimse.issuer import Authority, Entry, IssuerSettings, Registrations, Selector
from wimse.workload_api import IdentityServer, ServerSettings

HEADER = (("workload.spiffe.io", "true"),)
FAST = ServerSettings(recheck_interval=timedelta(seconds=0.05))


def authority(scheme: str = "spiffe", **settings: timedelta) -> Authority:
    return Authority.create("example.com", now=int(time.time()), scheme=scheme, settings=IssuerSettings(**settings))


class MutableRegistrations(Registrations):
    """Registrations that a test takes away and gives back."""

    current = Registrations()

    def grants(self, caller: Any) -> Any:
        return self.current.grants(caller)


def entries(*paths: str, selector: str = "unix:uid:0", hints: Iterable[str] = ()) -> Registrations:
    names = [*hints, *[""] * len(paths)]
    return Registrations(
        [Entry(path, (Selector.parse(selector),), hint) for path, hint in zip(paths, names, strict=False)],
        default_identities=False,
    )


@contextlib.asynccontextmanager
async def serving(
    socket: Path,
    issuer: Authority | None = None,
    registrations: Registrations | None = None,
    settings: ServerSettings = FAST,
    **options: Any,
) -> AsyncIterator[str]:
    """A server; gives its address."""
    options = {"minispire": True, **options}
    server = IdentityServer(issuer or authority(), registrations or Registrations(), settings, **options)
    async with server.listening(socket):
        yield f"unix://{socket}"


def _call(address: str, path: str, request: Message, kind: type[Message], metadata: Any) -> list[Any]:
    with grpc.insecure_channel(address) as channel:
        codec = {"request_serializer": type(request).SerializeToString, "response_deserializer": kind.FromString}
        if "Bundles" in path or path.endswith(("FetchWITSVID", "FetchX509SVID")):
            stream = channel.unary_stream(path, **codec)(request, metadata=metadata, timeout=10)
            first = next(stream)
            stream.cancel()
            return [first]
        return [channel.unary_unary(path, **codec)(request, metadata=metadata, timeout=10)]


async def grpcio(address: str, path: str, request: Message, kind: type[Message], metadata: Any = HEADER) -> Any:
    """Call with grpcio; of a stream the first message."""
    return (await asyncio.to_thread(_call, address, path, request, kind, metadata))[0]


async def eventually(condition: Any, seconds: float = 20.0) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)
