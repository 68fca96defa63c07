"""`wimse identity-server run` and `wimse request`, as processes."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.support import environment, process
from wimse.authentication import Authenticator, TargetAudience, any_trusted
from wimse.httpsig import Fields, Request, Response
from wimse.stores.memory import MemoryReplayStore
from wimse.workload_api import BlockingWorkloadAPISource


@contextlib.contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """An identity server that says that it is ready, and its line."""
    command = [sys.executable, "-m", "wimse", "identity-server", "run", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as running:
        assert running.stdout is not None
        try:
            yield running, running.stdout.readline().decode()
        finally:
            if running.poll() is None:
                running.kill()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="w") as name:  # a socket's path is short
        yield Path(name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(folder: Path, number: signal.Signals) -> None:
    with served("--socket", f"unix://{folder}/s", "--trust-domain", "example.org") as (running, line):
        assert line == f"ready: spiffe://example.org on unix://{folder}/s\n"
        assert (folder / "s").is_socket()
        running.send_signal(number)
        stdout, stderr = running.communicate(timeout=20)
    assert (running.returncode, stdout) == (0, b"")
    assert b"example.org" in stderr  # the log
    assert b"Traceback" not in stderr
    assert not (folder / "s").exists()


def test_options_override_the_file(folder: Path) -> None:
    config = folder / "c.toml"
    config.write_text(f'trust_domain = "example.org"\nscheme = "wimse"\nsocket = "unix://{folder}/other"\n')
    with served("--config", str(config), "--socket", f"{folder}/s", "--json") as (_, line):
        assert json.loads(line) == {
            "ready": True,
            "trust_domain": "wimse://example.org",
            "socket": f"unix://{folder}/s",
        }


def test_a_socket_that_is_taken_is_one_sentence_and_one(folder: Path) -> None:
    with served("--socket", f"{folder}/s"):
        taken = process("identity-server", "run", "--socket", f"{folder}/s")
        assert (taken.status, taken.stdout) == (1, b"")
        assert taken.stderr.splitlines()[-1].startswith("Error: ")
        assert len(taken.stderr.splitlines()) == 1
        as_json = process("identity-server", "run", "--socket", f"{folder}/s", "--json")
        assert (as_json.status, as_json.stderr) == (1, "")
        assert as_json.document["error"]
    no_folder = process("identity-server", "run", "--socket", f"{folder}/no/s")
    assert (no_folder.status, len(no_folder.stderr.splitlines())) == (1, 1)


class Handler(BaseHTTPRequestHandler):
    """A server that authenticates and signs, in plain sight."""

    source: BlockingWorkloadAPISource
    entrance: Authenticator
    signs = True

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        fields = Fields(self.headers.items())
        request = Request(
            method=self.command, target=self.path, scheme="http", authority=self.headers["Host"], fields=fields
        )
        now = int(__import__("time").time())
        caller = self.entrance.authenticate(request, content, now=now)
        answer = Response(status=200, fields=Fields([("Content-Type", "text/plain"), ("Content-Length", "9")]))
        body = b"hi\x1b[31m\r\n"
        if self.signs:
            answer = self.entrance.sign_response(
                answer, body, self.source.snapshot().credential, request=request, caller=caller, now=now, nonce="n" * 22
            )
        self.send_response_only(answer.status)
        for name, value in answer.fields:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def peer(folder: Path) -> Iterator[tuple[str, str]]:
    """The URL of a server with an identity, and the socket of its identity server."""
    address = f"unix://{folder}/s"
    with served("--socket", address), BlockingWorkloadAPISource(address) as source:
        server = HTTPServer(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{server.server_port}"
        Handler.source = source
        Handler.entrance = Authenticator(
            bundles=source, audience=TargetAudience(url), replay=MemoryReplayStore(), policy=any_trusted
        )
        Handler.signs = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield url, address
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_call_is_signed_and_its_answer_verified(peer: tuple[str, str]) -> None:
    url, address = peer
    call = ("request", "POST", f"{url}/items?a=1", "--socket", address, "-d", "x", "-H", "Content-Type: text/plain")
    outcome = process(*call, "--json")
    assert (outcome.status, outcome.stderr) == (0, "")
    document = outcome.document
    assert document["valid"] is True
    assert document["identity"] == str(Handler.source.snapshot().credential.identity)
    assert (document["status"], document["body"]) == (200, "hi\x1b[31m\r\n")
    assert document["covered"]["@path;req"] == "/items"
    plain = process(*call)
    assert plain.status == 0
    assert "\x1b" not in plain.text
    assert document["identity"] in plain.text
    named = process(*call, "--server", document["identity"])
    assert named.status == 0
    assert process(*call, "--any-server").status == 0


def test_an_answer_of_another_or_of_nobody_is_refused(peer: tuple[str, str]) -> None:
    url, address = peer
    call = ("request", "POST", f"{url}/items", "--socket", address, "--json")
    other = process(*call, "--server", "spiffe://example.com/other")
    assert (other.status, other.document["reason"]) == (1, "identity_unexpected")
    Handler.signs = False
    unsigned = process(*call)
    assert (unsigned.status, unsigned.document["reason"]) == (1, "response_unsigned")


def test_a_call_that_cannot_be_made(peer: tuple[str, str], folder: Path) -> None:
    _, address = peer
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        nobody = process("request", "GET", f"http://127.0.0.1:{port}/", "--socket", address)
        assert (nobody.status, nobody.stdout, len(nobody.stderr.splitlines())) == (1, b"", 1)
    plaintext = process("request", "GET", "http://192.0.2.1/", "--socket", address, "--json")
    assert plaintext.status == 2
    assert "--allow-plaintext" in plaintext.document["error"]
    no_url = process("request", "GET", "http://[/", "--socket", address)
    assert (no_url.status, "Traceback" in no_url.stderr) == (2, False)
    no_server = process("request", "GET", "https://a/", "--socket", f"{folder}/none", "--timeout", "0.5", "--json")
    assert (no_server.status, no_server.document["class"]) == (1, "unavailable")


def test_check_says_where_and_what(folder: Path) -> None:
    config = folder / "c.toml"
    config.write_text("trust_domain = 'example.org'\n\nwit_lifetime_seconds = 1\n")
    wrong = process("identity-server", "check", "--config", config)
    assert (wrong.status, wrong.text) == (1, f"{config}:3: wit_lifetime must be between 2 and 86400 seconds\n")
    as_json = process("identity-server", "check", "--config", config, "--json")
    assert (as_json.status, as_json.document["problems"][0]["line"]) == (1, 3)
    config.write_text("trust_domain = 'example.org'\n")
    assert process("identity-server", "check", "--config", config).status == 0
    assert process("identity-server", "check", "--config", config, "--json").document == {"valid": True, "problems": []}
    assert process("identity-server", "check", "--config", folder / "none").status == 2


def test_health_is_asked_for(folder: Path) -> None:
    with served("--socket", f"{folder}/s"):
        asked = process("identity-server", "health", "--socket", f"unix://{folder}/s", "--json")
        assert (asked.status, asked.document["healthy"]) == (0, True)
    gone = process("identity-server", "health", "--socket", f"unix://{folder}/s")
    assert (gone.status, gone.text) == (1, "the server cannot be reached\n")
    assert process("identity-server", "health", "--socket", "unix:relative").status == 2


def test_reload_takes_the_entries_of_the_file(folder: Path) -> None:
    config = folder / "c.toml"
    config.write_text(f'socket = "unix://{folder}/s"\n')
    with served("--config", str(config)) as (running, _):
        config.write_text("broken")
        running.send_signal(signal.SIGHUP)
        assert running.stderr is not None
        while b"nothing is changed" not in running.stderr.readline():
            pass
        config.write_text(f'socket = "unix://{folder}/s"\ndefault_identities = false\n')
        running.send_signal(signal.SIGHUP)
        while b"0 entries" not in running.stderr.readline():
            pass


def test_process_that_holds_keys_dumps_no_core(folder: Path) -> None:
    """IS-28."""
    with served("--socket", f"{folder}/s") as (running, _):
        limits = Path(f"/proc/{running.pid}/limits").read_text()
        assert [line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size")] == ["0"]
