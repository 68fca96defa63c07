"""What the documentation shows is what is there: its examples run, its pages are complete."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tools.command_line_page import PAGE, page
from wimse.clients.httpx import SigningTransport
from wimse.credentials import TokenSettings, X509Settings
from wimse.httpsig import Limits
from wimse.issuer import SELECTOR_KINDS, IssuerSettings, RotationSettings
from wimse.profiles.http_signature import SignatureSettings
from wimse.profiles.proof_token import ProofTokenSettings
from wimse.servers.asgi import WimseMiddleware
from wimse.servers.bundle_serving import BundleServerSettings
from wimse.sources import BundleSettings, JWKSSettings
from wimse.stores import MemoryReplayStore, RedisReplaySettings, SpoolSettings, SQLiteReplaySettings
from wimse.stores.issuer import StoreSettings
from wimse.tls import TLSSettings
from wimse.workload_api import ServerSettings, SourceSettings, check_config

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 20.0
ORDERS = """\
import json

async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    content = (await receive())["body"]
    body = json.dumps({"caller": str(scope["wimse"].identity), "got": json.loads(content)}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
"""
SERVE = """\
import asyncio, sys
from granian.constants import Interfaces
from granian.server.embed import Server
from protected import app

asyncio.run(Server(app, port=int(sys.argv[1]), interface=Interfaces.ASGI, log_enabled=False).serve())
"""


def code_blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


def test_an_example_of_the_readme_has_ten_lines_at_most() -> None:
    for block in code_blocks("README.md"):
        assert len([line for line in block.splitlines() if line.strip()]) <= 10


def test_the_code_of_the_readme_is_the_code_of_the_examples() -> None:
    examples = [(ROOT / "examples" / f"{name}.py").read_text() for name in ("signed_call", "protected_application")]
    assert code_blocks("README.md") == examples


@pytest.fixture(name="processes")
def processes_that_end() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.terminate()
        process.wait(PATIENCE)


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the server of the example does not listen")


def test_the_examples_of_the_readme_work_together(tmp_path: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    """The signed call calls the protected application, with a real identity server and a real HTTP server."""
    port = free_port()
    for name, target in (("signed_call", "call"), ("protected_application", "protected")):
        text = (ROOT / "examples" / f"{name}.py").read_text()
        assert "https://orders.example" in text
        (tmp_path / f"{target}.py").write_text(text.replace("https://orders.example", f"http://127.0.0.1:{port}"))
    (tmp_path / "orders.py").write_text(ORDERS)
    (tmp_path / "serve.py").write_text(SERVE)
    endpoint = tmp_path / "api.sock"
    environment = {**os.environ, "SPIFFE_ENDPOINT_SOCKET": f"unix://{endpoint}"}
    server = subprocess.Popen([sys.executable, "serve.py", str(port)], cwd=tmp_path, env=environment)
    processes.append(server)
    config = tmp_path / "identity-server.toml"
    # The server is both, and the first entry is its default; the caller, started later, is the second alone.
    config.write_text(
        f'socket = "unix://{endpoint}"\n[[entries]]\npath = "/orders"\nselectors = ["unix:pid:{server.pid}"]\n'
        f'[[entries]]\npath = "/shop"\nselectors = ["unix:uid:{os.getuid()}"]\n'
    )
    run = [sys.executable, "-m", "wimse", "identity-server", "run", "--config", str(config)]
    processes.append(subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    wait_for_port(port, server)
    call = [sys.executable, "call.py"]
    done = subprocess.run(
        call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("by spiffe://example.com/orders\n")
    assert "'got': {'quantity': 12}" in done.stdout
    assert "'caller': 'spiffe://example.com/shop'" in done.stdout


def test_the_page_of_the_command_line_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize(
    "settings",
    [
        Limits,
        SignatureSettings,
        ProofTokenSettings,
        TokenSettings,
        X509Settings,
        IssuerSettings,
        RotationSettings,
        StoreSettings,
        ServerSettings,
        SourceSettings,
        BundleServerSettings,
        SpoolSettings,
        BundleSettings,
        JWKSSettings,
        RedisReplaySettings,
        SQLiteReplaySettings,
        TLSSettings,
    ],
)
def test_every_limit_is_on_its_page(settings: type) -> None:
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    shown = {each.name for each in dataclasses.fields(settings)} - {"label"}  # a name, not a limit
    assert {name for name in shown if f"| `{name}` |" not in text} == set()


@pytest.mark.parametrize("limited", [MemoryReplayStore, SigningTransport, WimseMiddleware])
def test_every_limiting_argument_is_on_its_page(limited: type) -> None:
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    arguments = [name for name in inspect.signature(limited).parameters if name.startswith("max_")]
    assert arguments
    assert [name for name in arguments if f"| `{name}` |" not in text] == []


def test_the_configurations_of_the_identity_server_s_pages_are_sound(tmp_path: Path) -> None:
    found = 0
    for page_ in sorted((ROOT / "docs" / "identity-server").glob("*.md")):
        for block in re.findall(r"```toml\n(.*?)```", page_.read_text(encoding="utf-8"), re.DOTALL):
            if "entry_id" in block:
                continue  # a file of entries: test_documentation_entries.py
            (tmp_path / "c.toml").write_text(block, encoding="utf-8")
            assert check_config(tmp_path / "c.toml") == (), page_.name
            found += 1
    assert found >= 2


def test_every_selector_is_on_its_page() -> None:
    text = (ROOT / "docs" / "identity-server" / "entries-and-selectors.md").read_text(encoding="utf-8")
    assert [kind for kind in SELECTOR_KINDS if f"`{kind}:" not in text and f"{kind.split(':')[1]}:" not in text] == []
