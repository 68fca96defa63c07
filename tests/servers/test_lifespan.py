"""The source is open exactly while the application is up."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Self

import pytest

from tests.servers.support import SERVER, authenticator
from wimse.credentials import WorkloadSnapshot
from wimse.errors import Reason, Unavailable
from wimse.servers.asgi import WimseMiddleware


class OpenedSource:
    """A source that has to be opened, and remembers when it was."""

    def __init__(self, log: list[str], error: Exception | None = None) -> None:
        self.log = log
        self.error = error

    def snapshot(self) -> WorkloadSnapshot:
        return SERVER.snapshot()

    async def __aenter__(self) -> Self:
        if self.error is not None:
            raise self.error
        self.log.append("opened")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.log.append("closed")


class Server:
    """The server's side of the protocol."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.messages = ["lifespan.startup", "lifespan.shutdown"]

    async def receive(self) -> dict[str, Any]:
        return {"type": self.messages.pop(0)}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.log.append(message["type"])


async def supporting(_: Any, receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


async def returning(_: Any, __: Any, ___: Any) -> None:
    return


async def raising(scope: Any, _: Any, __: Any) -> None:
    raise NotImplementedError(scope["type"])


@pytest.mark.parametrize("app", [supporting, returning, raising])
async def test_the_source_is_open_from_before_startup_until_after_shutdown(app: Any) -> None:
    log: list[str] = []
    server, source = Server(log), OpenedSource(log)
    middleware = WimseMiddleware(app, authenticator=authenticator(), source=source)
    await middleware({"type": "lifespan"}, server.receive, server.send)
    assert log == ["opened", "lifespan.startup.complete", "lifespan.shutdown.complete", "closed"]
    assert server.messages == []


async def test_a_server_without_an_identity_does_not_start() -> None:
    """MW-11: there is no bundle, so nobody could be let in."""
    log: list[str] = []
    server = Server(log)
    failure = Unavailable(Reason.ISSUER_UNAVAILABLE, "no identity within 10 s")
    called: list[str] = []

    async def app(scope: Any, _: Any, __: Any) -> None:
        called.append(scope["type"])

    middleware = WimseMiddleware(app, authenticator=authenticator(), source=OpenedSource(log, failure))
    await middleware({"type": "lifespan"}, server.receive, server.send)
    assert log == ["lifespan.startup.failed"]
    assert called == []


async def test_the_source_is_closed_when_the_application_fails_after_it_has_started() -> None:
    log: list[str] = []
    server = Server(log)

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        raise RuntimeError("broken")

    middleware = WimseMiddleware(app, authenticator=authenticator(), source=OpenedSource(log))
    with pytest.raises(RuntimeError, match="broken"):
        await middleware({"type": "lifespan"}, server.receive, server.send)
    assert log == ["opened", "lifespan.startup.complete", "closed"]
