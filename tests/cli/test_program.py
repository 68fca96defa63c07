"""The program as a whole: help, usage errors, what it imports, pipes and terminals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.cli.support import Run, environment, process
from wimse.cli import main
from wimse.cli.root import LazyGroup


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found.extend(commands(command, (*path, name)))
        else:
            found.append((*path, name))
    return found


COMMANDS = commands(main)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_json_and_an_example_in_its_help(run: Run, command: tuple[str, ...]) -> None:
    outcome = run(*command, "--help")
    assert outcome.status == 0
    assert "--json" in outcome.text
    assert "Example:" in outcome.text or command == ("demo",)
    assert "wimse" in outcome.text


def test_help_and_version() -> None:
    shown = process("--help")
    assert (shown.status, shown.stderr) == (0, "")
    assert all(name in shown.text for name in ("httpsig", "identity-server", "authenticate"))
    version = process("--version")
    assert (version.status, version.stderr) == (0, "")
    assert version.text.startswith("wimse ")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_option_is_two(run: Run, command: tuple[str, ...]) -> None:
    outcome = run(*command, "--no-such-option")
    assert (outcome.status, outcome.stdout) == (2, b"")
    assert "--no-such-option" in outcome.stderr
    as_json = run(*command, "--json", "--no-such-option")
    assert as_json.status == 2
    assert "--no-such-option" in as_json.document["error"]


@pytest.mark.parametrize("arguments", [[], ["httpsig"], ["key"], ["wit"], ["identity-server"]])
def test_a_group_without_a_command_shows_its_help(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert (outcome.status, outcome.stdout) == (2, b"")
    assert "Usage" in outcome.stderr


def test_an_unknown_command_is_two_in_a_process() -> None:
    outcome = process("no-such-command", "--json")
    assert outcome.status == 2
    assert json.loads(outcome.stdout)["error"]
    assert outcome.stderr == ""


def test_a_lazy_group_has_no_other_commands() -> None:
    assert isinstance(main, LazyGroup)
    assert main.get_command(click.Context(main), "nothing") is None


def imported_by(*arguments: str) -> set[str]:
    command = [sys.executable, "-X", "importtime", "-m", "wimse", *arguments]
    made = subprocess.run(command, capture_output=True, env=environment(), timeout=60, check=False)
    lines = made.stderr.decode().splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def test_help_imports_no_room_and_nothing_slow() -> None:
    modules = imported_by("--help")
    slow = {"rich", "cryptography", "grpclib", "msgspec", "asyncio", "httpx2", "starlette", "http_sf"}
    assert not slow & {each.partition(".")[0] for each in modules}
    rooms = {"keys", "httpsig", "credentials", "authentication", "workload_api", "inspector"}
    assert not {f"wimse.{room}" for room in rooms} & modules


def test_wit_inspect_imports_neither_messages_nor_servers() -> None:
    modules = imported_by("wit", "inspect", "e30.e30.e30")
    slow = {"rich", "grpclib", "asyncio", "httpx2", "starlette", "http_sf"}
    assert not slow & {each.partition(".")[0] for each in modules}


def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path) -> None:
    message = tmp_path / "big.http"
    message.write_bytes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + b"x" * 300_000)
    key = tmp_path / "key.json"
    assert process("key", "generate", "--out", key).status == 0
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "wimse", "httpsig", "sign", str(message), "--key", str(key), "--cover", "@method"]
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, env=environment()) as running:
        os.close(writer)
        os.close(reader)
        _, stderr = running.communicate(timeout=60)
    assert running.returncode == 1
    assert b"Traceback" not in stderr
    assert stderr == b""


def test_no_colours_without_a_terminal_and_none_with_no_color(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert b"\x1b" not in run("wit", "inspect", "e30.e30.e30").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert b"\x1b" not in run("wit", "inspect", "e30.e30.e30").stdout


def test_output_that_the_terminal_cannot_write_is_escaped(tmp_path: Path) -> None:
    message = tmp_path / "m.http"
    message.write_bytes("GET / HTTP/1.1\nHost: h\xfcgel\n\n".encode("latin-1"))
    outcome = process("inspect", message, PYTHONIOENCODING="ascii")
    assert outcome.stderr == "" or "Traceback" not in outcome.stderr
    assert outcome.status in (0, 1)
