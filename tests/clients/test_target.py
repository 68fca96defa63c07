"""The safe target: what is normalised, what is refused, and that the libraries send it as it is."""

from __future__ import annotations

import string
from urllib.parse import unquote

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wimse.clients.target import safe_target
from wimse.errors import ConfigurationError


@pytest.mark.parametrize(
    ("given_target", "safe"),
    [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a%2dz%7E%41", "/a-z~A"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ("/a;v=1,2!$&'()*+:@", "/a;v=1,2!$&'()*+:@"),
        ("/a%2b%3b", "/a%2B%3B"),
        ('/a"<>`{}|^', "/a%22%3C%3E%60%7B%7D%7C%5E"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/a/...", "/a/..."),
        ("/a?", "/a"),
        ("/a??", "/a??"),
        ("/a?b;c", "/a?b%3Bc"),
        ("/a?b=%3b%2f%7e/?", "/a?b=%3B%2F~/?"),
        ("/a?b=[1]&c=+|\\", "/a?b=%5B1%5D&c=+%7C%5C"),
        ("/a?b=//../", "/a?b=//../"),
    ],
)
def test_a_target_is_normalised(given_target: str, safe: str) -> None:
    assert safe_target(given_target) == safe


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("", "slash"),
        ("*", "slash"),
        ("https://a/b", "slash"),
        ("/a#b", "fragment"),
        ("/a%", "percent-encoding"),
        ("/a%4", "percent-encoding"),
        ("/a%zz", "percent-encoding"),
        ("/a?b=%", "percent-encoding"),
        ("//a", "//"),
        ("/a//b", "//"),
        ("/a/b/..//c", "//"),
        ("/a%2fb", "%2F"),
        ("/a%5cb", "%5C"),
        ("/a\\b", "%5C"),
        ("/a%5Bb", "%5B"),
        ("/a[b", "%5B"),
        ("/a%00b", "%00"),
    ],
)
def test_what_has_no_safe_form_is_refused(target: str, names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        safe_target(target)


TARGETS = st.text(string.ascii_letters + string.digits + "/.%?;=&[]\\'\"+@:!~é<{^|` -_", max_size=30)


@given(TARGETS)
def test_a_safe_target_is_safe_means_the_same_and_is_sent_as_it_is(text: str) -> None:
    try:
        safe = safe_target("/" + text)
    except ConfigurationError:
        return
    assert safe_target(safe) == safe
    assert "//" not in safe.partition("?")[0]
    assert not safe.endswith("?") or "?" in text[:-1]
    # What an application reads out of the query is what was meant.
    assert unquote(safe.partition("?")[2]) == unquote(text.partition("?")[2])
    for library in (httpx, httpx2):
        url = library.URL("https://a.example/x?y").copy_with(raw_path=safe.encode())
        assert url.raw_path == safe.encode()
