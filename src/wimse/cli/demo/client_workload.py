"""The client workload: makes the calls that it is told to make, in a process of its own.

``python -m wimse.cli.demo.client_workload``
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpx2

from wimse.authentication import AuthenticatedWorkload, ClientAuthenticator, exactly, expect
from wimse.cli.demo.pipes import commands, emit
from wimse.clients.httpx import AsyncSigningTransport
from wimse.credentials import WorkloadSource
from wimse.errors import WimseError
from wimse.httpsig import Request
from wimse.profiles.http_signature import SignedRequest
from wimse.workload_api import WorkloadAPISource

__all__ = ["main"]


class WrongClock(ClientAuthenticator):
    """Signs with a clock that is wrong, to show what becomes of it."""

    ahead = 0

    def sign(self, request: Request, content: bytes, *, now: int, nonce: str) -> SignedRequest:
        """Sign as of `ahead` seconds later."""
        return super().sign(request, content, now=now + self.ahead, nonce=nonce)


async def call(command: dict[str, Any], source: WorkloadSource, base: str, server: str, tls: ssl.SSLContext) -> None:
    """Make one call and tell what came of it."""
    audience = command.get("audience")
    authenticator = WrongClock(
        source, server=expect(exactly(server)), audience=None if audience is None else lambda _: audience
    )
    authenticator.ahead = command.get("clock", 0)
    transport = AsyncSigningTransport(httpx2.AsyncHTTPTransport(verify=tls, trust_env=False), authenticator)
    try:
        async with httpx2.AsyncClient(transport=transport, trust_env=False, timeout=10.0) as http:
            answer = await http.request(
                command["method"], base + command["target"], content=command.get("body"), headers=command.get("headers")
            )
    except WimseError as error:
        emit("called", ok=False, reason=error.reason.code, detail=error.detail)
    except httpx2.HTTPError as error:
        emit("called", ok=False, reason="unreachable", detail=f"{type(error).__name__}: {error}")
    else:
        peer: AuthenticatedWorkload = answer.extensions["wimse"]
        emit("called", ok=True, status=answer.status_code, identity=str(peer.identity), body=answer.text)


async def main() -> None:
    """Wait to be told where identities come from, then call until there is no teller."""
    steps = commands()
    start = await anext(steps)
    tls = ssl.create_default_context()
    tls.load_verify_locations(start["certificate"])
    async with WorkloadAPISource(start["socket"]) as source:
        emit("listening", identity=str(source.snapshot().credential.identity), wit=source.snapshot().credential.wit)
        async for command in steps:
            await call(command, source, start["base"], start["server"], tls)


if __name__ == "__main__":
    asyncio.run(main())
