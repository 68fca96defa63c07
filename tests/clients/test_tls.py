"""Signed requests go to a server that TLS has authenticated by its name, or not at all."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.clients.support import WAYS, Way, raw_server
from wimse.cli.demo.certificate import write_certificate


@dataclass
class TLSServer:
    """Counts the bytes of HTTP that reach it."""

    context: ssl.SSLContext
    origin: str = ""
    received: list[bytes] = field(default_factory=list)

    def accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = listening.accept()[0]
                connection.settimeout(5)
                # A client that refuses the certificate ends the handshake, which is an OSError here.
                with connection, contextlib.suppress(OSError):
                    secured = self.context.wrap_socket(connection, server_side=True)
                    with secured:
                        self.received.append(secured.recv(65_536))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def tls_server(address: str, files: tuple[Path, Path]) -> Iterator[TLSServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    server = TLSServer(context)
    with socket.create_server((address, 0)) as listening:
        server.origin = f"https://{address}:{listening.getsockname()[1]}"
        thread = threading.Thread(target=server.accept, args=(listening,))
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def trusting(files: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files[0]))


def transport(way: Way, context: ssl.SSLContext) -> object:
    made: object = (way.library.AsyncHTTPTransport if way.asynchronous else way.library.HTTPTransport)(verify=context)
    return made


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("fault", ["another name", "an unknown authority"])
def test_nothing_is_sent_to_a_server_that_is_not_the_one_of_the_url(
    way: Way, files: tuple[Path, Path], fault: str
) -> None:
    """HS-45: neither the token nor the signature leaves; RFC 9525 §6.3 for the name."""
    wrong_name = fault == "another name"  # 127.0.0.2 is not in the certificate
    context = trusting(files) if wrong_name else ssl.create_default_context()
    address = "127.0.0.2" if wrong_name else "127.0.0.1"
    with tls_server(address, files) as server, pytest.raises(way.library.ConnectError, match="CERTIFICATE_VERIFY"):
        way.send(("GET", server.origin, {}), inner=transport(way, context))
    assert b"".join(server.received) == b""


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_server_of_the_url_gets_the_request(way: Way, files: tuple[Path, Path]) -> None:
    """HS-45: the same certificate and the same authority, by the right name; and never by http to another machine."""
    hangs_up = pytest.raises(way.library.RemoteProtocolError)  # without an answer
    with tls_server("127.0.0.1", files) as server, hangs_up:
        way.send(("GET", server.origin, {}), inner=transport(way, trusting(files)))
    assert server.received[0].lower().count(b"\r\nworkload-identity-token: ") == 1
    with raw_server() as plain, pytest.raises(ValueError, match="https"):
        way.send(("GET", "http://192.0.2.1", {}))
    assert plain.recorded == []
