"""What a refused caller is told: as much as helps an honest one to look in the right place, and no more.

The answer is 400 rather than 401, which would need a challenge (http-signature §3.5), or what `errors` has for the
reason; a request that was meant for wpt-02 is challenged, with 401 (§2.1). The document (RFC 9457) names the class of
the reason. Nothing in it comes from the request, so there is nothing to escape. Which check failed, and why, is for our
own log.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from wimse.errors import ReasonClass, WimseError

__all__ = ["Problem"]


class Problem:
    """The answer to a request that is refused.

    Attributes:
        status: of the answer.
        fields: in lower case.
        content: the problem document.
    """

    __slots__ = ("content", "fields", "status")

    def __init__(self, status: int, reason_class: ReasonClass, challenge: str | None = None) -> None:
        """Write the document.

        Args:
            status: of the answer.
            reason_class: all that the peer is told.
            challenge: of WWW-Authenticate, with 401 (RFC 9110 §11.6.1); None for none.
        """
        self.status = status
        document = {
            "type": "about:blank",  # RFC 9457 §4.2.1: then the title is the status phrase
            "title": HTTPStatus(status).phrase,
            "status": status,
            "reason": reason_class.value,
        }
        self.content = json.dumps(document).encode("ascii")
        self.fields = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(self.content)).encode("ascii")),
            (b"cache-control", b"no-store"),
            *([] if challenge is None else [(b"www-authenticate", challenge.encode("ascii"))]),
        ]

    @classmethod
    def of(cls, error: WimseError) -> Problem:
        """The answer for `error`."""
        return cls(error.http_status, error.reason_class, error.challenge)
