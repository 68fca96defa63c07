"""Where keys at rest and the CA come from, through `wimse identity-server run`: each source, and what it refuses."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.cli.support import Outcome, Run, process
from tests.credentials.certificates import Node, authority, make, usage
from tests.drills.stored import NAME, configured, identity_server
from wimse.cli import main
from wimse.cli.issuer_store import opened_keeper
from wimse.credentials import TrustDomain, UnverifiedX509SVID, verify_x509_svid
from wimse.keys import PrivateKey
from wimse.workload_api import WorkloadAPISource, WorkloadAPIX509Source, load_config

DOMAIN = TrustDomain("spiffe", NAME)


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def config(folder: Path) -> Path:
    return configured(folder, f'sqlite = "{folder}/issuer.db"', life=60, interval=3600)


def encrypted(config: Path, section: str, *, more: str = "") -> Path:
    """The same configuration with another `[encryption]`."""
    head, _, tail = config.read_text().partition("[encryption]\n")
    rest = tail[tail.index("\n[keys]") :]
    config.write_text(f"{more}{head}[encryption]\n{section}\n{rest}")
    return config


def new_key(path: Path, secret: str = "") -> Path:
    path.touch(mode=0o600)
    path.write_text(secret or os.urandom(32).hex())
    return path


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


async def issues(config: Path) -> str:
    """Start it, fetch a WIT by our own source, stop it; give the log."""
    address = f"unix://{config.with_suffix('')}"
    async with identity_server(config, end=signal.SIGTERM), WorkloadAPISource(address) as source:
        assert str(source.snapshot().credential.identity) == f"{DOMAIN}/workload"
    return config.with_suffix(".log").read_text()


def refused(config: Path, sentence: str, *, status: int = 1) -> str:
    """It is one sentence, and nothing is served; give the log."""
    if status == 2:  # what is wrong in the file is found before this process is made into a server
        result = CliRunner(catch_exceptions=False).invoke(main, ["identity-server", "run", "--config", str(config)])
        outcome = Outcome(result.exit_code, result.stdout_bytes, result.stderr)
    else:
        outcome = process("identity-server", "run", "--config", config)
    assert (outcome.status, outcome.stdout) == (status, b"")
    assert sentence in outcome.stderr.splitlines()[-1], outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not config.with_suffix("").exists()
    return outcome.stderr


def begun(config: Path) -> None:
    """Have a database, as after a first start."""
    with opened_keeper(load_config(config)) as keeper:
        keeper.start(now=int(time.time()))


# ------------------------------------------------------------------------------------------------------- no encryption


async def test_plaintext_is_for_development_and_says_so(config: Path, folder: Path) -> None:
    encrypted(config, "plaintext = true")
    refused(config, "encryption.plaintext is for development: it needs development = true", status=2)
    encrypted(config, "plaintext = true", more="development = true\n")
    assert "SIGNING KEYS ARE STORED WITHOUT ENCRYPTION: for development only" in await issues(config)
    encrypted(config, f'file = "{folder}/kek"')  # into production
    refused(config, "it is of development mode; start with a new database")


def test_plaintext_does_not_open_what_is_encrypted_and_goes_with_no_key(config: Path, folder: Path) -> None:
    begun(config)
    encrypted(config, "plaintext = true", more="development = true\n")
    refused(config, "no key-encryption key is configured")
    encrypted(config, f'plaintext = true\nfile = "{folder}/kek"')
    refused(config, "encryption.plaintext goes with no key", status=2)


# -------------------------------------------------------------------------------------------------- the key before this


async def test_key_encryption_key_is_replaced_by_way_of_the_previous_one(config: Path, folder: Path) -> None:
    """Two starts; then the old one is not needed any more, and opens nothing."""
    kids, log = set(), ""
    for section in (
        f'file = "{folder}/kek"',
        f'file = "{new_key(folder / "kek-2")}"\n[encryption.previous]\nfile = "{folder}/kek"',
        f'file = "{folder}/kek-2"',
    ):
        log = await issues(encrypted(config, section))
        with opened_keeper(load_config(config)) as keeper:
            keeper.start(now=int(time.time()))
            kids.add(frozenset(each.kid for each in keeper.key_set.keys))
    assert log.count("signing keys are encrypted with the new key-encryption key") == 1
    assert len(kids) == 1  # the signing keys are the same ones
    refused(encrypted(config, f'file = "{folder}/kek"'), "which is not configured: name it as the previous one")


@pytest.mark.parametrize(
    ("previous", "sentence", "status"),
    [
        ('file = "{folder}/kek-3"', "which is not configured", 1),
        ('file = "{folder}/none"', "No such file", 1),
        ("", "encryption takes one of", 2),
        ('file = "relative"', "must be an absolute path", 2),
    ],
)
def test_previous_key_that_is_not_the_one_before_is_refused(
    config: Path, folder: Path, previous: str, sentence: str, status: int
) -> None:
    begun(config)
    new_key(folder / "kek-3")
    section = f'file = "{new_key(folder / "kek-2")}"\n[encryption.previous]\n{previous.format(folder=folder)}'
    refused(encrypted(config, section), sentence, status=status)


# ------------------------------------------------------------------------------------------------- systemd's credential


async def test_key_encryption_key_is_a_credential_of_systemd(
    config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systemd's directory is 0500 and its files are 0400; they may as well be 0440."""
    credentials = folder / "credentials"
    credentials.mkdir()
    new_key(credentials / "wimse-kek").chmod(0o440)
    encrypted(config, 'credential = "wimse-kek"')
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    refused(config, "CREDENTIALS_DIRECTORY is not set")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    await issues(config)
    new_key(credentials / "wimse-kek")
    refused(config, "which is not configured")
    (credentials / "wimse-kek").write_text("rubbish")
    refused(config, "32 bytes, 64 hexadecimal digits or base64")
    (credentials / "wimse-kek").unlink()
    refused(config, "wimse-kek: No such file")
    refused(encrypted(config, 'credential = "../kek"'), "a systemd credential has a plain name")


