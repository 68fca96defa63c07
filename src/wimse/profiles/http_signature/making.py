"""Signing requests and responses by the profile (http-signature §3, §3.1 to §3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wimse.credentials import WIT_FIELD, WorkloadCredential
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import (
    CONTENT_DIGEST,
    ComponentIdentifier,
    Fields,
    Request,
    Response,
    component_value,
    content_digest,
    make_signature,
    with_fields,
)
from wimse.profiles.http_signature.revision import AUDIENCE, REQUEST_NONCE, SIGN_RESPONSE, Revision
from wimse.profiles.http_signature.settings import SignatureSettings

__all__ = ["SignedRequest", "default_audience", "sign_request", "sign_response"]

# What a caller may have left in the message under these names is replaced, never sent beside ours.
_OURS = (WIT_FIELD, CONTENT_DIGEST, "signature-input", "signature")
_SCHEME, _AUTHORITY, _PATH = (ComponentIdentifier(name) for name in ("@scheme", "@authority", "@path"))


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it is sent, and what the answer has to fit.

    Attributes:
        request: with all fields that the signature needs.
        nonce: of the signature.
        response_must_be_signed: whether an unsigned response is refused; `wimse-sign-response` says so to the server,
            where the revision has it.
    """

    request: Request
    nonce: str
    response_must_be_signed: bool


def default_audience(request: Request) -> str:
    """The target URI without query and fragment (§3.1), as the sender knows it."""
    scheme, authority, path = (component_value(each, request) for each in (_SCHEME, _AUTHORITY, _PATH))
    return f"{scheme}://{authority}{path}"


def sign_request(
    request: Request,
    content: bytes,
    credential: WorkloadCredential,
    *,
    revision: Revision,
    settings: SignatureSettings,
    now: int,
    nonce: str,
    audience: str | None = None,
    require_signed_response: bool = True,
) -> SignedRequest:
    """Sign a request.

    Args:
        request: the head; fields of ours that it has already are replaced.
        content: the content as it will be sent.
        credential: the WIT and its key.
        revision: of the profile.
        settings: lifetime and label.
        now: seconds since 1970.
        nonce: new and random, 128 bits at least.
        audience: for whom it is; None means `default_audience`.
        require_signed_response: whether to send `wimse-sign-response`.

    Raises:
        Unavailable: `credential_expired`.
        Refused: when the signature base cannot be built; `field_duplicated` for two lines of a covered field.
        ConfigurationError: for an audience or nonce that cannot be written; for a target or a key that the revision
            does not permit.
    """
    _check_key(credential, revision)
    for rule in revision.target_rules:
        if (why := rule(request)) is not None:
            raise ConfigurationError(f"a request of the revision {revision.name} cannot be signed: {why}")
    values = _common_values(credential, revision, settings, now, nonce)
    if require_signed_response:
        values[SIGN_RESPONSE] = True
    if revision.binds_audience:
        values[AUDIENCE] = default_audience(request) if audience is None else audience
    parameters = {name: values[name] for name in revision.request_sent if name in values}
    prepared = with_fields(request, _prepared_fields(request.fields, content, credential))
    check_single_lines(prepared.fields, (*revision.request_components, *revision.request_if_present))
    components = _covered(revision.request_components, revision.request_if_present, prepared.fields)
    made = make_signature(prepared, credential.key, components, parameters, label=settings.label)
    signed = with_fields(prepared, prepared.fields.adding(*made.lines()))
    return SignedRequest(signed, nonce, require_signed_response)


