"""The house itself: the laws of its rooms, the size of its modules, and what no file may hold."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_MODULE_LINES = 400

# Written in pieces, so that this file does not hold what it looks for.
FORBIDDEN = {
    "the host of a package registry": r"\b(?:pypi|pythonhosted|npmjs|crates|golang)\." + r"(?:org|com|io)\b",
    "a place on one machine": r"(?<![\w.])/(?:root|work|home/\w+|Users/\w+|opt/wheels)" + r"/[\w.]",
    "what lies beside the repository": r"\.\./" + "shared" + r"\b",
    "an index in a lock file": r"(?m)^--?(?:extra-)?" + r"(?:index-url|find-links|i |f )",
}


def project_files() -> list[Path]:
    """All files that git tracks or would track; in an unpacked sdist, what the package is made of."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0 and listing.stdout:
        paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        paths = [path for folder in ("src", "tests", "docs") for path in (ROOT / folder).rglob("*")]
    return sorted(path for path in paths if path.is_file() and "__pycache__" not in path.parts)


def test_the_laws_of_the_house_hold() -> None:
    program = Path(sysconfig.get_path("scripts")) / "lint-imports"
    result = subprocess.run(
        [sys.executable, program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_module_is_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "src" / "wimse").rglob("*.py")
        if not path.stem.endswith("_pb2")
    }
    assert lengths, "no module was found"
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


@pytest.mark.parametrize("pattern", FORBIDDEN.values(), ids=FORBIDDEN)
def test_no_file_holds_what_belongs_elsewhere(pattern: str) -> None:
    holders = []
    for path in project_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        holders += [
            f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]}"
            for found in re.finditer(pattern, text)
        ]
    assert holders == []
