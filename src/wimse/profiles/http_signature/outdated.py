"""Naming what is old: messages of the drafts before August 2025 are refused, and told why.

Then the tag was ``wimse-service-to-service`` and the typ of a WIT ``wimse-id+jwt``. Such a message is refused by the
usual steps; this only says more about it, in the words of our own side's log.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wimse.credentials import WIT_FIELD, UnverifiedWIT
from wimse.errors import Reason, Refused
from wimse.httpsig import Limits, Message, parse_signatures

__all__ = ["explained"]

_OLD_TAG: Final = "wimse-service-to-service"
_OLD_TYPE: Final = "wimse-id+jwt"
# What is refused first in a message with the old tag, the old typ, or both.
_MAY_BE_OLD: Final = frozenset({Reason.TOKEN_TYPE, Reason.SIGNATURE_MISSING, Reason.RESPONSE_UNSIGNED})


def explained(refused: Refused, message: Message, limits: Limits) -> Refused:
    """The same refusal, which names what of the message is of the drafts before August 2025, if anything is."""
    if refused.reason not in _MAY_BE_OLD:
        return refused
    old = " and ".join(_old_parts(message, limits))
    if not old:
        return refused
    detail = f"the message is of a draft before August 2025 by {old}"
    return Refused(refused.reason, f"{refused.detail}: {detail}", violations=refused.violations)


def _old_parts(message: Message, limits: Limits) -> Iterator[str]:
    try:
        signatures = parse_signatures(message.fields, limits=limits)
        if any(each.input.text("tag") == _OLD_TAG for each in signatures):
            yield f"its signature's tag {_OLD_TAG} (now wimse-workload-to-workload)"
    except Refused:
        pass
    for text in message.fields.values(WIT_FIELD)[:1]:
        try:
            if UnverifiedWIT.parse(text).jws.header.get("typ") == _OLD_TYPE:
                yield f"its WIT's typ {_OLD_TYPE} (now wit+jwt)"
        except Refused:
            pass
