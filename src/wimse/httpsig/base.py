"""The signature base (RFC 9421 §2.5): always built from the message at hand, never taken from elsewhere (§7.4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wimse.errors import Reason, Refused
from wimse.httpsig.coverage import CoveredComponents
from wimse.httpsig.field_types import DEFAULT_FIELD_TYPES, StructuredFieldTypes
from wimse.httpsig.message import Message, Request
from wimse.httpsig.parameters import SignatureInput

__all__ = ["SignatureBase", "signature_base"]


class SignatureBase(NamedTuple):
    """What is signed.

    Attributes:
        data: the base's bytes, ASCII, without a final line feed.
        names: the covered components' identifiers, as people write them.
        values: their values.
    """

    data: bytes
    names: Sequence[str]
    values: Sequence[str]

    @property
    def covered(self) -> dict[str, str]:
        """Each covered component's identifier, as people write it, and its value."""
        return dict(zip(self.names, self.values, strict=True))


def signature_base(
    metadata: SignatureInput,
    message: Message,
    request: Request | None = None,
    *,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> SignatureBase:
    """Build the base.

    Args:
        metadata: the covered components and parameters.
        message: the message that is signed.
        request: when that is a response, the request that it answers.
        field_types: the structured fields that are known, for `sf` and `key`.

    Raises:
        Refused: any reason of the class `base`, `parameter_duplicated`, `too_many_parameters`; then there is no base
            at all.
    """
    return SignatureBase(*base_parts(metadata.components, metadata.serialized, message, request, field_types))


def base_parts(
    components: CoveredComponents,
    metadata: str,
    message: Message,
    request: Request | None,
    field_types: StructuredFieldTypes,
) -> tuple[bytes, Sequence[str], Sequence[str]]:
    """The three parts of a `SignatureBase`, for metadata that are serialised already; errors as `signature_base`."""
    readers, pieces, names = components.plan(field_types)  # it knows that no component is named twice: step 2.0
    fields = message.fields.by_name
    try:
        values = [fields[name] if name else read(message, request) for name, read in readers]  # step 2.4
    except KeyError:  # the reader says what is missing
        values = [read(message, request) for _, read in readers]
    lines = pieces[:]  # steps 2.1 to 2.6, and 3: what is known of each line, with gaps for the values
    lines[1::2] = *values, metadata
    try:
        data = "".join(lines).encode("ascii")  # step 4
    except UnicodeEncodeError:
        raise _not_ascii(names, values) from None
    return data, names, values


def _not_ascii(names: Iterable[str], values: Iterable[str]) -> Refused:
    # §2.5 step 2.5: no obs-text. Which component it is in is worked out only now.
    name = next(
        (name for name, value in zip(names, values, strict=True) if not value.isascii()),
        "the parameters of the signature",
    )
    return Refused(Reason.COMPONENT_VALUE_INVALID, f"the value of {name} is not ASCII")
