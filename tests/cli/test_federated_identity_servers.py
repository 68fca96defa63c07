"""Two identity servers of two trust domains, two processes: each publishes its bundle and fetches the other's."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest

from tests.cli.support import process
from tests.drills.stored import NAME, configured, identity_server
from tests.ports import free_port
from wimse.cli.demo.certificate import write_certificate
from wimse.cli.federation import OwnIdentity
from wimse.cli.issuer_store import opened_keeper
from wimse.credentials import TrustDomain, UnverifiedWIT, verify_wit
from wimse.issuer import Authority, KeyUse
from wimse.workload_api import WorkloadAPISource, check_config, load_config

OTHER = "other.org"


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def prepared(folder: Path, trust_domain: str) -> Path:
    """The configuration of a server whose store is founded already, so that its bundle can be handed over."""
    folder.mkdir(mode=0o700)
    config = configured(folder, f'sqlite = "{folder}/issuer.db"', interval=86_400)
    config.write_text(config.read_text().replace(NAME, trust_domain))
    with opened_keeper(load_config(config)) as keeper:
        keeper.start(now=int(time.time()))
    shown = process("identity-server", "bundle", "show", "--config", config)
    (folder / "bundle.json").write_bytes(shown.stdout)
    return config


def added(config: Path, text: str) -> None:
    config.write_text(config.read_text() + text)
    assert check_config(config) == ()


async def eventually(condition: Any) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.05)


async def test_workloads_of_two_trust_domains_verify_each_other(folder: Path) -> None:
    """SV-28, SV-33: one publishes in the profile https_spiffe, the other in https_web."""
    ours, theirs = prepared(folder / "ours", NAME), prepared(folder / "theirs", OTHER)
    certificate, key = write_certificate(folder)
    ports = free_port(), free_port()
    added(
        ours,
        f'\n[bundle_endpoint]\nport = {ports[0]}\n[federation."{OTHER}"]\nurl = "https://localhost:{ports[1]}/"\n'
        f'profile = "https_web"\nca_file = "{certificate}"\n',
    )
    added(
        theirs,
        f'\n[bundle_endpoint]\nport = {ports[1]}\ncertificate = "{certificate}"\nkey = "{key}"\n'
        f'jwks_path = "/jwks"\n[federation."{NAME}"]\nurl = "https://127.0.0.1:{ports[0]}/"\nprofile = "https_spiffe"\n'
        f'endpoint_spiffe_id = "spiffe://{NAME}/wimse/bundle-endpoint"\nbootstrap = "{folder}/ours/bundle.json"\n',
    )
    async with contextlib.AsyncExitStack() as stack:
        sources = {}
        for config, name in ((ours, NAME), (theirs, OTHER)):
            await stack.enter_async_context(identity_server(config))
            source = WorkloadAPISource(f"unix://{config.parent}/s")
            sources[TrustDomain("spiffe", name)] = await stack.enter_async_context(source)
        for source in sources.values():
            await eventually(lambda source=source: set(source.snapshot().bundles) == set(sources))
        for domain, holder in sources.items():
            for verifier in sources.values():
                wit = UnverifiedWIT.parse(holder.snapshot().credential.wit)
                verify_wit(wit, verifier.snapshot().bundles[domain], now=int(time.time()))
        async with httpx2.AsyncClient(verify=False, trust_env=False) as client:
            answers = [await client.get(f"https://127.0.0.1:{port}/jwks") for port in ports]
        assert [each.status_code for each in answers] == [404, 200]  # off by default
        shown = process("identity-server", "bundle", "show", "--config", theirs)
        tokens = [each["kid"] for each in shown.document["keys"] if each["use"] == "jwt-svid"]
        assert [each["kid"] for each in answers[1].json()["keys"]] == tokens  # and of nothing else


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ('[federation."example.com"]\nurl = "https://a/"\nprofile = "https_web"\n', "own trust domain"),
        ('[federation."a b"]\nurl = "https://a/"\nprofile = "https_web"\n', "federation: "),
        ('[federation."b.org"]\nurl = "http://a/"\nprofile = "https_web"\n', "https://"),
        ('[federation."b.org"]\nurl = "https://a/"\n', "missing required field `profile`"),
        ('[federation."b.org"]\nurl = "https://a/"\nprofile = "https_spiffe"\n', "takes endpoint_spiffe_id"),
        ('[federation."b.org"]\nurl = "https://a/"\nprofile = "https_web"\nbootstrap = "/b"\n', "no bootstrap"),
        ('[federation."b.org"]\nurl = "https://a/"\nprofile = "https_web"\nca_file = "b"\n', "absolute"),
        ('[bundle_endpoint]\ncertificate = "/a"\n', "certificate and key"),
        ('[bundle_endpoint]\nidentity = "a"\n', "bundle_endpoint.identity"),
        ('[bundle_endpoint]\nidentity = "/a"\n[[entries]]\npath = "/a"\nselectors = ["unix:uid:1"]\n', "of no entry"),
    ],
)
def test_federation_that_is_none_is_refused(folder: Path, text: str, detail: str) -> None:
    config = folder / "c.toml"
    config.write_text(text)
    (problem,) = check_config(config)
    assert (problem.line, detail in problem.detail) == (1, True)


def test_bootstrap_that_cannot_be_read_is_a_sentence(folder: Path) -> None:
    config = folder / "c.toml"
    config.write_text(
        f'socket = "unix://{folder}/s"\n[federation."b.org"]\nurl = "https://a/"\nprofile = "https_spiffe"\n'
        f'endpoint_spiffe_id = "spiffe://b.org/e"\nbootstrap = "{folder}/none"\n'
    )
    refused = process("identity-server", "run", "--config", config)
    assert (refused.status, "the bootstrap bundle" in refused.stderr.splitlines()[-1]) == (1, True)


def test_servers_own_certificate_is_renewed_when_its_key_is_distrusted() -> None:
    authority = Authority.create("example.com", now=int(time.time()))
    own = OwnIdentity(authority, "/e")
    first = own.x509_snapshot()
    assert own.x509_snapshot() is first
    kid = authority.keys.active[KeyUse.X509_SVID].key.kid
    authority.install(replace(authority.keys, distrusted=frozenset({str(kid)})))
    assert own.x509_snapshot() is not first
    assert first.credential is not None
    assert str(first.credential.identity) == "spiffe://example.com/e"
