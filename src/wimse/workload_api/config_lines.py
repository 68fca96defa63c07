"""On which line of a TOML file a value stands; tomllib does not say.

tomllib itself is the judge: the value stands in the first statement with which the file, read from its beginning, has
it. Statements may span lines, so a cut is moved on until what is before it is TOML.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any, Final

__all__ = ["line_of"]

_LONGEST_STATEMENT: Final = 2000  # lines; a longer one is found by its first line all the same, or not at all


def line_of(text: str, path: Sequence[str | int]) -> int:
    """The line of a value.

    Args:
        text: a TOML document.
        path: keys, and places in arrays, such as ``("entries", 3, "path")``. Where the document has only the
            beginning of it, that is looked for.

    Returns:
        The line on which its statement begins, from 1; 0 when the path is empty or not there at all.
    """
    document, known = tomllib.loads(text), list[str | int]()
    for part in path:
        if not _has(document, [*known, part]):
            break
        known.append(part)
    if not known:
        return 0
    lines = text.split("\n")
    low, high = 0, len(lines)  # before `low` lines it is not there, after `high` it is
    while high - low > 1:
        middle = (low + high) // 2
        end, before = _first_whole(lines, middle, high)
        if before is not None and not _has(before, known):
            low = end
        else:
            high = middle
    return _skip_blank(lines, low) + 1


def _first_whole(lines: list[str], start: int, stop: int) -> tuple[int, dict[str, Any] | None]:
    """The first cut from `start` on, below `stop`, before which there is TOML, and what it says."""
    for end in range(start, min(stop, start + _LONGEST_STATEMENT)):
        try:
            return end, tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
    return stop, None


def _has(value: Any, path: Sequence[str | int]) -> bool:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _skip_blank(lines: list[str], line: int) -> int:
    while line < len(lines) - 1 and (not lines[line].strip() or lines[line].lstrip().startswith("#")):
        line += 1
    return line
