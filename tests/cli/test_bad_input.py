"""Bad input to every command: a clear error, the stated exit status, one document with --json, and nothing left behind."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.cli.support import Outcome, Run, process, vector_cases, write_json
from wimse.keys import PrivateKey
from wimse.testing import InMemoryTrustDomain

NOW = "1788298930"
GOOD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GARBAGE = [
    b"",
    b"\0",
    b"\xff\xfe\x00",
    b"{",
    b"[]",
    b"null",
    b'{"keys": 1}',
    b"-----BEGIN X-----",
    b"[" * 5000,
    b"a.b.c",
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Good files of every kind, in the current directory."""
    domain = InMemoryTrustDomain("spiffe://example.com")
    write_json(tmp_path / "bundle", {**domain.bundle.to_jwks(), "trust_domain": "spiffe://example.com"})
    write_json(tmp_path / "key", PrivateKey.generate(kid="k").to_jwk())
    (tmp_path / "token").write_text(domain.credential("/a", now=int(NOW)).wit)
    (tmp_path / "message").write_bytes(vector_cases("wimse/http-signature-07.json")["request"]["message"].encode())
    return tmp_path


# Each command with every file that it reads, and what is wrong when this one is: 2 for what was configured, 1 for what
# is judged.
READERS = [
    (["wit", "inspect", "token"], {"token": 1}),
    (["wit", "verify", "token", "--bundle", "bundle"], {"token": 1, "bundle": 2}),
    (["authenticate", "message", "--bundle", "bundle", "--audience", "a"], {"message": 1, "bundle": 2}),
    (["httpsig", "base", "message"], {"message": 1}),
    (["httpsig", "verify", "message", "--keys", "key"], {"message": 1, "key": 2}),
    (["httpsig", "sign", "message", "--key", "key", "--cover", "@method"], {"message": 1, "key": 2}),
    (["key", "show", "key"], {"key": 2}),
    (["key", "convert", "key", "--to", "jwk", "--out", "made"], {"key": 2}),
    (["inspect", "message"], {"message": 1}),
    (["inspect", "token", "--bundle", "bundle"], {"token": 1, "bundle": 2}),
    (["identity-server", "run", "--config", "config"], {"config": 2}),
]
CASES = [(command, name, status) for command, names in READERS for name, status in names.items()]


