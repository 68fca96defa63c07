"""The examples of the page on entries work."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.workload_api.admin_support import DOMAIN, administered
from wimse.workload_api.admin import parse_entries

PAGE = Path(__file__).resolve().parent.parent / "docs" / "identity-server" / "entries-and-selectors.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


async def test_the_client_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("python")
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        async with administered(Path(folder)) as (path, _, store):
            names: dict[str, Any] = {}
            await asyncio.to_thread(exec, program.replace("/run/wimse/admin.sock", path), names)
            assert store.load().entries == ()
    assert capsys.readouterr().out == "entry_conflict the identity is registered already, by another entry\n"


def test_the_files_of_the_page() -> None:
    entries, template = (parse_entries(each.encode(), DOMAIN) for each in blocks("toml") if "entry_id" in each)
    assert [each.entry_id for each in entries.entries] == ["payments"]
    assert (entries.template, template.template, template.entries) == (False, True, ())


def test_the_commands_of_the_page() -> None:
    from click.testing import CliRunner

    from wimse.cli import main

    (commands,) = blocks("console")
    for line in commands.splitlines():
        words = line.split()
        assert words[:3] == ["wimse", "identity-server", "entry"]
        # With a socket that is not there they get as far as asking for it.
        result = CliRunner().invoke(main, [*words[1:], "--admin-socket", "/nonexistent/admin.sock"])
        assert result.exit_code == 1, result.output
        assert "no server answers on /nonexistent/admin.sock" in result.stderr
