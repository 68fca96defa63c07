"""Getting a document over HTTPS, within limits, from a URL that was configured."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.sources.jwks_cache import Published

__all__ = ["NextHop", "check_url", "get_document", "http_library", "unavailable"]

_URL: Final = re.compile(r"https?://[\x21-\x7e]+", re.ASCII)

NextHop = Callable[[str, str], str]
"""Where a redirect leads, from the URL that was asked and the value of Location; else `Unavailable`."""


async def get_document(
    library: Any,
    url: str,
    *,
    accept: str,
    max_bytes: int,
    ssl_context: ssl.SSLContext,
    timeout: timedelta,  # noqa: ASYNC109 - of the whole, and not of each part
    next_hop: NextHop | None = None,
    max_redirects: int = 0,
) -> Published:
    """Ask for a document. Proxies and credentials of the environment are not used.

    Args:
        library: httpx2.
        url: where.
        accept: the media types that are wanted.
        max_bytes: largest document; reading stops there.
        ssl_context: whom to trust, on every hop.
        timeout: from the first look-up of a name to the last byte.
        next_hop: which redirects to follow; None for none.
        max_redirects: how many of them.

    Raises:
        Unavailable: `trust_unavailable` for any other answer than the whole document with 200.
    """
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            client = library.AsyncClient(verify=ssl_context, follow_redirects=False, trust_env=False, timeout=None)
            async with client:
                return await _follow(
                    client, url, accept=accept, max_bytes=max_bytes, next_hop=next_hop, most=max_redirects
                )
    except TimeoutError:
        raise unavailable("it did not arrive in time") from None
    except library.HTTPError as error:
        raise unavailable("the connection to its publisher failed") from error


async def _follow(
    client: Any, url: str, *, accept: str, max_bytes: int, next_hop: NextHop | None, most: int
) -> Published:
    headers = {
        "Accept": accept,
        "Accept-Encoding": "identity",  # so that the limit of bytes is one of what is parsed, too
        "User-Agent": "wimse",
    }
    for _ in range(most + 1):
        async with client.stream("GET", url, headers=headers) as response:
            if not response.is_redirect:
                return await _read(response, max_bytes)
            if next_hop is None:
                raise unavailable("its publisher redirects, which is not followed")
            url = next_hop(url, response.headers.get("location", ""))
    raise unavailable(f"its publisher redirects more than {most} times")


async def _read(response: Any, max_bytes: int) -> Published:
    if response.status_code != 200:
        raise unavailable("its publisher does not answer with 200")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise unavailable("its publisher compresses it, unasked")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > max_bytes:
            raise unavailable(f"it is larger than {max_bytes} bytes")
    return Published(bytes(content), response.headers.get("cache-control"), response.headers.get("age"))


def unavailable(detail: str) -> Unavailable:
    """What is to be trusted cannot be had now."""
    return Unavailable(Reason.TRUST_UNAVAILABLE, detail)


def check_url(url: str, what: str, *, allow_loopback_http: bool = False) -> None:
    """Refuse a URL that is not to be fetched.

    Args:
        url: where.
        what: is there, for the message.
        allow_loopback_http: whether ``http`` is taken too, to this machine only.

    Raises:
        ConfigurationError: for any but ``https``, without a host, with user information or a fragment.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise ConfigurationError(f"the URL of {what} is malformed") from None
    if not _URL.fullmatch(url) or not host or "@" in parts.netloc or "#" in url:
        raise ConfigurationError(f"the URL of {what} needs scheme and host, without user information or fragment")
    if parts.scheme != "https" and not (allow_loopback_http and _is_loopback(host)):
        raise ConfigurationError(f"the URL of {what} is not https")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def http_library() -> Any:
    """Import httpx2, which is not needed before something is fetched.

    Raises:
        ConfigurationError: without it.
    """
    try:
        import httpx2
    except ImportError:
        raise ConfigurationError("this needs httpx2: pip install 'wimse[httpx2]'") from None
    return httpx2
