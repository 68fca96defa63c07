"""Transports for httpx2 and httpx that sign each request and verify each response.

A transport is the layer below redirects, authentication and retries: each hop passes through it, and is signed anew.
(An `Auth` of these libraries stands above: it would send the first hop's signature again after a redirect.)

    transport = SigningTransport(httpx2.HTTPTransport(trust_env=False), ClientAuthenticator(source, server=...))
    with httpx2.Client(transport=transport) as client:
        response = client.get("https://orders.example/orders/17")
        response.extensions["wimse"].identity

One code serves both libraries: requests and responses are built from the classes of the objects that come in, so
neither library is imported here.

Anything that retries belongs above this transport. What the library's own transport repeats (`retries`) is the opening
of a connection, before anything is sent.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from wimse.authentication import AuthenticatedWorkload, ClientAuthenticator, PeerRule
from wimse.clients.hop import DEFAULT_MAX_BODY_BYTES, Answer, Hop, check_destination
from wimse.credentials import WorkloadSource
from wimse.errors import ConfigurationError
from wimse.httpsig import Request

if TYPE_CHECKING:
    import httpx
    import httpx2

    class _Transport(httpx2.BaseTransport, httpx.BaseTransport):
        """What both libraries' clients take."""

        def handle_request(self, request: Any) -> Any:
            """Send a request."""

        def __enter__(self) -> Self:
            """Open."""

    class _AsyncTransport(httpx2.AsyncBaseTransport, httpx.AsyncBaseTransport):
        """What both libraries' asynchronous clients take."""

        async def handle_async_request(self, request: Any) -> Any:
            """Send a request."""

        async def __aenter__(self) -> Self:
            """Open."""

else:
    # The clients ask for the methods and not for the class.
    _Transport = _AsyncTransport = object

__all__ = ["AsyncSigningTransport", "SigningTransport", "async_client", "client"]

EXTENSION: Final = "wimse"
# Options of the convenience below that are the transport's; a client that is given a transport drops them in silence.
_TRANSPORT_OPTIONS: Final = ("cert", "http1", "http2", "limits", "proxy", "retries", "uds", "verify")
# These would lead requests past the transport that signs, or let the environment do so.
_REFUSED_OPTIONS: Final = ("mounts", "transport", "trust_env")


class _Signing:
    """What both transports share: all but the reading and the sending."""

    def __init__(
        self,
        transport: Any,
        authenticator: ClientAuthenticator,
        *,
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
        allow_plaintext: bool = False,
    ) -> None:
        """Wrap `transport`.

        Args:
            transport: a transport of httpx2 or httpx, which does the sending; closed with this one.
            authenticator: signs, and says who answered.
            max_body_bytes: of a response's content, before any content coding is undone. Default 16 MiB.
            allow_plaintext: whether ``http`` is permitted to other hosts than this one.

        Raises:
            ConfigurationError: for a limit below 1.
        """
        if max_body_bytes < 1:
            raise ConfigurationError("max_body_bytes must be at least 1")
        self._inner = transport
        self._authenticator = authenticator
        self._max_body_bytes = max_body_bytes
        self._allow_plaintext = allow_plaintext

    def _check(self, request: Any) -> None:
        check_destination(request.url.scheme, request.url.host, allow_plaintext=self._allow_plaintext)
        if "target" in request.extensions:
            raise ConfigurationError("the extension target would send another target than the one that is signed")

    def _signed(self, request: Any, content: bytes) -> tuple[Hop, Any]:
        """Sign, and build the request to send; the caller's is left as it is, for the hops to come."""
        hop = Hop.sign(
            self._authenticator,
            method=request.method,
            scheme=request.url.scheme,
            target=request.url.raw_path.decode("ascii"),
            lines=request.headers.raw,
            content=content,
        )
        target = hop.sent.request.target.encode("ascii")
        url = request.url.copy_with(raw_path=target)
        if url.raw_path != target:  # the library's own normalisation keeps a safe target; were it to change, so be it
            raise ConfigurationError("the HTTP library changes the target that was signed")
        signed = type(request)(
            request.method, url, headers=hop.lines, content=hop.content, extensions=dict(request.extensions)
        )
        return hop, signed

    def _answer(self, hop: Hop, response: Any) -> Answer:
        return hop.answer(response.status_code, response.headers.raw, max_body_bytes=self._max_body_bytes)

    @staticmethod
    def _verified(response: Any, answer: Answer, peer: AuthenticatedWorkload | None) -> Any:
        """The response to hand on: the same head, the verified bytes, and who answered."""
        made = type(response)
        extensions: dict[str, Any] = {
            # The raw connection would lead past what was verified.
            name: value
            for name, value in response.extensions.items()
            if name not in ("network_stream", EXTENSION)
        }
        if peer is not None:
            extensions[EXTENSION] = peer
        # The stream of a response made from bytes is the library's own kind, for both ways of reading. It is not
        # made from bytes with the head at once, because the library would then undo the content coding here.
        stream = made(200, content=answer.content()).stream
        return made(response.status_code, headers=response.headers.raw, stream=stream, extensions=extensions)


