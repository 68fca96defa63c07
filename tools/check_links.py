#!/usr/bin/env python3
"""Check that every relative link of the project's Markdown leads to a file, and to a heading where it names one.

Prints each link that does not, with its file and line, and exits 1; prints a count and exits 0 otherwise.
Addresses on the network are not followed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {"node_modules", "vectors"}
FENCE = re.compile(r"^\s*(```|~~~)")
CODE = re.compile(r"(`+).*?\1")
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\s*\[[^\]]+\]:\s+<?(\S+?)>?\s*$")
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$")


def prose(path: Path) -> list[tuple[int, str]]:
    """Return the numbered lines of a Markdown file that stand outside fenced code."""
    lines, fenced = [], False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            lines.append((number, line))
    return lines


def anchors(path: Path) -> set[str]:
    """Return the anchors of a file's headings, as the common hosts of Markdown make them."""
    found: set[str] = set()
    for _, line in prose(path):
        if heading := HEADING.match(line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            repeats = sum(1 for other in found if re.fullmatch(re.escape(slug) + r"(-\d+)?", other))
            found.add(f"{slug}-{repeats}" if repeats else slug)
    return found


def problem(source: Path, target: str) -> str | None:
    """Tell what is wrong with one link of a file, or `None`."""
    name, _, fragment = target.partition("#")
    path = (source.parent / unquote(name)).resolve() if name else source
    if not path.is_relative_to(ROOT):
        return "leads out of the project"
    if not path.exists():
        return "leads to nothing"
    if fragment and path.suffix == ".md" and unquote(fragment) not in anchors(path):
        return "names a heading that is not there"
    return None


def main() -> int:
    """Check all files and report."""
    checked, broken = 0, 0
    for path in sorted(ROOT.rglob("*.md")):
        parts = path.relative_to(ROOT).parts
        if any(part.startswith(".") or part in SKIPPED for part in parts):
            continue
        for number, line in prose(path):
            for match in LINK.finditer(CODE.sub("", line)):
                target = match[1] or match[2]
                if ELSEWHERE.match(target):
                    continue
                checked += 1
                if what := problem(path, target):
                    broken += 1
                    print(f"{path.relative_to(ROOT)}:{number}: {target} {what}", file=sys.stderr)
    print(f"{checked} relative links, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
