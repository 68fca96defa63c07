"""Making a signature (RFC 9421 §3.1) and putting it into a message (§4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.base import SignatureBase, base_parts
from wimse.httpsig.components import ComponentIdentifier
from wimse.httpsig.coverage import CoveredComponents
from wimse.httpsig.field_types import DEFAULT_FIELD_TYPES, StructuredFieldTypes
from wimse.httpsig.message import AnyMessage, Message, Request, with_fields
from wimse.httpsig.parameters import is_key, serialize_parameters
from wimse.httpsig.scanner import member_of_signature
from wimse.httpsig.signatures import parse_signatures
from wimse.keys import AnySigner, AsyncSigner, sign_with, sign_with_async, verification_key

__all__ = [
    "SIGNATURE",
    "SIGNATURE_INPUT",
    "MadeSignature",
    "PreparedSignature",
    "make_signature",
    "make_signature_async",
    "prepare_signature",
    "sign",
    "sign_async",
]

SIGNATURE_INPUT: Final = "signature-input"
SIGNATURE: Final = "signature"


class MadeSignature(NamedTuple):
    """A signature that was made, in the form in which it is sent.

    Attributes:
        signature_input: the value of a Signature-Input line with this one member.
        signature: the value of a Signature line with this one member.
        base: what was signed.
    """

    signature_input: str
    signature: str
    base: SignatureBase

    def lines(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The two field lines to add to the message."""
        return ("Signature-Input", self.signature_input), ("Signature", self.signature)


class PreparedSignature(NamedTuple):
    """A signature that lacks nothing but its value: what `make_signature` has before it signs.

    Attributes:
        label: the name of the signature within the message.
        metadata: the covered components and the parameters, serialised.
        base: what is to be signed.
    """

    label: str
    metadata: str
    base: SignatureBase

    def made(self, value: bytes) -> MadeSignature:
        """Finish with the signature's value over `base.data`."""
        return MadeSignature(f"{self.label}={self.metadata}", member_of_signature(self.label, value), self.base)


def prepare_signature(
    message: Message,
    signer: AnySigner | AsyncSigner,
    components: Iterable[ComponentIdentifier | str],
    parameters: Mapping[str, object],
    *,
    label: str = "sig1",
    request: Request | None = None,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> PreparedSignature:
    """Do all of §3.1 but the signing itself; arguments and errors as `make_signature`."""
    if not is_key(label):
        raise ConfigurationError("the label is not the key of a structured field's Dictionary")
    covered = CoveredComponents.of(components)
    metadata = covered.serialized + serialize_parameters(parameters)
    # §3.3.7: a JWS algorithm that is not in the registry has no name, and then there is no parameter alg.
    if "alg" in parameters:
        _check_alg(parameters["alg"], signer)
    parts = base_parts(covered, metadata, message, request, field_types)  # step 5
    return PreparedSignature(label, metadata, SignatureBase(*parts))


def _check_alg(alg: object, signer: AnySigner | AsyncSigner) -> None:
    if alg != verification_key(signer).algorithm.http_name:
        raise ConfigurationError("the parameter alg is not the algorithm of the key")


def make_signature(
    message: Message,
    signer: AnySigner,
    components: Iterable[ComponentIdentifier | str],
    parameters: Mapping[str, object],
    *,
    label: str = "sig1",
    request: Request | None = None,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> MadeSignature:
    """Sign a message and leave it as it is.

    Args:
        message: what to sign.
        signer: the key, private or a shared secret, or a front of one that is elsewhere; it decides the algorithm.
        components: what to cover, in this order.
        parameters: of the signature, in this order; `created` and the like are the caller's to give.
        label: the name of the signature within the message: lower-case letters, digits, ``_ - . *``.
        request: when the message is a response, the request that it answers.
        field_types: the structured fields that are known, for `sf` and `key`.

    Raises:
        ConfigurationError: for a label or parameter that cannot be written, or an `alg` that is not the key's.
        Refused: when the base cannot be built, with a reason of the class `base`.
        Unavailable: `credential_unavailable` when a remote signer's answer does not verify with its public key.
    """
    prepared = prepare_signature(
        message, signer, components, parameters, label=label, request=request, field_types=field_types
    )
    return prepared.made(sign_with(signer, prepared.base.data))  # step 6


async def make_signature_async(
    message: Message,
    signer: AsyncSigner | AnySigner,
    components: Iterable[ComponentIdentifier | str],
    parameters: Mapping[str, object],
    *,
    label: str = "sig1",
    request: Request | None = None,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> MadeSignature:
    """Sign a message by a signer whose answer is awaited; arguments and errors as `make_signature`."""
    prepared = prepare_signature(
        message, signer, components, parameters, label=label, request=request, field_types=field_types
    )
    return prepared.made(await sign_with_async(signer, prepared.base.data))


def sign(
    message: AnyMessage,
    signer: AnySigner,
    components: Iterable[ComponentIdentifier | str],
    parameters: Mapping[str, object],
    *,
    label: str = "sig1",
    request: Request | None = None,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> AnyMessage:
    """Sign a message and return it with the signature; those that it has already stay. Arguments as `make_signature`.

    Raises:
        Refused: also `signature_label_duplicated` when the message has a signature of this label.
    """
    # The steps of `make_signature` without the values between them, which would be 5 % of a signature with P-256.
    _check_label(message, label)
    covered = CoveredComponents.of(components)
    metadata = covered.serialized + serialize_parameters(parameters)
    if "alg" in parameters:
        _check_alg(parameters["alg"], signer)
    data, _, _ = base_parts(covered, metadata, message, request, field_types)
    return _with_signature(message, label, metadata, sign_with(signer, data))


async def sign_async(
    message: AnyMessage,
    signer: AsyncSigner | AnySigner,
    components: Iterable[ComponentIdentifier | str],
    parameters: Mapping[str, object],
    *,
    label: str = "sig1",
    request: Request | None = None,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> AnyMessage:
    """Sign a message as `sign` does, by a signer whose answer is awaited."""
    _check_label(message, label)
    prepared = prepare_signature(
        message, signer, components, parameters, label=label, request=request, field_types=field_types
    )
    return _with_signature(message, label, prepared.metadata, await sign_with_async(signer, prepared.base.data))


def _with_signature(message: AnyMessage, label: str, metadata: str, value: bytes) -> AnyMessage:
    lines = (("Signature-Input", f"{label}={metadata}"), ("Signature", member_of_signature(label, value)))
    return with_fields(message, message.fields.with_written(lines))


def _check_label(message: Message, label: str) -> None:
    if not is_key(label):
        raise ConfigurationError("the label is not the key of a structured field's Dictionary")
    present = message.fields.by_name
    if "signature" not in present and "signature-input" not in present:
        return
    if label in parse_signatures(message.fields).labels:
        raise Refused(Reason.SIGNATURE_LABEL_DUPLICATED, "the message has a signature of this label already")
