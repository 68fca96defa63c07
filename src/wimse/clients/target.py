"""The safe target: the form of a path and query that proxies were seen to pass on unchanged.

A signature covers `@path` and `@query` as they are sent (RFC 9421 §2.2.6, §2.2.7), while proxies normalise them. So a
target is normalised before it is signed, and then sent exactly as it was signed:

- percent-encodings in upper case, and none for unreserved characters (RFC 3986 §6.2.2.1, §6.2.2.2);
- no dot segments, written out or encoded (§6.2.2.3);
- no ``?`` with nothing behind it, which servers and proxies drop;
- ``;`` as ``%3B`` in a query, where some proxies take it for ``&``;
- characters that a URI cannot have, percent-encoded.

What cannot be made safe without saying something else is refused here, where the caller is told why, and not by the
far end, which could only say that the signature is wrong: an empty segment (``//``) in the path, which some proxies
merge, and ``%2F``, ``%5C``, ``%5B`` and ``%00`` there, which they decode or refuse.
"""

from __future__ import annotations

import re
from typing import Final

from wimse.errors import ConfigurationError

__all__ = ["safe_target"]

_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 §2.3
_SUB_DELIMS: Final = frozenset("!$&'()*+,;=")  # §2.2
_PATH: Final = _UNRESERVED | _SUB_DELIMS | frozenset(":@/")  # §3.3
_QUERY: Final = (_PATH | {"?"}) - {";"}  # §3.4
_UNSAFE_IN_PATH: Final = frozenset(("%2F", "%5C", "%5B", "%00"))
# One percent-encoding, or any one character; DOTALL, so that nothing is skipped.
_PIECE: Final = re.compile("%[0-9A-Fa-f]{2}|.", re.DOTALL)


def safe_target(target: str) -> str:
    """Normalise a request target in origin form.

    Args:
        target: the path with its query, such as ``/a%7eb?c=d``; without a fragment.

    Returns:
        The target to sign and to send; it is its own safe target.

    Raises:
        ConfigurationError: for a target that does not begin with a slash, has a fragment or a ``%`` that
            begins no percent-encoding, or whose path has what no normalisation makes safe (see above).
    """
    if not target.startswith("/"):
        raise ConfigurationError("only a target that begins with a slash can be signed")
    if "#" in target:
        raise ConfigurationError("a request target has no fragment")
    path, _, query = target.partition("?")
    safe_path = _without_dot_segments(_encoded(path, _PATH, _UNSAFE_IN_PATH))
    if "//" in safe_path:
        raise ConfigurationError("the path has an empty segment (//), which proxies merge: it cannot be signed safely")
    return f"{safe_path}?{_encoded(query, _QUERY, frozenset())}" if query else safe_path


def _encoded(text: str, allowed: frozenset[str], refused: frozenset[str]) -> str:
    return "".join(_piece(piece, allowed, refused) for piece in _PIECE.findall(text))


def _piece(piece: str, allowed: frozenset[str], refused: frozenset[str]) -> str:
    if piece in allowed:
        return piece
    if piece == "%":
        raise ConfigurationError("the target has a % that begins no percent-encoding")
    if len(piece) == 1:
        encoded = "".join(f"%{byte:02X}" for byte in piece.encode("utf-8", "surrogateescape"))
    else:
        encoded = piece.upper()
        decoded = chr(int(piece[1:], 16))
        if decoded in _UNRESERVED:
            return decoded
    if encoded in refused:
        raise ConfigurationError(f"the path has {encoded}, which proxies decode or refuse: it cannot be signed safely")
    return encoded


def _without_dot_segments(path: str) -> str:
    # RFC 3986 §5.2.4, for a path that begins with a slash; a last dot segment leaves the slash before it.
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
