"""Two servers of one trust domain, two processes, one PostgreSQL: through rotations, a taint and a revocation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stores.issuers import KEK, NAME, NOW, ROTATION, keeper, postgres
from tests.stores.postgresql import postgresql, programs
from wimse.credentials import TrustBundle, TrustDomain, UnverifiedWIT, verify_wit
from wimse.issuer import KeyUse
from wimse.stores.issuer import adopt_backup

SPIFFE = TrustDomain("spiffe", NAME)
# A server: each line it reads is a time and what to do then; it answers with what it signs and publishes.
SERVER = """
import json, sys
from tests.stores.issuers import NAME, keeper, postgres
from wimse.credentials import TrustDomain
from wimse.errors import WimseError
from wimse.issuer import Authority, KeyUse
from wimse.keys import PrivateKey
domain = TrustDomain("spiffe", NAME)
authority = None
for line in sys.stdin:
    now, act, kid = json.loads(line)
    answer = {}
    try:
        if authority is None:
            keys = keeper(postgres(sys.argv[1], now=now))
            authority = Authority(domain, keys.start(now=now))
        if act in ("refresh", "sign"):
            authority.install(keys.refresh(now=now))
        elif act == "rotate":
            authority.install(keys.rotate(KeyUse(kid), now=now))
        elif act in ("taint", "revoke"):
            authority.install(getattr(keys, act)(kid, now=now))
        answer["wit"] = authority.issue_wit(
            domain.workload("/w"), PrivateKey.generate().public_key, now=now, token_id=str(now)
        ).text
    except WimseError as error:
        answer["error"] = error.reason.code
    if authority is not None:
        answer["bundle"] = authority.bundles()[domain].to_json().decode()
        answer["active"] = authority.keys.active[KeyUse.WIT].key.kid if KeyUse.WIT in authority.keys.active else None
    print(json.dumps(answer), flush=True)
"""


class Server:
    """A process that issues."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def tell(self, now: int, act: str = "refresh", kid: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([now, act, kid]) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture
def url() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture
def servers(url: str) -> Iterator[tuple[Server, Server]]:
    pair = Server(url), Server(url)
    yield pair
    for each in pair:
        each.stop()


def test_no_token_is_refused_through_a_whole_rotation_by_two_servers(servers: tuple[Server, Server]) -> None:
    """IS-25, IS-26, IS-33: every token is verified by the bundle of the other server, fetched when the hint says."""
    bundle: TrustBundle | None = None
    live: list[tuple[str, int]] = []
    signers: list[str] = []
    for second in range(0, 260, 2):
        now = NOW + second
        for each in servers:  # at once: both find the same step due
            each.tell(now)
        answers = [each.hear() for each in servers]
        assert [answer.get("error") for answer in answers] == [None, None], second
        if second % 6 == 0 or bundle is None:  # the validator is at one server, then at the other
            bundle = TrustBundle.parse(SPIFFE, answers[second // 6 % 2]["bundle"].encode())
        assert answers[0]["active"] == answers[1]["active"] or second % 60 < 4
        live += [(answer["wit"], now + 20) for answer in answers]
        live = [(token, ends) for token, ends in live if ends > now]
        for token, _ in live:
            verify_wit(UnverifiedWIT.parse(token), bundle, now=now)
        signers.append(answers[0]["active"])
    assert len(dict.fromkeys(signers)) >= 4


def test_both_servers_found_one_trust_domain_and_hear_of_a_taint_and_a_revocation(
    servers: tuple[Server, Server],
) -> None:
    """IS-33: one of them makes the first keys."""
    first, second = servers
    for each in servers:
        each.tell(NOW)
    one, other = first.hear(), second.hear()
    assert (one["active"], one["bundle"]) == (other["active"], other["bundle"])
    now = NOW + 30
    first.tell(now, "taint", one["active"])
    tainted = first.hear()
    second.tell(now + 1)
    assert tainted["active"] != one["active"]
    assert second.hear()["active"] == tainted["active"]
    assert one["active"] in tainted["bundle"]
    second.tell(now + 30, "revoke", tainted["active"])
    revoked = second.hear()
    first.tell(now + 31)
    heard = first.hear()
    assert tainted["active"] not in revoked["bundle"]
    assert (heard["active"], heard["bundle"]) == (revoked["active"], revoked["bundle"])
    assert revoked["active"] not in (None, tainted["active"])


def test_a_rotation_that_is_asked_for_at_both_servers_happens_once(url: str) -> None:
    stores = [postgres(url) for _ in range(2)]
    keepers = [keeper(each) for each in stores]
    for each in keepers:
        each.start(now=NOW)
    for each in keepers:
        each.refresh(now=NOW + 30)
    before = keepers[0].key_set.active(KeyUse.JWT_SVID)
    for each in keepers:
        each.rotate(KeyUse.JWT_SVID, now=NOW + 30)
    after = keepers[1].key_set
    assert before is not None
    assert after.key(before.kid).retired_at == NOW + 30
    assert len(after.published(KeyUse.JWT_SVID)) == 3
    assert repr(KEK.identifier) not in repr(after)
    for store in stores:
        store.close()


def test_a_dump_is_restored_into_another_database(url: str, tmp_path: Path) -> None:
    """IS-25, IS-33: the keys are the same, published, and wait before they sign."""
    store = postgres(url)
    keys = keeper(store)
    keys.start(now=NOW)
    dump, sockets = tmp_path / "issuer.dump", url.partition("host=")[2]
    where = ["-h", sockets, "-U", "wimse"]
    for command in (
        ["pg_dump", *where, "--format=custom", "--file", str(dump), "postgres"],
        ["createdb", *where, "other"],
        ["pg_restore", *where, "--exit-on-error", "--dbname", "other", str(dump)],
    ):
        subprocess.run([str(programs() / command[0]), *command[1:]], check=True, capture_output=True, timeout=60)
    other = postgres(url.replace("/postgres?", "/other?"), now=NOW + 20)
    adopt_backup(other, now=NOW + 20)
    restored = keeper(other)
    opened = restored.start(now=NOW + 20)
    assert opened.active == {}
    assert {each.kid for each in keys.key_set.published(KeyUse.WIT)} == {key.kid for key in opened.wit_keys}
    assert restored.refresh(now=NOW + 20 + ROTATION.publication_delay).active.keys() == set(KeyUse)
    for each in (store, other):
        each.close()
