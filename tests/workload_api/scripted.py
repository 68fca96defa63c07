"""Real gRPC servers that say what a test tells them, right or wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from wimse.credentials import TrustDomain, issue_wit
from wimse.keys import PrivateKey
from wimse.workload_api.proto import workload_pb2 as pb

STREAMS = {
    "FetchX509SVID": (pb.X509SVIDRequest, pb.X509SVIDResponse),
    "FetchJWTBundles": (pb.JWTBundlesRequest, pb.JWTBundlesResponse),
    "FetchWITSVID": (pb.WITSVIDRequest, pb.WITSVIDResponse),
    "FetchWITBundles": (pb.WITBundlesRequest, pb.WITBundlesResponse),
}


@contextlib.asynccontextmanager
async def listening(service: Any, path: Path) -> AsyncIterator[str]:
    server = Server([service])
    await server.start(path=str(path))
    try:
        yield f"unix://{path}"
    finally:
        server.close()


class Script:
    """Each stream says what is put into its queue; the unary call answers with what `jwt` gives."""

    def __init__(self) -> None:
        self.steps: dict[str, asyncio.Queue[Any]] = {name: asyncio.Queue() for name in STREAMS}
        self.calls: list[str] = []
        self.jwt: Any = None

    def say(self, name: str, *steps: Any) -> None:
        for step in steps:
            self.steps[name].put_nowait(step)

    def __mapping__(self) -> dict[str, Handler]:
        streams = {
            f"/SpiffeWorkloadAPI/{name}": Handler(self._stream(name), Cardinality.UNARY_STREAM, *kinds)
            for name, kinds in STREAMS.items()
        }
        unary = Handler(self._jwt, Cardinality.UNARY_UNARY, pb.JWTSVIDRequest, pb.JWTSVIDResponse)
        return {**streams, "/SpiffeWorkloadAPI/FetchJWTSVID": unary}

    def _stream(self, name: str) -> Any:
        async def handler(stream: Stream[Any, Any]) -> None:
            self.calls.append(name)
            await stream.recv_message()
            while True:
                step = await self.steps[name].get()
                if isinstance(step, Status):
                    raise GRPCError(step)
                await stream.send_message(step)

        return handler

    async def _jwt(self, stream: Stream[Any, Any]) -> None:
        self.calls.append("FetchJWTSVID")
        answer = await self.jwt(await stream.recv_message())
        if isinstance(answer, Status):
            raise GRPCError(answer)
        await stream.send_message(answer)


class MiniSPIRE:
    """Speaks as minispire does: its names, spellings and encodings, and no security header on its own call."""

    def __init__(self, *, lifetime: int = 300) -> None:
        self.domain = TrustDomain("wimse", "example.com")
        self.key = PrivateKey.generate(kid="kid")
        self.lifetime = lifetime
        self.minted: list[float] = []
        self.spoil: Any = lambda _: None

    def __mapping__(self) -> dict[str, Handler]:
        return {
            "/MiniSPIREWorkloadAPI/MintWITSVID": Handler(
                self._mint, Cardinality.UNARY_UNARY, pb.WITSVIDRequest, pb.WITSVIDResponse
            ),
            "/SpiffeWorkloadAPI/FetchJWTBundles": Handler(
                self._bundles, Cardinality.UNARY_STREAM, pb.JWTBundlesRequest, pb.JWTBundlesResponse
            ),
        }

    async def _mint(self, stream: Stream[Any, Any]) -> None:
        await stream.recv_message()
        self.minted.append(time.monotonic())
        key, now = PrivateKey.generate(), int(time.time())
        path = "/bin/shop/gid/1/pid/2/uid/3"
        token = issue_wit(
            subject=self.domain.workload(path),
            workload_key=key.public_key,
            signer=self.key,
            issued_at=now,
            expires_at=now + self.lifetime,
            issuer="wimse://example.com",
            token_id=secrets.token_hex(32),
            other_claims={"aud": ""},
        )
        svid = pb.WITSVID(
            spiffe_id=f"spiffe://example.com{path}",
            wit_svid=token,
            wit_svid_key=base64.b64encode(key.to_pkcs8_der()).decode(),
        )
        self.spoil(svid)
        await stream.send_message(pb.WITSVIDResponse(svids=[svid]))

    async def _bundles(self, stream: Stream[Any, Any]) -> None:
        await stream.recv_message()
        jwk = self.key.public_key.to_jwk()
        document = json.dumps({"keys": [{**jwk, "kid": "kid"}]}).encode()
        await stream.send_message(pb.JWTBundlesResponse(bundles={"example.com": document}))
        await asyncio.Event().wait()
