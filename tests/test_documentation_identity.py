"""The examples of the pages on clients and federation work."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.support import process
from tests.ports import free_port
from tests.workload_api.support import serving
from wimse.cli.demo.certificate import write_certificate
from wimse.credentials import TrustDomain
from wimse.issuer import Authority
from wimse.workload_api import check_config

PAGES = Path(__file__).resolve().parent.parent / "docs" / "identity-server"
DOMAIN = TrustDomain("spiffe", "example.com")


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)


async def test_examples_of_the_page_on_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, files = blocks("clients.md")
    async with serving(tmp_path / "s") as address:
        monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", address)
        names: dict[str, Any] = {}
        await asyncio.to_thread(exec, source, names)
        assert names["snapshot"].credential.identity.trust_domain == DOMAIN
        folder = tmp_path / "id"
        made = await asyncio.to_thread(process, "credentials", "fetch", "--socket", address, "--write", folder)
        assert made.status == 0, made.stderr
    names = {}
    exec(files.replace("/run/orders/identity", str(folder)), names)
    async with names["keeper"] as keeper:
        assert keeper.bundles()[DOMAIN].wit_keys


def test_configuration_of_the_page_on_federation_is_sound(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (PAGES / "federation.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "c.toml").write_text(block)
    assert check_config(tmp_path / "c.toml") == ()


async def test_example_of_the_page_on_federation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    certificate, key = write_certificate(tmp_path)
    (tmp_path / "tls.pem").write_bytes(certificate.read_bytes())
    (tmp_path / "tls.key").write_bytes(key.read_bytes())
    port, names, stopped = free_port(), dict[str, Any](), asyncio.Event()
    exec(blocks("federation.md")[0].replace("192.0.2.7", "127.0.0.1").replace("8443", str(port)), names)
    bundle = Authority.create("example.com", now=int(time.time())).bundles()[DOMAIN]
    serve = asyncio.create_task(names["publish"](lambda: bundle, stopped))
    async with httpx2.AsyncClient(verify=False, trust_env=False) as client:
        for _ in range(200):
            try:
                answer = await client.get(f"https://127.0.0.1:{port}/")
                break
            except httpx2.HTTPError:
                await asyncio.sleep(0.05)
        else:
            pytest.fail("it does not listen")
    assert answer.json()["spiffe_refresh_hint"] == 300
    stopped.set()
    await serve
