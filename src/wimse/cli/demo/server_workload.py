"""The server workload: a small application behind the middleware, in a process of its own.

``python -m wimse.cli.demo.server_workload SOCKET``, where SOCKET is the path that the middlebox connects to.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server

from wimse.authentication import AuthenticatedWorkload, Authenticator, TargetAudience, member_of
from wimse.cli.demo.pipes import commands, emit
from wimse.servers.asgi import WimseMiddleware
from wimse.stores import MemoryReplayStore
from wimse.workload_api import WorkloadAPISource

__all__ = ["main"]


async def orders(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The application: it knows order 1 and takes changes of it. What it reads was verified before."""
    if scope["type"] != "http":
        return
    caller: AuthenticatedWorkload = scope["wimse"]
    content = (await receive()).get("body", b"")
    emit("accepted", identity=str(caller.identity), covered=dict(caller.covered))
    known = caller.covered["@path"] == "/orders/1"
    answer: dict[str, object] = {"order": 1, "quantity": 1, "for": caller.identity.path}
    if content and known:
        answer |= json.loads(content)
    body = json.dumps(answer if known else {"error": "no such order 1 here"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200 if known else 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Narrator(logging.Handler):
    """Turns the middleware's log of refusals into events: the log has the whole reason, the peer the class only."""

    def emit(self, record: logging.LogRecord) -> None:
        """Tell about one refusal."""
        if (reason := getattr(record, "reason", None)) is not None:
            emit("refused", reason=str(reason), detail=str(getattr(record, "detail", "")))


async def main(upstream: str) -> None:
    """Wait to be told where identities come from, then serve until there is no teller."""
    logger = logging.getLogger("wimse.servers.asgi")
    logger.setLevel(logging.INFO)
    logger.addHandler(Narrator())
    steps = commands()
    start = await anext(steps)
    async with WorkloadAPISource(start["socket"]) as source:
        identity = source.snapshot().credential.identity
        authenticator = Authenticator(
            bundles=source,
            audience=TargetAudience(*start["origins"]),
            replay=MemoryReplayStore(),
            policy=member_of(identity.trust_domain),
        )
        application = WimseMiddleware(orders, authenticator=authenticator, source=source)
        server = Server(application, uds=Path(upstream), interface=Interfaces.ASGI, websockets=False, log_enabled=False)
        serving = asyncio.create_task(server.serve())
        emit("listening", identity=str(identity))
        async for _ in steps:
            pass
        server.stop()  # type: ignore[no-untyped-call]  # granian has no types here
        await serving


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
