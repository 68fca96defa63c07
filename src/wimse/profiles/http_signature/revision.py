"""Revisions of draft-ietf-wimse-http-signature, each a value: what is covered, required and forbidden.

A new revision is a new value and its vectors; no code asks which revision it is dealing with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from wimse.credentials import WIT_FIELD
from wimse.httpsig import CONTENT_DIGEST, ComponentIdentifier

__all__ = ["AUDIENCE", "REQUEST_NONCE", "REVISIONS", "REVISION_06", "REVISION_07", "SIGN_RESPONSE", "Revision"]

AUDIENCE: Final = "wimse-aud"
SIGN_RESPONSE: Final = "wimse-sign-response"
REQUEST_NONCE: Final = "wimse-req-nonce"

_TYPES: Final[Mapping[str, type]] = MappingProxyType({AUDIENCE: str, SIGN_RESPONSE: bool, REQUEST_NONCE: str})


def _identifiers(*texts: str) -> tuple[ComponentIdentifier, ...]:
    return tuple(ComponentIdentifier.parse(text) for text in texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision of the profile.

    Attributes:
        name: as configured, such as ``07``.
        document: the text that it implements.
        tag: by which its signature is found, never by label.
        request_components: what a request's signature must cover.
        request_if_present: what it must cover when the request has it.
        response_components: what a response's signature must cover.
        response_if_present: what it must cover when the response has it.
        request_parameters: what a request's signature must carry.
        response_parameters: what a response's signature must carry.
        request_forbidden: what a request's signature must not carry.
        response_forbidden: what a response's signature must not carry.
        parameter_types: types of the profile's own parameters.
    """

    name: str
    document: str
    tag: str
    request_components: tuple[ComponentIdentifier, ...]
    request_if_present: tuple[ComponentIdentifier, ...]
    response_components: tuple[ComponentIdentifier, ...]
    response_if_present: tuple[ComponentIdentifier, ...]
    request_parameters: tuple[str, ...]
    response_parameters: tuple[str, ...]
    request_forbidden: tuple[str, ...]
    response_forbidden: tuple[str, ...]
    parameter_types: Mapping[str, type] = field(default_factory=lambda: _TYPES)

    def __hash__(self) -> int:
        # Equal revisions have equal names; what else there is to hash is long, and a mapping among it.
        return hash((self.name, self.document))


_COMMON_PARAMETERS: Final = ("created", "expires", "nonce", "tag")  # §3
_FORBIDDEN: Final = ("keyid", "alg")  # §3: the key is the WIT's, and so is the algorithm

REVISION_07: Final = Revision(
    name="07",
    document="draft-ietf-wimse-http-signature-07",
    tag="wimse-workload-to-workload",
    request_components=_identifiers("@method", "@path", "@query", WIT_FIELD),
    request_if_present=_identifiers("content-type", CONTENT_DIGEST, "authorization", "txn-token"),
    response_components=_identifiers("@status", '"@method";req', '"@path";req', '"@query";req', WIT_FIELD),
    response_if_present=_identifiers("content-type", CONTENT_DIGEST),
    request_parameters=(*_COMMON_PARAMETERS, AUDIENCE),
    response_parameters=(*_COMMON_PARAMETERS, REQUEST_NONCE),
    request_forbidden=(*_FORBIDDEN, REQUEST_NONCE),
    response_forbidden=(*_FORBIDDEN, AUDIENCE, SIGN_RESPONSE),
)

# The request target as it is sent, in place of its path and its query. §3 of 06 says nothing of how a signature is
# found; its tag is required there too, so that it is found by the tag. It wants wimse-req-nonce in a response whose
# signature was asked for, 07 in every signed one; here every one must have it, under 06 as well: a signed response that
# nothing ties to its request is refused.
REVISION_06: Final = replace(
    REVISION_07,
    name="06",
    document="draft-ietf-wimse-http-signature-06",
    request_components=_identifiers("@method", "@request-target", WIT_FIELD),
    response_components=_identifiers("@status", '"@method";req', '"@request-target";req', WIT_FIELD),
)

REVISIONS: Final[Mapping[str, Revision]] = MappingProxyType({each.name: each for each in (REVISION_07, REVISION_06)})
