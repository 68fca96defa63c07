"""The program, run in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.support import Outcome, Run
from wimse.cli import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(catch_exceptions=False)

    def run_program(*arguments: str | Path, stdin: bytes | None = None) -> Outcome:
        result = runner.invoke(main, [str(each) for each in arguments], input=stdin)
        return Outcome(result.exit_code, result.stdout_bytes, result.stderr)

    return run_program
