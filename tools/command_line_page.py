#!/usr/bin/env python3
"""Write docs/command-line.md from the commands' own help, so that the page cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from wimse.cli import main as program

PAGE = Path(__file__).resolve().parent.parent / "docs" / "command-line.md"
HEAD = """\
# The command line

One program, `wimse`. Every command has `--json` (one JSON document on stdout); logs go to stderr. Exit status 0 is yes, 1 is refused or failed with a reason, 2 is wrong usage or unreadable input.

A MESSAGE is a file (`-` is stdin) with the bytes of an HTTP/1.1 message: CRLF or LF end the lines of the head, everything after the empty line is the content. K is a JWK, a JWK Set or PEM. A bundle is a JWK Set (a SPIFFE bundle) for the trust domain that `--trust-domain` names or that is found in it.

The document of a verification is `{"valid": false, "reason": "signature_expired", "class": "time", "detail": "…"}`; when it is valid, it has `identity`, `label`, `covered` (name to value) and `parameters` too.

This page is written by `tools/command_line_page.py` from the commands' help.
"""


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """A command and all below it, in the order of the help."""
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from commands(below, click.Context(below, info_name=name, parent=context, terminal_width=80))


def page() -> str:
    """The whole page."""
    root = click.Context(program, info_name="wimse", terminal_width=80, help_option_names=["-h", "--help"])
    parts = [HEAD]
    for command, context in commands(program, root):
        parts.append(f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
