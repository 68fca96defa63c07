"""`wimse identity-server backup`, `restore` and `adopt`: on real databases, with servers as processes."""

from __future__ import annotations

import os
import pwd
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.cli.support import Outcome, Run
from tests.drills.stored import NAME, configured, identity_server
from tests.stores.postgresql import postgresql, programs
from wimse.cli.issuer_store import opened_keeper
from wimse.credentials import TrustBundle, TrustDomain, UnverifiedWIT, verify_wit
from wimse.workload_api import WorkloadAPIClient, WorkloadAPISource, load_config

DOMAIN = TrustDomain("spiffe", NAME)


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def config(folder: Path) -> Path:
    return configured(folder, f'sqlite = "{folder}/issuer.db"', life=60, interval=3600, publications=1)


Told = Callable[..., Outcome]


@pytest.fixture
def told(run: Run, config: Path) -> Told:
    """Give a command of an operator; it is answered in JSON."""
    return lambda *arguments: run("identity-server", *arguments, "--config", config, "--json")


def made(config: Path) -> None:
    """A database that a server has begun."""
    with opened_keeper(load_config(config)) as keeper:
        keeper.start(now=int(time.time()))


def moved_away(folder: Path) -> None:
    for path in folder.glob("issuer.db*"):
        path.rename(folder / f"damaged-{path.name}")


async def credentials(config: Path) -> tuple[str, str]:
    """A WIT and a JWT-SVID of a running server."""
    async with WorkloadAPIClient(f"unix://{config.with_suffix('')}") as client:
        wit = (await anext(aiter(client.watch_wit_svids()))).svids[0].wit_svid
        return wit, (await client.fetch_jwt_svids(["orders"])).svids[0].svid


async def still_verifies(config: Path, wit: str, jwt: str) -> None:
    """What was issued before is valid by the bundle that the server publishes now, and it issues again."""
    address = f"unix://{config.with_suffix('')}"
    async with WorkloadAPIClient(address) as client:
        bundles = await anext(aiter(client.watch_wit_bundles()))
        bundle = TrustBundle.parse(DOMAIN, bundles.bundles[str(DOMAIN)].encode())
        verify_wit(UnverifiedWIT.parse(wit), bundle, now=int(time.time()))
        assert (await client.validate_jwt_svid(jwt, "orders")).spiffe_id == f"{DOMAIN}/workload"
    async with WorkloadAPISource(address) as source:  # it waits until the keys may sign
        again = UnverifiedWIT.parse(source.snapshot().credential.wit)
        verify_wit(again, source.snapshot().bundles[DOMAIN], now=int(time.time()))


async def test_restored_database_is_served_and_what_was_issued_before_is_valid(
    config: Path, folder: Path, told: Told
) -> None:
    """IS-25: from a backup of the running server; the next key signs when it has been published."""
    saved = folder / "saved.db"
    async with identity_server(config):
        wit, jwt = await credentials(config)
        backup = told("backup", saved)
        assert (backup.status, backup.document["backup"]) == (0, str(saved))
        assert backup.document["bytes"] == saved.stat().st_size
        assert saved.stat().st_mode & 0o777 == 0o600
    moved_away(folder)
    before = time.time()
    restored = told("restore", saved)
    assert (restored.status, restored.document["keys"]) == (0, 6)  # two of each kind
    assert restored.document["signs_at"] >= int(before) + 3  # the publication delay
    keys = told("key", "list").document["keys"]
    assert {each["state"] for each in keys} == {"prepared", "old"}  # none signs
    async with identity_server(config):
        await still_verifies(config, wit, jwt)


def test_restore_reads_like_this(config: Path, folder: Path, run: Run) -> None:
    made(config)
    assert run("identity-server", "backup", folder / "saved.db", "--config", config).text == (
        f"{folder}/issuer.db is backed up in {folder}/saved.db\n"
    )
    moved_away(folder)
    first, second = run("identity-server", "restore", folder / "saved.db", "--config", config).text.splitlines()
    assert first.startswith(f"{folder}/issuer.db is restored; nothing is signed before ")
    assert second.startswith("Start the server now. Revoke again")
    adopted = run("identity-server", "adopt", "--config", config)
    assert adopted.text.startswith("the database is adopted; nothing is signed before ")


async def test_nothing_is_restored_under_a_running_server(config: Path, folder: Path, told: Told) -> None:
    """Also when its database was moved away: it goes on with it, and would be there beside the other one."""
    async with identity_server(config):
        told("backup", folder / "saved.db")
        for command in (("restore", str(folder / "saved.db")), ("adopt",)):
            refused = told(*command)
            assert (refused.status, "a server uses" in refused.document["error"]) == (1, True)
        moved_away(folder)
        refused = told("restore", folder / "saved.db")
        assert (refused.status, "stop it first" in refused.document["error"]) == (1, True)
    assert told("restore", folder / "saved.db").status == 0  # the kernel let go of the lock


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("there", "is there already: move it away"),
        ("journal", "-wal is there: move it away"),
        ("mode", "chmod 600"),
        ("missing", "No such file"),
        ("damaged", "is damaged"),
        ("trust domain", "belongs to another trust domain"),
        ("kek", "which is not configured"),
        ("newer", "use the newer program"),
        ("left", "left by a copy that was broken off: remove it"),
    ],
)
def test_backup_that_cannot_be_restored_changes_nothing(
    config: Path, folder: Path, run: Run, fault: str, sentence: str
) -> None:
    """One sentence, and what is not sound is never in its place."""
    saved, database = folder / "saved.db", folder / "issuer.db"
    made(config)
    assert run("identity-server", "backup", saved, "--config", config).status == 0
    if fault != "there":
        moved_away(folder)
    spoil(fault, config, saved)
    before = sorted(each.name for each in folder.iterdir())
    refused = run("identity-server", "restore", saved, "--config", config)
    assert (refused.status, sentence in refused.stderr) == (1, True), refused.stderr
    assert sorted(each.name for each in folder.iterdir()) == before
    assert database.exists() is (fault == "there")


