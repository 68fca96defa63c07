"""The server's lifespan: a source that has to be opened is open while the application is up, and closed after it.

ASGI's lifespan protocol: the server sends ``lifespan.startup`` and waits for an answer, later ``lifespan.shutdown``. An
application may not support it; then it returns or raises at once, and the answers are ours to give.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from wimse.errors import WimseError
from wimse.servers.inbound import Message, Receive, Scope, Send

__all__ = ["run_lifespan"]

_LOG = logging.getLogger("wimse.servers.asgi")


async def run_lifespan(
    app: Callable[[Any, Any, Any], Awaitable[None]], source: object, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve the lifespan of `app`, with `source` open from before its startup until after its shutdown.

    Args:
        app: the application.
        source: whatever is to be open; what is no asynchronous context manager is left alone.
        scope: of the lifespan.
        receive: the server's.
        send: the server's.
    """
    if not isinstance(source, contextlib.AbstractAsyncContextManager):
        await app(scope, receive, send)
        return
    startup = await receive()
    try:
        await source.__aenter__()
    except WimseError as error:
        # Without an identity and bundles nobody could be let in, and no answer be signed: better not to start.
        _LOG.error("not started: %s", error, extra={"reason": error.reason.code})
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    try:
        await _run_open(app, startup, scope, receive, send)
    finally:
        await source.__aexit__(None, None, None)


async def _run_open(
    app: Callable[[Any, Any, Any], Awaitable[None]], startup: Message, scope: Scope, receive: Receive, send: Send
) -> None:
    answered: list[str] = []
    pending = [startup]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    async def send_noting(message: Message) -> None:
        answered.append(message["type"])
        await send(message)

    try:
        await app(scope, receive_again, send_noting)
    except Exception as error:
        if answered:
            raise
        # As servers do: whoever raises before any answer does not know the protocol. Type only: its text may quote.
        _LOG.info("the application has no lifespan: %s", type(error).__name__)
    if not answered:
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
