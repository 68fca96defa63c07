"""A publisher of JWK Sets: a real HTTPS server with a certificate made for the test, and what a verifier asks."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from wimse.httpsig import NeedKey, Request, parse_signatures, sign
from wimse.keys import PrivateKey

__all__ = ["Clock", "Publisher", "document", "key", "need", "publishing", "serving"]


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Publisher:
    """What the server answers: by default the keys, and whatever a test puts in their place."""

    def __init__(self, url: str, trust: ssl.SSLContext) -> None:
        self.url = url
        self.trust = trust
        self.paths: list[str] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.content = b""
        self.redirects: dict[str, str] = {}
        self.redirect_status = 302
        self.before: Callable[[], object] = lambda: None
        self.chunks: Callable[[bytes], Iterator[bytes]] = lambda content: iter([content])

    @property
    def fetches(self) -> int:
        return len(self.paths)


def key(kid: str) -> PrivateKey:
    return PrivateKey.generate(kid=kid)


def document(*keys: PrivateKey) -> bytes:
    return json.dumps({"keys": [each.public_key.to_jwk() for each in keys]}).encode()


def need(signer: PrivateKey | None = None, **parameters: object) -> NeedKey:
    """The need of a signature with the signer's kid as its keyid."""
    signer = signer or key("k")
    message = sign(Request(method="GET", target="/"), signer, ["@method"], {"keyid": signer.kid, **parameters})
    return NeedKey(parse_signatures(message.fields)[0], message)


def write_certificate(directory: Path, host: str = "") -> tuple[Path, Path]:
    native = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host or "publisher")])
    now = datetime.now(UTC)
    mine = x509.DNSName(host) if host else x509.IPAddress(ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(native.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([mine]), critical=False)
        .sign(native, hashes.SHA256())
    )
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        native.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


@contextmanager
def publishing(directory: Path, *, tls: bool = True, host: str = "") -> Iterator[Publisher]:
    """Run a publisher on this machine, with a certificate of its own, for its address or for `host`."""
    certificate, key_file = write_certificate(directory, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key_file)
    with serving(context if tls else None) as publisher:
        publisher.trust = ssl.create_default_context(cafile=str(certificate))
        yield publisher


@contextmanager
def serving(context: ssl.SSLContext | None) -> Iterator[Publisher]:
    """Run a publisher on this machine."""
    publisher = Publisher("", ssl.create_default_context())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            publisher.paths.append(self.path)
            publisher.before()
            if self.path in publisher.redirects:
                self.send_response(publisher.redirect_status)
                self.send_header("Location", publisher.redirects[self.path])
                self.end_headers()
                return
            self.send_response(publisher.status)
            for name, value in publisher.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for chunk in publisher.chunks(publisher.content):
                    self.wfile.write(chunk)
                    self.wfile.flush()
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that went away is what some tests are about

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        publisher.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}/jwks.json"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield publisher
        finally:
            server.shutdown()
            thread.join()
