"""Revisions of draft-ietf-wimse-http-signature, each a value: what is covered, required and forbidden.

A new revision is a new value and its vectors; no code asks which revision it is dealing with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from wimse.credentials import WIT_FIELD
from wimse.errors import ConfigurationError, Refused
from wimse.httpsig import CONTENT_DIGEST, ComponentIdentifier, Request, Response, SignatureRequest
from wimse.keys import Algorithm

__all__ = ["AUDIENCE", "REQUEST_NONCE", "REVISION_06", "REVISION_07", "SIGN_RESPONSE", "Revision", "identifiers"]

AUDIENCE: Final = "wimse-aud"
SIGN_RESPONSE: Final = "wimse-sign-response"
REQUEST_NONCE: Final = "wimse-req-nonce"

_TYPES: Final[Mapping[str, type]] = MappingProxyType({AUDIENCE: str, SIGN_RESPONSE: bool, REQUEST_NONCE: str})


def identifiers(*texts: str) -> tuple[ComponentIdentifier, ...]:
    """The identifiers that these texts are."""
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
        request_sent: the parameters of our requests, in this order; `SIGN_RESPONSE` where it is asked for.
        response_sent: the parameters of our responses, in this order.
        response_sent_if_present: what our responses cover beyond that when they have it, without asking it of others.
        algorithms: of the keys that it is used with; None means each that a WIT may name.
        target_rules: each says of a request what keeps it from being signed, or None.
        warning: what it does not protect, for the log of whoever configures it.
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
    request_sent: tuple[str, ...]
    response_sent: tuple[str, ...]
    response_sent_if_present: tuple[ComponentIdentifier, ...] = ()
    algorithms: frozenset[Algorithm] | None = None
    target_rules: tuple[Callable[[Request], str | None], ...] = ()
    warning: str | None = None
    parameter_types: Mapping[str, type] = field(default_factory=lambda: _TYPES)

    def __hash__(self) -> int:
        # Equal revisions have equal names; what else there is to hash is long, and a mapping among it.
        return hash((self.name, self.document))

    @property
    def binds_audience(self) -> bool:
        """Whether each request says for whom it is."""
        return AUDIENCE in self.request_parameters

    @property
    def binds_response(self) -> bool:
        """Whether each response says which request it answers."""
        return REQUEST_NONCE in self.response_parameters

    def covering(
        self,
        *,
        request: Iterable[str] = (),
        request_if_present: Iterable[str] = (),
        response: Iterable[str] = (),
        response_if_present: Iterable[str] = (),
    ) -> Revision:
        """The same revision, with more that must be covered in a deployment: both sides are given the same value.

        What is added may have one line in a message, as everything that the profile covers, but for components with a
        parameter that says how several lines are read (``"cookie";bs``).

        Args:
            request: components that a request must have and cover.
            request_if_present: components that a request must cover when it has them.
            response: components that a response must have and cover; with ``;req`` those of its request.
            response_if_present: components that a response must cover when it has them.

        Raises:
            ConfigurationError: for one that is covered already, that is a signature field or of a trailer, or that no
                such message has; for a derived one that is to be covered if present.
            Refused: for what is no component identifier.
        """
        added = [identifiers(*each) for each in (request, request_if_present, response, response_if_present)]
        if any(each.derived for each in (*added[1], *added[3])):
            raise ConfigurationError("a derived component is there or it is not: it is not added if present")
        _check_added(Request, (*self.request_components, *self.request_if_present, *added[0], *added[1]))
        _check_added(Response, (*self.response_components, *self.response_if_present, *added[2], *added[3]))
        return replace(
            self,
            request_components=(*self.request_components, *added[0]),
            request_if_present=(*self.request_if_present, *added[1]),
            response_components=(*self.response_components, *added[2]),
            response_if_present=(*self.response_if_present, *added[3]),
        )


def _check_added(target: type[Request | Response], covered: tuple[ComponentIdentifier, ...]) -> None:
    if any(each.name in ("signature", "signature-input") or ("tr", True) in each.parameters for each in covered):
        raise ConfigurationError("the profile covers neither signature fields nor trailers")
    try:
        SignatureRequest.build(covered).check_target(target)
    except Refused as refused:
        raise ConfigurationError(f"a component cannot be added: {refused.detail}") from None


_COMMON_PARAMETERS: Final = ("created", "expires", "nonce", "tag")  # §3
_FORBIDDEN: Final = ("keyid", "alg")  # §3: the key is the WIT's, and so is the algorithm

REVISION_07: Final = Revision(
    name="07",
    document="draft-ietf-wimse-http-signature-07",
    tag="wimse-workload-to-workload",
    request_components=identifiers("@method", "@path", "@query", WIT_FIELD),
    request_if_present=identifiers("content-type", CONTENT_DIGEST, "authorization", "txn-token"),
    response_components=identifiers("@status", '"@method";req', '"@path";req', '"@query";req', WIT_FIELD),
    response_if_present=identifiers("content-type", CONTENT_DIGEST),
    request_parameters=(*_COMMON_PARAMETERS, AUDIENCE),
    response_parameters=(*_COMMON_PARAMETERS, REQUEST_NONCE),
    request_forbidden=(*_FORBIDDEN, REQUEST_NONCE),
    response_forbidden=(*_FORBIDDEN, AUDIENCE, SIGN_RESPONSE),
    request_sent=(*_COMMON_PARAMETERS, AUDIENCE, SIGN_RESPONSE),
    response_sent=(*_COMMON_PARAMETERS, REQUEST_NONCE),
)

# The request target as it is sent, in place of its path and its query. §3 of 06 says nothing of how a signature is
# found; its tag is required there too, so that it is found by the tag. It wants wimse-req-nonce in a response whose
# signature was asked for, 07 in every signed one; here every one must have it, under 06 as well: a signed response that
# nothing ties to its request is refused.
REVISION_06: Final = replace(
    REVISION_07,
    name="06",
    document="draft-ietf-wimse-http-signature-06",
    request_components=identifiers("@method", "@request-target", WIT_FIELD),
    response_components=identifiers("@status", '"@method";req', '"@request-target";req', WIT_FIELD),
)
