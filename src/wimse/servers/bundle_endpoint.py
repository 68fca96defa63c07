"""A SPIFFE bundle endpoint: the trust bundle of a domain at an HTTPS URL, for other trust domains (Federation §5).

    app = BundleEndpoint(bundle)

`BundleEndpoint` is the ASGI application. It answers GET and HEAD at one path, asks nobody who he is (§5.2.1.3,
§5.2.2.3), and reads nothing of a request but method, path and If-None-Match. A second path with the keys of JWT-SVIDs
alone, for verifiers of OpenID Connect's kind, is off unless it is named: bearer tokens are to be asked for.

The two profiles differ in the certificate alone: of the Web PKI, or the server's own X.509-SVID; see `bundle_serving`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from wimse.credentials import JWT_SVID, TrustBundle
from wimse.errors import ConfigurationError, WimseError
from wimse.servers.inbound import Receive, Scope, Send

__all__ = ["BundleEndpoint"]

_LOG = logging.getLogger("wimse.servers.bundle_endpoint")
_DEFAULT_HINT_SECONDS: Final = 300  # Trust Domain and Bundle §4.1.2, for a bundle that names none
_Fields = list[tuple[bytes, bytes]]


class BundleEndpoint:
    """The application."""

    def __init__(
        self,
        bundle: Callable[[], TrustBundle],
        *,
        path: str = "/",
        jwks_path: str | None = None,
        refresh_hint: int = 300,
    ) -> None:
        """Choose what is published, and where.

        Args:
            bundle: gives the newest bundle of one trust domain, without waiting. Its `sequence` has to grow with each
                change (Trust Domain and Bundle §4.1.1).
            path: of the bundle.
            jwks_path: of a JWK Set with the keys of JWT-SVIDs alone, which says nothing of SPIFFE; None for none.
            refresh_hint: seconds, for a bundle that has no hint of its own.

        Raises:
            ConfigurationError: for paths that are none, or one for both; for a hint that is not positive.
        """
        paths = [path] if jwks_path is None else [path, jwks_path]
        if not all(each.startswith("/") and each.isascii() and each.isprintable() for each in paths):
            raise ConfigurationError("a path of the bundle endpoint begins with a slash and is printable ASCII")
        if path == jwks_path:
            raise ConfigurationError("the bundle and the JWK Set have two paths")
        if refresh_hint <= 0:
            raise ConfigurationError("refresh_hint must be positive")
        self._bundle, self._path, self._jwks_path, self._hint = bundle, path, jwks_path, refresh_hint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            status, fields, content = self._answer(scope)
            # RFC 9110 §9.3.2: the fields of GET, and no content.
            sent = b"" if scope["method"] == "HEAD" else content
            if status != 304:
                fields.append((b"content-length", str(len(content)).encode("ascii")))
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": sent})

    def _answer(self, scope: Scope) -> tuple[int, _Fields, bytes]:
        if scope["path"] not in (self._path, self._jwks_path):
            return 404, [], b""
        if scope["method"] not in ("GET", "HEAD"):
            return 405, [(b"allow", b"GET, HEAD")], b""
        try:
            bundle = self._bundle()
            if bundle.refresh_hint is None:
                bundle = replace(bundle, refresh_hint=self._hint)
            # OpenID Connect's verifiers need no SPIFFE members, and §6.2.2 wants no keys of other uses.
            if scope["path"] == self._jwks_path:
                published = TrustBundle(trust_domain=bundle.trust_domain, jwt_keys=bundle.jwt_keys)
                content = published.to_json(JWT_SVID)
            else:
                content = bundle.to_json()
        except WimseError as error:
            _LOG.warning("the bundle cannot be served: %s", error)
            return 503, [(b"cache-control", b"no-store")], b""
        tag = b'"' + hashlib.sha256(content).hexdigest()[:32].encode("ascii") + b'"'
        hint = _DEFAULT_HINT_SECONDS if bundle.refresh_hint is None else bundle.refresh_hint
        # A cache between may keep it for as long as the hint lets a client, and then asks again.
        fields = [
            (b"content-type", b"application/json"),  # §5.2.1.3
            (b"cache-control", f"public, max-age={hint}, must-revalidate".encode("ascii")),
            (b"etag", tag),
            (b"x-content-type-options", b"nosniff"),
        ]
        if _has_tag(scope, tag):
            return 304, fields[1:3], b""
        return 200, fields, content


def _has_tag(scope: Scope, tag: bytes) -> bool:
    """Whether If-None-Match names `tag`, or any (RFC 9110 §13.1.2, with its weak comparison)."""
    lines = [value for name, value in scope["headers"] if name == b"if-none-match"]
    named = [each.strip().removeprefix(b"W/") for line in lines for each in line.split(b",")]
    return tag in named or b"*" in named


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
