"""`wimse identity-server entry`, as processes against a server that is one, too."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import ROOT, Outcome, environment, process

SERVER = ROOT / "tests" / "workload_api" / "admin_process.py"


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        command = [sys.executable, str(SERVER), folder]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment()) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == b"ready\n"
            yield f"{folder}/admin.sock"
            running.communicate(timeout=20)


def entry(socket: str, *arguments: str | Path) -> Outcome:
    return process("identity-server", "entry", *arguments, WIMSE_ADMIN_SOCKET=socket)


def test_an_entry_through_its_life(socket: str) -> None:
    create = ("create", "/life", "--id", "life", "--selector", "unix:uid:1000", "--hint", "h", "--wit-lifetime", "120")
    made = entry(socket, *create, "--dns-name", "a.example", "--federates-with", "example.org", "--json")
    assert (made.status, made.stderr) == (0, "")
    assert made.document["selectors"] == ["unix:uid:1000"]
    assert (made.document["wit_lifetime_seconds"], made.document["federates_with"]) == (120, ["example.org"])
    changed = entry(socket, "update", "life", "--selector", "unix:uid:1000", "--selector", "unix:gid:5")
    assert changed.status == 0
    assert "unix:uid:1000 unix:gid:5" in changed.text
    shown = entry(socket, "show", "life", "--json").document
    assert (shown["revision"], shown["hint"], shown["selectors"]) == (2, "h", ["unix:uid:1000", "unix:gid:5"])
    stale = entry(socket, "update", "life", "--hint", "other", "--revision", "1")
    assert (stale.status, stale.stdout) == (1, b"")
    assert stale.stderr == "Error: the entry was changed since it was read [entry_conflict]\n"
    assert "life  /life  unix:uid:1000 unix:gid:5" in entry(socket, "list").text
    assert entry(socket, "delete", "life", "--revision", "2").text == "deleted: life\n"
    gone = entry(socket, "show", "life", "--json")
    assert (gone.status, gone.document["reason"]) == (1, "entry_unknown")


def test_a_name_is_made_where_none_is_given(socket: str) -> None:
    made = entry(socket, "create", "/unnamed", "--selector", "unix:uid:1", "--json").document
    assert made["entry_id"].startswith("e-")
    again = entry(socket, "create", "/unnamed", "--selector", "unix:uid:1", "--json")
    assert (again.status, again.document["reason"]) == (1, "entry_conflict")
    listed = entry(socket, "list", "--json").document
    assert listed["trust_domain"] == "spiffe://example.com"
    assert made in listed["entries"]
    assert entry(socket, "delete", made["entry_id"], "--json").document == {"deleted": made["entry_id"]}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(("create", "/x", "--selector", "unix:uid:0*"), "decimal number", id="IS-30"),
        pytest.param(("create", "/x", "--selector", "unix:user:a' OR 1=1"), "unix:user takes", id="IS-30-sql"),
        pytest.param(("create", "spiffe://o.test/x", "--selector", "unix:uid:1"), "another trust domain", id="IS-31"),
        pytest.param(("create", "/a/../b", "--selector", "unix:uid:1"), "the identity of an entry", id="IS-31-dots"),
        pytest.param(("create", "/x", "--selector", "unix:uid:1", "--hint", "x" * 1025), "1024 bytes", id="IS-15"),
        pytest.param(("create", "/x"), "has no selectors", id="no-selector"),
        pytest.param(("update", "x"), "there is nothing to change", id="nothing"),
        pytest.param(("list", "--admin-socket", "relative"), "absolute", id="socket"),
        pytest.param(("apply", "/nonexistent.toml"), "cannot read", id="no-file"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_two(socket: str, arguments: tuple[str, ...], text: str) -> None:
    outcome = entry(socket, *arguments)
    assert (outcome.status, outcome.stdout) == (2, b"")
    assert text in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_no_server_is_one(tmp_path: Path) -> None:
    outcome = entry(str(tmp_path / "none"), "list", "--json")
    assert (outcome.status, outcome.document["reason"]) == (1, "issuer_unavailable")


def test_a_file_is_compared_and_applied(socket: str, tmp_path: Path) -> None:
    file = tmp_path / "entries.toml"
    head = '[[entries]]\nentry_id = "{0}"\npath = "/{0}"\nselectors = ["unix:uid:{1}"]\n'
    file.write_text(head.format("a", 1) + head.format("b", 2))
    dry = entry(socket, "apply", file, "--dry-run")
    assert (dry.status, dry.text) == (1, "+ a /a unix:uid:1\n+ b /b unix:uid:2\n")
    assert entry(socket, "list").text == "there are no entries\n"
    assert entry(socket, "apply", file).status == 0
    none = entry(socket, "apply", file, "--dry-run")
    assert (none.status, none.text) == (0, "there is no difference\n")

    file.write_text(head.format("a", 1) + 'hint = "h"\n')
    dry = entry(socket, "apply", file, "--dry-run")
    assert (dry.status, dry.text) == (1, "~ a /a\n    hint: none -> h\n  b /b is not in the file, and stays\n")
    assert entry(socket, "apply", file, "--dry-run", "--prune", "--json").document == {
        "applied": False,
        "create": [],
        "update": ["a"],
        "delete": ["b"],
        "unlisted": [],
        "refused": [],
    }
    assert entry(socket, "apply", file, "--prune").status == 0
    assert [each["entry_id"] for each in entry(socket, "list", "--json").document["entries"]] == ["a"]

    file.write_text(head.format("c", 3) + head.format("again", 1).replace("/again", "/b"))
    refused = entry(socket, "apply", file, "--prune", "--json")  # /b is held back for whom it was given to (ID-13)
    assert refused.status == 1
    assert refused.document["refused"][0]["reason"] == "entry_conflict"
    assert [each["entry_id"] for each in entry(socket, "list", "--json").document["entries"]] == ["c"]
    wrong = entry(socket, "apply", tmp_path / "entries.toml", "--admin-socket", socket, "--dry-run")
    assert wrong.status == 1
    file.write_text(head.format("c", 3) + "\nwhat = 1\n")
    wrong = entry(socket, "apply", file)
    assert wrong.status == 2
    assert "line 6: Object contains unknown field `what`" in wrong.stderr
    file.write_text('[[entries]]\nentry_id = "t"\npath = "/bin/{exe}/gid/{gid}/pid/{pid}/uid/{uid}"\n')
    template = entry(socket, "apply", file)
    assert template.status == 2
    assert "development mode" in template.stderr
    file.write_text("prune = true\n")
    assert entry(socket, "apply", file).text == "- c /c\n"
