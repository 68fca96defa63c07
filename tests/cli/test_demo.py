"""The story of the demonstration, with real processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

PATIENCE = 60


@pytest.fixture(name="port")
def port_of_the_middlebox() -> int:
    return free_port()


@pytest.fixture(name="directory")
def temporary_directory(tmp_path: Path) -> Path:
    """Where the demonstration puts its files; short, since a socket's path is."""
    return Path(tempfile.mkdtemp(prefix="d-", dir="/tmp")) if len(str(tmp_path)) > 60 else tmp_path


def run(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wimse", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "TMPDIR": str(directory)},
    )


def processes_of(directory: Path) -> list[str]:
    """Command lines of processes that still use the demonstration's directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in command:
            found.append(command)
    return found


@pytest.fixture(name="story", scope="module")
def story_of_one_run() -> Iterator[dict[str, Any]]:
    """One run for all tests that only read what it said."""
    port = free_port()
    directory = Path(tempfile.mkdtemp(prefix="d-", dir="/tmp"))
    done = run("--json", "--port", str(port), directory=directory)
    left = sorted(path.name for path in directory.iterdir())
    running = processes_of(directory)
    assert done.returncode == 0, done.stderr + done.stdout
    yield {"document": json.loads(done.stdout), "stderr": done.stderr, "left": left, "running": running}
    directory.rmdir()


def test_every_message_does_what_it_should(story: dict[str, Any]) -> None:
    """HS-20, RP-01, RP-05, WT-36, RS-01, RS-08, DG-01: across real processes and a real proxy."""
    document = story["document"]
    assert document["ok"] is True
    assert [each["name"] for each in document["exchanges"] if not each["ok"]] == []
    refused = [each for each in document["exchanges"] if each["observed"] == "refused"]
    assert len(document["exchanges"]) >= 14
    assert len(refused) >= 12
    assert len({each["reason"] for each in refused}) >= 7
    assert all(each["expected"] == each["observed"] for each in document["exchanges"])


@pytest.mark.parametrize(
    ("name", "reason", "by"),
    [
        ("the path changed", "signature_invalid", "server"),
        ("the content changed", "digest_mismatch", "server"),
        ("a covered field changed", "signature_invalid", "server"),
        ("the response's status changed", "signature_invalid", "client"),
        ("the response's content changed", "digest_mismatch", "client"),
        ("the response's signature stripped", "response_unsigned", "client"),
        ("no credentials", "wit_missing", "server"),
        ("the same request twice", "replayed", "server"),
        ("a stolen WIT with another key", "signature_invalid", "server"),
        ("a WIT signed by a stranger", "key_unknown", "server"),
        ("a WIT of a stranger's trust domain", "trust_domain_unknown", "server"),
        ("a signature that expired", "signature_expired", "server"),
        ("the wrong audience", "audience_mismatch", "server"),
    ],
)
def test_each_attack_is_refused_for_its_own_reason(story: dict[str, Any], name: str, reason: str, by: str) -> None:
    (exchange,) = [each for each in story["document"]["exchanges"] if each["name"] == name]
    assert (exchange["observed"], exchange["reason"], exchange["refused_by"]) == ("refused", reason, by)


def test_each_side_knows_the_other_by_the_name_of_its_entry(story: dict[str, Any]) -> None:
    assert story["document"]["identities"] == {
        "client": "spiffe://example.com/client",
        "server": "spiffe://example.com/server",
    }


def test_json_mode_prints_nothing_else_and_leaves_nothing_behind(story: dict[str, Any]) -> None:
    assert story["stderr"] == ""
    assert story["left"] == []
    assert story["running"] == []


def test_the_story_shows_token_messages_middlebox_and_table(port: int, directory: Path) -> None:
    done = run("--port", str(port), directory=directory)
    assert done.returncode == 0, done.stderr
    for part in (
        '"typ": "wit+jwt"',
        '"sub": "spiffe://example.com/client"',
        "POST /orders/1?notify=yes HTTP/1.1",
        'wimse=("@method" "@path" "@query" "workload-identity-token" "content-type" "content-digest");created=',
        "HTTP/1.1 200 OK",
        '"@status" "@method";req "@path";req "@query";req',
        "to the request: X-Forwarded-Proto: https",
        "the server knows its caller as   spiffe://example.com/client",
        "│ a stolen WIT with another key      │ refused  │ refused  │ signature_invalid    │ yes │",
    ):
        assert part in done.stdout, part
    assert "\x1b[" not in done.stdout  # plain where there is no terminal


def test_a_port_that_is_taken_is_said_in_one_sentence(port: int, directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = run("--port", str(port), directory=directory)
        as_document = run("--json", "--port", str(port), directory=directory)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert re.search(rf"Port {port} .* --port", done.stderr)
    document = json.loads(as_document.stdout)
    assert (as_document.returncode, document["ok"]) == (1, False)
    assert list(directory.iterdir()) == []


def test_a_directory_whose_path_is_too_long_for_sockets_is_one_sentence(port: int, tmp_path: Path) -> None:
    long = tmp_path / ("long-" * 20)
    long.mkdir()
    done = run("--port", str(port), directory=long)
    assert done.returncode == 1
    assert "TMPDIR" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(long.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "0"),
        ("--port", "70000"),
        ("--port", "x"),
        ("--through", "nonsense"),
        ("--through", "ftp://proxy.example"),
        ("--through", "https://proxy.example/with/a/path"),
        ("--unknown",),
        ("surplus",),
    ],
)
def test_wrong_usage_starts_nothing(arguments: tuple[str, ...], directory: Path) -> None:
    done = run(*arguments, directory=directory)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert list(directory.iterdir()) == []


async def test_through_sends_by_way_of_a_proxy_of_the_users(port: int, directory: Path) -> None:
    """The proxy here passes bytes on; its origin is another one than the middlebox's."""
    carried = 0

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal carried
        carried += 1
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, behind_writer), _pump(behind_reader, writer))

    proxy = await asyncio.start_server(relay, "127.0.0.1", 0)
    through = f"https://localhost:{proxy.sockets[0].getsockname()[1]}"
    async with proxy:
        done = await asyncio.to_thread(run, "--json", "--port", str(port), "--through", through, directory=directory)
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["ok"] is True
    assert carried >= 14


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def test_through_a_proxy_that_is_not_there_is_one_sentence(port: int, directory: Path) -> None:
    done = run("--port", str(port), "--through", f"https://localhost:{free_port()}", directory=directory)
    assert done.returncode == 1
    assert done.stderr.startswith("wimse demo: No answer came from ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(directory.iterdir()) == []


def ended(process: subprocess.Popen[str]) -> None:
    """See it end by itself; one that does not is not waited for without end."""
    try:
        process.wait(PATIENCE)
    finally:
        process.kill()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_keep_leaves_all_running_until_it_is_interrupted(port: int, directory: Path, end: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "wimse", "demo", "--keep", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(directory)},
    ) as kept:
        try:
            assert kept.stderr is not None
            said = []
            for line in kept.stderr:
                said.append(line)
                if "wimse request" in line:
                    break
            call = said[-1].split()
            answer = subprocess.run(
                [sys.executable, "-m", *call, "--json"], capture_output=True, text=True, timeout=PATIENCE, check=False
            )
            assert answer.returncode == 0, answer.stderr + answer.stdout
            assert "spiffe://example.com/server" in answer.stdout
        finally:
            kept.send_signal(end)
            ended(kept)
    assert kept.returncode == 0
    assert list(directory.iterdir()) == []
    assert processes_of(directory) == []


def test_interrupted_in_the_middle_it_leaves_nothing(port: int, directory: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "wimse", "demo", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(directory)},
    ) as told:
        assert told.stdout is not None
        assert "Starting" in told.stdout.readline()
        deadline = time.monotonic() + PATIENCE
        while not processes_of(directory) and time.monotonic() < deadline:
            time.sleep(0.05)
        told.send_signal(signal.SIGINT)
        ended(told)
    assert told.returncode == 130
    assert list(directory.iterdir()) == []
    assert processes_of(directory) == []
