"""The page, as a Starlette application: a text area, and what is in it explained.

What is pasted is explained in this process and forgotten: it is not logged, not kept, and sent nowhere. Only requests
for a name of the loopback interface are answered, so that no page of the Internet can read this one by giving its own
name to 127.0.0.1; and only JSON of this origin is taken.
"""

from __future__ import annotations

import json
import re
import time
from importlib.resources import files
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wimse.errors import Refused
from wimse.httpsig import Request as SignedRequest
from wimse.httpsig import parse_http1
from wimse.inspector.explain import explain
from wimse.keys import parse_json_object

__all__ = ["MAX_INPUT_BYTES", "application"]

MAX_INPUT_BYTES: Final = 1_048_576
_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = [
    (b"content-security-policy", _POLICY.encode("ascii")),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
_NAMES: Final = ("127.0.0.1", "localhost")
_PORT: Final = re.compile(r":[0-9]{1,5}$", re.ASCII)


def application() -> Starlette:
    """Make the application."""
    routes = [Route(path, _file, methods=["GET"]) for path in _FILES]
    return Starlette(
        routes=[*routes, Route("/explain", _explain, methods=["POST"])],
        middleware=[Middleware(_Guard)],
    )


async def _file(request: Request) -> Response:
    name, kind = _FILES[request.url.path]
    return Response(files("wimse.inspector").joinpath("page", name).read_bytes(), media_type=kind)


async def _explain(request: Request) -> Response:
    """Explain ``{"text": …, "request": …}``; `request` may be missing or empty."""
    if request.headers.get("content-type") != "application/json":  # another origin would have to ask first
        return JSONResponse({"error": "the input is not application/json"}, status_code=415)
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_INPUT_BYTES:
            return JSONResponse({"error": f"the input is larger than {MAX_INPUT_BYTES} bytes"}, status_code=413)
    try:
        document = parse_json_object(bytes(received), "the input", max_bytes=MAX_INPUT_BYTES)
        sent = _sent(document.get("request"))
    except Refused as refused:
        return JSONResponse({"error": refused.detail}, status_code=400)
    text = document.get("text")
    if not isinstance(text, str):
        return JSONResponse({"error": "the input has no text"}, status_code=400)
    explanation = explain(text.lstrip().encode("utf-8"), now=int(time.time()), request=sent)
    return JSONResponse(json.loads(json.dumps(explanation.to_document())))


def _sent(text: object) -> SignedRequest | None:
    if not isinstance(text, str) or not text.strip():
        return None
    message = parse_http1(text.lstrip().encode("utf-8")).message
    return message if isinstance(message, SignedRequest) else None


class _Guard:
    """Answers requests for this machine's own names only, and puts the security fields into every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
            await send(message)

        hosts = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and _PORT.sub("", hosts[0]) in _NAMES:
            await self._app(scope, receive, send_with_fields)
        else:
            await Response("not for this host", status_code=421)(scope, receive, send_with_fields)
