"""What an application asks of a signature, as a value (RFC 9421 §3.2.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from wimse.errors import ConfigurationError, Reason, Refused, Violation
from wimse.httpsig.components import ComponentIdentifier, component_value
from wimse.httpsig.digest import CONTENT_DIGEST
from wimse.httpsig.forms import KnownForms
from wimse.httpsig.message import Message, Request
from wimse.httpsig.parameters import SignatureInput, known_types
from wimse.httpsig.signatures import LabelledSignature
from wimse.keys import Algorithm
from wimse.keys.algorithms import algorithm_of_http_name

__all__ = ["CONTENT_DIGEST_COMPONENT", "Requirements"]

MAX_LEEWAY: Final = timedelta(seconds=120)
CONTENT_DIGEST_COMPONENT: Final = ComponentIdentifier(CONTENT_DIGEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Which signature an application wants, and what it must be like. All violations are reported together.

    The first four select: exactly one signature must fit all that are given (`select_signature`). The others judge the
    one that was selected.

    Attributes:
        label: the signature to verify, by label; labels mean nothing and may be changed on the way (§7.2.5).
        tag: the signature to verify, by its tag.
        keyid: the signature to verify, by its `keyid`.
        predicate: the signature to verify, by what this says of it; called with well-formed ones only.
        components: identifiers that must be covered, exactly these: ``content-digest;key=…`` is another one.
        components_if_present: identifiers that must be covered when the message (or with `req` the request)
            has the component.
        cover_content: whether content of at least one byte must be covered, through exactly ``content-digest``;
            then `verify` must be given the content.
        parameters: names that must be present.
        forbidden_parameters: names that must be absent.
        parameter_values: parameters that must be present with just this value, of just this type.
        parameter_types: types of further parameters that the application knows; those of §2.3 have theirs.
        tags: those that are accepted; None accepts any, and none.
        max_age: longest time since `created`; None does not look at age.
        max_lifetime: longest time from `created` to `expires` where both are there, which `parameters` can require;
            None does not look at it.
        leeway: how far the two clocks may be apart. Default 30 s, at most 120 s.
        algorithms: those that are allowed; None allows each that is supported.
        known_types: `parameter_types` with those of §2.3; worked out.
        forms: those of signatures that satisfied these requirements; learnt.

    Raises on construction:
        ConfigurationError: for a leeway that is negative or above 120 s, a negative age or lifetime, a parameter both
            asked for and forbidden, or a `tag` that is not among `tags`.
    """

    label: str | None = None
    tag: str | None = None
    keyid: str | None = None
    predicate: Callable[[LabelledSignature], bool] | None = None
    components: tuple[ComponentIdentifier, ...] = ()
    components_if_present: tuple[ComponentIdentifier, ...] = ()
    cover_content: bool = False
    parameters: tuple[str, ...] = ()
    forbidden_parameters: tuple[str, ...] = ()
    parameter_values: Mapping[str, object] = field(default_factory=dict)
    parameter_types: Mapping[str, type] = field(default_factory=dict)
    tags: frozenset[str] | None = None
    max_age: timedelta | None = None
    max_lifetime: timedelta | None = None
    leeway: timedelta = timedelta(seconds=30)
    algorithms: frozenset[Algorithm] | None = None
    # Worked out once, since a value is made once and asked for every message.
    _needed: frozenset[str] = field(init=False, repr=False, compare=False, default=frozenset())
    _forbidden: frozenset[str] = field(init=False, repr=False, compare=False, default=frozenset())
    known_types: Mapping[str, type] = field(init=False, repr=False, compare=False, default_factory=dict)
    forms: KnownForms = field(init=False, repr=False, compare=False, default_factory=KnownForms)
    _judges_values: bool = field(init=False, repr=False, compare=False, default=True)
    _leeway: int = field(init=False, repr=False, compare=False, default=0)  # seconds, as the two that follow
    _max_age: int | None = field(init=False, repr=False, compare=False, default=None)
    _max_lifetime: int | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "_needed", frozenset((*self.parameters, *self.parameter_values, *self._tag_if_limited())))
        put(self, "_forbidden", frozenset(self.forbidden_parameters))
        put(self, "known_types", known_types(self.parameter_types))
        put(self, "_judges_values", bool(self.parameter_values) or self.tags is not None)
        put(self, "_leeway", int(self.leeway.total_seconds()))
        put(self, "_max_age", _seconds(self.max_age))
        put(self, "_max_lifetime", _seconds(self.max_lifetime))
        if not timedelta(0) <= self.leeway <= MAX_LEEWAY:
            raise ConfigurationError(f"leeway must be between 0 and {MAX_LEEWAY.seconds} seconds")
        for name, duration in (("max_age", self.max_age), ("max_lifetime", self.max_lifetime)):
            if duration is not None and duration < timedelta(0):
                raise ConfigurationError(f"{name} must not be negative")
        if not {*self.parameters, *self.parameter_values}.isdisjoint(self.forbidden_parameters):
            raise ConfigurationError("a parameter is both required and forbidden")
        if self.tag is not None and self.tags is not None and self.tag not in self.tags:
            raise ConfigurationError("the tag to select is not among those accepted")

    def check(
        self,
        metadata: SignatureInput,
        message: Message,
        now: int,
        request: Request | None = None,
        *,
        content: bytes | None = None,
    ) -> None:
        """Compare a signature's metadata with these requirements (§3.2 step 4).

        Args:
            metadata: components and parameters.
            message: the message that carries the signature.
            now: seconds since 1970.
            request: when the message is a response, the request that it answers.
            content: of the message, for `cover_content`.

        Raises:
            Refused: with every violation; its reason is that of the first one.
            ConfigurationError: when `cover_content` is asked for without the content.
        """
        if self.cover_content and content is None:
            raise ConfigurationError("cover_content is judged with the content, which was not given")
        found: list[Violation] = []
        covered, given = metadata.components, metadata.parameters
        missing, optional = covered.missing(self.components), covered.missing(self.components_if_present)
        for each in optional:
            if _is_present(each, message, request):
                missing = (*missing, each)
        if self.cover_content and content and not covered.has(CONTENT_DIGEST_COMPONENT):
            missing = (*missing, CONTENT_DIGEST_COMPONENT)
        for identifier in missing:
            found.append(Violation(Reason.COMPONENT_NOT_COVERED, f"{identifier} is not covered"))
        if not given.keys() >= self._needed or not self._forbidden.isdisjoint(given):
            self._presence(found, given)
        if self._judges_values or "alg" in given:
            self._values(found, given)
        self._times(found, given, now)
        if found:
            raise Refused.for_violations(list(dict.fromkeys(found)))

    def _tag_if_limited(self) -> tuple[str, ...]:
        return () if self.tags is None else ("tag",)

    def _presence(self, found: list[Violation], given: Mapping[str, object]) -> None:
        for name in dict.fromkeys((*self.parameters, *self.parameter_values, *self._tag_if_limited())):
            if name not in given:
                found.append(Violation(Reason.PARAMETER_MISSING, f"the parameter {name} is missing"))
        for name in self.forbidden_parameters:
            if name in given:
                found.append(Violation(Reason.PARAMETER_FORBIDDEN, f"the parameter {name} must not be used"))

    def _values(self, found: list[Violation], given: Mapping[str, object]) -> None:
        for name, value in self.parameter_values.items():
            if name in given and not _same(given[name], value):
                detail = f"the parameter {name} does not have the value that is required"
                found.append(Violation(Reason.PARAMETER_VALUE, detail))
        if self.tags is not None and isinstance(tag := given.get("tag"), str) and tag not in self.tags:
            found.append(Violation(Reason.PARAMETER_VALUE, "the tag is not among those accepted"))
        # Only what the signature says of itself; the key's algorithm is compared when the key is known (step 6).
        if (
            "alg" in given
            and self.algorithms is not None
            and algorithm_of_http_name(given["alg"]) not in self.algorithms
        ):
            found.append(Violation(Reason.ALGORITHM_NOT_ALLOWED, "the parameter alg is not among those allowed"))

    def _times(self, found: list[Violation], given: Mapping[str, object], now: int) -> None:
        # Plain integers throughout: a `created` of fifteen digits is no date and must not become an exception.
        created, expires, leeway = given.get("created"), given.get("expires"), self._leeway
        created = created if type(created) is int else None
        expires = expires if type(expires) is int else None
        if expires is not None and now >= expires + leeway:
            found.append(Violation(Reason.SIGNATURE_EXPIRED, "the signature has expired"))
        if created is not None and created > now + leeway:
            found.append(Violation(Reason.SIGNATURE_NOT_YET_VALID, "the signature was created in the future"))
        if created is not None and expires is not None and expires <= created:
            found.append(Violation(Reason.SIGNATURE_LIFETIME, "the signature expires before it was created"))
        if self._max_age is not None:
            if created is None:
                found.append(Violation(Reason.PARAMETER_MISSING, "the parameter created is missing"))
            elif now - created > self._max_age + leeway:
                found.append(Violation(Reason.SIGNATURE_TOO_OLD, "the signature is older than is accepted"))
        longest = self._max_lifetime
        if longest is not None and created is not None and expires is not None and expires - created > longest:
            found.append(Violation(Reason.SIGNATURE_LIFETIME, f"the signature lives longer than {longest} seconds"))


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else int(duration.total_seconds())


def _is_present(identifier: ComponentIdentifier, message: Message, request: Request | None) -> bool:
    if identifier.field is not None:
        return identifier.field in message.fields.by_name
    if identifier.of_request and request is None:
        return False
    try:
        component_value(identifier, message, request)
    except Refused as refused:
        # What is there and has no value that can be signed, such as a query parameter that occurs twice, is there.
        return refused.reason is not Reason.COMPONENT_ABSENT
    return True


def _same(found: object, expected: object) -> bool:
    return type(found) is type(expected) and found == expected  # True is not 1
