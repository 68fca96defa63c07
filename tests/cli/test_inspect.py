"""`wimse inspect`: the command; what it explains is tested with the inspector."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.support import Run, environment, process, vector_cases, write_json
from tests.ports import free_port
from wimse.testing import InMemoryTrustDomain

CASES = vector_cases("wimse/http-signature-07.json")
NOW = "1788298930"


def test_a_message_a_token_and_stdin(run: Run, tmp_path: Path) -> None:
    message = CASES["request"]["message"].encode()
    (tmp_path / "m").write_bytes(message)
    document = run("inspect", "m", "--now", NOW, "--json").document
    assert document["kind"] == "request"
    assert "failed" not in {step["outcome"] for step in document["steps"]}
    assert run("inspect", "-", "--now", NOW, "--json", stdin=message).document == document
    token = InMemoryTrustDomain().credential("/a", now=int(NOW)).wit
    assert run("inspect", token, "--now", NOW, "--json").document["kind"] == "token"
    plain = run("inspect", "m", "--now", NOW)
    assert plain.status == 0
    assert "Signature sig1: the check" in plain.text


def test_a_response_with_its_request_and_a_bundle(run: Run, tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(CASES["response"]["message"].encode())
    (tmp_path / "q").write_bytes(CASES["request"]["message"].encode())
    write_json(tmp_path / "b", {"keys": []})
    more = ("--request", "q", "--bundle", "b", "--trust-domain", "wimse://example.com", "--now", NOW, "--json")
    document = run("inspect", "r", *more).document
    outcomes = {step["title"]: step["outcome"] for step in document["steps"]}
    assert outcomes["Signature sig1: the check"] == "ok"
    assert outcomes["Token: the issuer's signature"] == "failed"


def test_what_is_neither_is_one(run: Run, tmp_path: Path) -> None:
    assert run("inspect", "nonsense").status == 1
    (tmp_path / "m").write_bytes(b"\x1b[2J\r\nnonsense")
    outcome = run("inspect", "m")
    assert outcome.status == 1
    assert b"\x1b" not in outcome.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_page_is_served_and_stopped(number: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-m", "wimse", "inspect", "--web", "--port", str(port), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == f'{{"url": "http://127.0.0.1:{port}/"}}\n'.encode()
            for _ in range(100):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                        assert b"wimse inspect" in answer.read()
                        break
                except urllib.error.URLError:
                    signal.sigtimedwait([], 0.1)
            else:
                pytest.fail("the page does not come up")
            taken = process("inspect", "--web", "--port", str(port))
            assert (taken.status, len(taken.stderr.splitlines())) == (1, 1)
            running.send_signal(number)
            stdout, stderr = running.communicate(timeout=20)
        finally:
            if running.poll() is None:
                running.kill()
    assert (running.returncode, stdout, stderr) == (0, b"", b"")


@pytest.mark.parametrize("missing", ["granian", "starlette"])
def test_without_the_extra_one_sentence_says_what_to_install(tmp_path: Path, missing: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{missing!r}] = None\n")
    outcome = process("inspect", "--web", PYTHONPATH=f"{tmp_path}:{environment()['PYTHONPATH']}")
    assert (outcome.status, outcome.stdout) == (1, b"")
    assert len(outcome.stderr.splitlines()) == 1
    assert "pip install 'wimse[inspector]'" in outcome.stderr
