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
    "json_option",
    "named_trust_domain_option",
    "now_option",
    "revision_option",
    "scheme_option",
    "servers_option",
    "trust_domain_option",
]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_LATEST: Final = 253_402_300_799  # the last second of the year 9999
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)


def _domain(_: click.Context, __: click.Parameter, value: str | None) -> TrustDomain | None:
    from wimse.credentials import TrustDomain

    try:
        return None if value is None else TrustDomain.parse(value if "://" in value else f"spiffe://{value}")
    except Refused as refused:
        raise click.BadParameter(refused.detail) from None


def _workloads(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[WorkloadIdentifier, ...]:
    from wimse.credentials import WorkloadIdentifier

    try:
        return tuple(WorkloadIdentifier.parse(value) for value in values)
    except Refused as refused:
        raise click.BadParameter(refused.detail) from None


def _revision(_: click.Context, __: click.Parameter, value: str) -> Revision:
    from wimse.profiles.http_signature import REVISIONS

    if value not in REVISIONS:
        raise click.BadParameter(f"there is no such revision; known are {', '.join(REVISIONS)}")
    return REVISIONS[value]


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


def revision_option(function: Decorated) -> Decorated:
    """``--revision``: of the http-signature profile."""
    return click.option(
        "--revision",
        default="07",
        show_default=True,
        metavar="R",
        callback=_revision,
        help="Of http-signature: 07, 06, bridge, cofide-poc.",
    )(function)


def servers_option(function: Decorated) -> Decorated:
    """``--server``, as `servers`: who may answer."""
    return click.option(
        "--server",
        "servers",
        multiple=True,
        metavar="SPIFFE_ID",
        callback=_workloads,
        help="The workload that may answer; may be repeated. By default each one of our own trust domain.",
    )(function)


def trust_domain_option(function: Decorated) -> Decorated:
    """``--trust-domain``: whose bundle it is."""
    return named_trust_domain_option(
        "Whose bundle it is: spiffe://name, wimse://name, or a bare name, which means spiffe. "
        "Needed when the bundle does not say so itself."
    )(function)


def named_trust_domain_option(text: str) -> Callable[[Decorated], Decorated]:
    """``--trust-domain`` with another help text."""
    return click.option("--trust-domain", metavar="D", callback=_domain, help=text)
