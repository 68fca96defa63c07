"""Helpers of the tests of the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wimse

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "vectors"


@dataclass(frozen=True)
class Outcome:
    status: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


Run = Callable[..., Outcome]


def environment(**more: str) -> dict[str, str]:
    """What a process of ours gets: the same package, and no colours or sockets of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name not in ("SPIFFE_ENDPOINT_SOCKET", "NO_COLOR")}
    source = str(Path(wimse.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, **more}


def process(*arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None, **more: str) -> Outcome:
    """Run the program as a process."""
    command = [sys.executable, "-m", "wimse", *map(str, arguments)]
    made = subprocess.run(
        command, input=stdin, capture_output=True, cwd=cwd, env=environment(**more), timeout=60, check=False
    )
    return Outcome(made.returncode, made.stdout, made.stderr.decode())


def vector_cases(name: str) -> dict[str, dict[str, Any]]:
    """The cases of a file of vectors by their id."""
    cases = json.loads((VECTORS / name).read_bytes())["cases"]
    return {case["id"]: case for case in cases}


def write_json(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path
