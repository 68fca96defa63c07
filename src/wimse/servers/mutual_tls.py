"""ASGI middleware for mutual TLS: the application sees only requests that come over a workload's own connection.

    app = MutualTLSMiddleware(app, bundles=bundles, policy=member_of(domain))

    async def app(scope, receive, send):
        scope["wimse.tls"].identity      # who holds the other end of the connection

The certificate is what the server says that the connection was made with: ASGI's TLS extension,
``scope["extensions"]["tls"]["client_cert_chain"]``. The server vouches for the handshake and so for the possession of
the key; everything else is verified here, at every request, so that a connection does not outlive its certificate, nor
a bundle its keys. A field of the request is never looked at (mutual-tls, Security Considerations).

Few servers have that extension: none of uvicorn, hypercorn and granian, as of late 2026. Without it every request is
refused. `with_client_certificates` gives it to uvicorn. The others do not let an application near their connections;
there, let the TLS context decide who may connect (`wimse.tls.server_context`), and do without the name, or sign.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from itertools import islice
from typing import Any, Final

from wimse.authentication import BundleLookup, Policy
from wimse.authentication.needs import bundle_lookup, require
from wimse.credentials import (
    CertificatePurpose,
    TrustBundle,
    TrustDomain,
    UnverifiedX509SVID,
    VerifiedX509SVID,
    WorkloadSource,
    X509Settings,
    verify_x509_svid,
)
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable, WimseError
from wimse.servers.inbound import Receive, Scope, Send, safe_scope
from wimse.servers.outbound import send_problem
from wimse.servers.problem import Problem
from wimse.tls import peer_chain

__all__ = ["PEER", "MutualTLSMiddleware", "with_client_certificates"]

PEER: Final = "wimse.tls"

_LOG: Final = logging.getLogger("wimse.servers.mutual_tls")
_DEFAULTS: Final = X509Settings()
# Of a certificate that is as large as the limits of `X509Settings` allow by default, as PEM.
_MAX_PEM_CHARACTERS: Final = 32_768


class MutualTLSMiddleware:
    """Wraps an ASGI application."""

    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[None]],
        *,
        bundles: Mapping[TrustDomain, TrustBundle] | WorkloadSource | BundleLookup,
        policy: Policy,
        settings: X509Settings = _DEFAULTS,
    ) -> None:
        """Wrap `app`.

        Args:
            app: an ASGI application, or the next middleware.
            bundles: by whose anchors, as for an `Authenticator`.
            policy: which workloads may call.
            settings: limits for certificates.

        Raises:
            ConfigurationError: without bundles or a policy.
        """
        require({"bundles": bundles, "policy": policy}, "the middleware")
        self._app = app
        self._lookup = bundle_lookup(bundles)
        self._policy = policy
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            ConfigurationError: for a kind of connection that is not known here.
        """
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            raise ConfigurationError("this kind of ASGI scope is not known, and so not served")
        try:
            peer = await self._peer(scope)
        except WimseError as error:
            _LOG.info("refused: %s", error, extra={"reason": error.reason.code, "status": error.http_status})
            await _refuse(error, scope, receive, send)
        except Exception as fault:  # noqa: BLE001 - a fault of ours must not become a way in
            _LOG.error("closed: %s while verifying a certificate", type(fault).__name__, extra={"reason": "fault"})
            await _refuse(Unavailable(Reason.TRUST_UNAVAILABLE, "a fault"), scope, receive, send)
        else:
            inner = safe_scope(scope)
            inner[PEER] = peer
            await self._app(inner, receive, send)

    async def _peer(self, scope: Scope) -> VerifiedX509SVID:
        unverified = UnverifiedX509SVID.parse(_chain(scope, self._settings), settings=self._settings)
        answer = self._lookup(unverified.trust_domain)
        bundle = await answer if isawaitable(answer) else answer
        if bundle is None:
            raise Refused(Reason.TRUST_DOMAIN_UNKNOWN, "the certificate's trust domain is not one that is trusted")
        verified = verify_x509_svid(
            unverified,
            bundle,
            now=int(time.time()),
            purpose=CertificatePurpose.CLIENT,
            settings=self._settings,
        )
        if self._policy(verified.identity) is not True:
            raise Refused(Reason.IDENTITY_NOT_ALLOWED, "this workload may not call")
        return verified


async def _refuse(error: WimseError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send_problem(send, Problem.of(error), head_only=scope["method"] == "HEAD")
    else:
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": ""})


def _chain(scope: Scope, settings: X509Settings) -> list[bytes]:
    extension = (scope.get("extensions") or {}).get("tls")
    if not isinstance(extension, Mapping):
        raise Refused(Reason.CERTIFICATE_MISSING, "the server does not say which certificate the connection has")
    if extension.get("client_cert_error"):
        raise Refused(Reason.CERTIFICATE_UNTRUSTED, "the server says that the client's certificate did not verify")
    try:
        shown = list(islice(extension.get("client_cert_chain") or (), settings.max_certificates + 1))
        if any(len(each) > _MAX_PEM_CHARACTERS for each in shown):
            raise Refused(Reason.CERTIFICATE_CHAIN_TOO_LARGE, "a certificate of the peer is too large")
        return [ssl.PEM_cert_to_DER_cert(each) for each in shown]
    except (TypeError, ValueError, AttributeError):
        raise Refused(Reason.CERTIFICATE_MALFORMED, "the client's certificate is not PEM") from None


def with_client_certificates(protocol: Any) -> Any:
    """A protocol of uvicorn that shows its application the client's certificate.

    For uvicorn's option ``http``, with a context of `wimse.tls.server_context`::

        uvicorn.Config(app, http=with_client_certificates(H11Protocol), ssl_context_factory=lambda *_: context)

    What it relies on is that a protocol has one object for each connection, whose attribute ``app`` it calls.

    Args:
        protocol: ``uvicorn.protocols.http.h11_impl.H11Protocol`` or ``…httptools_impl.HttpToolsProtocol``.
    """

    class Protocol(protocol):  # type: ignore[misc]  # a class of another package, without types here
        app: Any

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            connection = transport.get_extra_info("ssl_object")
            if connection is not None:
                self.app = _showing(self.app, _extension(connection))

    return Protocol


def _extension(connection: Any) -> dict[str, Any]:
    # https://asgi.readthedocs.io/en/latest/specs/tls.html: what is not known is None, and the rest as it says.
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(der) for der in peer_chain(connection)],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}.get(connection.version()),
        "cipher_suite": None,
    }


def _showing(app: Any, extension: dict[str, Any]) -> Any:
    async def shown(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "extensions": {**(scope.get("extensions") or {}), "tls": extension}}, receive, send)

    return shown
