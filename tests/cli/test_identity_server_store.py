"""`wimse identity-server` with a store: what it refuses at its start, and the verbs for its signing keys."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.cli.support import Outcome, process
from tests.drills.stored import NAME, configured, identity_server
from wimse.cli.issuer_store import opened_keeper, opened_store
from wimse.credentials import TrustBundle, TrustDomain, UnverifiedWIT
from wimse.workload_api import KeysConfig, WorkloadAPISource, check_config, load_config

DOMAIN = TrustDomain("spiffe", NAME)
PATIENCE = 40.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def config(folder: Path) -> Path:
    # The commands run while nothing renews here, so that what is issued has to outlive several of them.
    return configured(folder, f'sqlite = "{folder}/issuer.db"', life=16, interval=3600, publications=1)


def told(*arguments: str, config: Path) -> Outcome:
    return process("identity-server", *arguments, "--config", str(config), "--json")


def listed(config: Path, **wanted: object) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = told("key", "list", config=config).document["keys"]
    return [each for each in keys if all(each[name] == value for name, value in wanted.items())]


def signer(source: WorkloadAPISource) -> str:
    return str(UnverifiedWIT.parse(source.snapshot().credential.wit).jws.header["kid"])


def published(source: WorkloadAPISource) -> set[str | None]:
    return {each.kid for each in source.snapshot().bundles[DOMAIN].wit_keys}


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.05)


async def ready(config: Path) -> str:
    """Wait until the next key for WITs may sign, and give its kid."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        keys = await beside(listed, config, use="wit", state="prepared")  # none, for a moment, after an activation
        for each in keys:
            if each["prepared_at"] + 3 < time.time():
                return str(each["kid"])
    raise AssertionError("no key may sign")


async def beside(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Do it in a thread: sources of this event loop renew meanwhile."""
    return await asyncio.to_thread(work, *arguments, **options)


async def test_running_server_hears_of_what_an_operator_does_to_keys(config: Path) -> None:
    """IS-25, IS-26: rotate, taint, revoke, and what a workload then has."""
    async with identity_server(config), WorkloadAPISource(f"unix://{config.with_suffix('')}") as source:
        first = signer(source)
        (active,) = await beside(listed, config, use="wit", state="active")
        assert active["kid"] == first
        rotated = await beside(told, "key", "rotate", "wit", config=config)
        second = rotated.document["next"]
        assert (rotated.status, second != first) == (0, True)
        assert rotated.document["not_before"] > active["prepared_at"]
        await until(lambda: signer(source) == second)
        assert {first, second} <= published(source)

        third = await ready(config)
        assert (await beside(told, "key", "taint", second, config=config)).document["tainted"] is True
        await until(lambda: signer(source) == third)
        assert second in published(source)  # what it signed stays valid
        bundle = await beside(told, "bundle", "show", config=config)
        shown = TrustBundle.parse(DOMAIN, json.dumps(bundle.document).encode()).wit_keys
        assert {second, third} <= {each.kid for each in shown}

        await ready(config)
        assert (await beside(told, "key", "revoke", third, config=config)).document["state"] == "revoked"
        await until(lambda: third not in published(source) and signer(source) != third)
        text = (await beside(process, "identity-server", "key", "list", "--config", str(config))).text
        assert f"revoked            {third}" in text
        assert (await beside(told, "key", "taint", third, config=config)).document["reason"] == "key_unknown"
        assert (await beside(process, "identity-server", "key", "revoke", third, "--config", str(config))).status == 0


async def test_restart_signs_with_the_same_keys(config: Path) -> None:
    address = f"unix://{config.with_suffix('')}"
    kids = []
    for end in (signal.SIGKILL, signal.SIGTERM):
        async with identity_server(config, end=end), WorkloadAPISource(address) as source:
            kids.append(signer(source))
    assert kids[0] == kids[1]


def test_keys_that_are_not_there(config: Path, folder: Path) -> None:
    missing = told("key", "list", config=config)
    assert (missing.status, "the first start" in missing.document["error"]) == (1, True)
    assert not (folder / "issuer.db").exists()
    with opened_store(load_config(config), make=True):
        pass
    unknown = told("key", "revoke", "nope", config=config)
    assert (unknown.status, unknown.document["reason"]) == (1, "key_unknown")
    assert told("key", "rotate", "wit", config=config).status == 1  # no server has run yet
    assert listed(config) == []
    memory = folder / "memory.toml"
    memory.write_text(f'trust_domain = "{NAME}"\n')
    wrong = told("key", "list", config=memory)
    assert (wrong.status, "no [store]" in wrong.document["error"]) == (1, True)
    assert told("bundle", "show", "--scheme", "wimse", config=config).status == 2
    assert told("key", "list", config=folder / "none.toml").status == 2


SPOILT = {
    "newer": "UPDATE wimse_schema SET version = 99",
    "clock": "UPDATE wimse_state SET clock_at = clock_at + 86400",
}


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ("mode", "chmod 600"),
        ("kek", "which is not configured"),
        ("trust domain", "belongs to another trust domain"),
        ("gone", "kek: No such file"),
        ("newer", "use the newer program"),
        ("clock", "set it right"),
    ],
)
def test_start_that_is_refused_says_what_to_do(config: Path, folder: Path, spoil: str, sentence: str) -> None:
    """IS-34: one sentence, and nothing is served."""
    with opened_keeper(load_config(config)) as keeper:
        keeper.start(now=int(time.time()))
    database, kek = folder / "issuer.db", folder / "kek"
    if spoil == "mode":
        database.chmod(0o644)
    elif spoil == "kek":
        kek.write_text(os.urandom(32).hex())
    elif spoil == "gone":
        kek.unlink()
    elif spoil == "trust domain":
        config.write_text(config.read_text().replace(NAME, "example.com"))
    else:
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(SPOILT[spoil])
    refused = process("identity-server", "run", "--config", str(config))
    assert refused.status == 1
    assert sentence in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    assert not (folder / "s").exists()


def test_database_that_is_away_is_a_sentence_without_its_url(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IS-28."""
    url = f"postgresql://wimse:verysecret@/wimse?host={folder}/nobody"
    monkeypatch.setenv("WIMSE_DATABASE", url)
    config = configured(folder, 'postgresql_url_variable = "WIMSE_DATABASE"')
    away = process("identity-server", "run", "--config", str(config))
    assert (away.status, away.stdout) == (1, b"")
    assert "the issuer's database failed" in away.stderr
    assert "verysecret" not in away.stderr
    monkeypatch.delenv("WIMSE_DATABASE")
    unset = process("identity-server", "run", "--config", str(config))
    assert (unset.status, "is not set" in unset.stderr) == (1, True)


def test_configurations_of_the_page_on_production_are_sound(folder: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "identity-server" / "from-development-to-production.md"
    blocks = re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    path = folder / "page.toml"
    for block in blocks:
        path.write_text(block)
        assert check_config(path) == ()
    path.write_text(blocks[0])
    assert load_config(path).keys == KeysConfig()  # it says that these are the defaults
