"""Request targets and the components that are derived from them (RFC 9421 §2.2.2 to §2.2.8; RFC 9112 §3.2, §3.3).

| form (RFC 9112) | @request-target | @target-uri | @scheme | @authority | @path, @query, @query-param |
|---|---|---|---|---|---|
| origin, ``/a?b`` | as sent | put together | of the context | of the context | of the target |
| absolute, ``http://h/a?b`` | as sent | the target, normalised | of the target | of the target | of the target |
| authority, ``h:80`` (CONNECT) | as sent | absent | absent | of the target | absent |
| asterisk, ``*`` (OPTIONS) | as sent | without a path | of the context | of the context | absent |

"Absent" is `component_absent`: there is no such part, and no value is made up for it. In particular ``*`` has no path:
were it ``/``, one signature would do for both targets. Any other target is in no form, and all but @request-target are
absent, also when a form comes with another method than its own (RFC 9110 §7.1: "MUST NOT").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote

from wimse.errors import Reason, Refused
from wimse.httpsig.message import Request

__all__ = ["authority", "path", "query", "query_parameter", "scheme", "target_uri"]

# RFC 3986 §3.2.2 and §3.2.3: an IP literal in its brackets or a registered name (an IPv4 address among them), then the
# port. Neither "@" nor "/" can occur: user information is refused (RFC 9110 §4.2.4).
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Za-z:.]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]+)(?::([0-9]*))?", re.ASCII)
# http, https, and what else HTTP may be asked for; RFC 3986 §3.1 without + - . which no scheme of HTTP has.
_ABSOLUTE: Final = re.compile(r"([A-Za-z][0-9A-Za-z]*)://([^/?]*)(.*)", re.ASCII)
_DEFAULT_PORTS: Final = {"https": "443", "http": "80"}  # RFC 9110 §4.2.1, §4.2.2
_MAX_QUERY_PARAMETERS: Final = 1_000


class _Absolute(NamedTuple):
    scheme: str
    authority: str
    rest: str  # the path and query, which may be empty


def _absolute_form(request: Request) -> _Absolute | None:
    found = _ABSOLUTE.fullmatch(request.target)
    return _Absolute(found[1].lower(), found[2], found[3]) if found else None


def _asterisk_form(request: Request) -> bool:
    return request.target == "*" and request.method == "OPTIONS"  # RFC 9112 §3.2.4


def _authority_form(request: Request) -> str | None:
    # RFC 9112 §3.2.3, RFC 9110 §9.3.6: host and port, and there is no default port that could be left out.
    if request.method != "CONNECT" or not (found := _AUTHORITY.fullmatch(request.target)) or not found[2]:
        return None
    return request.target.lower()


def _no_form(what: str) -> Refused:
    return Refused(Reason.COMPONENT_ABSENT, f"a request target of this form has no {what}")


def scheme(request: Request) -> str:
    """The value of `@scheme` (§2.2.4): in lower case.

    Raises:
        Refused: `component_absent`.
    """
    if request.target.startswith("/") or _asterisk_form(request):
        return request.scheme.lower()
    if absolute := _absolute_form(request):
        return absolute.scheme  # RFC 9112 §3.3: the target is the target URI, whatever the connection
    raise _no_form("scheme")


def authority(request: Request) -> str:
    """The value of `@authority` (§2.2.3, RFC 9110 §4.2.3): in lower case, without the scheme's default port.

    Raises:
        Refused: `component_absent`, also for an authority that is none, or has user information.
    """
    if request.target.startswith("/") or _asterisk_form(request):
        return _normal_authority(request.authority, request.scheme.lower())
    if absolute := _absolute_form(request):  # RFC 9112 §3.2.2: the Host field does not count
        return _normal_authority(absolute.authority, absolute.scheme)
    if (tunnel := _authority_form(request)) is not None:
        return tunnel
    raise _no_form("authority")


def _normal_authority(text: str, of_scheme: str) -> str:
    found = _AUTHORITY.fullmatch(text)
    if not found:
        raise Refused(Reason.COMPONENT_ABSENT, "the request has no authority that can be signed")
    host, port = found[1].lower(), found[2]
    return host if not port or port == _DEFAULT_PORTS.get(of_scheme) else f"{host}:{port}"


def target_uri(request: Request) -> str:
    """The value of `@target-uri` (§2.2.2), put together as RFC 9112 §3.3 says.

    Scheme and authority are normalised in every form, and an empty path is a slash unless the method is OPTIONS (RFC
    9110 §4.2.3): a proxy that turns one form into another does not change the target URI (§1.2).

    Raises:
        Refused: `component_absent`.
    """
    if request.target.startswith("/"):
        return f"{request.scheme.lower()}://{authority(request)}{request.target}"
    if _asterisk_form(request):
        return f"{request.scheme.lower()}://{authority(request)}"
    if absolute := _absolute_form(request):
        rest = absolute.rest
        slash = "" if rest.startswith("/") or (not rest and request.method == "OPTIONS") else "/"
        return f"{absolute.scheme}://{authority(request)}{slash}{rest}"
    raise _no_form("target URI")


def _path_and_query(request: Request) -> tuple[str, str]:
    if request.target.startswith("/"):
        target = request.target
    elif absolute := _absolute_form(request):
        target = absolute.rest
    else:
        raise _no_form("path and query")
    before, _, after = target.partition("?")
    return before, after


def path(request: Request) -> str:
    """The value of `@path` (§2.2.6): escapes as they are; a slash when it is empty.

    Raises:
        Refused: `component_absent`.
    """
    return _path_and_query(request)[0] or "/"


def query(request: Request) -> str:
    """The value of `@query` (§2.2.7): with the leading question mark, also when there is no query.

    Raises:
        Refused: `component_absent`.
    """
    return "?" + _path_and_query(request)[1]


def query_parameter(request: Request, name: str) -> str:
    """The value of `@query-param` (§2.2.8): parsed as an HTML form, then encoded again.

    Args:
        request: the request.
        name: the parameter's name, encoded.

    Raises:
        Refused: `component_absent`; `component_not_applicable` for a parameter that occurs more than once;
            `too_many_parameters` when the query has more than 1,000.
    """
    # Once for all parameters that are covered: the time stays linear.
    values: Mapping[str, str | None] = request.once("query parameters", lambda: _query_parameters(request))
    if name not in values:
        raise Refused(Reason.COMPONENT_ABSENT, "the query has no parameter of the name that is covered")
    value = values[name]
    if value is None:
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, "the query has the covered parameter more than once")
    return value


def _query_parameters(request: Request) -> Mapping[str, str | None]:
    """Each parameter's encoded name and value; None for one that occurs more than once."""
    try:
        pairs = parse_qsl(
            _path_and_query(request)[1],
            keep_blank_values=True,
            errors="replace",
            max_num_fields=_MAX_QUERY_PARAMETERS,
        )
    except ValueError:
        raise Refused(Reason.TOO_MANY_PARAMETERS, "the query has too many parameters") from None
    values: dict[str, str | None] = {}
    for name, value in pairs:
        encoded = _form_encode(name)
        values[encoded] = None if encoded in values else _form_encode(value)
    return values


def _form_encode(text: str) -> str:
    # The percent-encode set of application/x-www-form-urlencoded leaves letters, digits and *-._ as they are.
    return quote(text, safe="*-._").replace("~", "%7E")
