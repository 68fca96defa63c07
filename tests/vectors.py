"""The loader of `vectors/`: it starts from the manifest, so that no file and no case is skipped in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["FORMAT", "ROOT", "cases", "files", "load"]

ROOT: Final = Path(__file__).resolve().parent.parent / "vectors"
FORMAT: Final = "wimse-vectors/1"

Case = dict[str, Any]


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        raise ValueError(f"{path.name} is not in the format {FORMAT}")
    return document


def files() -> list[dict[str, Any]]:
    """The entries of the manifest: `path`, `kind`, `cases`."""
    listed: list[dict[str, Any]] = _read(ROOT / "manifest.json")["files"]
    return listed


def load(path: str) -> dict[str, Any]:
    """One file, with as many cases as the manifest and its own header say."""
    entry = next(each for each in files() if each["path"] == path)
    document = _read(ROOT / path)
    if not len(document["cases"]) == document["number_of_cases"] == entry["cases"]:
        raise ValueError(f"{path} does not have as many cases as it should")
    if document["kind"] != entry["kind"]:
        raise ValueError(f"{path} is not of the kind that the manifest says")
    return document


def cases(kind: str) -> dict[str, Case]:
    """All cases of one kind, each under its file and id."""
    found = {
        f"{entry['path'].removesuffix('.json')}:{case['id']}": case
        for entry in files()
        if entry["kind"] == kind
        for case in load(entry["path"])["cases"]
    }
    if not found:
        raise ValueError(f"there are no vectors of the kind {kind}")
    return found
