"""What is printed, and how: text for people, one JSON document for scripts, failures in both.

Untrusted text is escaped before it reaches a terminal: every character that `str.isprintable` does not count as
printable, which includes CR, LF, ESC and the marks that turn the direction of writing.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from wimse.errors import ConfigurationError, Refused, WimseError

__all__ = [
    "Failed",
    "Unusable",
    "clean",
    "clean_lines",
    "print_bytes",
    "print_json",
    "print_table",
    "print_text",
    "refusal_document",
    "show_error",
    "show_refusal",
    "show_warning",
    "time_text",
    "to_json_value",
    "verdict",
]


class Unusable(click.ClickException):
    """Wrong usage, or input that cannot be read: exit status 2."""

    exit_code = 2

    def __init__(self, message: str, cause: WimseError | None = None) -> None:
        """Say what is wrong; `cause` gives its reason to the JSON document."""
        super().__init__(message)
        self.cause = cause


class Failed(click.ClickException):
    """What was asked for could not be done: exit status 1."""

    exit_code = 1

    def __init__(self, message: str, cause: WimseError | None = None) -> None:
        """Say what failed; `cause` gives its reason to the JSON document."""
        super().__init__(message)
        self.cause = cause


def clean(text: object) -> str:
    """Text of others on one line, safe for a terminal."""
    return "".join(each if each.isprintable() else _escaped(ord(each)) for each in str(text))


def clean_lines(text: str) -> str:
    """Text of others whose line feeds and tabs are kept."""
    return "".join(each if each.isprintable() or each in "\n\t" else _escaped(ord(each)) for each in text)


def _escaped(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _writable(text: str) -> str:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _colour() -> bool | None:
    return False if os.environ.get("NO_COLOR") else None


def print_text(text: str, **style: Any) -> None:
    """Print a line; `style` is that of `click.style`, used on a terminal only."""
    click.secho(_writable(text), color=_colour(), **style)


def print_table(rows: Mapping[str, object] | list[tuple[str, object]], *, indent: str = "  ") -> None:
    """Print names and values in two columns; the values may be untrusted."""
    pairs = list(rows.items()) if isinstance(rows, Mapping) else rows
    width = max((len(clean(name)) for name, _ in pairs), default=0)
    for name, value in pairs:
        print_text(f"{indent}{clean(name).ljust(width)}  {clean(value)}".rstrip())


def print_json(document: object) -> None:
    """Print the one JSON document."""
    click.echo(json.dumps(document, indent=2))


def print_bytes(data: bytes) -> None:
    """Write bytes to stdout exactly as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def to_json_value(value: object) -> Any:
    """A value for JSON; what JSON does not have is written as the structured field that it was."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_json_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(each) for each in value]
    if isinstance(value, bytes):
        return f":{base64.b64encode(value).decode('ascii')}:"
    if isinstance(value, datetime):
        return f"@{int(value.timestamp())}"
    return str(value)


def time_text(seconds: int) -> str:
    """A time for people: the number and, where it is one, the date."""
    try:
        return f"{seconds} ({datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def refusal_document(error: WimseError) -> dict[str, object]:
    """The JSON of a refusal: reason, class, detail and, when there are several, violations."""
    document: dict[str, object] = {
        "reason": error.reason.code,
        "class": error.reason_class.value,
        "detail": error.detail,
    }
    violations = error.violations if isinstance(error, Refused) else ()
    if len(violations) > 1:
        document["violations"] = [
            {"reason": each.reason.code, "class": each.reason.reason_class.value, "detail": each.detail}
            for each in violations
        ]
    return document


def show_refusal(error: WimseError, *, as_json: bool, more: Mapping[str, object] | None = None) -> None:
    """Print the verdict no, on stdout: it is what was asked for.

    Args:
        error: why.
        as_json: as a document.
        more: further members of the document.
    """
    if as_json:
        print_json({"valid": False, **refusal_document(error), **(more or {})})
        return
    violations = error.violations if isinstance(error, Refused) else ()
    print_text(f"refused: {error.reason.code}", fg="red", bold=True)
    for detail in [each.detail for each in violations] or [error.detail]:
        print_text(f"  {clean(detail)}")


def show_error(message: str, *, as_json: bool, error: WimseError | None = None) -> None:
    """Print why a command could not do its work: a document on stdout, or one sentence on stderr."""
    if error is not None and isinstance(error, ConfigurationError):
        error = None  # its reason says no more than that it is one
    if as_json:
        print_json({"error": message, **(refusal_document(error) if error is not None else {})})
        return
    reason = f" [{error.reason.code}]" if error is not None else ""
    click.secho(f"Error: {clean_lines(message)}{reason}", err=True, color=_colour(), fg="red")


def show_warning(message: str) -> None:
    """Print a warning on stderr."""
    click.secho(f"Warning: {clean(message)}", err=True, color=_colour(), fg="yellow")


def verdict(document: Mapping[str, object], title: str, *, as_json: bool) -> None:
    """Print the verdict yes.

    Args:
        document: what was verified; ``covered`` and ``parameters`` are mappings.
        title: the first line for people.
        as_json: as a document.
    """
    if as_json:
        print_json({"valid": True, **document})
        return
    print_text(title, fg="green", bold=True)
    print_table([(name, value) for name, value in document.items() if not isinstance(value, Mapping)])
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            print_text(f"  {name}")
            print_table(value, indent="    ")
