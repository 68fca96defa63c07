"""The middlebox: a reverse proxy that terminates TLS, reads everything, adds fields of its own, and may tamper.

Run as a process of its own: ``python -m wimse.cli.demo.middlebox PORT CERTIFICATE KEY SOCKET``. It has no identity and
no key of the trust domain, only the certificate that its clients connect to.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from typing import Final
from uuid import uuid4

import h11

from wimse.cli.demo.pipes import commands, emit
from wimse.cli.demo.tampering import REQUEST_TAMPERING, RESPONSE_TAMPERING, WireMessage, unchanged

__all__ = ["main"]

_MAX_BYTES: Final = 1_048_576
_TIMEOUT_SECONDS: Final = 10.0
_CHUNK: Final = 65_536


class Middlebox:
    """One proxy; each connection carries one request."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._tampering = ""
        self._last: WireMessage | None = None

    async def obey(self) -> None:
        """Do what the teller of the story says, until there is no teller."""
        async for command in commands():
            if command["do"] == "tamper":
                self._tampering = command["how"]
                emit("ready")
            elif command["do"] == "replay" and self._last is not None:
                answer = await self._forward(self._last)
                emit("replayed", status=int(answer.start[0]), response=answer.text())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one request and its answer."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                connection = h11.Connection(h11.SERVER)
                received = await _read(connection, reader)
                answer = await self._carry(received)
                await _write(connection, writer, _close(answer))
        except (h11.RemoteProtocolError, ConnectionError, TimeoutError, OSError) as error:
            emit("trouble", detail=type(error).__name__)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, OSError):
                await writer.wait_closed()

    async def _carry(self, received: WireMessage) -> WireMessage:
        how, self._tampering = self._tampering, ""
        added = (
            (b"Via", b"1.1 middlebox"),
            (b"X-Forwarded-For", b"127.0.0.1"),
            (b"X-Forwarded-Proto", b"https"),
            (b"X-Request-Id", uuid4().hex.encode()),
        )
        self._last = received.adding(*added)
        forwarded = REQUEST_TAMPERING.get(how, unchanged)(self._last)
        answered = await self._forward(forwarded)
        added_to_answer = ((b"Via", b"1.1 middlebox"),)
        answer = RESPONSE_TAMPERING.get(how, unchanged)(answered.adding(*added_to_answer))
        emit(
            "carried",
            request=received.text(),
            response=answered.text(),
            delivered=answer.text(),
            forwarded=forwarded.text(),
            added_to_request=[(name.decode(), value.decode()) for name, value in added],
            added_to_response=[(name.decode(), value.decode()) for name, value in added_to_answer],
        )
        return answer

    async def _forward(self, message: WireMessage) -> WireMessage:
        reader, writer = await asyncio.open_unix_connection(self._upstream)
        try:
            connection = h11.Connection(h11.CLIENT)
            await _write(connection, writer, message)
            return await _read(connection, reader)
        finally:
            writer.close()


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> WireMessage:
    start: tuple[bytes, bytes] = (b"", b"")
    fields: tuple[tuple[bytes, bytes], ...] = ()
    content = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Request):
            start, fields = (event.method, event.target), tuple(event.headers.raw_items())
        elif isinstance(event, h11.Response):
            start = (str(event.status_code).encode(), event.reason)
            fields = tuple(event.headers.raw_items())
        elif isinstance(event, h11.Data):
            content += bytes(event.data)
            if len(content) > _MAX_BYTES:
                raise h11.RemoteProtocolError("the content is too large", error_status_hint=413)
        else:  # the end of the message, or of the connection
            return WireMessage(start, fields, content)


async def _write(connection: h11.Connection, writer: asyncio.StreamWriter, message: WireMessage) -> None:
    head: h11.Request | h11.Response
    if message.is_response:
        head = h11.Response(status_code=int(message.start[0]), reason=message.start[1], headers=list(message.fields))
    else:
        head = h11.Request(method=message.start[0], target=message.start[1], headers=list(message.fields))
    for event in (head, h11.Data(message.content), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()


def _close(message: WireMessage) -> WireMessage:
    kept = tuple(line for line in message.fields if line[0].lower() != b"connection")
    return WireMessage(message.start, (*kept, (b"Connection", b"close")), message.content)


async def main(port: int, certificate: str, key: str, upstream: str) -> None:
    """Serve until the teller of the story has gone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    middlebox = Middlebox(upstream)
    server = await asyncio.start_server(middlebox.serve, "127.0.0.1", port, ssl=context)
    emit("listening")
    async with server:
        await middlebox.obey()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:5]))
