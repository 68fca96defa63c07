"""The systemd unit that is delivered starts commands that are there, and permits what the server does."""

from __future__ import annotations

import shlex
from configparser import RawConfigParser

import click
import pytest

from tests.cli.support import ROOT
from wimse.cli import main
from wimse.workload_api import ServerSettings
from wimse.workload_api.systemd import watchdog_seconds

UNIT = ROOT / "deploy" / "systemd" / "wimse-identity-server.service"


@pytest.fixture(scope="module")
def service() -> dict[str, list[str]]:
    """All values of each name in ``[Service]``."""
    found: dict[str, list[str]] = {}
    section = UNIT.read_text().partition("[Service]\n")[2].partition("\n[Install]")[0]
    for line in section.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_unit_is_a_file_of_systemd() -> None:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read(UNIT)
    assert parser.sections() == ["Unit", "Service", "Install"]


@pytest.mark.parametrize("name", ["ExecStartPre", "ExecStart"])
def test_command_of_the_unit_is_one_of_ours(service: dict[str, list[str]], name: str) -> None:
    program, *arguments = shlex.split(service[name][0])
    assert program.rpartition("/")[2] == "wimse"
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None
        command = found
    parsed = command.make_context("it", arguments)
    assert parsed.params["config_path"] == "/etc/wimse/identity-server.toml"
    assert {"ExecStartPre": "check", "ExecStart": "run"}[name] == command.name


def test_unit_gives_what_the_server_asks_for(service: dict[str, list[str]]) -> None:
    """Files for each connection, a call that asks for them, time to stop, and a beat before the watchdog bites."""
    settings = ServerSettings()
    assert int(service["LimitNOFILE"][0]) >= 3 * settings.max_connections + 256
    assert any("setrlimit prlimit64" in each for each in service["SystemCallFilter"])
    assert int(service["TimeoutStopSec"][0]) > settings.stop_timeout.total_seconds()
    limit = int(service["WatchdogSec"][0])
    assert (watchdog_seconds({"WATCHDOG_USEC": str(limit * 1_000_000)}) or limit) < limit
    assert service["Type"] == ["notify-reload"]


def test_unit_is_hardened(service: dict[str, list[str]]) -> None:
    """No core dump, one capability, loopback only, nothing that others may write to."""
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == ["CAP_SYS_PTRACE"]
    assert (service["LimitCORE"], service["NoNewPrivileges"], service["ProtectSystem"]) == (["0"], ["yes"], ["strict"])
    assert (service["IPAddressDeny"], service["IPAddressAllow"]) == (["any"], ["localhost"])
    assert service["User"] != ["root"]
    for name in ("RuntimeDirectoryMode", "StateDirectoryMode", "LogsDirectoryMode"):
        assert int(service[name][0], 8) & 0o022 == 0
