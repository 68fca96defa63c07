"""What the demonstration says: in colour on a terminal, plain elsewhere, nothing at all for JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from wimse.credentials import UnverifiedJWS

if TYPE_CHECKING:
    from wimse.cli.demo.story import Exchange

__all__ = ["Narration"]

_MARKS = {True: ("yes", "green"), False: ("NO", "bold red")}
_PLAIN_WIDTH = 100  # of the table where there is no terminal


class Narration:
    """Prints the story while it happens."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(highlight=False, soft_wrap=True, quiet=quiet)
        if not self._console.is_terminal:
            self._console.width = _PLAIN_WIDTH

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._console.print()
        self._console.print(Text(text, style="bold cyan"))

    def say(self, text: str) -> None:
        """Say a sentence."""
        self._console.print(Text(text))

    def credentials(self, wit: str) -> None:
        """Show what the identity server issued."""
        self.heading("The client's Workload Identity Token (WIT), issued over the Workload API's socket")
        token = UnverifiedJWS.parse(wit)
        for name, part in (("header", token.header), ("claims", token.claims)):
            self._console.print(Text(f"{name}: ", style="dim") + Text(json.dumps(dict(part), indent=2)))
        self.heading("Two honest calls, through the middlebox")

    def exchange(self, carried: Mapping[str, Any]) -> None:
        """Show a request and its response as they were on the wire, and what the middlebox added."""
        self.heading("The signed request, as the middlebox received it")
        self._message(str(carried["request"]), "yellow")
        self.heading("What the middlebox added to both, not covered by the signatures")
        for what in ("request", "response"):
            for name, value in carried[f"added_to_{what}"]:
                self._console.print(Text(f"to the {what}: ", style="dim") + Text(f"{name}: {value}", style="magenta"))
        self.heading("The signed response, as the server sent it")
        self._message(str(carried["response"]), "yellow")

    def identities(self, identities: Mapping[str, str]) -> None:
        """Show whom each side is sure to talk with."""
        self.heading("Who is who, end to end")
        self.say(f"the server knows its caller as   {identities['client']}")
        self.say(f"the client knows its answerer as {identities['server']}")

    def outcome(self, exchange: Exchange, detail: str) -> None:
        """Show what became of one message."""
        line = Text(f"{exchange.name}: ")
        line.append(exchange.observed, style="green" if exchange.ok else "bold red")
        if exchange.reason:
            line.append(f" by the {exchange.refused_by}: {exchange.reason}", style="yellow")
            line.append(f" ({detail})", style="dim")
        self._console.print(line)

    def table(self, exchanges: Iterable[Exchange], identities: Mapping[str, str]) -> None:
        """Show everything once more, in one table."""
        self.heading(f"From {identities.get('client', '')} to {identities.get('server', '')}")
        table = Table("message", "expected", "observed", Column("reason", no_wrap=True), "ok")
        for each in exchanges:
            mark, style = _MARKS[each.ok]
            row = (each.name, each.expected, each.observed, each.reason)
            table.add_row(*row, Text(mark, style=style))
        self._console.print(table)

    def _message(self, text: str, style: str) -> None:
        for line in text.splitlines():
            name, colon, value = line.partition(": ")
            is_ours = name.lower() in {"signature", "signature-input", "workload-identity-token", "content-digest"}
            self._console.print(Text(name + colon, style=style if is_ours else "") + Text(value))
