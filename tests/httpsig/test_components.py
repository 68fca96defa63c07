from __future__ import annotations

import pytest

from tests.refusals import refused
from wimse.errors import Reason
from wimse.httpsig import ComponentIdentifier, Fields, Request, Response, component_value

REQUEST = Request(method="POST", target="/p?q=1", authority="example.com", fields=Fields([("A", "1"), ("b", "")]))
RESPONSE = Response(status=200, fields=Fields([("A", "2")]))


def value(text: str, message: Request | Response = REQUEST, request: Request | None = None) -> str:
    return component_value(ComponentIdentifier.parse(text), message, request)


def test_an_identifier_is_read_as_people_and_as_lists_write_it() -> None:
    assert ComponentIdentifier.parse("@method") == ComponentIdentifier.parse('"@method"')
    identifier = ComponentIdentifier.parse('"@query-param";name="a";req')
    assert identifier.parameters == (("name", "a"), ("req", True))
    assert identifier.serialized == '"@query-param";name="a";req'
    assert str(identifier) == '@query-param;name="a";req'
    assert identifier.of_request
    assert identifier.derived
    assert not ComponentIdentifier.parse("date").derived
    assert not ComponentIdentifier.parse("date").of_request


def test_the_order_of_parameters_is_kept_and_makes_no_other_identifier() -> None:
    """SB-04, RF-01"""
    one, other = ComponentIdentifier.parse('"x";a;b'), ComponentIdentifier.parse('"x";b;a')
    assert one == other
    assert hash(one) == hash(other)
    assert one.serialized != other.serialized
    assert one != ComponentIdentifier.parse('"x";a')
    assert one != ComponentIdentifier.parse('"y";a;b')
    assert one != one.serialized
    assert ComponentIdentifier.parse('"x";a') != ComponentIdentifier.parse('"x";a="1"')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Content-Type",
        "@Method",
        "a b",
        "@",
        "a@b",
        "\u00e9",
        "a\n",
        '"',
        '"a',
        '"A"',
        '""',
        '"a"x',
        '"a";',
        '"\u00e9"',
        '"a" "b"',
        '"a\\',
        '"a";B',
    ],
)
def test_a_name_that_no_component_can_have_is_refused(text: str) -> None:
    """SB-13, SB-22, RF-03: upper case among them."""
    with refused(Reason.COMPONENT_UNKNOWN):
        ComponentIdentifier.parse(text)


@pytest.mark.parametrize("name", [1, True, b"a", None, ["a"]])
def test_an_item_that_is_no_string_is_no_identifier(name: object) -> None:
    """SB-26"""
    with refused(Reason.SIGNATURE_FIELD_MALFORMED):
        ComponentIdentifier.from_item(name, {})


@pytest.mark.parametrize("text", ['"a";x=1', '"a";x=?0', '"a";x=token', '"a";x=:AA==:', '"a";x=1.0', '"a";req=?0'])
def test_a_parameter_is_a_flag_or_a_string(text: str) -> None:
    """SB-27 for components"""
    with refused(Reason.COMPONENT_PARAMETER_UNKNOWN):
        ComponentIdentifier.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        '"a";zzz',
        '"a";sf="x"',
        '"a";key',
        '"a";bs="x"',
        '"a";tr="x"',
        '"a";name="x"',
        '"a";bs;sf;zzz',
        '"a";req="x"',
        '"@method";req="x"',
        '"@method";a',
        '"@path";name="a"',
        '"@status";sf',
        '"@query-param"',
        '"@query-param";name',
        '"@query-param";name="q";a',
        '"@query-param";other="q"',
    ],
)
def test_a_parameter_that_is_not_understood_is_refused(text: str) -> None:
    """SB-07: none is ignored, and none has another type than its own."""
    with refused(Reason.COMPONENT_PARAMETER_UNKNOWN):
        value(text)


