"""Accept-Signature by the profile (http-signature §3.4, RFC 9421 §5): a wish, which mandates nothing.

Who asks lists all that the profile covers in such a message, so that whoever answers by the RFC alone signs enough. Who
is asked signs by the profile or not at all: what is asked for beyond it, another key, a nonce of the peer's choice, is
never signed, since nobody may use this key for messages of their own making.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from wimse.errors import Refused
from wimse.httpsig import (
    AnswerPolicy,
    ComponentIdentifier,
    Limits,
    Request,
    Response,
    SignatureRequest,
    parse_accept_signature,
    request_signatures,
)
from wimse.keys import Signer
from wimse.profiles.http_signature.revision import Revision

__all__ = ["is_signature_wished", "wish_for_signed_requests", "wish_for_signed_response"]

_LABEL: Final = "wimse"


def wish_for_signed_response(request: Request, revision: Revision) -> Request:
    """Say in a request, before it is signed, that a signed response is wished.

    It lists all that the revision asks of a response; `wimse-sign-response` is what makes it a demand.

    Raises:
        Refused: `signature_label_duplicated` when the request asks for a signature of this name already.
    """
    return request_signatures(request, [_wish(revision, of_request=False)])


def wish_for_signed_requests(response: Response, revision: Revision) -> Response:
    """Say in a response that the client's next requests are wished signed: all that the revision asks of a request.

    Raises:
        Refused: `signature_label_duplicated` when the response asks for a signature of this name already.
    """
    return request_signatures(response, [_wish(revision, of_request=True)])


def is_signature_wished(message: Request | Response, revision: Revision, signer: Signer, limits: Limits) -> bool:
    """Whether a peer wishes what a signature of ours by this revision is anyway.

    That is one with the profile's tag, over all that the profile covers and nothing else, with this key and no nonce of
    the peer's choice. Whatever else is asked for, and what cannot be read, is no wish that is heard: it is only one.

    Args:
        message: a request, for its response; or a response, for the next request.
        revision: of the profile.
        signer: our key.
        limits: how much is read.
    """
    try:
        asked = parse_accept_signature(message, limits=limits, extension_types=revision.parameter_types)
    except Refused:
        return False
    required, all_ = _components(revision, of_request=isinstance(message, Response))
    policy = AnswerPolicy(
        signers={"wit": signer},
        default_keyid="wit",
        components=frozenset(all_),
        required_components=frozenset(required),
        tags=frozenset({revision.tag}),
    )
    return any("keyid" not in each.parameters for each in policy.fitting(asked))


@lru_cache(maxsize=16)
def _wish(revision: Revision, *, of_request: bool) -> SignatureRequest:
    _, all_ = _components(revision, of_request=of_request)
    return SignatureRequest.build(all_, label=_LABEL, created=True, expires=True, tag=revision.tag)


def _components(
    revision: Revision, *, of_request: bool
) -> tuple[tuple[ComponentIdentifier, ...], tuple[ComponentIdentifier, ...]]:
    if of_request:
        required, if_present = revision.request_components, revision.request_if_present
    else:
        required, if_present = revision.response_components, revision.response_if_present
    return required, (*required, *if_present)
