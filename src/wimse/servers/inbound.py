"""From ASGI to what is verified: the head of a request as it came, its content, and what the application gets of it.

The request is built from `raw_path` and `query_string`, never from a URL that was put together (CVE-2026-48710), and
from nothing that a proxy or a caller claims of itself: X-Forwarded-* decides nothing here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from wimse.authentication import AuthenticatedWorkload
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import Fields, Limits, Request
from wimse.profiles.proof_token import VerifiedRequestProof

__all__ = [
    "BEARER_EXTENSION",
    "EXTENSION",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "check_head",
    "read_content",
    "request_of",
    "safe_scope",
    "without_proof_token",
    "without_unseen_extensions",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
# As servers and tests annotate their own: some by mapping, some by dict.
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

EXTENSION: Final = "wimse"
BEARER_EXTENSION: Final = "wimse.bearer"

_SIGNATURE_FIELDS: Final = (b"signature", b"signature-input")
# Who calls is said in the scope. Fields that pose as that, or that change what was signed (method and path) after it
# was verified, are not for the application.
_POSING_PREFIX: Final = b"x-wimse-"
_OVERRIDING: Final = frozenset(
    (b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-original-url", b"x-rewrite-url")
)
# With these an application sends what we do not see.
_UNSEEN_EXTENSIONS: Final = frozenset(
    (
        "http.response.debug",
        "http.response.early_hint",
        "http.response.pathsend",
        "http.response.push",
        "http.response.trailers",
        "http.response.zerocopysend",
    )
)


def request_of(scope: Scope, *, scheme: str, path_prefix: str, limits: Limits) -> Request:
    """The head of a request as the caller sent it.

    Args:
        scope: of an HTTP request.
        scheme: by which callers reach us, from configuration.
        path_prefix: what a proxy before us takes off the path.
        limits: how many fields there may be and how large.

    Raises:
        ConfigurationError: when the server does not say which path was requested.
        Refused: `too_many_fields`, `field_too_large`, `field_malformed`, `message_malformed`, and
            `field_duplicated` for a second Host.
    """
    lines = list(scope["headers"])
    if len(lines) > limits.max_fields:
        raise Refused(Reason.TOO_MANY_FIELDS, f"the head has more than {limits.max_fields} field lines")
    for name, value in lines:
        most = limits.max_signature_field_bytes if name.lower() in _SIGNATURE_FIELDS else limits.max_field_bytes
        if len(name) + len(value) > most:
            raise Refused(Reason.FIELD_TOO_LARGE, f"a field is longer than {most} bytes")
    fields = Fields.from_bytes(lines)
    hosts = fields.values("host")
    if len(hosts) > 1:
        raise Refused(Reason.FIELD_DUPLICATED, "the request has more than one Host")
    return Request(
        method=scope["method"],
        target=path_prefix + _target(scope),
        scheme=scheme,
        authority=hosts[0] if hosts else "",
        fields=fields,
    )


def _target(scope: Scope) -> str:
    raw_path = scope.get("raw_path")
    if not isinstance(raw_path, bytes):
        # `path` is decoded: what was signed cannot be told from it.
        raise ConfigurationError("the server gives no raw_path, without which no request can be verified")
    if b"?" in raw_path or b"#" in raw_path:
        raise Refused(Reason.MESSAGE_MALFORMED, "the path has a character that ends it")
    query: bytes = scope.get("query_string", b"")
    return (raw_path + b"?" + query if query else raw_path).decode("latin-1")


def check_head(request: Request, *, max_body_bytes: int) -> int | None:
    """Refuse what needs no content to be refused, before any is asked for (RFC 9110 §10.1.1).

    Args:
        request: the head.
        max_body_bytes: of the content.

    Returns:
        The length that Content-Length declares, in bytes; None without one.

    Raises:
        Refused: `message_malformed` for a Content-Length that is no number; `body_too_large`.
    """
    values = set(request.fields.values("content-length"))
    if not values or "transfer-encoding" in request.fields:  # RFC 9112 §6.3: the transfer coding decides
        return None
    value = values.pop()
    if values or not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise Refused(Reason.MESSAGE_MALFORMED, "Content-Length is no number")
    if int(value) > max_body_bytes:
        raise _too_large(max_body_bytes)
    return int(value)


async def read_content(receive: Receive, *, declared: int | None, max_body_bytes: int) -> bytes | None:
    """All of the content; None when the caller has gone away.

    Args:
        receive: of the server.
        declared: as `check_head` returned it.
        max_body_bytes: of the content.

    Raises:
        Refused: `body_too_large`; `message_malformed` for content of another length than was declared.
    """
    chunks: list[bytes] = []
    received, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunk = bytes(message.get("body", b""))
        received += len(chunk)
        if received > max_body_bytes:
            raise _too_large(max_body_bytes)
        chunks.append(chunk)
        more = message.get("more_body", False)
    if declared is not None and declared != received:
        raise Refused(Reason.MESSAGE_MALFORMED, "the content is not as long as Content-Length says")
    return b"".join(chunks)


def safe_scope(scope: Scope) -> Scope:
    """A copy of the scope for the application: without an identity, and without fields that pose as one.

    Names with an underscore go too: gateways of the CGI kind read ``Workload_Identity_Token`` and
    ``Workload-Identity-Token`` as one.
    """
    safe = {key: value for key, value in scope.items() if key not in (EXTENSION, BEARER_EXTENSION)}
    safe["headers"] = [(name, value) for name, value in scope["headers"] if not _is_posing(name.lower())]
    return safe


def without_proof_token(scope: Scope, caller: AuthenticatedWorkload) -> None:
    """Take a proof token out of the fields that the application gets, so that it is in none of its logs (wpt-02 §3.1).

    With it goes what stands in Authorization beside one and is not bound by it: it is not for decisions (§2).
    """
    if isinstance(caller.proof, VerifiedRequestProof):
        dropped = {b"workload-proof-token"} | ({b"authorization"} if "authorization" not in caller.covered else set())
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() not in dropped]


def without_unseen_extensions(scope: Scope) -> None:
    """Hide from the application what would send an answer past its signature; it then sends it the plain way."""
    extensions = scope.get("extensions")
    if extensions:
        scope["extensions"] = {name: value for name, value in extensions.items() if name not in _UNSEEN_EXTENSIONS}


def _is_posing(name: bytes) -> bool:
    return b"_" in name or name.startswith(_POSING_PREFIX) or name in _OVERRIDING


def _too_large(max_body_bytes: int) -> Refused:
    return Refused(Reason.BODY_TOO_LARGE, f"the content is over {max_body_bytes} bytes")
