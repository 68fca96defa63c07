"""The page about replay is true: its Python runs, with a real Valkey, and prints what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.test_documentation_httpsig import blocks
from tests.valkey import valkey
from wimse.authentication import Outcome, Role
from wimse.errors import Reason

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "wimse" / "replay.md"


def test_the_examples_run_and_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = ""
    with valkey() as server:
        namespace: dict[str, Any] = {"__name__": PAGE.stem, "url": server.url}
        for language, text, line in blocks(PAGE):
            if language == "python":
                assert printed == "", f"line {line}: what the block before prints is not shown"
                exec(compile("\n" * line + text, str(PAGE), "exec", dont_inherit=True), namespace)
                printed = capsys.readouterr().out
            else:
                assert (language, printed) == ("text", text)
                printed = ""
        namespace["away"].close()
    assert printed == ""


def test_the_reasons_and_labels_that_it_names_are_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    codes = {reason.code for reason in Reason}
    named = set(re.findall(r'reason="(\w+)"', text)) | set(re.findall(r"503 \(`(\w+)`\)", text))
    assert named == {"replay_store_unavailable", "replayed"}
    assert named <= codes
    assert {each.value for each in Outcome} == {"accepted", "refused", "unavailable", "fault"}
    assert {each.value for each in Role} == {"request", "response"}
