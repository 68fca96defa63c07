"""What a verifier needs from outside: the key of a signature, and who finds it (RFC 9421 §3.2 step 5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from wimse.errors import Reason, Refused
from wimse.httpsig.components import ComponentIdentifier, component_value
from wimse.httpsig.message import Message, Request
from wimse.httpsig.signatures import LabelledSignature
from wimse.keys import VerificationKey

__all__ = ["AsyncKeyResolver", "KeyResolver", "NeedKey"]


class NeedKey(NamedTuple):
    """What `verify` yields: the key of this signature is needed. The answer is a `VerificationKey`.

    Nothing here is verified yet. Whoever chooses by a part of the message takes it with `covered_value`, so that it is
    a part that the signature covers: what is not covered anybody on the way can change, and with it the key.

    Attributes:
        signature: whose key.
        message: the message that carries it.
        request: when that is a response, the request that it answers.
        content: the message's content, when it was given to `verify`, Content-Digest is covered and the content is
            the one that it says; else None. As far as the signature will turn out to be good, so is the content.
    """

    signature: LabelledSignature
    message: Message
    request: Request | None = None
    content: bytes | None = None

    def __repr__(self) -> str:
        # Without the content, which may be anything.
        return f"NeedKey(signature={self.signature!r}, message={self.message!r}, request={self.request!r})"

    @property
    def keyid(self) -> str | None:
        """The parameter `keyid`, or None."""
        return self.signature.input.text("keyid")

    def covered_value(self, component: ComponentIdentifier | str) -> str:
        """The value of a component that this signature covers.

        Args:
            component: an identifier, or its text as `ComponentIdentifier.parse` reads it.

        Raises:
            Refused: `component_not_covered`, or when the component has no value, with a reason of the class `base`.
        """
        identifier = component if isinstance(component, ComponentIdentifier) else ComponentIdentifier.parse(component)
        if identifier not in self.signature.input.components:
            raise Refused(Reason.COMPONENT_NOT_COVERED, f"{identifier} is not covered, and would choose the key")
        return component_value(identifier, self.message, self.request)


# A resolver answers at once, or with something to await. It refuses a signature with `Refused`: `key_unknown` for a
# key that it does not know or does not trust for this message, and says with `Unavailable` that it cannot tell now.
# None is `key_unknown`, and so is any LookupError or ValueError, for these are what a mapping and a parser raise over
# strange input.
KeyResolver = Callable[[NeedKey], VerificationKey | None]
AsyncKeyResolver = Callable[[NeedKey], Awaitable[VerificationKey | None] | VerificationKey | None]
