"""The story: who takes part, what is sent, and what must become of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from wimse.cli.demo.attacks import call_with_forged_wit, call_with_stolen_wit, call_without_credentials
from wimse.cli.demo.narration import Narration
from wimse.cli.demo.processes import Child, DemoError
from wimse.cli.demo.stage import Stage
from wimse.credentials import TrustDomain, WorkloadIdentifier

__all__ = ["Exchange", "Story"]

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
_ORDER: Final = {"method": "POST", "target": "/orders/1?notify=yes", "body": '{"quantity": 12}'}
_ORDER_HEADERS: Final = {"Content-Type": "application/json"}
_READ: Final = {"method": "GET", "target": "/orders/1"}
_READ_MISSING: Final = {"method": "GET", "target": "/orders/7"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One message and what became of it.

    Attributes:
        name: what was done.
        expected: ``accepted`` or ``refused``.
        observed: the same.
        reason: why it was refused, and by whom it had to be, as a stable code; empty when it was accepted.
        ok: whether it became what it had to become, for the reason for which it had to.
        refused_by: ``server``, ``client``, or empty.
    """

    name: str
    expected: str
    observed: str
    reason: str
    ok: bool
    refused_by: str = ""


@dataclass(slots=True)
class Story:
    """Tells it, once, on a stage that is set."""

    stage: Stage
    narration: Narration
    exchanges: list[Exchange] = field(default_factory=list)
    identities: dict[str, str] = field(default_factory=dict)

    async def tell(self) -> None:
        """From the identities to the last attack.

        Raises:
            DemoError: when a part of the stage fails.
        """
        self.narration.credentials(self.stage.client_wit)
        await self._honest()
        await self._changed_on_the_way()
        await self._attacks()
        await self._call("an honest call after all of this", _READ)
        self.narration.table(self.exchanges, self.identities)

    @property
    def ok(self) -> bool:
        """Whether every message did what it should."""
        return bool(self.exchanges) and all(each.ok for each in self.exchanges)

    def document(self) -> dict[str, Any]:
        """The story as one JSON document."""
        return {
            "ok": self.ok,
            "exchanges": [asdict(each) for each in self.exchanges],
            "identities": self.identities,
        }

    async def _honest(self) -> None:
        await self._call("a read", _READ)
        seen = await self._call("a change, with content", {**_ORDER, "headers": _ORDER_HEADERS})
        self.narration.exchange(seen["carried"])
        self.identities = {
            "client": str(seen["server"].get("identity", "")),
            "server": str(seen["client"].get("identity", "")),
        }
        self.narration.identities(self.identities)

    async def _changed_on_the_way(self) -> None:
        self.narration.heading("The middlebox tampers")
        change = {**_ORDER, "headers": _ORDER_HEADERS}
        await self._call("the path changed", _READ, tamper="path", reason="signature_invalid")
        await self._call("the content changed", change, tamper="body", reason="digest_mismatch")
        await self._call("a covered field changed", change, tamper="header", reason="signature_invalid")
        by_client = {"by": "client"}
        await self._call(
            "the response's status changed", _READ_MISSING, tamper="status", reason="signature_invalid", **by_client
        )
        await self._call(
            "the response's content changed", _READ, tamper="response body", reason="digest_mismatch", **by_client
        )
        await self._call(
            "the response's signature stripped", _READ, tamper="strip", reason="response_unsigned", **by_client
        )

    async def _attacks(self) -> None:
        self.narration.heading("Strangers, thieves and clocks")
        stage, url = self.stage, self.stage.base + "/orders/1"
        claimed = WorkloadIdentifier.parse(stage.client_identity)
        elsewhere = TrustDomain("spiffe", "stranger.example").workload("/client")
        await self._attack("no credentials", lambda: call_without_credentials(url, stage.tls), "wit_missing")
        await self._call("a read, to be replayed", _READ)
        await self._attack("the same request twice", self._replay, "replayed")
        await self._attack(
            "a stolen WIT with another key",
            lambda: call_with_stolen_wit(url, stage.tls, stage.client_wit),
            "signature_invalid",
        )
        await self._attack(
            "a WIT signed by a stranger", lambda: call_with_forged_wit(url, stage.tls, claimed), "key_unknown"
        )
        await self._attack(
            "a WIT of a stranger's trust domain",
            lambda: call_with_forged_wit(url, stage.tls, elsewhere),
            "trust_domain_unknown",
        )
        await self._call("a signature that expired", {**_READ, "clock": -200}, reason="signature_expired")
        other = {**_READ, "audience": "https://payments.example/orders/1"}
        await self._call("the wrong audience", other, reason="audience_mismatch")

    async def _replay(self) -> None:
        await self.stage.middlebox.ask("replay", "replayed")

    async def _call(
        self, name: str, call: dict[str, Any], *, tamper: str = "", reason: str = "", by: str = "server"
    ) -> dict[str, Any]:
        stage = self.stage
        await stage.middlebox.ask("tamper", "ready", how=tamper)
        _forget(stage.server, stage.middlebox)
        client = await stage.client.ask("call", "called", **call)
        if client.get("reason") == "unreachable":
            raise DemoError(f"No answer came from {stage.base}: {client['detail']}.")
        carried = await stage.middlebox.hear("carried")
        server = await stage.server.hear(ACCEPTED, REFUSED)
        refused = server if server["event"] == REFUSED else client if not client["ok"] else None
        refused_by = "" if refused is None else "server" if refused is server else "client"
        self._note(name, refused, refused_by, reason, by)
        return {"client": client, "server": server, "carried": carried}

    async def _attack(self, name: str, act: Callable[[], Awaitable[object]], reason: str) -> None:
        _forget(self.stage.server, self.stage.middlebox)
        await act()
        server = await self.stage.server.hear(ACCEPTED, REFUSED)
        refused = server if server["event"] == REFUSED else None
        self._note(name, refused, "" if refused is None else "server", reason, "server")

    def _note(self, name: str, refused: dict[str, Any] | None, refused_by: str, reason: str, by: str) -> None:
        expected = REFUSED if reason else ACCEPTED
        observed = ACCEPTED if refused is None else REFUSED
        found = "" if refused is None else str(refused["reason"])
        ok = observed == expected and found == reason and refused_by == (by if reason else "")
        exchange = Exchange(name, expected, observed, found, ok, refused_by)
        self.exchanges.append(exchange)
        self.narration.outcome(exchange, "" if refused is None else str(refused.get("detail", "")))


def _forget(*children: Child) -> None:
    for child in children:
        child.forget()


def as_json(story: Story) -> str:
    """The document of a story, on one line for each member."""
    return json.dumps(story.document(), indent=2)
