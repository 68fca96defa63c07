"""Options that several commands share, and types of options."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from wimse.errors import Refused

if TYPE_CHECKING:
    from wimse.credentials import TrustDomain, WorkloadIdentifier
    from wimse.profiles.http_signature import Revision

__all__ = [
    "REVISION",
    "TRUST_DOMAIN",
    "WORKLOAD",
    "json_option",
    "now_option",
    "scheme_option",
    "trust_domain_option",
]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_LATEST: Final = 253_402_300_799  # the last second of the year 9999
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)


class _TrustDomainType(click.ParamType):
    """A trust domain: ``spiffe://name``, ``wimse://name``, or a bare name, which means `spiffe`."""

    name = "trust domain"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TrustDomain:
        from wimse.credentials import TrustDomain

        try:
            return TrustDomain.parse(value if "://" in value else f"spiffe://{value}")
        except Refused as refused:
            self.fail(refused.detail, param, ctx)


class _WorkloadType(click.ParamType):
    """A workload identifier."""

    name = "workload"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> WorkloadIdentifier:
        from wimse.credentials import WorkloadIdentifier

        try:
            return WorkloadIdentifier.parse(value)
        except Refused as refused:
            self.fail(refused.detail, param, ctx)


class _RevisionType(click.ParamType):
    """A revision of the http-signature profile."""

    name = "revision"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Revision:
        from wimse.profiles.http_signature import REVISIONS

        if value not in REVISIONS:
            self.fail(f"there is no such revision; known are {', '.join(REVISIONS)}", param, ctx)
        return REVISIONS[value]


TRUST_DOMAIN: Final = _TrustDomainType()
WORKLOAD: Final = _WorkloadType()
REVISION: Final = _RevisionType()


def _scheme(_: click.Context, __: click.Parameter, value: str) -> str:
    if not _SCHEME.fullmatch(value):
        raise click.BadParameter("a scheme is a word such as https")
    return value


def json_option(function: Decorated) -> Decorated:
    """``--json``, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(function)


def now_option(function: Decorated) -> Decorated:
    """``--now N``: the time by which is judged; that of the machine's clock by default."""
    return click.option(
        "--now",
        type=click.IntRange(0, _LATEST),
        default=lambda: int(time.time()),
        metavar="N",
        help="Judge as of this time, in seconds since 1970, instead of now.",
    )(function)


def scheme_option(function: Decorated) -> Decorated:
    """``--scheme``: of the request, which the bytes of HTTP/1.1 do not say."""
    return click.option(
        "--scheme", default="https", show_default=True, callback=_scheme, help="Scheme of the request's URL."
    )(function)


def trust_domain_option(function: Decorated) -> Decorated:
    """``--trust-domain``: whose bundle it is."""
    return click.option(
        "--trust-domain",
        type=TRUST_DOMAIN,
        metavar="D",
        help="Whose bundle it is: spiffe://name, wimse://name, or a bare name, which means spiffe. "
        "Needed when the bundle does not say so itself.",
    )(function)