def spoil(fault: str, config: Path, saved: Path) -> None:
    match fault:
        case "journal":
            (saved.parent / "issuer.db-wal").touch()
        case "mode":
            saved.chmod(0o644)
        case "missing":
            saved.unlink()
        case "damaged":
            content = bytearray(saved.read_bytes())
            content[100:-100] = b"\xff" * (len(content) - 200)
            saved.write_bytes(content)
        case "trust domain":
            config.write_text(config.read_text().replace(NAME, "example.com"))
        case "kek":
            (saved.parent / "kek").write_text(os.urandom(32).hex())
        case "newer":
            sqlite3_run(saved, "UPDATE wimse_schema SET version = 99")
        case "left":
            (saved.parent / ".issuer.db.new").touch()


def sqlite3_run(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_backup_overwrites_nothing_and_needs_a_database(config: Path, folder: Path, run: Run) -> None:
    none = run("identity-server", "backup", folder / "saved.db", "--config", config)
    assert (none.status, "the first start" in none.stderr) == (1, True)
    made(config)
    (folder / "saved.db").write_text("of somebody else")
    there = run("identity-server", "backup", folder / "saved.db", "--config", config)
    assert (there.status, "there already" in there.stderr) == (1, True)
    assert (folder / "saved.db").read_text() == "of somebody else"
    nowhere = run("identity-server", "backup", folder / "none" / "saved.db", "--config", config)
    assert (nowhere.status, "No such file" in nowhere.stderr) == (1, True)
    memory = folder / "memory.toml"
    memory.write_text(f'trust_domain = "{NAME}"\n')
    for command in (("backup", folder / "b"), ("restore", folder / "saved.db"), ("adopt",)):
        refused = run("identity-server", *command, "--config", memory)
        assert (refused.status, "has no [store]" in refused.stderr) == (1, True)
        assert run("identity-server", *command, "--config", folder / "none.toml").status == 2


def test_backup_under_the_key_before_opens_and_is_encrypted_anew(config: Path, folder: Path, run: Run) -> None:
    """With `[encryption.previous]`, until the next start."""
    made(config)
    run("identity-server", "backup", folder / "saved.db", "--config", config)
    moved_away(folder)
    (folder / "kek").rename(folder / "kek-1")
    (folder / "kek").touch(mode=0o600)
    (folder / "kek").write_text(os.urandom(32).hex())
    original = config.read_text()
    config.write_text(f'{original}[encryption.previous]\nfile = "{folder}/kek-1"\n')
    assert run("identity-server", "restore", folder / "saved.db", "--config", config).status == 0
    made(config)
    config.write_text(original)
    made(config)  # the one before is not needed any more


def test_root_leaves_nothing_that_the_server_could_not_open(
    config: Path, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory of the server's user, and the operator as root."""
    made(config)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    user, real = pwd.getpwall()[1], Path.stat
    status = os.stat_result((0o40700, 1, 1, 1, user.pw_uid, user.pw_gid, 0, 0, 0, 0))
    monkeypatch.setattr(Path, "stat", lambda self, **more: status if self == folder else real(self, **more))
    for command in (("backup", folder / "b"), ("restore", folder / "b"), ("adopt",)):
        refused = run("identity-server", *command, "--config", config)
        assert (refused.status, f"runuser -u {user.pw_name} --" in refused.stderr) == (1, True)
    assert not (folder / "b").exists()


def test_adopting_waits_for_the_right_clock(config: Path, folder: Path, run: Run) -> None:
    made(config)
    sqlite3_run(folder / "issuer.db", "UPDATE wimse_state SET clock_at = clock_at + 86400")
    refused = run("identity-server", "adopt", "--config", config)
    assert (refused.status, "the clock has gone back" in refused.stderr) == (1, True)


async def test_postgresql_is_dumped_restored_and_adopted(folder: Path, told: Told) -> None:
    """IS-25: with its own programs; the commands say so, and adopt what these put back."""
    with postgresql() as url:
        (folder / "url").touch(mode=0o600)
        (folder / "url").write_text(url)
        store = f'postgresql_url_file = "{folder}/url"'
        config = configured(folder, store, life=60, interval=3600, publications=1)
        async with identity_server(config):
            wit, jwt = await credentials(config)
            for command in (("backup", str(folder / "b")), ("restore", str(folder / "b"))):
                refused = told(*command)
                assert (refused.status, "pg_dump --format=custom" in refused.document["error"]) == (1, True)
            dump(url, "pg_dump", "--format=custom", f"--file={folder}/dump")
            refused = told("adopt")
            assert (refused.status, "stop all of them first" in refused.document["error"]) == (1, True)
        dump(url, "psql", "-c", "CREATE DATABASE anew")
        anew = url.replace("/postgres?", "/anew?")
        dump(anew, "pg_restore", "--exit-on-error", f"{folder}/dump")
        (folder / "url").write_text(anew)
        assert told("adopt").document["keys"] == 6
        async with identity_server(config):
            await still_verifies(config, wit, jwt)


def dump(url: str, program: str, *arguments: str) -> None:
    command = [str(programs() / program), "--dbname", url, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
