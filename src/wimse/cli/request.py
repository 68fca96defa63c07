"""``wimse request``: one signed call, whose answer is verified and explained."""

from __future__ import annotations

import base64
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from wimse.cli import inputs, output
from wimse.cli.authenticate import workload_document
from wimse.cli.options import json_option, servers_option
from wimse.cli.root import VerificationCommand
from wimse.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimse.authentication import PeerRule
    from wimse.credentials import WorkloadIdentifier, WorkloadSource
    from wimse.httpsig import Request

__all__ = ["request"]

_IDENTITY_SECONDS: Final = 5.0
_INSTALL: Final = "this needs an HTTP client: pip install 'wimse[httpx2]'"


@click.command(cls=VerificationCommand)
@click.argument("method")
@click.argument("url")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A field; may be repeated.")
@click.option("-d", "--data", metavar="DATA|@FILE", help="The body: text, or the bytes of a file (@- is stdin).")
@click.option("--socket", metavar="S", help="Of the identity server; SPIFFE_ENDPOINT_SOCKET by default.")
@servers_option
@click.option("--any-server", is_flag=True, help="Each workload of each trusted domain may answer.")
@click.option("--audience", metavar="A", help="For whom it is. By default the URL without its query.")
@click.option("--cacert", metavar="F", help="CA certificates (PEM) for TLS, instead of the system's.")
@click.option("--allow-plaintext", is_flag=True, help="Permit http to other hosts than this one.")
@click.option("--timeout", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True, metavar="S")
@json_option
def request(  # noqa: PLR0917 - click passes by name
    method: str,
    url: str,
    headers: tuple[str, ...],
    data: str | None,
    socket: str | None,
    servers: tuple[WorkloadIdentifier, ...],
    any_server: bool,
    audience: str | None,
    cacert: str | None,
    allow_plaintext: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Make one call, signed with this process's identity, and verify its answer.

    The answer must be signed, and by a workload that may answer: one of --server, or with --any-server each that is
    trusted. Without either it is each workload of our own trust domain: nobody from outside can answer in its place,
    but any workload inside can. Name the --server where that matters.

    Exit status 0 says that the answer is verified, whatever its HTTP status is. Redirects are not followed.

    \b
    Example:
      wimse request POST https://orders.example/items -d @order.json -H 'Content-Type: application/json' \\
        --server spiffe://example.com/orders
    """
    if servers and any_server:
        raise output.Unusable("--server and --any-server exclude each other")
    if audience == "":
        raise output.Unusable("--audience is not empty")
    library = _library()
    fields = [_field(text) for text in headers]
    content = _content(data)
    context = _tls(cacert)
    import logging

    from wimse.workload_api import BlockingWorkloadAPISource, SourceSettings

    logging.getLogger("wimse").addHandler(logging.NullHandler())  # what is wrong is said once, by the refusal
    settings = SourceSettings(first_snapshot_timeout=timedelta(seconds=min(timeout, _IDENTITY_SECONDS)))
    address = f"unix://{socket}" if socket is not None and socket.startswith("/") else socket
    with BlockingWorkloadAPISource(address, settings=settings) as source:
        rule = _rule(servers, source, any_server=any_server)
        transport = _signing(library, source, rule, audience, context, allow_plaintext)
        response = _send(library, (method, url, fields, content), transport, timeout)
    peer = response.extensions["wimse"]
    document = {
        **workload_document(peer),
        "status": response.status_code,
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in response.headers.raw],
        **_body(response.content),
    }
    if as_json:
        output.print_json({"valid": True, **document})
        return
    output.print_text(f"{response.status_code} from {peer.identity}", fg="green", bold=True)
    shown = {name: document[name] for name in ("label", "covered", "parameters")}
    output.verdict(shown, "the answer is verified", as_json=False)
    if response.content:
        output.print_text("")
        output.print_text(output.clean_lines(response.content.decode("utf-8", "backslashreplace")))


def _library() -> Any:
    try:
        import httpx2
    except ImportError:
        try:
            import httpx
        except ImportError:
            raise output.Failed(_INSTALL) from None
        return httpx
    return httpx2


def _field(text: str) -> tuple[str, str]:
    from wimse.httpsig import Fields

    name, colon, value = text.partition(":")
    if not colon:
        raise output.Unusable("--header: a field is written as 'Name: value'")
    line = (name, value.strip(" \t"))
    with inputs.unusable("--header"):
        Fields([line])
    return line


def _content(data: str | None) -> bytes:
    if data is None:
        return b""
    if data.startswith("@"):
        return inputs.read_file(data[1:], "the body", max_bytes=inputs.MAX_MESSAGE_BYTES)
    return data.encode("utf-8", "surrogateescape")  # as it was typed


def _tls(cacert: str | None) -> ssl.SSLContext | None:
    if cacert is None:
        return None
    text = inputs.read_file(cacert, "the CA certificates").decode("ascii", "replace")
    try:
        return ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        raise output.Unusable(f"{cacert} holds no CA certificates that can be read") from None


def _rule(servers: tuple[WorkloadIdentifier, ...], source: WorkloadSource, *, any_server: bool) -> PeerRule:
    """Who may answer."""
    from wimse.authentication import any_trusted, exactly, expect, member_of

    if any_server:
        return expect(any_trusted)
    if servers:
        return expect(exactly(*servers))
    return expect(member_of(source.snapshot().credential.identity.trust_domain))


def _signing(  # noqa: PLR0917 - one call
    library: Any,
    source: WorkloadSource,
    rule: PeerRule,
    audience: str | None,
    context: ssl.SSLContext | None,
    allow_plaintext: bool,
) -> Any:
    from wimse.authentication import ClientAuthenticator
    from wimse.clients.httpx import SigningTransport

    chosen: Callable[[Request], str] | None = None if audience is None else lambda _: audience
    # The environment's proxies and certificates are not used: they could lead signed traffic elsewhere.
    inner = library.HTTPTransport(verify=True if context is None else context, trust_env=False)
    return SigningTransport(
        inner, ClientAuthenticator(source, server=rule, audience=chosen), allow_plaintext=allow_plaintext
    )


def _send(library: Any, call: tuple[str, str, list[tuple[str, str]], bytes], transport: Any, timeout: float) -> Any:
    """Make the call.

    Raises:
        Unusable: for a URL or a field that the library does not take.
        Failed: when no answer came.
        Refused, Unavailable: as the transport.
    """
    method, url, fields, content = call
    try:
        with library.Client(transport=transport, trust_env=False, timeout=timeout) as client:
            return client.request(method, url, headers=fields, content=content, follow_redirects=False)
    except (library.InvalidURL, UnicodeError) as error:
        raise output.Unusable(f"the URL or a field cannot be used: {error}") from None
    except ConfigurationError as error:
        raise output.Unusable(error.detail.replace("allow_plaintext=True", "--allow-plaintext"), error) from None
    except library.HTTPError as error:
        raise output.Failed(f"there is no answer: {error or type(error).__name__}") from None


def _body(content: bytes) -> dict[str, object]:
    try:
        return {"body": content.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(content).decode("ascii")}
