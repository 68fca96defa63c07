"""docs/wimse/proof-tokens.md is true: its Python runs and prints what it shows, and it leaves nothing out."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.test_documentation_httpsig import FENCED, ROOT, blocks
from tools.check_links import problem
from wimse.errors import Reason
from wimse.profiles import proof_token

PAGE = ROOT / "docs" / "wimse" / "proof-tokens.md"


def test_the_examples_run_and_print_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": PAGE.stem}
    printed = ""
    for language, text, line in blocks(PAGE):
        assert language in {"python", "text"}
        if language == "python":
            assert printed == "", f"line {line}: what the block before prints is not shown"
            exec(compile("\n" * line + text, str(PAGE), "exec", dont_inherit=True), namespace)
            printed = capsys.readouterr().out
        else:
            assert printed == text
            printed = ""
    assert printed == ""


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", PAGE.read_text(encoding="utf-8")))
    assert links
    assert [link for link in links if "://" not in link and problem(PAGE, link)] == []


def test_every_revision_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for revision in proof_token.REVISIONS.values():
        assert f"wpt-{revision.name}" in text


def test_every_reason_of_this_room_exists() -> None:
    """The docstrings name reasons by their codes."""
    known = {reason.code for reason in Reason}
    for path in (ROOT / "src" / "wimse" / "profiles" / "proof_token").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for code in re.findall(r"`((?:proof|token_hash|field|audience|algorithm)_[a-z_]+)`", text):
            assert code in known, (path.name, code)
