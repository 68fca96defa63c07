"""The signature base (RFC 9421 §2.5): always built from the message at hand, never taken from elsewhere (§7.4.2)."""

from __future__ import annotations

from typing import NamedTuple

from wimse.errors import Reason, Refused
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
    names: tuple[str, ...]
    values: tuple[str, ...]

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
    components = metadata.covered
    components.check_distinct()  # step 2.0
    plan = components.plan(field_types)
    values = tuple([read(message, request) for read in plan.readers])  # step 2.4
    # Steps 2.1 to 2.6, then 3: each line begins with what is known of its list.
    text = "".join([prefix + value for prefix, value in zip(plan.prefixes, values, strict=True)])
    text += f'{plan.last}"@signature-params": {metadata.serialized}'
    try:
        data = text.encode("ascii")  # step 4
    except UnicodeEncodeError:
        raise Refused(Reason.COMPONENT_VALUE_INVALID, "the signature base is not ASCII") from None
    return SignatureBase(data, plan.names, values)
