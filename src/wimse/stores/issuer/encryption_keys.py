"""Where the key-encryption key comes from: a file, a systemd credential, or what a command prints.

The key is 32 bytes: as they are, as 64 hexadecimal digits, or as base64; a newline at the end does not count.
`openssl rand -hex 32` makes one.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from wimse.errors import ConfigurationError
from wimse.issuer import KeyEncryptionKey
from wimse.stores.issuer.database import check_private_file

__all__ = ["key_from_command", "key_from_credential", "key_from_file"]

MAX_KEY_TEXT_BYTES: Final = 256
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{64}")


def key_from_file(path: Path) -> KeyEncryptionKey:
    """Read the key from a file of mode 0600 or less.

    Raises:
        ConfigurationError: when the file is open to others or cannot be read, or holds no key.
    """
    check_private_file(path, "the key-encryption key")
    return _key(_content(path))


def key_from_credential(name: str, environment: Mapping[str, str] = os.environ) -> KeyEncryptionKey:
    """Read the key from a credential of the systemd unit (`LoadCredentialEncrypted=`).

    Its mode is not looked at: systemd keeps it in a directory that only this unit can enter.

    Args:
        name: of the credential.
        environment: in which `CREDENTIALS_DIRECTORY` is.

    Raises:
        ConfigurationError: when there is no such credential, or it holds no key.
    """
    directory = environment.get("CREDENTIALS_DIRECTORY", "")
    if not directory.startswith("/"):
        raise ConfigurationError("there are no systemd credentials: CREDENTIALS_DIRECTORY is not set")
    if not name or "/" in name or name in (".", ".."):
        raise ConfigurationError("a systemd credential has a plain name")
    return _key(_content(Path(directory) / name))


def key_from_command(arguments: Sequence[str], *, timeout: timedelta = timedelta(seconds=10)) -> KeyEncryptionKey:
    """Run a command, without a shell, that prints the key: the client of a KMS.

    Args:
        arguments: the program's absolute path, then its arguments.
        timeout: after which it is killed.

    Raises:
        ConfigurationError: when it cannot be run, fails, takes too long, or prints no key.
    """
    if not arguments or not arguments[0].startswith("/"):
        raise ConfigurationError("the command that gives the key-encryption key is an absolute path")
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's command, without a shell
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that what it has begun ends with it
        )
    except OSError as error:
        raise ConfigurationError(f"the command that gives the key-encryption key: {error.strerror}") from None
    try:
        printed = _bounded_output(process, time.monotonic() + timeout.total_seconds())
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    return _key(printed)


def _bounded_output(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    printed = b""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    while len(printed) <= MAX_KEY_TEXT_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise ConfigurationError("the command that gives the key-encryption key takes too long")
        block = os.read(process.stdout.fileno(), MAX_KEY_TEXT_BYTES + 1)
        if not block:
            break
        printed += block
    else:
        raise ConfigurationError("the command that gives the key-encryption key prints too much")
    try:
        status = process.wait(max(deadline - time.monotonic(), 0.01))
    except subprocess.TimeoutExpired:
        raise ConfigurationError("the command that gives the key-encryption key takes too long") from None
    if status != 0:
        raise ConfigurationError(f"the command that gives the key-encryption key failed with status {status}")
    return printed


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_TEXT_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"the key-encryption key {path}: {error.strerror}") from None


def _key(text: bytes) -> KeyEncryptionKey:
    if len(text) == 32:
        return KeyEncryptionKey(text)
    text = text.strip()
    if _HEX.fullmatch(text):
        return KeyEncryptionKey(bytes.fromhex(text.decode("ascii")))
    try:
        return KeyEncryptionKey(base64.b64decode(text, validate=True))
    except binascii.Error:
        raise ConfigurationError(
            "the key-encryption key is 32 bytes, 64 hexadecimal digits or base64: openssl rand -hex 32"
        ) from None
