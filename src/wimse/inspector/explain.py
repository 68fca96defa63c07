"""The entrance: tells tokens from messages, and explains either."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from wimse.credentials import TrustBundle, TrustDomain
from wimse.errors import Refused
from wimse.httpsig import Request, parse_http1
from wimse.inspector.messages import explain_message
from wimse.inspector.steps import Explanation, Outcome, Step, failed
from wimse.inspector.tokens import explain_token

__all__ = ["explain"]

_TOKEN: Final = re.compile(rb"[^\s.]+(?:\.[^\s.]*)+", re.ASCII)


def explain(
    data: bytes,
    *,
    now: int,
    scheme: str = "https",
    bundles: Mapping[TrustDomain, TrustBundle] | None = None,
    request: Request | None = None,
) -> Explanation:
    """Explain a message or a token, step by step. Never raises for what is in `data`.

    Args:
        data: the bytes of an HTTP/1.1 message, or a compact token.
        now: seconds since 1970.
        scheme: of the request, which the bytes do not say.
        bundles: whom to trust; None leaves the issuer's signature unchecked.
        request: when the message is a response, the request that it answers.
    """
    stripped = data.strip()
    if not stripped:
        return Explanation("unreadable", (Step("Input", Outcome.FAILED, "There is nothing to explain."),))
    if _TOKEN.fullmatch(stripped):
        steps, _ = explain_token(stripped.decode("latin-1"), now=now, bundles=bundles)
        return Explanation("token" if steps[0].outcome is not Outcome.FAILED else "unreadable", tuple(steps))
    try:
        file = parse_http1(data, scheme=scheme)
    except Refused as refused:
        return Explanation("unreadable", (failed("Message", refused),))
    is_request = isinstance(file.message, Request)
    steps = explain_message(file, now=now, bundles=bundles, request=None if is_request else request)
    return Explanation("request" if is_request else "response", tuple(steps))