class SigningTransport(_Signing, _Transport):
    """A transport for `httpx2.Client` and `httpx.Client`; arguments as the base class. Safe among threads.

    A response is handed on only when it was verified, with its sender, an `AuthenticatedWorkload`, as
    ``response.extensions["wimse"]``. That is absent for an unsigned response, which is accepted only where the
    authenticator does not require signed ones.
    """

    def handle_request(self, request: Any) -> Any:
        """Sign and send a request, and verify its response.

        Args:
            request: the library's. Its content is read completely before anything is sent.

        Returns:
            The library's response, whose content is in memory.

        Raises:
            Refused: when the response is not acceptable, with `response_unsigned` for an unsigned one.
            Unavailable: when there is no usable credential or no bundle.
            ConfigurationError: for a URL that is not signed: without TLS, or without a safe form.
        """
        self._check(request)
        hop, signed = self._signed(request, b"".join(request.stream))
        response = self._inner.handle_request(signed)
        try:
            answer = self._answer(hop, response)
            for chunk in response.stream:
                answer.add(chunk)
        finally:
            response.stream.close()
        return self._verified(response, answer, hop.verify(answer))

    def close(self) -> None:
        """Close the transport inside."""
        self._inner.close()

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._inner.__exit__(exc_type, exc_value, traceback)


class AsyncSigningTransport(_Signing, _AsyncTransport):
    """The same for `httpx2.AsyncClient` and `httpx.AsyncClient`."""

    async def handle_async_request(self, request: Any) -> Any:
        """Sign and send a request, and verify its response; as `SigningTransport.handle_request`."""
        self._check(request)
        hop, signed = self._signed(request, b"".join([chunk async for chunk in request.stream]))
        response = await self._inner.handle_async_request(signed)
        try:
            answer = self._answer(hop, response)
            async for chunk in response.stream:
                answer.add(chunk)
        finally:
            await response.stream.aclose()
        return self._verified(response, answer, await hop.verify_async(answer))

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)


def client(
    source: WorkloadSource,
    *,
    server: PeerRule,
    audience: Callable[[Request], str] | None = None,
    allow_plaintext: bool = False,
    **options: Any,
) -> httpx2.Client:
    """Make an httpx2 client whose every request is signed and every response verified.

    The environment's proxies and certificates are not used: they could lead signed traffic elsewhere.

    Args:
        source: of our credential and the bundles.
        server: which workload may answer which request.
        audience: for whom a request is; None sends the target URI without query.
        allow_plaintext: as for `SigningTransport`.
        **options: of `httpx2.Client` or `httpx2.HTTPTransport`.

    Raises:
        ConfigurationError: without httpx2; for an option that would lead requests past the transport, and for
            ``verify=False``.
    """
    library = _library()
    for_transport, for_client = _sorted(options)
    transport = library.HTTPTransport(trust_env=False, **for_transport)
    signing = SigningTransport(
        transport, ClientAuthenticator(source, server=server, audience=audience), allow_plaintext=allow_plaintext
    )
    made: httpx2.Client = library.Client(transport=signing, trust_env=False, **for_client)
    return made


def async_client(
    source: WorkloadSource,
    *,
    server: PeerRule,
    audience: Callable[[Request], str] | None = None,
    allow_plaintext: bool = False,
    **options: Any,
) -> httpx2.AsyncClient:
    """Make an asynchronous httpx2 client; as `client`."""
    library = _library()
    for_transport, for_client = _sorted(options)
    transport = library.AsyncHTTPTransport(trust_env=False, **for_transport)
    signing = AsyncSigningTransport(
        transport, ClientAuthenticator(source, server=server, audience=audience), allow_plaintext=allow_plaintext
    )
    made: httpx2.AsyncClient = library.AsyncClient(transport=signing, trust_env=False, **for_client)
    return made


def _library() -> Any:
    try:
        import httpx2
    except ImportError:
        raise ConfigurationError("this needs httpx2: pip install 'wimse[httpx2]'") from None
    return httpx2


def _sorted(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    refused = sorted(set(options) & set(_REFUSED_OPTIONS))
    if refused:
        raise ConfigurationError(f"{', '.join(refused)}: build the client with a SigningTransport of your own instead")
    verify = options.get("verify", True)
    if verify is not True and not isinstance(verify, ssl.SSLContext):
        raise ConfigurationError("verify is an ssl.SSLContext: signed requests go to servers whose name is checked")
    for_transport = {name: value for name, value in options.items() if name in _TRANSPORT_OPTIONS}
    return for_transport, {name: value for name, value in options.items() if name not in _TRANSPORT_OPTIONS}
