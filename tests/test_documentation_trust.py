"""The pages of docs/wimse on credentials and trust are true: their Python runs and prints what they show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

import wimse.sources
import wimse.tls
from tests.test_documentation_httpsig import FENCED, blocks
from tools.check_links import problem

ROOT: Final = Path(__file__).resolve().parent.parent
NAMES: Final = ("what-a-wit-is", "choosing", "mutual-tls", "trust-bundles")
PAGES: Final = [ROOT / "docs" / "wimse" / f"{name}.md" for name in NAMES]
# Of one room but for httpsig's own page of JWK Sets.
ELSEWHERE: Final = {"AsyncRemoteJWKS", "JWKSSettings", "RemoteJWKS"}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_examples_run_and_print_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": page.stem}
    printed = ""
    for language, text, line in blocks(page):
        assert language in {"python", "text"}, f"line {line}: a block of an unknown language"
        if language == "python":
            assert printed == "", f"line {line}: what the block before prints is not shown"
            exec(compile("\n" * line + text, str(page), "exec", dont_inherit=True), namespace)
            printed = capsys.readouterr().out
        else:
            assert printed == text
            printed = ""
    assert printed == ""


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(`+).*?\1", "", FENCED.sub("", page.read_text(encoding="utf-8"))))
    assert [link for link in links if "://" not in link and problem(page, link)] == []


def test_every_public_name_is_on_a_page() -> None:
    words = set(re.findall(r"\w+", " ".join(page.read_text(encoding="utf-8") for page in PAGES)))
    words |= set(re.findall(r"\w+", (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")))
    public = {*wimse.sources.__all__, *wimse.tls.__all__} - ELSEWHERE
    assert public - words == set()
