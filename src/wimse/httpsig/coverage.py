"""The list of components that a signature covers: read, serialised, checked and resolved once, then used for ever.

The same few lists come with every message, while the parameters differ each time. So what depends on the list alone is
kept with it: its serialisation, whether it names a component twice, and the functions that read the values.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple, cast

import http_sf

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.components import ComponentIdentifier, Resolver, check_distinct, resolver_for
from wimse.httpsig.field_types import StructuredFieldTypes

__all__ = ["CoveredComponents", "Plan"]

# Lists that strangers send are kept too: bounded in number, and in size below.
_MAX_LISTS: Final = 256
_MAX_KEPT_CHARACTERS: Final = 1_024
_MAX_ANSWERS: Final = 32


class Plan(NamedTuple):
    """How the base of a list is built.

    Attributes:
        readers: of each component the name of the field whose one value is taken as it is, or None; and the function
            that reads the value, and that refuses what is not there.
        pieces: of the base; every other one is a gap for the value of a component, the last for the metadata.
        names: of each component how people write it.
    """

    readers: tuple[tuple[str | None, Resolver], ...]
    pieces: list[str]
    names: tuple[str, ...]


# Not slotted: a tuple cannot be; and it keeps what it found out.
class CoveredComponents(tuple[ComponentIdentifier, ...]):  # noqa: SLOT001 - as it says above
    """Component identifiers in the order in which they are signed: a tuple that knows more about itself.

    `of` makes one from identifiers or their text. Whoever signs many messages makes it once and hands it over each
    time.
    """

    @classmethod
    def of(cls, components: Iterable[ComponentIdentifier | str]) -> CoveredComponents:
        """The list of these components.

        Args:
            components: identifiers, or their text as `ComponentIdentifier.parse` reads it.

        Raises:
            Refused: for malformed text.
            ConfigurationError: for a name or a parameter that a structured field cannot hold.
        """
        if isinstance(components, CoveredComponents):
            return components
        listed = tuple(
            each if isinstance(each, ComponentIdentifier) else ComponentIdentifier.parse(each) for each in components
        )
        try:
            spelled = tuple(each.serialized for each in listed)
        except ValueError:
            raise ConfigurationError(
                "a component's name or parameter cannot be written as a structured field"
            ) from None
        # By spelling: lists that differ in the order of a component's parameters are equal, and are signed differently.
        return _kept(listed, spelled)

    @cached_property
    def serialized(self) -> str:
        """The Inner List, without the signature's parameters (RFC 9421 §2.3 step 3)."""
        return f"({' '.join(each.serialized for each in self)})"

    def check_distinct(self) -> None:
        """Refuse a list that names a component twice (§2, §2.5 step 2.0).

        Raises:
            Refused: `component_duplicated`.
        """
        if self._duplicate is not None:
            raise Refused(self._duplicate.reason, self._duplicate.detail)

    @cached_property
    def _duplicate(self) -> Refused | None:
        try:
            check_distinct(self)
        except Refused as refused:
            return refused
        return None

    def missing(self, required: tuple[ComponentIdentifier, ...]) -> tuple[ComponentIdentifier, ...]:
        """Those of `required` that this list does not have."""
        # By identity: requirements are made once, and to compare them again costs more than the answer. The tuple is
        # kept with the answer, so that its identity stays its own.
        known = self._answers.get(id(required))
        if known is not None:
            return known[1]
        answer = tuple(each for each in required if each not in self._set)
        if len(self._answers) < _MAX_ANSWERS:
            self._answers[id(required)] = required, answer
        return answer

    def has(self, component: ComponentIdentifier) -> bool:
        """Whether this list has the component."""
        return component in self._set

    @cached_property
    def names(self) -> frozenset[str]:
        """The components' names, without their parameters."""
        return frozenset(each.name for each in self)

    @cached_property
    def _set(self) -> frozenset[ComponentIdentifier]:
        return frozenset(self)

    @cached_property
    def _answers(self) -> dict[int, tuple[tuple[ComponentIdentifier, ...], tuple[ComponentIdentifier, ...]]]:
        return {}

    def plan(self, field_types: StructuredFieldTypes) -> Plan:
        """How the base is built with these types of structured fields.

        Raises:
            Refused: as `resolver_for` and `check_distinct`.
        """
        known = self._plans.get(id(field_types))  # by identity, as in `missing`
        if known is not None:
            return known[1]
        self.check_distinct()  # RFC 9421 §2.5 step 2.0: there is no base of a list that names a component twice
        pieces: list[str] = []
        for begin in (*(each.serialized for each in self), '"@signature-params"'):
            pieces += [("\n" if pieces else "") + begin + ": ", ""]
        plan = Plan(
            tuple((each.field, resolver_for(each, field_types)) for each in self),
            pieces,
            tuple(str(each) for each in self),
        )
        if len(self._plans) < _MAX_ANSWERS:
            self._plans[id(field_types)] = field_types, plan
        return plan

    @cached_property
    def _plans(self) -> dict[int, tuple[StructuredFieldTypes, Plan]]:
        return {}


@lru_cache(maxsize=_MAX_LISTS)
def _kept(components: tuple[ComponentIdentifier, ...], _: tuple[str, ...]) -> CoveredComponents:
    return CoveredComponents(components)


def read_components(text: str) -> CoveredComponents | None:
    """Read an Inner List without parameters of its own, if it is in canonical form.

    Args:
        text: from the opening to the closing parenthesis.

    Returns:
        The list; None when it is in another form or has a component that is malformed, which is for the parser of
        structured fields to judge.
    """
    return _read_kept(text) if len(text) <= _MAX_KEPT_CHARACTERS else _read(text)


def _read(text: str) -> CoveredComponents | None:
    def refuse(_: str, __: str) -> None:
        raise Refused(Reason.PARAMETER_DUPLICATED, "a parameter occurs twice")

    try:
        parsed = cast("Any", http_sf.parse(text.encode("ascii"), tltype="list", on_duplicate_key=refuse))
        items, parameters = parsed[0]
        components = CoveredComponents(ComponentIdentifier.from_item(name, each) for name, each in items)
    except (http_sf.StructuredFieldError, UnicodeEncodeError, Refused, ValueError, TypeError, IndexError):
        return None
    return components if len(parsed) == 1 and not parameters and components.serialized == text else None


_read_kept = lru_cache(maxsize=_MAX_LISTS)(_read)
