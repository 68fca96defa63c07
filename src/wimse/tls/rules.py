"""Which workload a client means to reach: the mapping from names to identifiers (workload-creds §1.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wimse.authentication import Policy
from wimse.credentials import WorkloadIdentifier
from wimse.errors import ConfigurationError

__all__ = ["ServerRule", "any_host", "by_host"]

ServerRule = Callable[[str | None, WorkloadIdentifier], bool]
"""Whether this workload is the one that was to be reached under this name, which is what the client asked for."""


def by_host(identities: Mapping[str, WorkloadIdentifier | str]) -> ServerRule:
    """A rule: each host is one workload. A host that is not in the mapping is nobody.

    Args:
        identities: by host name or address, as it is connected to, in lower case.

    Raises:
        ConfigurationError: for an empty mapping, or a name with upper case.
        Refused: `identifier_malformed` for text that is no identifier.
    """
    if not identities or any(name != name.lower() for name in identities):
        raise ConfigurationError("the mapping from hosts to workloads is empty, or has a name with upper case")
    known = {
        name: each if isinstance(each, WorkloadIdentifier) else WorkloadIdentifier.parse(each)
        for name, each in identities.items()
    }
    return lambda host, identity: host is not None and known.get(host.lower()) == identity


def any_host(policy: Policy) -> ServerRule:
    """A rule: the same policy under whatever name."""
    return lambda _, identity: policy(identity)
