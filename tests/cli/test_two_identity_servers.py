"""Two identity servers, two processes, one PostgreSQL: a whole rotation with clients of both."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.drills.stored import NAME, configured, identity_server
from tests.stores.postgresql import postgresql
from wimse.credentials import TrustDomain, UnverifiedWIT, verify_wit
from wimse.errors import WimseError
from wimse.workload_api import WorkloadAPISource

DOMAIN = TrustDomain("spiffe", NAME)
WANTED_SIGNERS = 3


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def judge(holder: WorkloadAPISource, verifier: WorkloadAPISource, outcomes: Counter[str], signers: list[str]) -> None:
    token = UnverifiedWIT.parse(holder.snapshot().credential.wit)
    try:
        verify_wit(token, verifier.snapshot().bundles[DOMAIN], now=int(time.time()))
    except WimseError as error:
        outcomes[error.reason.code] += 1
    else:
        outcomes["good"] += 1
    signers.append(str(token.jws.header["kid"]))


async def test_clients_of_two_servers_verify_each_other_through_whole_rotations(folder: Path) -> None:
    """IS-25, IS-26, IS-33: no token is refused, and both servers sign with the same keys."""
    outcomes: Counter[str] = Counter()
    signers: tuple[list[str], list[str]] = ([], [])
    with postgresql() as url:
        secret = folder / "url"
        secret.touch(mode=0o600)
        secret.write_text(url + "\n")
        store = f'postgresql_url_file = "{secret}"'
        configs = [configured(folder, store, name=name) for name in ("one", "two")]
        async with contextlib.AsyncExitStack() as stack:
            # Both at once: one of them founds the trust domain.
            servers = [stack.enter_async_context(identity_server(each)) for each in configs]
            await asyncio.gather(*servers)
            clients = [
                await stack.enter_async_context(WorkloadAPISource(f"unix://{folder}/{name}")) for name in ("one", "two")
            ]
            deadline = time.monotonic() + 60
            while any(len(set(each)) < WANTED_SIGNERS for each in signers):
                assert time.monotonic() < deadline, (signers, outcomes)
                for place in (0, 1):
                    judge(clients[place], clients[1 - place], outcomes, signers[place])
                await asyncio.sleep(0.02)
    assert set(outcomes) == {"good"}
    assert list(dict.fromkeys(signers[0])) == list(dict.fromkeys(signers[1]))
    logs = [each.with_suffix(".log").read_text() for each in configs]
    assert sum("has its first signing keys" in each for each in logs) == 1
    assert all(url not in each and "host=" not in each for each in logs)
