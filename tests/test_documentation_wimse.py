"""The pages of docs/wimse about signatures and the entrance are true: they run, and print what they show."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from tests.test_documentation_httpsig import FENCED, blocks
from tools.check_links import problem
from wimse.profiles.http_signature import REVISIONS

ROOT: Final = Path(__file__).resolve().parent.parent
HERE: Final = ROOT / "docs" / "wimse"
PAGES: Final = [
    HERE / f"{name}.md"
    for name in (
        "protecting-a-service",
        "calling-a-service",
        "audience-and-proxies",
        "revisions",
        "migrating-from-bearer-tokens",
    )
]


@pytest.fixture(autouse=True)
def without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> NoReturn:
        pytest.fail("an example of the documentation looks up a name on the network")

    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """An example may configure logging; its page is the only one to see it."""
    root, ours = logging.getLogger(), logging.getLogger("wimse.authentication")
    handlers, filters = root.handlers[:], ours.filters[:]
    yield
    root.handlers[:], ours.filters[:] = handlers, filters


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_run_and_print_what_the_page_shows(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": page.stem}
    printed = ""
    for language, text, line in blocks(page):
        if language == "python":
            assert printed == "", f"line {line}: what the block before prints is not shown"
            # The empty lines in front make a traceback name the lines of the page.
            exec(compile("\n" * line + text, str(page), "exec", dont_inherit=True), namespace)
            printed = capsys.readouterr().out
        else:
            assert language == "text", f"line {line}: a block of an unknown language"
            assert printed == text
            printed = ""
    assert printed == "", "what the last block prints is not shown"


@pytest.mark.parametrize("page", [*PAGES, HERE / "README.md"], ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(`+).*?\1", "", FENCED.sub("", page.read_text(encoding="utf-8"))))
    assert [link for link in links if "://" not in link and problem(page, link)] == []


def test_the_index_has_every_page() -> None:
    index = (HERE / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"]({page.name})" not in index] == []


def test_the_table_of_revisions_has_each_of_them() -> None:
    text = (HERE / "revisions.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w-]+)`[^|]*\| `[A-Z0-9_]+` \|", text, re.MULTILINE)) == set(REVISIONS)


def test_what_is_left_out_is_decided() -> None:
    """WC-39: a proof MAY be bound to TLS, and is not."""
    (row,) = [line for line in (ROOT / "SPEC-MAP.md").read_text(encoding="utf-8").splitlines() if "§9.2.5 |" in line]
    named = re.search(r"\]\((docs/decisions/\d{4}-[a-z-]+\.md)\)", row)
    assert named is not None
    assert "TLS" in (ROOT / named[1]).read_text(encoding="utf-8")
