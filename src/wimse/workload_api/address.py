"""Where the endpoint is: `SPIFFE_ENDPOINT_SOCKET` and its two forms (SPIFFE_Workload_Endpoint §4).

`urllib.parse` is not used: it drops tabs and newlines, and hides an empty query or fragment.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wimse.errors import ConfigurationError

__all__ = ["DEFAULT_SOCKET", "ENDPOINT_VARIABLE", "EndpointAddress", "check_socket_path", "default_socket"]

ENDPOINT_VARIABLE: Final = "SPIFFE_ENDPOINT_SOCKET"
DEFAULT_SOCKET: Final = "unix:///tmp/spire.sock"  # where minispire listens
MAX_SOCKET_PATH_BYTES: Final = 107  # sun_path of unix(7), less the final NUL

_TCP = re.compile(r"tcp://(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+)):(?P<port>[1-9][0-9]{0,4})", re.ASCII)
_MAX_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """The address of a Workload API: a Unix socket, or an IP address and a port.

    Attributes:
        path: absolute path of the socket, or None.
        host: IP address, or None.
        port: TCP port, or None.
    """

    path: str | None = None
    host: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> EndpointAddress:
        """Read ``unix:///path/to/socket`` or ``tcp://127.0.0.1:8000``.

        Raises:
            ConfigurationError: for any other scheme, an authority or a relative path with `unix`, a host name, a
                path or a missing port with `tcp`, and for queries, fragments and percent-encodings.
        """
        if text.startswith("unix:"):
            return cls(path=_unix_path(text.removeprefix("unix:")))
        match = _TCP.fullmatch(text)
        if match is None:
            raise ConfigurationError("a Workload API address is unix:///path or tcp://address:port, nothing else")
        try:
            host = str(ipaddress.ip_address(match["v6"] or match["v4"]))
        except ValueError:
            raise ConfigurationError("the tcp address of the Workload API has no valid IP address") from None
        port = int(match["port"])
        if port > _MAX_PORT:
            raise ConfigurationError(f"the tcp address of the Workload API has a port above {_MAX_PORT}")
        return cls(host=host, port=port)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in (self.host or "") else self.host
        return f"tcp://{host}:{self.port}"


def default_socket(environ: Mapping[str, str] | None = None) -> EndpointAddress:
    """The address from `SPIFFE_ENDPOINT_SOCKET`, or ``unix:///tmp/spire.sock`` where that is not set.

    Args:
        environ: the environment; that of the process by default.

    Raises:
        ConfigurationError: when the variable is set, even to nothing, and malformed.
    """
    value = (os.environ if environ is None else environ).get(ENDPOINT_VARIABLE)
    try:
        return EndpointAddress.parse(DEFAULT_SOCKET if value is None else value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{ENDPOINT_VARIABLE}: {error.detail}") from None


def check_socket_path(path: str) -> str:
    """Check that a path can be that of a Unix socket.

    Returns:
        The path.

    Raises:
        ConfigurationError: when it is relative, longer than 107 bytes, ends with a slash, or has a NUL or another
            character that cannot be printed.
    """
    if not path.startswith("/") or path.endswith("/"):
        raise ConfigurationError("the path of a Unix socket is absolute and names a file")
    if not path.isprintable():
        raise ConfigurationError("the path of a Unix socket has a character that cannot be printed")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigurationError(f"the path of a Unix socket is longer than {MAX_SOCKET_PATH_BYTES} bytes")
    return path


def _unix_path(rest: str) -> str:
    # RFC 3986 §3: "//" begins an authority, which must be empty; "unix:/path" has none at all and is the same.
    if rest.startswith("//"):
        rest = rest.removeprefix("//")
    if not rest.startswith("/") or rest.startswith("//"):
        raise ConfigurationError("a unix address has no authority and an absolute path: unix:///path")
    if any(character in rest for character in "?#%"):
        raise ConfigurationError("a unix address has a path only: no query, fragment or percent-encoding")
    return check_socket_path(rest)
