"""`wimse identity-server run` applies what its file says of limits and of entries, and `check` says what is wrong."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import sys
import time
import tomllib
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.cli.support import ROOT, Run, environment
from tests.drills.stored import identity_server
from wimse.credentials import TrustDomain
from wimse.credentials.jws import UnverifiedJWS
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import Caller
from wimse.workload_api import (
    EntryConfig,
    LimitsConfig,
    ServerConfig,
    ServerSettings,
    WorkloadAPIClient,
    check_config,
    load_config,
)
from wimse.workload_api.admin import parse_entries
from wimse.workload_api.keeping import ServedEntries

DOMAIN = TrustDomain("spiffe", "example.org")
ME = f'selectors = ["unix:uid:{os.geteuid()}"]'


def written(folder: Path, text: str) -> Path:
    config = folder / "s.toml"
    config.write_text(f'trust_domain = "example.org"\nsocket = "unix://{folder}/s"\n{text}')
    return config


def claims_of(token: str) -> dict[str, Any]:
    return dict(UnverifiedJWS.parse(token).claims)


# -------------------------------------------------------------------------------------------------------- the limits


def test_limits_of_the_file_are_those_of_the_server_with_the_same_defaults(tmp_path: Path) -> None:
    assert LimitsConfig().settings(0o666) == ServerSettings() == ServerConfig().server_settings()
    here = {name.removesuffix("_seconds") for name in LimitsConfig.__struct_fields__}
    assert here == {each.name for each in fields(ServerSettings)} - {"socket_mode"}  # none is left out
    text = "socket_mode = 0o600\n[limits]\n" + "".join(f"{name} = 7\n" for name in LimitsConfig.__struct_fields__)
    config = load_config(written(tmp_path, text))
    given = {each.name: timedelta(seconds=7) if "timedelta" in str(each.type) else 7 for each in fields(ServerSettings)}
    assert asdict(config.server_settings()) == given | {"socket_mode": 0o600}


def test_limits_that_the_page_on_operating_shows_are_the_defaults(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "identity-server" / "operating.md").read_text()
    (block,) = (each for each in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[limits]" in each)
    assert set(tomllib.loads(block)["limits"]) == set(LimitsConfig.__struct_fields__)
    assert load_config(written(tmp_path, block)).limits == LimitsConfig()


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("max_streams = 0", "max_streams must be positive"),
        ("max_request_bytes = -1", "max_request_bytes must be positive"),
        ("send_timeout_seconds = 0", "send_timeout must be positive"),
        ("send_timeout_seconds = -0.5", "send_timeout must be positive"),
        ("stop_timeout_seconds = inf", "stop_timeout_seconds is not a time"),
        ("stop_timeout_seconds = nan", "stop_timeout_seconds is not a time"),
        ("recheck_interval_seconds = 1e300", "recheck_interval_seconds is not a time"),
        ("max_connections = 1.5", "max_connections"),
        ("max_connections = 'many'", "max_connections"),
        ("max_conections = 1", "max_conections"),
        ("socket_mode = 0o600", "socket_mode"),
    ],
)
def test_limit_that_is_none_is_said_with_its_line(tmp_path: Path, run: Run, line: str, detail: str) -> None:
    config = written(tmp_path, f"# limits\n[limits]\nmax_streams_per_user = 3\n{line}\n")
    (problem,) = check_config(config)
    assert problem.line == 6
    assert detail in problem.detail
    checked = run("identity-server", "check", "--config", config)
    assert (checked.status, checked.text.startswith(f"{config}:6: ")) == (1, True)
    with pytest.raises(ConfigurationError):
        load_config(config)


async def test_low_limits_are_applied(tmp_path: Path) -> None:
    """IS-18: the size of a message, and the calls of a process at one time."""
    text = "[limits]\nmax_request_bytes = 100\nmax_streams_per_process = 2\nrecheck_interval_seconds = 0.2\n"
    async with identity_server(written(tmp_path, text)), WorkloadAPIClient(f"unix://{tmp_path}/s") as client:
        assert (await client.fetch_jwt_svids(["a" * 50])).svids
        with pytest.raises((Refused, Unavailable)):
            await client.fetch_jwt_svids(["a" * 200])
        streams = [aiter(client.watch_wit_bundles()) for _ in range(2)]
        for stream in streams:
            await anext(stream)
        with pytest.raises(Unavailable, match="RESOURCE_EXHAUSTED"):
            await client.fetch_jwt_svids(["a"])


async def test_low_rate_is_applied(tmp_path: Path) -> None:
    """IS-18: calls that a user begins in a second."""
    config = written(tmp_path, "[limits]\nmax_calls_per_second_per_user = 2\n")
    async with identity_server(config), WorkloadAPIClient(f"unix://{tmp_path}/s") as client:
        outcomes = await asyncio.gather(*(client.fetch_jwt_svids(["a"]) for _ in range(12)), return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, Unavailable)]
    assert all("RESOURCE_EXHAUSTED" in each.detail for each in refused)
    assert 1 <= len(refused) < len(outcomes)


@pytest.mark.parametrize(("hard", "permitted"), [(5000, 3 * 1024 + 256), (900, 900)])
async def test_each_connection_has_its_files_or_the_log_says_so(tmp_path: Path, hard: int, permitted: int) -> None:
    """A socket, a pidfd and a directory of /proc for each."""
    config = written(tmp_path, "")
    command = ("-m", "wimse", "identity-server", "run", "--config", str(config))
    limited = ("/bin/sh", "-c", f'ulimit -Sn 200 && ulimit -Hn {hard} && exec "$0" "$@"', sys.executable, *command)
    running = await asyncio.create_subprocess_exec(
        *limited, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment()
    )
    assert running.stdout is not None
    try:
        assert (await asyncio.wait_for(running.stdout.readline(), 20)).startswith(b"ready")
        assert resource.prlimit(running.pid, resource.RLIMIT_NOFILE) == (permitted, hard)
    finally:
        running.terminate()
        _, log = await running.communicate()
    assert (b"LimitNOFILE" in log) is (permitted == hard)


# ------------------------------------------------------------------------------------------------------- the entries

WHOLE = f"""
[[entries]]
entry_id = "payments"
path = "spiffe://example.org/payments"
{ME}
hint = "payments"
wit_lifetime_seconds = 20
jwt_svid_lifetime_seconds = 30
x509_svid_lifetime_seconds = 40
dns_names = ["payments.internal.example"]
federates_with = ["partner.example"]
key_algorithm = "ES384"
"""


async def test_entry_of_the_configuration_has_all_that_one_of_the_file_of_entries_has(tmp_path: Path) -> None:
    """It is the same text, and workloads get what it says."""
    config = written(tmp_path, WHOLE)
    declared = parse_entries(WHOLE.encode(), DOMAIN)
    assert load_config(config).own_entries() == (declared.entries[0].registration(DOMAIN),)
    async with identity_server(config), WorkloadAPIClient(f"unix://{tmp_path}/s") as client:
        (svid,) = (await anext(aiter(client.watch_wit_svids()))).svids
        assert (svid.spiffe_id, svid.hint) == ("spiffe://example.org/payments", "payments")
        claims = claims_of(svid.wit_svid)
        assert claims["exp"] - int(time.time()) <= 20
        assert claims["cnf"]["jwk"]["crv"] == "P-384"
        jwt = (await client.fetch_jwt_svids(["a"])).svids[0].svid
        assert 20 < claims_of(jwt)["exp"] - int(time.time()) <= 30
        (certified,) = (await anext(aiter(client.watch_x509_svids()))).svids
        leaf = x509.load_der_x509_certificate(certified.x509_svid)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["payments.internal.example"]
        assert leaf.not_valid_after_utc.timestamp() - time.time() <= 40


async def test_entry_of_the_configuration_ends(tmp_path: Path) -> None:
    """IS-14: whoever has it open is told, and nothing is issued for it any more."""
    ends = int(time.time()) + 4
    entry = f'[[entries]]\npath = "/brief"\n{ME}\nexpires_at = {ends}\n'
    config = written(tmp_path, f"default_identities = false\n{entry}")
    async with identity_server(config), WorkloadAPIClient(f"unix://{tmp_path}/s") as client:
        stream = aiter(client.watch_wit_svids())
        assert (await anext(stream)).svids[0].spiffe_id == "spiffe://example.org/brief"
        with pytest.raises(Refused) as refusal:
            await asyncio.wait_for(anext(stream), 15)
        assert refusal.value.reason is Reason.NO_IDENTITY
        assert time.time() >= ends
        with pytest.raises(Refused):
            await client.fetch_jwt_svids(["a"])


def test_what_has_ended_lets_nothing_in() -> None:
    """An entry of the store for the same identity does not take its place, and it comes back with the clock."""
    caller = Caller(pid=5, uid=1000, gid=1, executable="/usr/bin/x")
    own = EntryConfig(path="/a", selectors=("unix:uid:1000",), expires_at=100).registration(DOMAIN)
    stored = EntryConfig(entry_id="s", path="/a", selectors=("unix:gid:1",)).registration(DOMAIN)
    entries = ServedEntries((own,), default_identities=False, now=99)
    entries.take_stored((stored,), now=99)
    assert [each.path for each in entries.registrations().grants(caller)] == ["/a"]
    assert not entries.take_time(99)
    assert entries.take_time(100)
    with pytest.raises(Refused):
        entries.registrations().grants(caller)
    assert entries.take_time(98)
    assert entries.registrations().grants(caller)


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ("wit_lifetime_seconds = 1", "wit_lifetime must be at least 2 seconds"),
        ("wit_lifetime_seconds = 301", "wit_lifetime is longer than that of the server, 300 seconds"),
        ("x509_svid_lifetime_seconds = 9223372036854775807", "x509_svid_lifetime is too long"),
        ("dns_names = ['a b']", "DNS name"),
        ("federates_with = ['example.org']", "federates_with names the trust domain itself"),
        ("expires_at = 0", "expires_at is a time"),
        ("key_algorithm = 'HS256'", "key_algorithm"),
        ("entry_id = 'a/b'", "entry_id takes letters"),
        ("entry_id = 'first'", "the entry_id is that of an earlier entry"),
        ("path = '/first'", "the identity is that of an earlier entry"),
        ("path = 'spiffe://example.com/a'", "belongs to another trust domain"),
        ("path = '/bin/{exe}/gid/{gid}/pid/{pid}/uid/{uid}'", "here say default_identities"),
    ],
)
def test_entry_that_is_none_is_said_with_its_line(tmp_path: Path, members: str, detail: str) -> None:
    """IS-30: by the same rules as in a file of entries."""
    first = f'[[entries]]\nentry_id = "first"\npath = "/first"\n{ME}\n'
    path = "" if members.startswith("path") else 'path = "/second"\n'
    config = written(tmp_path, f"{first}[[entries]]\n{path}{ME}\n{members}\n")
    (problem,) = check_config(config)
    assert problem.line == 7
    assert detail in problem.detail