@pytest.mark.parametrize("text", ["@foo", "@signature-params", "@querys", "@request-response"])
def test_a_derived_component_that_the_rfc_does_not_have_is_unknown(text: str) -> None:
    """SB-05, SB-06, RF-12, RF-14"""
    with refused(Reason.COMPONENT_UNKNOWN):
        value(text)


def test_an_absent_field_is_refused_and_an_empty_one_is_not() -> None:
    """SB-11, RF-14"""
    assert value("b") == ""
    with refused(Reason.COMPONENT_ABSENT):
        value("c")
    with refused(Reason.COMPONENT_ABSENT):
        value('"b";req', RESPONSE, Request(method="GET", target="/"))


def test_a_literal_field_is_never_a_derived_component() -> None:
    """SB-12: even one that a lax parser lets through is not looked at."""
    with refused(Reason.FIELD_MALFORMED):
        Fields([("@method", "PUT")])
    assert value("@method") == "POST"


@pytest.mark.parametrize("char", ["\x80", "\xe9", "\xff"])
def test_a_value_outside_ascii_is_refused(char: str) -> None:
    """SB-21, RF-03"""
    with refused(Reason.COMPONENT_VALUE_INVALID):
        value("a", Request(method="GET", target="/", fields=Fields([("a", f"x{char}")])))


@pytest.mark.parametrize("target", ["/a\nb", "/a\u00e9", "/ ", " /"])
def test_a_derived_value_outside_printable_ascii_is_refused_whoever_let_it_in(target: str) -> None:
    """SB-14, SB-21, RF-08: below the check of the request itself."""
    request = Request(method="GET", target="/")
    object.__setattr__(request, "target", target)
    with refused(Reason.COMPONENT_VALUE_INVALID):
        value("@request-target", request)


def test_req_takes_the_requests_value() -> None:
    """RF-13"""
    assert value('"@method";req', RESPONSE, REQUEST) == "POST"
    assert value('"a";req', RESPONSE, REQUEST) == "1"
    assert value("a", RESPONSE, REQUEST) == "2"
    assert value('"@query-param";name="q";req', RESPONSE, REQUEST) == "1"


@pytest.mark.parametrize("text", ['"@method";req', '"a";req', '"@status";req', '"zzz";req'])
def test_req_in_a_request_is_refused(text: str) -> None:
    """SB-09, RF-13"""
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        value(text)
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        value(text, REQUEST, REQUEST)


def test_req_without_the_request_at_hand_is_refused() -> None:
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        value('"@method";req', RESPONSE)


@pytest.mark.parametrize(
    "text",
    [
        "@method",
        "@target-uri",
        "@authority",
        "@scheme",
        "@request-target",
        "@path",
        "@query",
        '"@query-param";name="q"',
    ],
)
def test_a_response_has_no_component_of_a_request(text: str) -> None:
    """SB-10: not without req."""
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        value(text, RESPONSE, REQUEST)


def test_a_request_has_no_status() -> None:
    """SB-10, RF-11: nor does it by way of req."""
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        value("@status")
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        value('"@status";req', RESPONSE, REQUEST)


@pytest.mark.parametrize(
    ("authority", "scheme", "expected"),
    [
        ("Example.COM", "https", "example.com"),
        ("example.com:443", "https", "example.com"),
        ("example.com:443", "HTTPS", "example.com"),
        ("example.com:80", "https", "example.com:80"),
        ("example.com:80", "http", "example.com"),
        ("example.com:443", "http", "example.com:443"),
        ("example.com:443", "ftp", "example.com:443"),
        ("[::1]:443", "https", "[::1]"),
    ],
)
def test_an_authority_is_in_lower_case_and_without_the_default_port(authority: str, scheme: str, expected: str) -> None:
    """RF-09"""
    request = Request(method="GET", target="/x", authority=authority, scheme=scheme)
    assert value("@authority", request) == expected
    assert value("@target-uri", request) == f"{scheme.lower()}://{expected}/x"
    assert value("@scheme", request) == scheme.lower()


