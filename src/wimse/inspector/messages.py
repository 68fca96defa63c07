"""Messages, explained: the head, the token, the digest, and each signature."""

from __future__ import annotations

from collections.abc import Mapping

from wimse.credentials import WIT_FIELD, TrustBundle, TrustDomain
from wimse.errors import Reason, Refused, WimseError
from wimse.httpsig import (
    CONTENT_DIGEST,
    LabelledSignature,
    MessageFile,
    Request,
    Requirements,
    check_content_digest,
    component_value,
    parse_signatures,
    signature_base,
)
from wimse.inspector.proofs import explain_proofs
from wimse.inspector.steps import Outcome, Step, failed, times_step, value_text
from wimse.inspector.tokens import explain_token
from wimse.keys import PublicKey
from wimse.profiles.http_signature import REVISION_07, SignatureSettings

__all__ = ["explain_message"]

_REVISION = REVISION_07
_LONGEST = ("created", "expires", int(SignatureSettings().max_lifetime.total_seconds()))


def explain_message(
    file: MessageFile,
    *,
    now: int,
    bundles: Mapping[TrustDomain, TrustBundle] | None = None,
    request: Request | None = None,
) -> list[Step]:
    """Explain a message; arguments as `explain`."""
    steps = [_head_step(file)]
    key: PublicKey | None = None
    tokens = file.message.fields.values(WIT_FIELD)
    if len(tokens) == 1:
        token_steps, key = explain_token(tokens[0], now=now, bundles=bundles)
        steps.extend(token_steps)
    elif tokens:
        text = "There is more than one Workload-Identity-Token: it is not said who sends this."
        steps.append(Step("Token", Outcome.FAILED, text, reason=Reason.WIT_DUPLICATED.code))
    else:
        text = "There is no Workload-Identity-Token: no workload says that it sends this."
        steps.append(Step("Token", Outcome.SAID, text))
    if isinstance(file.message, Request):
        steps.extend(explain_proofs(file.message, key, now=now))
    steps.append(_digest_step(file))
    try:
        signatures = parse_signatures(file.message.fields)
    except Refused as refused:
        return [*steps, failed("Signatures", refused)]
    steps.extend(
        failed("Signatures", Refused(each.reason, f"{each.label}: {each.detail}"))
        for each in signatures.malformed.values()
    )
    if not signatures.labels:
        return [*steps, Step("Signatures", Outcome.SAID, "There is none: anybody may have written or changed this.")]
    for each in signatures:
        steps.extend(_signature_steps(each, file, key, now, request))
    return steps


def _head_step(file: MessageFile) -> Step:
    message = file.message
    facts = [("fields", str(len(message.fields))), ("body", f"{len(file.content)} bytes")]
    if isinstance(message, Request):
        facts = [("method", message.method), ("target", message.target), ("host", message.authority), *facts]
        return Step("Message", Outcome.SAID, "A request.", tuple(facts))
    return Step("Message", Outcome.SAID, "A response.", (("status", str(message.status)), *facts))


def _digest_step(file: MessageFile) -> Step:
    title = "Body and its digest"
    if CONTENT_DIGEST not in file.message.fields and not file.content:
        return Step(title, Outcome.SAID, "There is no body and no Content-Digest.")
    try:
        check_content_digest(file.message.fields, file.content)
    except Refused as refused:
        return failed(title, refused)
    return Step(title, Outcome.OK, "The body is the one that Content-Digest says.")


def _signature_steps(
    signature: LabelledSignature, file: MessageFile, key: PublicKey | None, now: int, request: Request | None
) -> list[Step]:
    title = f"Signature {signature.label}"
    metadata = signature.input
    parameters = tuple((name, value_text(value)) for name, value in metadata.parameters.items())
    times = [(name, metadata.parameters.get(name)) for name in ("created", "expires")]
    in_profile = metadata.text("tag") == _REVISION.tag
    steps = [
        _coverage_step(title, signature, file, request),
        Step(f"{title}: parameters", Outcome.SAID, "What its maker says of it. They are signed too.", parameters),
        times_step(f"{title}: times", times, now, longest=_LONGEST if in_profile else None),
    ]
    if in_profile:
        steps.append(_profile_step(f"{title}: the WIMSE profile", signature, file, now, request))
    return [*steps, _check_step(title, signature, file, key, request)]


def _coverage_step(title: str, signature: LabelledSignature, file: MessageFile, request: Request | None) -> Step:
    facts: list[tuple[str, str]] = []
    for identifier in signature.input.components:
        try:
            value = component_value(identifier, file.message, request)
        except Refused as refused:
            value = f"({refused.detail})"
        facts.append((str(identifier), value))
    if not facts:
        text = "It covers nothing of the message: all of it may have been changed."
        return Step(f"{title}: what it covers", Outcome.SAID, text)
    text = "These parts of the message cannot be changed without breaking it. All others can."
    return Step(f"{title}: what it covers", Outcome.SAID, text, tuple(facts))


def _profile_step(
    title: str, signature: LabelledSignature, file: MessageFile, now: int, request: Request | None
) -> Step:
    is_request = isinstance(file.message, Request)
    requirements = Requirements(
        components=_REVISION.request_components if is_request else _REVISION.response_components,
        components_if_present=_REVISION.request_if_present if is_request else _REVISION.response_if_present,
        parameters=_REVISION.request_parameters if is_request else _REVISION.response_parameters,
        forbidden_parameters=_REVISION.request_forbidden if is_request else _REVISION.response_forbidden,
    )
    # The times have a step of their own; here they are judged as of when the signature says that it was made.
    created = signature.input.integer("created")
    try:
        requirements.check(signature.input, file.message, now if created is None else created, request)
    except Refused as refused:
        return failed(title, refused)
    return Step(title, Outcome.OK, f"It covers and carries what {_REVISION.document} asks for.")


def _check_step(
    title: str, signature: LabelledSignature, file: MessageFile, key: PublicKey | None, request: Request | None
) -> Step:
    title = f"{title}: the check"
    try:
        base = signature_base(signature.input, file.message, request)
    except Refused as refused:
        if request is None and not isinstance(file.message, Request) and _of_request(signature):
            text = "Not checked: it covers parts of the request, which is not at hand."
            return Step(title, Outcome.UNCHECKED, text)
        return failed(title, refused)
    block = base.data.decode("ascii")
    if key is None:
        text = "Not checked: the key is not known here. This is the text that is signed, the signature base."
        return Step(title, Outcome.UNCHECKED, text, block=block)
    try:
        key.verify(signature.value, base.data)
    except WimseError:
        text = "The signature is not one of the key that the token names over this text, the signature base."
        return Step(title, Outcome.FAILED, text, block=block, reason=Reason.SIGNATURE_INVALID.code)
    text = "Made with the key that the token names, over this text, the signature base."
    return Step(title, Outcome.OK, text, block=block)


def _of_request(signature: LabelledSignature) -> bool:
    return any(each.of_request for each in signature.input.components)
