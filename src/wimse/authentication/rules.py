"""What a deployment decides: for whom a message may be meant, and who may call.

Nothing is allowed by default. Audiences come from configuration, never from Host or a forwarded field
(http-signature §3.1), and are compared exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from wimse.credentials import TrustDomain, WorkloadIdentifier
from wimse.errors import ConfigurationError
from wimse.httpsig import ComponentIdentifier, Request, component_value

__all__ = [
    "AudienceFunction",
    "AudienceRule",
    "ExactAudience",
    "PeerRule",
    "Policy",
    "TargetAudience",
    "any_trusted",
    "exactly",
    "expect",
    "member_of",
]

Policy = Callable[[WorkloadIdentifier], bool]
"""Whether this workload may call. Asked last, with an identity that was authenticated."""

PeerRule = Callable[[Request, WorkloadIdentifier], bool]
"""Whether this workload is the one that the request was sent to (workload-creds §1.3)."""

_PATH = ComponentIdentifier("@path")


AudienceFunction = Callable[[str, Request], bool]
"""Whether an audience, of the signature of this request, names us."""


@runtime_checkable
class AudienceRule(Protocol):
    """Decides whether an audience names us."""

    def accepts(self, audience: str, request: Request) -> bool:
        """Whether `audience`, of the signature of `request`, names us."""


@dataclass(frozen=True, slots=True, init=False)
class ExactAudience:
    """One of several configured strings, compared whole."""

    values: frozenset[str]

    def __init__(self, *values: str) -> None:
        """Accept `values` and nothing else.

        Raises:
            ConfigurationError: without a value, or with an empty one.
        """
        if not values or not all(values):
            raise ConfigurationError("an audience must be configured")
        object.__setattr__(self, "values", frozenset(values))

    def accepts(self, audience: str, request: Request) -> bool:  # noqa: ARG002 - one rule needs it
        """Whether `audience` is one of the values."""
        return audience in self.values


@dataclass(frozen=True, slots=True, init=False)
class TargetAudience:
    """The default audience of callers: an origin of ours followed by the path of this very request."""

    origins: frozenset[str]

    def __init__(self, *origins: str) -> None:
        """Accept target URIs of these origins.

        Args:
            origins: such as ``https://orders.example`` or ``https://orders.example:8443``, as callers know us.

        Raises:
            ConfigurationError: without an origin, or for one that has a path.
        """
        cleaned = frozenset(origin.removesuffix("/") for origin in origins)
        if not cleaned or any(origin.count("/") != 2 or "://" not in origin for origin in cleaned):
            raise ConfigurationError("an origin is written as https://name or https://name:port")
        object.__setattr__(self, "origins", cleaned)

    def accepts(self, audience: str, request: Request) -> bool:
        """Whether `audience` is one of the origins with the path of `request`."""
        path = component_value(_PATH, request)
        return any(audience == origin + path for origin in self.origins)


@dataclass(frozen=True, slots=True)
class _AskedAudience:
    """What a function says."""

    asked: AudienceFunction

    def accepts(self, audience: str, request: Request) -> bool:
        """Whether the function says True, and nothing that merely counts as true."""
        return self.asked(audience, request) is True


def audience_rule(audience: str | Iterable[str] | AudienceRule | AudienceFunction) -> AudienceRule:
    """The rule for what was configured: strings are exact, a function is asked.

    Raises:
        ConfigurationError: for something else.
    """
    if isinstance(audience, str):
        return ExactAudience(audience)
    if isinstance(audience, Iterable):
        return ExactAudience(*audience)
    if isinstance(audience, AudienceRule):
        return audience
    if callable(audience):
        return _AskedAudience(audience)
    raise ConfigurationError("an audience is a text, several, a rule or a function")


def any_trusted(_: WorkloadIdentifier) -> bool:
    """A policy: every workload of every trust domain that a bundle is configured for."""
    return True


def member_of(*trust_domains: TrustDomain) -> Policy:
    """A policy: every workload of these trust domains, scheme included."""
    allowed = frozenset(trust_domains)
    return lambda identity: identity.trust_domain in allowed


def exactly(*identities: WorkloadIdentifier | str) -> Policy:
    """A policy: these workloads, compared whole; none is none.

    Raises:
        Refused: `identifier_malformed` for text that is no identifier.
    """
    allowed = frozenset(
        each if isinstance(each, WorkloadIdentifier) else WorkloadIdentifier.parse(each) for each in identities
    )
    return lambda identity: identity in allowed


def expect(policy: Policy) -> PeerRule:
    """A rule for servers: the same policy for whatever was asked."""
    return lambda _, identity: policy(identity)
