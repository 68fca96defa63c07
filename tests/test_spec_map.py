"""The map from sections to modules: what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "wimse"
ROOMS = {path.stem for path in PACKAGE.iterdir()}
_DOTTED = re.compile(r"`(\.?[a-z0-9_]+(?:\.[a-z0-9_]+)*)`")
_VECTORS = re.compile(r"`([a-z0-9-]+/[a-z0-9-]+\.json)`")


def rows() -> list[str]:
    lines = (ROOT / "SPEC-MAP.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| section")]


def modules_of(cell: str) -> dict[str, bool]:
    """Each module that a cell names, and whether it is there; ``.name`` stands beside the one before it."""
    found: dict[str, bool] = {}
    before = ""
    for name in _DOTTED.findall(cell):
        full = name
        if name.startswith("."):
            full = (before.rpartition(".")[0] or before) + name
        elif name.partition(".")[0] not in ROOMS:
            continue  # a parameter, a claim
        place = PACKAGE / full.replace(".", "/")
        found[full] = place.is_dir() or place.with_suffix(".py").is_file()
        before = full
    return found


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("|")[1].strip())
def test_what_a_row_names_is_there(row: str) -> None:
    _, _, _, *cells = row.split("|")  # without the section and what it says
    named = {name: there for cell in cells for name, there in modules_of(cell).items()}
    assert [name for name, there in named.items() if not there] == []
    assert [name for name in _VECTORS.findall(row) if not (ROOT / "vectors" / name).is_file()] == []


def test_the_map_is_looked_at_at_all() -> None:
    """So that a change of its form does not leave the test above with nothing."""
    named = {name for row in rows() for name in modules_of(row)}
    assert len(rows()) > 150
    assert len(named) > 80
    assert not modules_of("`credentials.wit`, `.missing`")["credentials.missing"]
