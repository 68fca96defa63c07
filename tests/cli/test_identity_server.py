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
