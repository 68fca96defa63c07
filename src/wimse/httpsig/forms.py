"""The forms in which signers write Signature-Input, learnt from signatures that were verified.

A signer writes the same label, components and names of parameters in message after message; only the values differ. A
form that was seen once, in a signature that was good, is kept as one regular expression, which reads the next message
in a fraction of the time. What fits no form that is known is read as ever (`signatures`), so nothing here decides
whether a message is well-formed: a form reads just what the other readers read in the same text, which a test holds it
to. Strangers teach nothing, since their signatures do not verify, and signers only a bounded number of forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from wimse.httpsig.coverage import CoveredComponents
from wimse.httpsig.limits import Limits
from wimse.httpsig.message import Fields
from wimse.httpsig.parameters import SignatureInput
from wimse.httpsig.scanner import INTEGER, STRING, scan_value
from wimse.httpsig.signatures import LabelledSignature

__all__ = ["KnownForms"]

_MAX_FORMS: Final = 16


class _Form(NamedTuple):
    label: str
    components: CoveredComponents
    names: tuple[str, ...]
    integers: tuple[str, ...]
    flags: tuple[str, ...]
    match: Callable[[str, int], re.Match[str] | None]


class _OfKnownForm(LabelledSignature):
    """A signature that was read by a form, so that there is nothing to learn from it."""

    __slots__ = ()


class KnownForms:
    """The forms that are known to one verifier, for one set of limits and of parameter types."""

    __slots__ = ("_by_head", "_known", "_limits")

    def __init__(self) -> None:
        """Know none."""
        # By what stands before the parameters. It may have several forms: a flag, say, comes with some messages only.
        self._by_head: dict[str, tuple[_Form, ...]] = {}
        # By identity, which is quick; the components are held, so that it stays their own.
        self._known: dict[tuple[int, tuple[str, ...]], CoveredComponents] = {}
        self._limits: Limits | None = None

    def read(self, fields: Fields, limits: Limits) -> LabelledSignature | None:
        """The signature of a message that has one, in a form that is known; None for any other message."""
        present = fields.by_name
        inputs, values = present.get("signature-input"), present.get("signature")
        if inputs is None or values is None or limits is not self._limits:
            return None
        if len(inputs) > limits.max_signature_field_bytes or len(values) > limits.max_signature_field_bytes:
            return None
        end = inputs.find(")") + 1
        for form in self._by_head.get(inputs[:end], ()):
            found = form.match(inputs, end)
            if found is None:
                continue
            value = scan_value(values, form.label)
            if value is None:
                return None
            parameters: dict[str, Any] = dict(zip(form.names, found.groups(), strict=True))
            for name in form.integers:
                parameters[name] = int(parameters[name])
            for name in form.flags:
                parameters[name] = True
            metadata = SignatureInput.as_signed(form.components, parameters, inputs[len(form.label) + 1 :])
            return _OfKnownForm(form.label, metadata, value)
        return None

    def learn(self, signature: LabelledSignature, limits: Limits) -> None:
        """Take the form of a signature that was verified, if it is new and a regular expression can tell it.

        Args:
            signature: as it was read with `limits`.
            limits: those that it was read with.
        """
        if type(signature) is _OfKnownForm:
            return
        components, parameters = signature.input.components, signature.input.parameters
        key = id(components), tuple(parameters)
        if key in self._known or len(self._known) >= _MAX_FORMS:
            return
        if self._limits is None:
            self._limits = limits
        if self._limits is not limits:
            return
        self._known[key] = components
        head = f"{signature.label}={components.serialized}"
        kinds = tuple([True if each is True else type(each) for each in parameters.values()])
        if head.find(")") + 1 != len(head) or not {*kinds} <= {int, str, True}:
            return
        named = tuple(zip(parameters, kinds, strict=True))
        form = _Form(
            signature.label,
            components,
            tuple(parameters),
            tuple(name for name, kind in named if kind is int),
            tuple(name for name, kind in named if kind is True),
            _pattern(named).fullmatch,
        )
        self._by_head[head] = (*self._by_head.get(head, ()), form)


@lru_cache(maxsize=64)
def _pattern(named: tuple[tuple[str, object], ...]) -> re.Pattern[str]:
    """What parameters of these names and types look like in canonical form; a group for each value."""
    values = {int: f"=({INTEGER})", str: f'="({STRING})"', True: "()"}
    return re.compile("".join(f";{re.escape(name)}{values[kind]}" for name, kind in named), re.ASCII)
