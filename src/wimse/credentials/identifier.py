"""Trust domains and workload identifiers: value objects with a parser of their own.

Rules: draft-ietf-wimse-identifier §4.1 for every scheme, SPIFFE-ID §2 on top for `spiffe`.

1. An identifier has one spelling. What another spelling could name as well (upper case in the trust domain, percent-
   encoded unreserved characters, dot segments, empty segments, a trailing slash) is refused, never normalised.
2. Identifiers are compared whole and byte by byte. There is no prefix operation here.
3. A trust domain is the pair (scheme, name): ``spiffe://example.org`` and ``wimse://example.org`` are two.

`urllib.parse` is not used: it drops tabs and newlines, hides an empty query or fragment, and takes user and port.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from wimse.errors import Reason, Refused

__all__ = ["MAX_IDENTIFIER_BYTES", "MAX_TRUST_DOMAIN_BYTES", "SCHEMES", "TrustDomain", "WorkloadIdentifier"]

SCHEMES: Final = ("spiffe", "wimse")
MAX_IDENTIFIER_BYTES: Final = 2048  # SPIFFE-ID §2.3, draft-ietf-wimse-identifier §4.1
MAX_TRUST_DOMAIN_BYTES: Final = 255  # SPIFFE-ID §2.3, RFC 3986 §3.2.2

# SPIFFE-ID §2.1. The same letters for `wimse`: a host name has no others once case is settled, and neither user,
# port, IPv6 nor percent-encoding can be written with them.
_NAME = re.compile(r"[a-z0-9._-]+", re.ASCII)
# SPIFFE-ID §2.2 for `spiffe`. For other schemes RFC 3986's pchar, percent-encodings in upper case.
_SEGMENT = {
    "spiffe": re.compile(r"[A-Za-z0-9._-]+", re.ASCII),
    "wimse": re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+", re.ASCII),
}
_ENCODED_UNRESERVED = re.compile(r"%(?:2D|2E|5F|7E|3[0-9]|[46][1-9A-F]|[57][0-9A])", re.ASCII)
_UNSAFE_ENCODED = re.compile(r"%(?:[01][0-9A-F]|7F|2F|5C)", re.ASCII)


def _refuse(detail: str) -> Refused:
    return Refused(Reason.IDENTIFIER_MALFORMED, detail)


@dataclass(frozen=True, slots=True, order=True)
class TrustDomain:
    """A trust domain: scheme and name, such as ``spiffe`` and ``example.org``.

    Raises on construction:
        Refused: `identifier_malformed` for a scheme that is neither `spiffe` nor `wimse`, or a name that is
            empty, longer than 255 bytes, or has characters other than ``a-z 0-9 . _ -``.
    """

    scheme: str
    name: str

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise _refuse("the scheme is neither spiffe nor wimse")
        if len(self.name) > MAX_TRUST_DOMAIN_BYTES:
            raise _refuse(f"the trust domain is longer than {MAX_TRUST_DOMAIN_BYTES} bytes")
        if not _NAME.fullmatch(self.name):
            raise _refuse("the trust domain is empty or has a character other than a-z, 0-9, '.', '_' and '-'")

    @classmethod
    def parse(cls, uri: str) -> TrustDomain:
        """Read a trust domain from its URI, ``spiffe://example.org``, without a path.

        Raises:
            Refused: `identifier_malformed`.
        """
        scheme, separator, name = uri.partition("://")
        if not separator:
            raise _refuse("a trust domain is written as scheme://name")
        return cls(scheme, name)

    def workload(self, path: str) -> WorkloadIdentifier:
        """The workload with this path, which begins with a slash.

        Raises:
            Refused: `identifier_malformed`.
        """
        return _workload(self, path)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class WorkloadIdentifier:
    """The identifier of one workload: a trust domain and a path that is not empty.

    Raises on construction:
        Refused: `identifier_malformed`.
    """

    trust_domain: TrustDomain
    path: str

    def __post_init__(self) -> None:
        if len(str(self).encode("utf-8", "replace")) > MAX_IDENTIFIER_BYTES:
            raise _refuse(f"the identifier is longer than {MAX_IDENTIFIER_BYTES} bytes")
        first, *segments = self.path.split("/")
        if first or not segments:
            raise _refuse("a workload identifier has a path after the trust domain")
        pattern = _SEGMENT[self.trust_domain.scheme]
        for segment in segments:
            if segment in {"", ".", ".."}:
                raise _refuse("the path has an empty segment, a dot segment or a trailing slash")
            if not pattern.fullmatch(segment):
                raise _refuse("the path has a character that this scheme does not allow")
            if _ENCODED_UNRESERVED.search(segment) or _UNSAFE_ENCODED.search(segment):
                raise _refuse("the path has a percent-encoding that is not canonical")

    @classmethod
    def parse(cls, uri: str) -> WorkloadIdentifier:
        """Read an identifier from its URI, such as ``spiffe://example.org/payments``.

        Raises:
            Refused: `identifier_malformed` for anything but the one canonical spelling (module docstring).
        """
        return _parsed(uri)

    def member_of(self, trust_domain: TrustDomain) -> bool:
        """Whether this workload belongs to `trust_domain`, scheme included."""
        return self.trust_domain == trust_domain

    def __str__(self) -> str:
        return f"{self.trust_domain}{self.path}"


# The same ones are read and written again and again, one for each renewal; what is refused is not kept.
@lru_cache(maxsize=1024)
def _parsed(uri: str) -> WorkloadIdentifier:
    scheme, separator, rest = uri.partition("://")
    if not separator:
        raise _refuse("an identifier is written as scheme://trust-domain/path")
    name, slash, path = rest.partition("/")
    return WorkloadIdentifier(TrustDomain(scheme, name), slash + path)


@lru_cache(maxsize=1024)
def _workload(trust_domain: TrustDomain, path: str) -> WorkloadIdentifier:
    return WorkloadIdentifier(trust_domain, path)