# ------------------------------------------------------------------------------------------------------------ a command


async def test_key_encryption_key_is_what_a_command_prints(config: Path, folder: Path) -> None:
    """With arguments, and without a shell that would take them apart."""
    client = program(folder / "kms", f'[ "$1" = "a b;c" ] && exec cat {folder}/kek')
    await issues(encrypted(config, f"command = ['{client}', 'a b;c']"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cat {folder}/kek; exit 3", "failed with status 3"),
        ("sleep 600", "takes too long"),
        ("cat {folder}/kek; exec >&-; sleep 600", "takes too long"),
        ("yes", "prints too much"),
        ("echo rubbish", "32 bytes, 64 hexadecimal digits or base64"),
        ("true", "32 bytes"),
        ("echo AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "is not random"),
        ("head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n'", "which is not configured"),
    ],
)
def test_command_that_fails_hangs_or_prints_rubbish_is_refused(
    config: Path, folder: Path, text: str, sentence: str
) -> None:
    """IS-28: what it printed is not shown, and what it began does not stay."""
    begun(config)
    client = program(folder / "kms", f"echo $$ > {folder}/pid; {text.format(folder=folder)}")
    log = refused(encrypted(config, f'command = ["{client}"]\ncommand_timeout_seconds = 1'), sentence)
    assert (folder / "kek").read_text() not in log
    assert not alive(int((folder / "pid").read_text()))


def alive(pid: int) -> bool:
    """Whether any process of the session that a command began is there."""
    return any(each.is_dir() and session(each) == pid for each in Path("/proc").glob("[0-9]*"))


def session(process_directory: Path) -> int:
    try:
        fields = (process_directory / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[3])


@pytest.mark.parametrize(
    ("section", "sentence", "status"),
    [
        ('command = ["kms"]', "must be an absolute path", 2),
        ('command = ["/no/such/program"]', "No such file", 1),
        ("command = []", "takes one of file, credential and command", 2),
        ('command = ["/bin/cat"]\ncommand_timeout_seconds = 0', "command_timeout_seconds must be from 1 to 300", 2),
        ('command = ["/bin/cat"]\nfile = "/kek"', "takes one of file, credential and command", 2),
    ],
)
def test_command_that_cannot_be_one_is_refused(
    config: Path, run: Run, section: str, sentence: str, status: int
) -> None:
    encrypted(config, section)
    checked = run("identity-server", "check", "--config", config)
    assert checked.status == (1 if status == 2 else 0)
    refused(config, sentence, status=status)


# -------------------------------------------------------------------------------------------------- a CA of yours above


def pem(*nodes: Node) -> str:
    return "".join(each.certificate.public_bytes(Encoding.PEM).decode() for each in nodes)


def under(config: Path, folder: Path, chain: str, key: PrivateKey, roots: str) -> Path:
    """The same configuration with an `[upstream]`."""
    for name, content in (("chain", chain), ("roots", roots)):
        (folder / f"{name}.pem").write_text(content)
    new_key(folder / "ca.key", key.to_pem().decode())
    files = f'chain = "{folder}/chain.pem"\nkey = "{folder}/ca.key"\nroots = "{folder}/roots.pem"'
    config.write_text(f"{config.read_text()}\n[upstream]\n{files}\n")
    return config


def authorities(*, path_length: int = 1, since: int = -60, until: int = 864_000) -> tuple[Node, Node]:
    now = int(time.time())
    root = authority(now=now, name="root", until=864_000)
    return root, authority(root, now=now, name="upstream", path_length=path_length, since=since, until=until)


async def test_ca_of_yours_certifies_ours(config: Path, folder: Path) -> None:
    """The bundle has its root; a workload's certificate leads to it over both."""
    root, upstream = authorities()
    under(config, folder, pem(upstream), upstream.key, pem(root))
    async with identity_server(config), WorkloadAPIX509Source(f"unix://{config.with_suffix('')}") as source:
        snapshot = source.x509_snapshot()
    bundle = snapshot.bundles[DOMAIN]
    assert bundle.x509_authorities == (root.der,)
    assert snapshot.credential is not None
    chain = snapshot.credential.certificates
    assert (len(chain), chain[2]) == (3, upstream.der)
    verify_x509_svid(UnverifiedX509SVID.parse(chain), bundle, now=int(time.time()))


Above = Callable[[], tuple[str, PrivateKey, str]]


def no_ca() -> tuple[str, PrivateKey, str]:
    now = int(time.time())
    root = authority(now=now, name="root")
    none = make(
        root, [(x509.BasicConstraints(ca=False, path_length=None), True), (usage("key_cert_sign"), True)], now=now
    )
    return pem(none), none.key, pem(root)


def no_room() -> tuple[str, PrivateKey, str]:
    root, upstream = authorities(path_length=0)
    return pem(upstream), upstream.key, pem(root)


def expired() -> tuple[str, PrivateKey, str]:
    root, upstream = authorities(since=-7200, until=-3600)
    return pem(upstream), upstream.key, pem(root)


def root_expired() -> tuple[str, PrivateKey, str]:
    now = int(time.time())
    root = authority(now=now, name="root", since=-7200, until=-3600)
    upstream = authority(root, now=now, name="upstream")
    return pem(upstream), upstream.key, pem(root)


def not_yet() -> tuple[str, PrivateKey, str]:
    root, upstream = authorities(since=3600)
    return pem(upstream), upstream.key, pem(root)


def other_key() -> tuple[str, PrivateKey, str]:
    root, upstream = authorities()
    return pem(upstream), PrivateKey.generate(), pem(root)


def other_root() -> tuple[str, PrivateKey, str]:
    _, upstream = authorities()
    return pem(upstream), upstream.key, pem(authorities()[0])


def rubbish() -> tuple[str, PrivateKey, str]:
    root, upstream = authorities()
    return "rubbish", upstream.key, pem(root)


def too_many_roots() -> tuple[str, PrivateKey, str]:
    """The last of them would be left out, and nobody would know."""
    root, upstream = authorities()
    return pem(upstream), upstream.key, pem(*[root] * 150)


@pytest.mark.parametrize(
    ("above", "sentence"),
    [
        (no_ca, "may not certify another CA"),
        (no_room, "may not certify another CA"),
        (expired, "ends before a certificate under it would; renew it"),
        (root_expired, "ends before a certificate under it would; renew it"),
        (not_yet, "is not valid yet"),
        (other_key, "the upstream authority's key is not that of its first certificate"),
        (other_root, "does not lead to one of its roots"),
        (rubbish, "chain is no PEM file of certificates"),
        (too_many_roots, "roots.pem is larger than 65536 bytes"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_ca_that_cannot_certify_ours_is_refused(config: Path, folder: Path, above: Above, sentence: str) -> None:
    chain, key, roots = above()
    refused(under(config, folder, chain, key, roots), sentence)


def test_key_of_the_ca_that_others_can_read_is_refused(config: Path, folder: Path) -> None:
    root, upstream = authorities()
    under(config, folder, pem(upstream), upstream.key, pem(root))
    (folder / "ca.key").chmod(0o640)
    refused(config, "chmod 600")
    (folder / "ca.key").unlink()
    refused(config, "ca.key: No such file")
