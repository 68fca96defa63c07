"""Credentials as files, for programs that read files: a whole generation at a time, as Kubernetes swaps volumes.

    DIR/wit.jwt  ->  ..current/wit.jwt          DIR/..current  ->  ..g-8f2c…          DIR/..g-8f2c…/wit.jwt

A new generation is a new directory, written and synced before the link ``..current`` is replaced by rename, which is
one step. Who opens files by way of ``..current``, or opens the directory it leads to first, never has a token beside
the key of another; who opens two files by their own names may be overtaken between the two, and reads both again when
``readlink ..current`` has changed meanwhile. The generation before stays until the next one.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wimse.errors import ConfigurationError

__all__ = ["PRIVATE", "PUBLIC", "GenerationWriter"]

PRIVATE: Final = 0o600
PUBLIC: Final = 0o644
_CURRENT: Final = "..current"
_PREFIX: Final = "..g-"


class GenerationWriter:
    """Writes generations of files into one directory, of which it is the only writer."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Make the directory, 0700, or take one that is there.

        Raises:
            ConfigurationError: when it cannot be made, is no directory, belongs to another user, or others may write
                to it.
        """
        self._directory = Path(directory)
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            status = self._directory.stat()
        except OSError as error:
            raise ConfigurationError(f"the directory {self._directory}: {error.strerror}") from None
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(f"{self._directory} belongs to another user, or others may write to it")

    def write(self, files: Mapping[str, tuple[bytes, int]]) -> None:
        """Replace everything that was written before.

        Args:
            files: content and mode by name.

        Raises:
            OSError: when that fails; then all is as it was.
            ConfigurationError: when a name is taken by something that this did not write.
        """
        before = self._generation()
        made = self._directory / f"{_PREFIX}{secrets.token_hex(8)}"
        try:
            made.mkdir(mode=0o755)
            for name, (content, mode) in files.items():
                _write_file(made / name, content, mode)
            _sync(made)
            _swap(self._directory / _CURRENT, made.name)
        except BaseException:
            if self._generation() != made.name:
                shutil.rmtree(made, ignore_errors=True)
            raise
        self._link(files)
        _sync(self._directory)
        self._remove_all_but(made.name, before)

    def _generation(self) -> str | None:
        try:
            return str((self._directory / _CURRENT).readlink())
        except OSError:
            return None

    def _link(self, files: Mapping[str, object]) -> None:
        """One link for each file by its own name, and none for what is no more."""
        for name in files:
            path, target = self._directory / name, f"{_CURRENT}/{name}"
            if path.is_symlink() and path.readlink() == Path(target):
                continue
            if os.path.lexists(path):
                raise ConfigurationError(f"{path} is there and is not ours to replace")
            _swap(path, target)
        for entry in list(self._directory.iterdir()):
            gone = entry.is_symlink() and entry.name not in files
            if gone and entry.readlink() == Path(_CURRENT, entry.name):
                entry.unlink()

    def _remove_all_but(self, *kept: str | None) -> None:
        for entry in list(self._directory.iterdir()):
            if entry.name.startswith(_PREFIX) and entry.name not in kept and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)


def _write_file(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _swap(link: Path, target: str) -> None:
    beside = link.with_name(f"{_PREFIX}{secrets.token_hex(8)}")
    beside.symlink_to(target)
    try:
        beside.rename(link)
    except OSError:
        beside.unlink()
        raise


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
