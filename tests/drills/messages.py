"""Signed requests as values that can be sent, sent again, and spoiled."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any, NamedTuple, Self

import httpx2

from tests.servers.support import DOMAIN
from wimse.authentication import ClientAuthenticator, any_trusted, expect
from wimse.httpsig import Fields, Request
from wimse.testing import InMemoryTrustDomain

__all__ = ["Caller", "Message", "Sender", "bad_messages"]

STRANGERS = InMemoryTrustDomain(str(DOMAIN.trust_domain))  # the same name, another key


class Message(NamedTuple):
    """One request, as it goes out."""

    nonce: str
    target: str
    lines: tuple[tuple[str, str], ...]
    content: bytes


class Caller:
    """Signs for one origin, by a clock that may be wrong."""

    def __init__(self, origin: str, *, ahead: int = 0, domain: InMemoryTrustDomain = DOMAIN) -> None:
        self._ahead = ahead
        self._source = domain.source("/client", now=int(time.time()) + ahead - 5, lifetime=3_600)
        self._origin = origin

    def message(self, content: bytes = b"hello", *, late: int = 0, audience: str | None = None) -> Message:
        """A new one; `late` seconds old, for another audience."""
        authenticator = ClientAuthenticator(
            self._source,
            server=expect(any_trusted),
            audience=lambda request: audience or self._origin + request.target,
            require_signed_response=False,
        )
        head = Request(method="POST", target="/orders", authority=self._origin.partition("://")[2], fields=Fields())
        nonce = secrets.token_urlsafe(16)
        sent = authenticator.sign(head, content, now=int(time.time()) + self._ahead - late, nonce=nonce)
        return Message(nonce, "/orders", tuple(sent.request.fields), content)


def bad_messages(origin: str) -> Iterator[Message]:
    """One after the other, without an end, messages that nobody may accept, each spoiled in another way."""
    caller, stranger = Caller(origin), Caller(origin, domain=STRANGERS)
    makers: tuple[Callable[[], Message], ...] = (
        lambda: caller.message()._replace(lines=()),
        lambda: without(caller.message(), "workload-identity-token"),
        lambda: without(caller.message(), "signature"),
        lambda: caller.message()._replace(content=b"other"),
        lambda: caller.message()._replace(target="/other"),
        lambda: changed(caller.message(), "signature-input", 'nonce="', 'nonce="x'),
        lambda: caller.message(late=600),
        lambda: caller.message(late=-600),
        lambda: caller.message(audience="https://elsewhere.example/orders"),
        stranger.message,
    )
    for make in cycle(makers):
        yield make()


def without(message: Message, name: str) -> Message:
    return message._replace(lines=tuple(line for line in message.lines if line[0].lower() != name))


def changed(message: Message, name: str, old: str, new: str) -> Message:
    lines = tuple((each, text.replace(old, new) if each.lower() == name else text) for each, text in message.lines)
    assert lines != message.lines
    return message._replace(lines=lines)


class Sender:
    """Sends messages to one server, many at once."""

    def __init__(self, origin: str, *, connections: int = 64) -> None:
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx2.AsyncClient(base_url=origin, limits=limits, timeout=60, trust_env=False)

    async def send(self, message: Message) -> int:
        """The status of the answer."""
        headers = [*message.lines, ("content-length", str(len(message.content)))]
        response = await self._client.post(message.target, headers=headers, content=message.content)
        return int(response.status_code)

    async def control(self, **query: int) -> dict[str, Any]:
        """What the server has counted; and what it is told."""
        found: dict[str, Any] = (await self._client.get("/control", params=query)).json()
        return found

    async def until_served(self, caller: Caller) -> float:
        """How long it takes until somebody is served: a new store has to begin to remember."""
        began = time.monotonic()
        while await self.send(caller.message()) != 200:
            assert time.monotonic() - began < 20, "nobody is served"
            await asyncio.sleep(0.02)  # a status can only be asked for
        return time.monotonic() - began

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
