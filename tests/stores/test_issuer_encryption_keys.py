from __future__ import annotations

import base64
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from wimse.errors import ConfigurationError
from wimse.issuer import KeyEncryptionKey
from wimse.stores.issuer import key_from_command, key_from_credential, key_from_file

SECRET = bytes(range(32))
IDENTIFIER = KeyEncryptionKey(SECRET).identifier
FORMS = [SECRET, SECRET.hex().encode(), SECRET.hex().upper().encode() + b"\n", base64.b64encode(SECRET) + b"\n"]


def private(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", FORMS)
def test_the_key_is_read_in_three_forms(tmp_path: Path, content: bytes) -> None:
    assert key_from_file(private(tmp_path / "kek", content)).identifier == IDENTIFIER
    credential = key_from_credential("kek", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert credential.identifier == IDENTIFIER


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o601])
def test_a_key_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """IS-29."""
    with pytest.raises(ConfigurationError, match="chmod 600"):
        key_from_file(private(tmp_path / "kek", SECRET, mode))


@pytest.mark.parametrize(
    "content", [b"", b"secret", SECRET[:31], SECRET.hex().encode()[:-1], SECRET * 20, b"\xff" * 40]
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        key_from_file(private(tmp_path / "kek", content))
    assert not content or content.decode("latin-1") not in str(refusal.value)


def test_a_link_or_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(private(tmp_path / "kek", SECRET))
    for name in ("link", "nothing"):
        with pytest.raises(ConfigurationError):
            key_from_file(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("kek", {}),
        ("kek", {"CREDENTIALS_DIRECTORY": "relative"}),
        ("../kek", {"CREDENTIALS_DIRECTORY": "/tmp"}),
        ("", {"CREDENTIALS_DIRECTORY": "/tmp"}),
        ("..", {"CREDENTIALS_DIRECTORY": "/tmp"}),
        ("no-such-credential", {"CREDENTIALS_DIRECTORY": "/tmp"}),
    ],
)
def test_a_credential_that_is_not_there_is_refused(name: str, environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        key_from_credential(name, environment)


def command(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_a_command_gives_the_key() -> None:
    assert key_from_command(command(f"print('{SECRET.hex()}')")).identifier == IDENTIFIER


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (f"import sys; print('{SECRET.hex()}'); sys.exit(3)", "status 3"),
        ("print('x' * 1000)", "too much"),
        ("while True: print('x' * 1000)", "too much"),
        ("pass", "32 bytes"),
        ("import time; time.sleep(60)", "too long"),
        (f"import os, time; print('{SECRET.hex()}', flush=True); os.close(1); time.sleep(60)", "too long"),
    ],
)
def test_a_command_that_fails_hangs_or_floods_is_refused(program: str, words: str) -> None:
    timeout = timedelta(seconds=1 if words == "too long" else 20)
    with pytest.raises(ConfigurationError, match=words) as refusal:
        key_from_command(command(program), timeout=timeout)
    assert SECRET.hex() not in str(refusal.value)


@pytest.mark.parametrize("arguments", [[], ["cat"], ["/no/such/program"]])
def test_a_command_is_an_absolute_path_that_can_be_run(arguments: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        key_from_command(arguments)
