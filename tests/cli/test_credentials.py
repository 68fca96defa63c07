"""`wimse credentials`, as a process, against a real identity server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.cli.support import environment, process
from wimse.credentials import TrustDomain, UnverifiedWIT, verify_wit
from wimse.credentials.bundle_map import parse_bundle_map
from wimse.keys import PrivateKey

PATIENCE = 20.0


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


@pytest.fixture(name="agent")
def an_identity_server(tmp_path: Path) -> Iterator[str]:
    path, config = tmp_path / "s.sock", tmp_path / "c.toml"
    config.write_text(
        f'socket = "unix://{path}"\nwit_lifetime_seconds = 3\njwt_svid_lifetime_seconds = 3\n'
        "default_identities = false\n"
        f'[[entries]]\npath = "/shop"\nselectors = ["unix:uid:{os.getuid()}"]\n'
    )
    with started("identity-server", "run", "--config", str(config)) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith(b"ready")
        yield f"unix://{path}"


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "wimse", *arguments]
    made = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    try:
        yield made
    finally:
        made.send_signal(signal.SIGTERM)
        made.communicate(timeout=PATIENCE)


def test_everything_is_fetched_once(agent: str, tmp_path: Path) -> None:
    folder = tmp_path / "id"
    kinds = [*("--kind", "wit"), *("--kind", "x509"), *("--kind", "jwt"), *("--audience", "https://a")]
    made = process("credentials", "fetch", "--socket", agent, *kinds, "--write", folder, "--json")
    assert made.status == 0, made.stderr
    assert made.document["wit"]["identity"] == "spiffe://example.com/shop"
    assert made.document["written"] == sorted(each.name for each in folder.iterdir() if not each.name.startswith(".."))
    check_pair(folder)
    leaf = x509.load_pem_x509_certificate((folder / "svid.pem").read_bytes())
    assert leaf.public_key() == PrivateKey.from_pem((folder / "svid-key.pem").read_bytes()).public_key.native
    secret = {each.name for each in folder.iterdir() if each.is_file() and each.stat().st_mode & 0o077 == 0}
    assert secret == {"wit.jwt", "wit-key.jwk", "svid-key.pem", "jwt-svid.jwt"}
    verdict = process("wit", "verify", (folder / "wit.jwt").read_text(), "--bundle", folder / "wit-bundles.json")
    assert verdict.status == 0, verdict.text


def check_pair(folder: Path) -> None:
    current = (folder / "..current").resolve()
    token = UnverifiedWIT.parse((current / "wit.jwt").read_text())
    key = PrivateKey.from_jwk(json.loads((current / "wit-key.jwk").read_text()))
    bundles = parse_bundle_map((current / "wit-bundles.json").read_bytes())
    verified = verify_wit(token, bundles[TrustDomain("spiffe", "example.com")], now=int(time.time()))
    assert verified.key.same_key(key.public_key)


def test_it_is_printed_too(agent: str) -> None:
    as_json = process("credentials", "fetch", "--socket", agent, "--json")
    assert set(as_json.document["wit"]["files"]) == {"wit.jwt", "wit-key.jwk", "wit-bundles.json"}
    text = process("credentials", "fetch", SPIFFE_ENDPOINT_SOCKET=agent).text
    assert "# wit: spiffe://example.com/shop until " in text
    assert '"d":' in text


def test_files_are_kept_new_and_programs_are_told(agent: str, tmp_path: Path) -> None:
    """CL-06, D2."""
    folder, log = tmp_path / "id", tmp_path / "log"
    script = f"import os, pathlib; open({str(log)!r}, 'a').write(os.readlink({str(folder / '..current')!r}) + '\\n')"
    told: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: told.append(1))
    try:
        with started(
            *("credentials", "watch", "--socket", agent, "--write", str(folder), "--json"),
            *("--exec", f"{sys.executable} -c {json.dumps(script)}"),
            *("--signal-pid", str(os.getpid()), "--signal", "USR1"),
        ) as watching:
            eventually((folder / "..current").exists)
            generations: set[Path] = set()
            while len(generations) < 3:
                with contextlib.suppress(FileNotFoundError):
                    check_pair(folder)
                    generations.add((folder / "..current").readlink())
                time.sleep(0.05)
            eventually(lambda: len(told) >= 2 and log.read_text().count("\n") >= 2)
            assert watching.poll() is None
            assert watching.stdout is not None
            assert json.loads(watching.stdout.readline())["wit"]["identity"] == "spiffe://example.com/shop"
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_command_that_fails_or_hangs_stops_nothing(agent: str, tmp_path: Path) -> None:
    program = "import time; time.sleep(60)"
    with started(
        *("credentials", "watch", "--socket", agent, "--write", str(tmp_path / "id"), "--exec-timeout", "0.2"),
        *("--exec", f"{sys.executable} -c '{program}'"),
    ) as watching:
        assert watching.stdout is not None
        lines = [watching.stdout.readline() for _ in range(3)]
        assert all(line.startswith(b"written: wit spiffe://example.com/shop") for line in lines)
        assert len(set(lines)) == 3
        assert watching.stderr is not None
        assert b"it did not end within 0.2 s" in watching.stderr.readline()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("fetch", "--kind", "jwt"), 2, "belong together"),
        (("fetch", "--audience", "a"), 2, "belong together"),
        (("fetch", "--kind", "jwt", "--audience", ""), 2, "not empty"),
        (("fetch", "--socket", "tcp://name:1"), 2, "address"),
        (("fetch", "--spiffe-id", "x"), 2, "identity"),
        (("watch",), 2, "--write"),
        (("watch", "--write", "d", "--exec", "'"), 2, "quotation"),
        (("watch", "--write", "d", "--exec", " "), 2, "no program"),
        (("fetch", "--socket", "/nowhere/s", "--timeout", "0.2"), 1, "cannot be reached"),
    ],
)
def test_wrong_usage_and_absent_agents_have_their_exit_status(
    arguments: tuple[str, ...], status: int, says: str, tmp_path: Path
) -> None:
    """CL-07."""
    made = process("credentials", *arguments, cwd=tmp_path)
    assert made.status == status
    assert says in made.stderr


def test_foreign_identity_is_refused(agent: str) -> None:
    asked = ("--spiffe-id", "spiffe://example.com/other", "--timeout", "0.3")
    made = process("credentials", "fetch", "--socket", agent, *asked, "--json")
    assert made.status == 1
    assert made.document["reason"] == "credential_unavailable"


def test_silent_agent_is_no_hang(tmp_path: Path) -> None:
    """CL-05."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        made = process("credentials", "fetch", "--socket", tmp_path / "s", "--timeout", "0.3")
    assert made.status == 1
    assert "no identity within 0.3 s" in made.stderr
