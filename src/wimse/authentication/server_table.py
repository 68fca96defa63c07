"""Who is expected to answer at which URL (workload-creds §1.3): a table or a function, from outside of the messages.

A valid WIT says who answered, not that it is whom the caller meant: the mapping from the name in a URL to a workload is
the deployment's, and what it does not name is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from wimse.authentication.rules import PeerRule
from wimse.credentials import WorkloadIdentifier
from wimse.errors import ConfigurationError, Refused
from wimse.httpsig import ComponentIdentifier, Request, component_value
from wimse.profiles.http_signature import default_audience

__all__ = ["ServerTable", "server_by_url"]

_SCHEME, _AUTHORITY, _PATH = (ComponentIdentifier(name) for name in ("@scheme", "@authority", "@path"))
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#@\\\s]+)(/[^?#\\\s]*)?", re.ASCII)
# What a server may read as a slash or as a dot segment, so that the path is not below the prefix that it begins with.
_AMBIGUOUS: Final = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?=/|$)|%2f|%5c|\\", re.IGNORECASE)


class ServerTable:
    """A rule for servers: the workloads that may answer at an origin, or below a path of it.

    The longest prefix of whole path segments counts, and it alone. Everything is compared exactly, but for the case of
    scheme and host and for a default port.
    """

    __slots__ = ("_origins",)

    def __init__(self, table: Mapping[str, WorkloadIdentifier | str | Iterable[WorkloadIdentifier | str]]) -> None:
        """Take the table.

        Args:
            table: from ``https://orders.example`` or ``https://orders.example/billing`` to the workload that may
                answer there, or to several.

        Raises:
            ConfigurationError: without an entry, or for one that has a query, user, dot segments, no workload, or
                the same place as another one.
            Refused: `identifier_malformed` for text that is no identifier.
        """
        self._origins: dict[tuple[str, str], dict[str, frozenset[WorkloadIdentifier]]] = {}
        for url, workloads in table.items():
            origin, prefix = _place(url)
            prefixes = self._origins.setdefault(origin, {})
            if prefix in prefixes:
                raise ConfigurationError("two entries of a server table are the same place")
            prefixes[prefix] = _identifiers(workloads)
        if not self._origins:
            raise ConfigurationError("a server table has at least one entry")

    def __call__(self, request: Request, identity: WorkloadIdentifier) -> bool:
        """Whether `identity` may answer `request`."""
        return identity in self.expected(request)

    def expected(self, request: Request) -> frozenset[WorkloadIdentifier]:
        """The workloads that may answer; none when the table does not say."""
        try:
            scheme, authority, path = (component_value(each, request) for each in (_SCHEME, _AUTHORITY, _PATH))
        except Refused:  # such as the target of CONNECT
            return frozenset()
        prefixes = self._origins.get((scheme, authority))
        if prefixes is None or _AMBIGUOUS.search(path):
            return frozenset()
        while path and path not in prefixes:
            path = path.rpartition("/")[0]
        return prefixes.get(path, frozenset())


def server_by_url(find: Callable[[str], WorkloadIdentifier | str | None]) -> PeerRule:
    """A rule for servers: a function from the URL of a request, without its query, to the workload that may answer.

    Args:
        find: returns None where nobody may.
    """

    def rule(request: Request, identity: WorkloadIdentifier) -> bool:
        expected = find(default_audience(request))
        return expected is not None and _identifiers(expected) == {identity}

    return rule


def _identifiers(
    workloads: WorkloadIdentifier | str | Iterable[WorkloadIdentifier | str],
) -> frozenset[WorkloadIdentifier]:
    listed = (workloads,) if isinstance(workloads, WorkloadIdentifier | str) else tuple(workloads)
    if not listed:
        raise ConfigurationError("an entry of a server table names at least one workload")
    return frozenset(
        each if isinstance(each, WorkloadIdentifier) else WorkloadIdentifier.parse(each) for each in listed
    )


def _place(url: str) -> tuple[tuple[str, str], str]:
    found = _URL.fullmatch(url)
    if found is None or _AMBIGUOUS.search(found[3] or ""):
        raise ConfigurationError("an entry of a server table is a URL without user, query, fragment and dot segments")
    # By the same rules as those of the requests that it is compared with.
    request = Request(method="GET", target=found[3] or "/", scheme=found[1], authority=found[2])
    origin = component_value(_SCHEME, request), component_value(_AUTHORITY, request)
    return origin, (found[3] or "").rstrip("/")
