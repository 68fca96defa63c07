"""Policies as values: what they allow can be read, compared and printed.

    allowed = AnyOf(
        exactly("spiffe://example.com/billing"),
        PathTemplate("spiffe://example.com/ns/{namespace}/sa/{account}").where(namespace="payments"),
    )

Rules:

1. Identifiers are compared whole: scheme, trust domain and every segment of the path (draft-ietf-wimse-identifier §7;
   mutual-tls, Security Considerations). There is no prefix and no pattern within a segment, so that nobody is let in
   because his name begins like another's.
2. A path means nothing without its trust domain, so that a template begins with one, written out.
3. What names nobody allows nobody: no alternative, no value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wimse.authentication.rules import Policy
from wimse.credentials import TrustDomain, WorkloadIdentifier
from wimse.errors import ConfigurationError, Refused

__all__ = ["AnyOf", "PathTemplate"]

_PART: Final = re.compile(r"\{([a-z_][a-z0-9_]*)\}", re.ASCII)


@dataclass(frozen=True, slots=True, init=False)
class AnyOf:
    """A policy: whom at least one of several policies allows; without a policy nobody.

    Attributes:
        policies: asked in this order.
    """

    policies: tuple[Policy, ...]

    def __init__(self, *policies: Policy) -> None:
        """Join `policies`."""
        object.__setattr__(self, "policies", policies)

    def __call__(self, identity: WorkloadIdentifier) -> bool:
        """Whether one of the policies says True, and nothing that is merely like it."""
        return any(policy(identity) is True for policy in self.policies)


@dataclass(frozen=True, slots=True, init=False)
class PathTemplate:
    """A policy: workloads of one trust domain whose path has this form.

    ``{name}`` stands for one whole segment of the path, whatever it is; all else is compared as it is written.

    Attributes:
        trust_domain: whose workloads.
        segments: of the path, in order.
        values: for the names that are bounded, the values that they may have.
    """

    trust_domain: TrustDomain
    segments: tuple[str, ...]
    values: tuple[tuple[str, frozenset[str]], ...]

    def __init__(self, template: str) -> None:
        """Read a template, such as ``spiffe://example.com/ns/{namespace}/sa/{account}``.

        Raises:
            ConfigurationError: unless it becomes an identifier when each ``{name}`` is filled in; for a brace that is
                only a part of a segment, and for a name that occurs twice.
        """
        names = _PART.findall(template)
        if len(names) != len(set(names)):
            raise ConfigurationError("a name occurs twice in the path template")
        try:
            # No identifier has a brace: what is left of one here is refused, too.
            filled = WorkloadIdentifier.parse(_PART.sub("x", template))
        except Refused as refused:
            raise ConfigurationError(f"the path template: {refused.detail}") from None
        segments = tuple(template.removeprefix(str(filled.trust_domain)).split("/")[1:])
        if any("{" in each and not _PART.fullmatch(each) for each in segments) or len(segments) != filled.path.count(
            "/"
        ):
            raise ConfigurationError("a {name} of the path template is not a whole segment of its path")
        object.__setattr__(self, "trust_domain", filled.trust_domain)
        object.__setattr__(self, "segments", segments)
        object.__setattr__(self, "values", ())

    def where(self, **values: str | Iterable[str]) -> PathTemplate:
        """The same template with fewer values for some of its names.

        Args:
            values: for a name, the value or the values that it may have; none at all matches nothing.

        Raises:
            ConfigurationError: for a name that is not in the template.
        """
        if not values.keys() <= set(self._names()):
            raise ConfigurationError("the path template has no part of this name")
        bounded = {name: frozenset([each] if isinstance(each, str) else each) for name, each in values.items()}
        for name, before in self.values:
            bounded[name] = bounded.get(name, before) & before
        made = PathTemplate(str(self))
        object.__setattr__(made, "values", tuple(sorted(bounded.items())))
        return made

    def match(self, identity: WorkloadIdentifier) -> Mapping[str, str] | None:
        """The values of the named parts, or None when `identity` does not have this form."""
        segments = identity.path.split("/")[1:]
        if identity.trust_domain != self.trust_domain or len(segments) != len(self.segments):
            return None
        found: dict[str, str] = {}
        for expected, segment in zip(self.segments, segments, strict=True):
            if expected.startswith("{"):
                found[expected[1:-1]] = segment
            elif expected != segment:
                return None
        if any(found[name] not in allowed for name, allowed in self.values):
            return None
        return MappingProxyType(found)

    def __call__(self, identity: WorkloadIdentifier) -> bool:
        """Whether `identity` has this form."""
        return self.match(identity) is not None

    def _names(self) -> list[str]:
        return [each[1:-1] for each in self.segments if each.startswith("{")]

    def __str__(self) -> str:
        return "/".join([str(self.trust_domain), *self.segments])
