"""Revisions for the Go proof of concept by Cofide: its own, and a bridge from it to 07.

Read off github.com/cofide/wimse-s2s-httpsig-poc and github.com/yaronf/httpsign v0.3.1. Both are opt-in.

`COFIDE_POC` is what the proof of concept sends. **It binds neither the audience nor the response**: whoever receives
such a request can pass it on to another server, which accepts it as well (only the replay store of the same server
refuses it the second time), and a response fits any request that its sender ever answered within `max_lifetime`. What
the proof of concept itself leaves out, the WIT's own signature and the digest of the content, is always checked here.

`BRIDGE` is a 07 request with `@request-target` beside `@path` and `@query`, so that a verifier of 07 and the server of
the proof of concept both accept it. It keeps all that 07 protects, where a verifier of 07 receives it. Its responses
are those of 07, which the client of the proof of concept accepts as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from wimse.credentials import WIT_FIELD
from wimse.httpsig import CONTENT_DIGEST, Request
from wimse.keys import ES256
from wimse.profiles.http_signature.revision import (
    REQUEST_NONCE,
    REVISION_06,
    REVISION_07,
    SIGN_RESPONSE,
    Revision,
    identifiers,
)

__all__ = ["BRIDGE", "COFIDE_POC", "REVISIONS"]


def _path_is_plain(request: Request) -> str | None:
    # httpsign signs the path decoded, and an empty one as nothing. Another form of target has no path there.
    path = request.target.partition("?")[0]
    if not path.startswith("/"):
        return "the path is empty, or the target is not a path"
    return "the path has a percent sign" if "%" in path else None


def _query_is_plain(request: Request) -> str | None:
    # It drops a question mark that nothing follows, and refuses semicolons.
    _, mark, query = request.target.partition("?")
    if mark and not query:
        return "the query is a bare question mark"
    return "the query has a semicolon" if ";" in query else None


_PLAIN_TARGET: Final = (_path_is_plain, _query_is_plain)

COFIDE_POC: Final = Revision(
    name="cofide-poc",
    document="github.com/cofide/wimse-s2s-httpsig-poc, November 2025",
    tag=REVISION_07.tag,
    request_components=identifiers("@method", "@request-target", WIT_FIELD),
    request_if_present=identifiers(CONTENT_DIGEST, "content-type", "authorization", "txn-token"),
    response_components=identifiers("@status", WIT_FIELD),
    response_if_present=identifiers(CONTENT_DIGEST, "content-type"),
    request_parameters=("created", "expires", "nonce", "tag"),
    response_parameters=("created", "tag"),
    # Its alg says nothing: as everywhere, it must be the one of the key that the WIT names.
    request_forbidden=("keyid", REQUEST_NONCE),
    response_forbidden=("keyid", "wimse-aud", SIGN_RESPONSE),
    request_sent=("created", "expires", "nonce", "alg", "tag"),
    response_sent=("created", "alg", "tag"),
    response_sent_if_present=identifiers("date", "content-length"),
    algorithms=frozenset({ES256}),
    target_rules=_PLAIN_TARGET,
    warning="the revision cofide-poc binds neither the audience nor the response: a request can be passed on to "
    "another server, and a response to another request",
)

BRIDGE: Final = replace(
    REVISION_07,
    name="bridge",
    document=f"{REVISION_07.document}, and {COFIDE_POC.document}",
    request_components=identifiers("@method", "@path", "@query", "@request-target", WIT_FIELD),
    algorithms=frozenset({ES256}),
    target_rules=_PLAIN_TARGET,
)

REVISIONS: Final[Mapping[str, Revision]] = MappingProxyType(
    {each.name: each for each in (REVISION_07, REVISION_06, BRIDGE, COFIDE_POC)}
)
