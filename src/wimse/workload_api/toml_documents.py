"""TOML decoded strictly, with the lines of what is wrong."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from wimse.errors import ConfigurationError
from wimse.workload_api.config_lines import line_of

__all__ = ["decode_toml", "read_bounded"]

_TOML_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)")
_Kind = TypeVar("_Kind")


def read_bounded(path: Path, max_bytes: int) -> tuple[bytes, os.stat_result]:
    """Read a file, and say whose it is.

    Raises:
        ConfigurationError: when it cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            data, status = file.read(max_bytes + 1), os.fstat(file.fileno())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:  # a NUL
        raise ConfigurationError("the name is not one that a file can have") from None
    if len(data) > max_bytes:
        raise ConfigurationError(f"{path} is larger than {max_bytes} bytes")
    return data, status


def decode_toml(data: bytes, kind: type[_Kind]) -> tuple[_Kind | None, str, list[tuple[int, str]]]:
    """Decode a document.

    Args:
        data: the file.
        kind: a struct of msgspec.

    Returns:
        The value, or None; the text; and what is wrong: the line, from 1, or 0 where none is to blame, and why.
    """
    try:
        text = data.decode("utf-8")
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        return None, "", [(data.count(b"\n", 0, error.start) + 1, "this is not UTF-8")]
    except tomllib.TOMLDecodeError as error:
        place = _TOML_LINE.search(str(error))
        return None, "", [(int(place[1]) if place else 0, f"this is not TOML: {error}")]
    except RecursionError:
        return None, "", [(0, "this is nested too deeply")]
    except ValueError:  # a date that is none, a number of too many digits
        return None, "", [(0, "this is not TOML: a value is out of its range")]
    try:
        return msgspec.convert(document, kind), text, []
    except msgspec.ValidationError as error:
        return None, text, [(line_of(text, _path_in(str(error))), str(error))]


def _path_in(message: str) -> tuple[str | int, ...]:
    """The place that a message of msgspec ends with, such as ``$.entries[3].path``, and the field that it names."""
    place = re.search(r" - at `\$(.*)`$", message)
    parts = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", place[1]) if place else []
    unknown = re.match(r"Object contains unknown field `(.*?)`", message)
    path = tuple(name or int(number) for name, number in parts)
    return (*path, unknown[1]) if unknown else path
