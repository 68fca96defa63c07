"""Making a signature (RFC 9421 §3.1) and putting it into a message (§4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import http_sf

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.base import SignatureBase, signature_base
from wimse.httpsig.components import ComponentIdentifier
from wimse.httpsig.field_types import DEFAULT_FIELD_TYPES, StructuredFieldTypes
from wimse.httpsig.message import AnyMessage, Message, Request, with_fields
from wimse.httpsig.parameters import SignatureInput
from wimse.httpsig.signatures import parse_signatures
from wimse.keys import Signer

__all__ = ["SIGNATURE", "SIGNATURE_INPUT", "MadeSignature", "make_signature", "sign"]

SIGNATURE_INPUT: Final = "signature-input"
SIGNATURE: Final = "signature"


@dataclass(frozen=True, slots=True)
class MadeSignature:
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


def make_signature(
    message: Message,
    signer: Signer,
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
        signer: the key; it decides the algorithm.
        components: what to cover, in this order.
        parameters: of the signature, in this order; `created` and the like are the caller's to give.
        label: the name of the signature within the message: lower-case letters, digits, ``_ - . *``.
        request: when the message is a response, the request that it answers.
        field_types: the structured fields that are known, for `sf` and `key`.

    Raises:
        ConfigurationError: for a label or parameter that cannot be written, or an `alg` that is not the key's.
        Refused: when the base cannot be built, with a reason of the class `base`.
    """
    metadata = SignatureInput.build(components, parameters)
    if metadata.parameters.get("alg", signer.public_key.algorithm.http_name) != signer.public_key.algorithm.http_name:
        raise ConfigurationError("the parameter alg is not the algorithm of the key")
    base = signature_base(metadata, message, request, field_types=field_types)  # §3.1 step 5
    value = signer.sign(base.data)  # step 6
    try:
        member = http_sf.ser({label: value})
    except ValueError:
        raise ConfigurationError("the label is not the key of a structured field's Dictionary") from None
    return MadeSignature(f"{label}={metadata.serialized}", str(cast("Any", member)), base)


def sign(
    message: AnyMessage,
    signer: Signer,
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
    if label in parse_signatures(message.fields).labels:
        raise Refused(Reason.SIGNATURE_LABEL_DUPLICATED, "the message has a signature of this label already")
    made = make_signature(
        message, signer, components, parameters, label=label, request=request, field_types=field_types
    )
    return with_fields(message, message.fields.adding(*made.lines()))
