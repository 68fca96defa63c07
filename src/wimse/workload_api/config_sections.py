"""Sections of the identity server's configuration that say where signing keys are and how they are replaced.

They are values. Whoever puts the server together (`wimse.cli`) opens what they name.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from wimse.errors import ConfigurationError
from wimse.issuer import RotationSettings

__all__ = ["EncryptionConfig", "KeySourceConfig", "KeysConfig", "StoreConfig", "UpstreamConfig"]

_STATE_DIRECTORY: Final = "/var/lib/wimse"
_MAX_COMMAND_SECONDS: Final = 300
_TIMES: Final = ("rotation_interval", "refresh_hint", "max_staleness", "verifier_leeway")


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class StoreConfig(_Section, frozen=True, kw_only=True):
    """``[store]``: where signing keys and entries are kept. One of the three at most.

    Attributes:
        sqlite: absolute path of the file; by default ``issuer.db`` in systemd's state directory, or in
            ``/var/lib/wimse``.
        postgresql_url_file: file, of mode 0600 or less, with the URL of a PostgreSQL database.
        postgresql_url_variable: environment variable with the URL.
    """

    sqlite: str = ""
    postgresql_url_file: str = ""
    postgresql_url_variable: str = ""

    def check(self) -> None:
        """Look at the values.

        Raises:
            ConfigurationError: for two databases, or a relative path.
        """
        if sum(map(bool, (self.sqlite, self.postgresql_url_file, self.postgresql_url_variable))) > 1:
            raise ConfigurationError(
                "store takes one of sqlite, postgresql_url_file and postgresql_url_variable: a server has one database"
            )
        _check_absolute("store.sqlite", self.sqlite)
        _check_absolute("store.postgresql_url_file", self.postgresql_url_file)

    def sqlite_path(self, state_directory: str = "") -> Path:
        """The SQLite file.

        Args:
            state_directory: what systemd says in ``STATE_DIRECTORY``, or empty.
        """
        return Path(self.sqlite or f"{state_directory.partition(':')[0] or _STATE_DIRECTORY}/issuer.db")


class KeySourceConfig(_Section, frozen=True, kw_only=True):
    """Where a key-encryption key comes from: one of the three.

    Attributes:
        file: absolute path of a file of mode 0600 or less.
        credential: name of a credential of the systemd unit.
        command: a program that prints it, and its arguments.
        command_timeout_seconds: how long it may take. Default 10, from 1 to 300.
    """

    file: str = ""
    credential: str = ""
    command: tuple[str, ...] = ()
    command_timeout_seconds: int = 10

    @property
    def named(self) -> int:
        """How many sources are named."""
        return sum(map(bool, (self.file, self.credential, self.command)))

    def check(self) -> None:
        """Look at the values.

        Raises:
            ConfigurationError: for none or two sources, a relative path, or a time out of bounds.
        """
        if not 1 <= self.command_timeout_seconds <= _MAX_COMMAND_SECONDS:
            raise ConfigurationError(f"encryption.command_timeout_seconds must be from 1 to {_MAX_COMMAND_SECONDS}")
        if self.named != 1:
            raise ConfigurationError("encryption takes one of file, credential and command")
        _check_absolute("encryption.file", self.file)
        _check_absolute("encryption.command", self.command[0] if self.command else "")


class EncryptionConfig(KeySourceConfig, frozen=True, kw_only=True):
    """``[encryption]``: of the signing keys in the store.

    Attributes:
        plaintext: keep them without encryption, in development only.
        previous: the key-encryption key before this one; the next start encrypts everything anew.
    """

    plaintext: bool = False
    previous: KeySourceConfig | None = None

    def check(self) -> None:
        """As `KeySourceConfig.check`, where it is not plaintext."""
        if self.plaintext and (self.named or self.previous is not None):
            raise ConfigurationError("encryption.plaintext goes with no key")
        if not self.plaintext:
            super().check()
        if self.previous is not None:
            self.previous.check()


class KeysConfig(_Section, frozen=True, kw_only=True):
    """``[keys]``: how signing keys in a store are replaced; see `RotationSettings`.

    Attributes:
        rotation_interval_seconds: how long a key signs. Default 30 days.
        refresh_hint_seconds: how often validators are told to fetch the bundle. Default 300.
        publication_intervals: for how many of them a key is published before it signs. Default 3.
        max_staleness_seconds: how long a server goes on without its store. Default 30.
        verifier_leeway_seconds: how far the clocks of verifiers may be behind. Default 120.
    """

    rotation_interval_seconds: int = 2_592_000
    refresh_hint_seconds: int = 300
    publication_intervals: int = 3
    max_staleness_seconds: int = 30
    verifier_leeway_seconds: int = 120

    def settings(self) -> RotationSettings:
        """The settings.

        Raises:
            ConfigurationError: for a value that is out of bounds.
        """
        try:
            times = {name: timedelta(seconds=getattr(self, f"{name}_seconds")) for name in _TIMES}
        except OverflowError:
            raise ConfigurationError("a time of [keys] is too long") from None
        return RotationSettings(publication_intervals=self.publication_intervals, **times)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Each value that is out of bounds, and why."""
        for name in (*(f"{each}_seconds" for each in _TIMES), "publication_intervals"):
            try:
                KeysConfig(**{name: getattr(self, name)}).settings()
            except ConfigurationError as error:
                yield name, error.detail


class UpstreamConfig(_Section, frozen=True, kw_only=True):
    """``[upstream]``: a CA of yours above ours, as PEM files with absolute paths.

    Attributes:
        chain: its certificate, then those above it.
        key: its private key, mode 0600 or less.
        roots: what the bundle publishes.
    """

    chain: str
    key: str
    roots: str

    def check(self) -> None:
        """Look at the values.

        Raises:
            ConfigurationError: for a relative path.
        """
        for name in ("chain", "key", "roots"):
            value: str = getattr(self, name)
            _check_absolute(f"upstream.{name}", value or ".")


def _check_absolute(name: str, path: str) -> None:
    if (path and not path.startswith("/")) or "\0" in path:
        raise ConfigurationError(f"{name} must be an absolute path")
