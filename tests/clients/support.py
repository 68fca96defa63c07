"""Both libraries, both ways, and a server that keeps the very bytes that came."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2

from tests.servers.support import DOMAIN, SERVER, client_authenticator
from wimse.authentication import Authenticator, ExactAudience, any_trusted
from wimse.clients.httpx import AsyncSigningTransport, SigningTransport
from wimse.httpsig import Fields, Request, Response, parse_http1
from wimse.stores import MemoryReplayStore

TLS = ssl.create_default_context()  # shared: it takes longer to make than all the rest
Call = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True)
class Way:
    """One library, used one way."""

    library: Any
    asynchronous: bool

    def __str__(self) -> str:
        return f"{self.library.__name__}-{'async' if self.asynchronous else 'sync'}"

    def send(self, *calls: Call, authenticator: Any = None, inner: Any = None, **options: Any) -> list[Any]:
        """Make the calls one after the other with one client; gives the responses."""
        judge = authenticator or client_authenticator()
        names = [name for name in ("max_body_bytes", "allow_plaintext") if name in options]
        of_transport: dict[str, Any] = {name: options.pop(name) for name in names}
        if self.asynchronous:
            return asyncio.run(self._async(calls, judge, inner, of_transport, options))
        return self._sync(calls, judge, inner, of_transport, options)

    def _sync(
        self, calls: Sequence[Call], judge: Any, inner: Any, of_transport: dict[str, Any], options: dict[str, Any]
    ) -> list[Any]:
        transport = SigningTransport(inner or self.library.HTTPTransport(verify=TLS), judge, **of_transport)
        with self.library.Client(transport=transport, **options) as client:
            return [client.request(method, url, **more) for method, url, more in calls]

    async def _async(
        self, calls: Sequence[Call], judge: Any, inner: Any, of_transport: dict[str, Any], options: dict[str, Any]
    ) -> list[Any]:
        transport = AsyncSigningTransport(inner or self.library.AsyncHTTPTransport(verify=TLS), judge, **of_transport)
        async with self.library.AsyncClient(transport=transport, **options) as client:
            return [await client.request(method, url, **more) for method, url, more in calls]


WAYS = [Way(library, asynchronous) for library in (httpx2, httpx) for asynchronous in (False, True)]


@dataclass(frozen=True)
class Recorded:
    """A request as its bytes were read from the socket."""

    head: bytes
    content: bytes

    @property
    def request(self) -> Request:
        message = parse_http1(self.head).message
        assert isinstance(message, Request)
        return message

    @property
    def request_line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    def values(self, name: str) -> list[str]:
        return self.request.fields.values(name)


@dataclass
class RawServer:
    """Answers each request with the bytes that `respond` makes of it, and closes the connection."""

    respond: Callable[[Recorded], bytes]
    recorded: list[Recorded] = field(default_factory=list)
    origin: str = ""

    def accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = listening.accept()[0]
                with connection, contextlib.suppress(ConnectionError):
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65_536)
            if not chunk:
                return
            data += chunk
        head, _, content = data.partition(b"\r\n\r\n")
        recorded = Recorded(head + b"\r\n\r\n", content)
        length = int((recorded.values("content-length") or ["0"])[0])
        assert not recorded.values("transfer-encoding")
        while len(content) < length:
            content += connection.recv(65_536)
        recorded = Recorded(recorded.head, content)
        self.recorded.append(recorded)
        connection.sendall(self.respond(recorded))
        # Half-closed, so that what the client still has to say does not become a reset.
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass


@contextlib.contextmanager
def raw_server(respond: Callable[[Recorded], bytes] | None = None) -> Iterator[RawServer]:
    server = RawServer(respond or signed_answer)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=server.accept, args=(listening,))
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def authenticated(recorded: Recorded, origin: str) -> Any:
    """Who sent the recorded bytes, for whom they were signed taken from the bytes alone."""
    request = recorded.request
    request = Request(
        method=request.method,
        target=request.target,
        scheme="http",
        authority=recorded.values("host")[0],
        fields=request.fields,
    )
    path = request.target.partition("?")[0]
    judge = Authenticator(
        bundles=DOMAIN.bundles,
        audience=ExactAudience(origin + path),
        replay=MemoryReplayStore(since=0),
        policy=any_trusted,
    )
    return judge, request, judge.authenticate(request, recorded.content, now=int(time.time()))


def signed_head(
    recorded: Recorded,
    status: int = 200,
    content: bytes = b"answer",
    *fields: tuple[str, str],
    source: Any = SERVER,
) -> Response:
    """A signed response to the recorded request."""
    judge, request, caller = authenticated(recorded, f"http://{recorded.values('host')[0]}")
    signed: Response = judge.sign_response(
        Response(status=status, fields=Fields(fields)),
        content,
        source.snapshot().credential,
        request=request,
        caller=caller,
        now=int(time.time()),
        nonce=secrets.token_urlsafe(16),
    )
    return signed


def on_the_wire(response: Response, content: bytes, *, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {response.status} Whatever", *(f"{name}: {value}" for name, value in response.fields)]
    if response.status not in (204, 304):
        lines.append(f"Content-Length: {len(content) if length is None else length}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + content


def signed_answer(recorded: Recorded) -> bytes:
    return on_the_wire(signed_head(recorded), b"answer")