def sign_response(
    response: Response,
    content: bytes,
    credential: WorkloadCredential,
    *,
    request: Request,
    request_nonce: str,
    revision: Revision,
    settings: SignatureSettings,
    now: int,
    nonce: str,
) -> Response:
    """Sign a response to a request that was authenticated.

    Args:
        response: the head; fields of ours that it has already are replaced.
        content: the content as it will be sent; empty for HEAD, 204 and 304.
        credential: the WIT and its key.
        request: the request that is answered, as it was received.
        request_nonce: `nonce` of that request's signature.
        revision: of the profile.
        settings: lifetime and label.
        now: seconds since 1970.
        nonce: new and random, 128 bits at least.

    Raises:
        Unavailable: `credential_expired`.
        Refused: when the signature base cannot be built; `field_duplicated` for two lines of a covered field.
        ConfigurationError: for a nonce that cannot be written; for a key that the revision does not permit.
    """
    _check_key(credential, revision)
    values = _common_values(credential, revision, settings, now, nonce)
    values[REQUEST_NONCE] = request_nonce
    parameters = {name: values[name] for name in revision.response_sent}
    prepared = with_fields(response, _prepared_fields(response.fields, content, credential))
    if_present = (*revision.response_if_present, *revision.response_sent_if_present)
    check_single_lines(prepared.fields, (*revision.response_components, *if_present), request)
    components = _covered(revision.response_components, if_present, prepared.fields, request)
    made = make_signature(prepared, credential.key, components, parameters, label=settings.label, request=request)
    return with_fields(prepared, prepared.fields.adding(*made.lines()))


def check_single_lines(
    fields: Fields, components: Iterable[ComponentIdentifier], request: Request | None = None
) -> None:
    """Refuse a second line of a field that is covered, both in what we send and in what we receive.

    Args:
        fields: of the message.
        components: what is covered.
        request: when the message is a response, the request that it answers.

    Raises:
        Refused: `wit_duplicated` or `field_duplicated`.
    """
    # RFC 9421 §7.5.6, §7.5.7: lines joined by commas read the same when they are cut elsewhere. Every field that the
    # profile covers is a singleton, so a second line of one is not joined but refused.
    of_request = {} if request is None else request.fields.repeated
    if not fields.repeated and not of_request:
        return
    for identifier in components:
        if identifier.parameters and not _is_one_line(identifier):
            continue
        # There is no field of a derived component's name (RFC 9421 §7.5.1).
        if identifier.name in (of_request if identifier.of_request and request is not None else fields.repeated):
            reason = Reason.WIT_DUPLICATED if identifier.name == WIT_FIELD else Reason.FIELD_DUPLICATED
            raise Refused(reason, f"the message has more than one {identifier.name}")


def _is_one_line(identifier: ComponentIdentifier) -> bool:
    # sf, key and bs say how several lines are one value; req says only whose field it is.
    return all(name not in ("sf", "key", "bs") for name, _ in identifier.parameters)


def _check_key(credential: WorkloadCredential, revision: Revision) -> None:
    if revision.algorithms is not None and credential.key.public_key.algorithm not in revision.algorithms:
        raise ConfigurationError(f"the workload's key has an algorithm that the revision {revision.name} does not use")


def _common_values(
    credential: WorkloadCredential, revision: Revision, settings: SignatureSettings, now: int, nonce: str
) -> dict[str, object]:
    credential.check_usable(now)
    if len(nonce) < settings.min_nonce_characters:
        raise ConfigurationError("the nonce is too short")
    # The proof does not outlive the credential that it proves.
    expires = min(now + int(settings.lifetime.total_seconds()), credential.expires_at)
    algorithm = credential.key.public_key.algorithm.http_name
    return {"created": now, "expires": expires, "nonce": nonce, "tag": revision.tag, "alg": algorithm}


def _prepared_fields(fields: Fields, content: bytes, credential: WorkloadCredential) -> Fields:
    lines = [("Workload-Identity-Token", credential.wit)]
    if content:
        lines.insert(0, ("Content-Digest", content_digest(content)))
    return fields.without(*_OURS).adding(*lines)


def _covered(
    always: tuple[ComponentIdentifier, ...],
    if_present: tuple[ComponentIdentifier, ...],
    fields: Fields,
    request: Request | None = None,
) -> tuple[ComponentIdentifier, ...]:
    answered = fields if request is None else request.fields
    return (*always, *(each for each in if_present if each.name in (answered if each.of_request else fields)))