@pytest.mark.parametrize("authority", ["", ":443", ":80", ":", "user@example.com", "a/b", "@"])
def test_an_authority_that_names_no_host_cannot_be_signed(authority: str) -> None:
    for component in ("@authority", "@target-uri"):
        with refused(Reason.COMPONENT_ABSENT):
            value(component, Request(method="GET", target="/", authority=authority))


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", "?"),
        ("/a?", "/a", "?"),
        ("/a?b?c", "/a", "?b?c"),
        ("/a%2Fb/%7E", "/a%2Fb/%7E", "?"),
        ("//a//b", "//a//b", "?"),
        ("/a/../b?x=/y", "/a/../b", "?x=/y"),
        ("https://h", "/", "?"),
        ("https://h?x", "/", "?x"),
        ("https://h/a?x://y", "/a", "?x://y"),
        ("/a://b?c", "/a://b", "?c"),
    ],
)
def test_path_and_query_are_as_sent(target: str, path: str, query: str) -> None:
    """HS-38: the query is ? when there is none."""
    request = Request(method="GET", target=target, authority="h")
    assert (value("@path", request), value("@query", request)) == (path, query)
    assert value("@request-target", request) == target


@pytest.mark.parametrize("target", ["example.com:443", "a/b", "ht+tp://x/", "://x"])
def test_a_target_of_another_form_has_neither_path_nor_query(target: str) -> None:
    request = Request(method="OPTIONS", target=target, authority="h")
    assert value("@request-target", request) == target
    for component in ("@path", "@query", "@target-uri", "@scheme", "@authority", '"@query-param";name="a"'):
        with refused(Reason.COMPONENT_ABSENT):
            value(component, request)


def test_an_absolute_target_gives_authority_and_uri() -> None:
    # RFC 9112 §3.2.2: the target's authority counts, not the Host field's.
    request = Request(method="GET", target="https://One.example:443/a", authority="two.example")
    assert value("@authority", request) == "one.example"
    assert value("@target-uri", request) == "https://one.example/a"
    with refused(Reason.COMPONENT_ABSENT):
        value("@authority", Request(method="GET", target="https://u@h/", authority="h"))


@pytest.mark.parametrize(
    ("query", "name", "expected"),
    [
        ("a=1&b=2", "a", "1"),
        ("a=1&b=2&a", "b", "2"),
        ("a", "a", ""),
        ("a=", "a", ""),
        ("a=b=c", "a", "b%3Dc"),
        ("a=%7e~", "a", "%7E%7E"),
        ("a=*-._", "a", "*-._"),
        ("a=%", "a", "%25"),
        ("a=%ff", "a", "%EF%BF%BD"),
        ("%61=1", "a", "1"),
        ("=x", "", "x"),
        ("a=1;b=2", "a", "1%3Bb%3D2"),
    ],
)
def test_a_query_parameter_is_parsed_as_a_form_and_encoded_again(query: str, name: str, expected: str) -> None:
    """RF-10"""
    assert value(f'"@query-param";name="{name}"', Request(method="GET", target=f"/?{query}")) == expected


def test_a_repeated_or_missing_query_parameter_is_refused() -> None:
    """SB-34, RF-10: also when it is only the same after decoding."""
    for query in ("a=1&a=1", "a=1&%61=2", "a&a"):
        with refused(Reason.COMPONENT_NOT_APPLICABLE):
            value('"@query-param";name="a"', Request(method="GET", target=f"/?{query}"))
    for target in ("/", "/?", "/?A=1", "/?b=a", "https://h"):
        with refused(Reason.COMPONENT_ABSENT):
            value('"@query-param";name="a"', Request(method="GET", target=target))


def test_the_limit_of_query_parameters_is_exact() -> None:
    """SB-38"""
    query = "b=2" + "&a" * 999
    assert value('"@query-param";name="b"', Request(method="GET", target=f"/?{query}")) == "2"
    with refused(Reason.TOO_MANY_PARAMETERS):
        value('"@query-param";name="b"', Request(method="GET", target=f"/?{query}&a"))
