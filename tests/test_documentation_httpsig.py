"""The pages of docs/httpsig are true: their Python runs and prints what they show, and they leave nothing out."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

import pytest

import wimse.httpsig
import wimse.keys
from tools.check_links import problem
from wimse.errors import Reason

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = sorted((ROOT / "docs" / "httpsig").glob("*.md"))
FENCED: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# What a block may be: run, compared with what the block before it prints, or the configuration of other software.
CONFIGURATION: Final = {"apache", "caddyfile", "haproxy", "nginx", "vcl", "yaml"}
ROOMS: Final = ("httpsig", "keys", "sources")


def blocks(page: Path) -> Iterator[tuple[str, str, int]]:
    """Yield language, text and line of every fenced block."""
    text = page.read_text(encoding="utf-8")
    for found in FENCED.finditer(text):
        yield found[1], found[2], text.count("\n", 0, found.start(2))


@pytest.fixture(autouse=True)
def without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> NoReturn:
        pytest.fail("an example of the documentation looks up a name on the network")

    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_run_and_print_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": page.stem}
    printed = ""
    for language, text, line in blocks(page):
        assert language in {"python", "text"} | CONFIGURATION, f"line {line}: a block of an unknown language"
        if language == "python":
            assert printed == "", f"line {line}: what the block before prints is not shown"
            # The empty lines in front make a traceback name the lines of the page.
            exec(compile("\n" * line + text, str(page), "exec", dont_inherit=True), namespace)
            printed = capsys.readouterr().out
        elif language == "text":
            assert printed == text
            printed = ""
    assert printed == "", "what the last block prints is not shown"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(`+).*?\1", "", FENCED.sub("", page.read_text(encoding="utf-8"))))
    assert [link for link in links if "://" not in link and problem(page, link)] == []


def test_signing_and_verifying_takes_ten_lines() -> None:
    _, text, _ = next(blocks(ROOT / "docs" / "httpsig" / "sign-and-verify.md"))
    assert len([line for line in text.splitlines() if line.strip()]) == 10


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs" / "httpsig" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.name != "README.md" and f"]({page.name})" not in index] == []


@pytest.mark.parametrize("room", [wimse.httpsig, wimse.keys], ids=lambda room: str(room.__name__))
def test_every_public_name_is_on_a_page(room: ModuleType) -> None:
    words = set(re.findall(r"\w+", " ".join(page.read_text(encoding="utf-8") for page in PAGES)))
    assert set(room.__all__) - words == set()


def test_the_table_of_reasons_has_every_reason_that_is_raised_and_no_other() -> None:
    sources = [path for room in ROOMS for path in (ROOT / "src" / "wimse" / room).rglob("*.py")]
    sources.append(ROOT / "src" / "wimse" / "stores" / "spool.py")
    used = {
        name for path in sources for name in re.findall(r"\bReason\.([A-Z0-9_]+)", path.read_text(encoding="utf-8"))
    }
    known = {reason.code: reason for reason in Reason if reason.name in used | {"CONFIGURATION"}}
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\d+) \|", (ROOT / "docs/httpsig/errors.md").read_text(), re.MULTILINE)
    assert {(code, kind, int(status)) for code, kind, status in rows} == {
        (code, str(reason.reason_class), reason.http_status) for code, reason in known.items()
    }
    assert len(rows) == len(known)


# The registries of RFC 9421 §6.4.2 and §6.5.2, but for @signature-params, which no list may have.
COMPONENTS: Final = (
    *("@method", "@authority", "@scheme", "@target-uri", "@request-target", "@path", "@query", "@query-param"),
    *("@status", "sf", "key", "bs", "tr", "req", "name"),
)


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_and_parameter_has_an_example_value(name: str) -> None:
    page = ROOT / "docs" / "httpsig" / "choosing-components.md"
    shown = "".join(text for language, text, _ in blocks(page) if language == "text")
    form = re.escape(name) if name.startswith("@") else rf'";(?:\w+;)*{name}\b'
    assert re.search(rf"^\S*{form}\S* +\S", shown, re.MULTILINE)