def check(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        assert isinstance(json.loads(outcome.stdout), dict)
    else:
        assert outcome.stdout or outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert all(each.isprintable() or each == "\n" for each in outcome.stderr)


@pytest.mark.parametrize("as_json", [False, True], ids=["plain", "json"])
@pytest.mark.parametrize(("command", "name", "status"), CASES, ids=lambda case: str(case))
def test_garbage(run: Run, files: Path, command: list[str], name: str, status: int, as_json: bool) -> None:
    more = ["--json"] if as_json else []
    before = {each.name for each in files.iterdir()}
    for garbage in GARBAGE:
        (files / name).write_bytes(garbage)
        if name == "config" and garbage == b"":
            continue  # an empty configuration is one
        outcome = run(*command, *more)
        assert outcome.status == status, (garbage, outcome)
        check(outcome, as_json=as_json)
    assert {each.name for each in files.iterdir()} == before | {name}


@pytest.mark.parametrize("as_json", [False, True], ids=["plain", "json"])
@pytest.mark.parametrize(("command", "name", "status"), CASES, ids=lambda case: str(case))
def test_a_missing_file_a_folder_and_an_unusable_name(
    run: Run, files: Path, command: list[str], name: str, status: int, as_json: bool
) -> None:
    del status
    for unreadable in ("missing.txt", str(files), "no/such/\x1b[31mfolder", "nul/\0"):
        given = [unreadable if each == name else each for each in command]
        outcome = run(*given, *(["--json"] if as_json else []))
        assert outcome.status == 2, (unreadable, outcome)
        check(outcome, as_json=as_json)
        assert (outcome.stdout != b"") == as_json


@pytest.mark.parametrize(
    "command",
    [
        ["wit", "inspect", "token", "--now", "-1"],
        ["wit", "inspect", "token", "--now", "x"],
        ["wit", "verify", "token", "--bundle", "bundle", "--trust-domain", "EXAMPLE.com"],
        ["wit", "verify", "token"],
        ["wit", "verify", "-", "--bundle", "-"],
        ["authenticate", "message", "--bundle", "bundle"],
        ["httpsig", "verify", "message", "--keys", "key", "--require", '"@method'],
        ["httpsig", "verify", "message", "--keys", "key", "--require", '"a" "b");x=1, ("c"'],
        ["httpsig", "verify", "message", "--keys", "key", "--require", '"a";req;req=?0'],
        ["httpsig", "verify", "message", "--keys", "key", "--require", "UPPER"],
        ["httpsig", "verify", "message", "--keys", "key", "--max-age", "-1"],
        ["httpsig", "verify", "message", "--keys", "key", "--alg", "none"],
        ["httpsig", "sign", "message", "--key", "key"],
        ["httpsig", "sign", "message", "--key", "key", "--cover", "é"],
        ["httpsig", "sign", "message", "--key", "key", "--cover", "@method", "--param", "Bad=1"],
        ["httpsig", "sign", "message", "--key", "key", "--cover", "@method", "--param", "=1"],
        ["httpsig", "sign", "message", "--key", "key", "--cover", "@method", "--param", "a=é"],
        ["httpsig", "sign", "message", "--key", "key", "--cover", "@method", "--param", "a=1", "--param", "a=2"],
        ["httpsig", "sign", "message", "--key", "key", "--cover", "@method", "--param", "created=1"],
        ["httpsig", "sign", "message", "--key", "key", "--cover", "@method", "--nonce", "a\nb"],
        ["httpsig", "sign", "message", "--key", "key", "--cover", "@method", "--label", "Bad Label"],
        ["httpsig", "sign", "message", "--key", "key", "--cover", "@method", "--created", "1000000000000000"],
        ["key", "convert", "key"],
        ["key", "convert", "key", "--to", "der"],
        ["inspect"],
        ["inspect", "token", "--web"],
        ["inspect", "message", "--request", "bundle"],
        ["inspect", "message", "--scheme", ":"],
        ["identity-server", "run", "--trust-domain", "a/b"],
        ["identity-server", "run", "--socket", "relative"],
        ["identity-server", "run", "--socket", "tcp://127.0.0.1:80"],
        ["identity-server", "run", "--scheme", "http"],
        ["request", "GET", "https://a/", "-H", "no colon"],
        ["request", "GET", "https://a/", "-H", "a: b\r\nc: d"],
        ["request", "GET", "https://a/", "-d", "@missing.txt"],
        ["request", "GET", "https://a/", "--server", "orders"],
        ["request", "GET", "https://a/", "--server", "spiffe://a/b", "--any-server"],
        ["request", "GET", "https://a/", "--cacert", "key"],
        ["request", "GET", "https://a/", "--audience", ""],
        ["request", "GET", "https://a/", "--socket", "http://a"],
        ["request", "GET", "https://a/", "--timeout", "0"],
        ["request", "GET"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("as_json", [False, True], ids=["plain", "json"])
def test_wrong_usage(run: Run, files: Path, command: list[str], as_json: bool) -> None:
    before = sorted(files.iterdir())
    outcome = run(*command, *(["--json"] if as_json else []))
    assert outcome.status == 2, outcome
    check(outcome, as_json=as_json)
    if as_json:
        assert outcome.document["error"]
    else:
        assert outcome.stdout == b""
        assert outcome.stderr
    assert sorted(files.iterdir()) == before


def test_a_message_that_cannot_be_signed_or_read_is_refused_with_a_reason(run: Run, files: Path) -> None:
    sign = ("httpsig", "sign", "message", "--key", "key", "--label", "new", "--json", "--cover")
    assert run(*sign, "x-missing").document["reason"] == "component_absent"
    assert run(*sign, '"@method" "@method"').document["reason"] == "component_duplicated"
    assert run(*sign, '"@status"').document["reason"] == "component_not_applicable"
    assert run("httpsig", "verify", "message", "--keys", "key", "--json").document["valid"] is False
    (files / "message").write_bytes(GOOD)
    assert run("httpsig", "base", "message", "--json").document["reason"] == "signature_missing"


def test_changed_files_never_become_a_traceback(run: Run, files: Path) -> None:
    chance = random.Random(9421)
    for command, names in READERS:
        if command[0] == "identity-server":
            continue  # a changed configuration may well be one, and it would run
        for name in names:
            data = (files / name).read_bytes()
            for _ in range(40):
                changed = bytearray(data)
                for _ in range(chance.randint(1, 4)):
                    position = chance.randrange(len(changed))
                    changed[position : position + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 3))
                (files / name).write_bytes(changed)
                (files / "made").unlink(missing_ok=True)
                outcome = run(*command, "--json")  # an exception would reach pytest
                assert outcome.status in (0, 1, 2)
                assert isinstance(outcome.document, dict) if command[:2] != ["key", "convert"] else True
            (files / name).write_bytes(data)


def test_bytes_in_arguments_that_are_no_text(files: Path) -> None:
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    outcome = process("httpsig", "base", name + ".txt", cwd=files)
    assert outcome.status == 2
    assert "Traceback" not in outcome.stderr
    assert process("wit", "inspect", name, "--json", cwd=files).document["valid"] is False
