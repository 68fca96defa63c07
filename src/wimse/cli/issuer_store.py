"""The issuer's store as a configuration names it: opened, with what decrypts its keys."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wimse.cli import inputs, output
from wimse.errors import ConfigurationError, WimseError

if TYPE_CHECKING:
    from wimse.issuer import KeyEncryptionKey, KeySealer, UpstreamAuthority
    from wimse.stores.issuer import KeyKeeper, SQLIssuerStore
    from wimse.workload_api import KeySourceConfig, ServerConfig

__all__ = ["config_option", "configured", "configured_sealer", "opened_keeper", "opened_store", "sqlite_path"]

_MAX_FILE_BYTES = 65_536

config_option = click.option("--config", "config_path", metavar="F", required=True, help="The server's TOML file.")


@contextlib.contextmanager
def configured(config_path: str) -> Iterator[ServerConfig]:
    """The configuration; what is wrong in it is exit status 2, what goes wrong in the `with` is 1."""
    from wimse.workload_api import load_config

    with inputs.unusable("the configuration"):
        config = load_config(config_path)
    try:
        yield config
    except WimseError as error:
        raise output.Failed(error.detail, error) from None


@contextlib.contextmanager
def opened_store(config: ServerConfig, *, make: bool = False) -> Iterator[SQLIssuerStore]:
    """Open the store that `config` names, for the `with`.

    Args:
        config: of the server.
        make: whether a SQLite file that is not there is made: by the server, whose file it then is.

    Raises:
        ConfigurationError: when it names none, or it cannot be used as it is.
        Unavailable: `store_unavailable`.
    """
    from wimse.stores.issuer import SQLIssuerStore

    section = config.store
    if section is None:
        raise ConfigurationError("the configuration has no [store]; keys in memory are those of the running server")
    now, issuer, path = int(time.time()), config.issuer_settings(), sqlite_path(config)
    if path is None:
        url = _database_url(section.postgresql_url_file, section.postgresql_url_variable)
        store = SQLIssuerStore.postgresql(url, config.trust_domain, now=now, issuer=issuer)
    else:
        if not (make or path.exists()):
            raise ConfigurationError(f"there is no database {path} yet: the first start of the server makes it")
        store = SQLIssuerStore.sqlite(path, config.trust_domain, now=now, issuer=issuer)
    try:
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def opened_keeper(config: ServerConfig) -> Iterator[KeyKeeper]:
    """Open the store and what keeps its keys, for the `with`, as a server does; errors as `opened_store`."""
    from wimse.stores.issuer import KeyKeeper, using

    sealer, upstream, path = configured_sealer(config), _upstream(config), sqlite_path(config)
    with contextlib.ExitStack() as stack:
        if path is not None:
            stack.enter_context(using(path))
        store = stack.enter_context(opened_store(config, make=True))
        yield KeyKeeper(
            store,
            sealer,
            config.trust_domain,
            issuer=config.issuer_settings(),
            rotation=config.keys.settings(),
            upstream=upstream,
        )


def sqlite_path(config: ServerConfig) -> Path | None:
    """The SQLite file of a configuration; None for PostgreSQL, and without a store."""
    section = config.store
    if section is None or section.postgresql_url_file or section.postgresql_url_variable:
        return None
    return section.sqlite_path(os.environ.get("STATE_DIRECTORY", ""))


def _database_url(file: str, variable: str) -> str:
    if variable:
        url = os.environ.get(variable, "")
        if not url:
            raise ConfigurationError(f"the environment variable {variable}, with the database's URL, is not set")
        return url
    return _private(Path(file), "the file with the database's URL").decode("utf-8", "replace").strip()


def configured_sealer(config: ServerConfig) -> KeySealer:
    """What encrypts signing keys, as a configuration says.

    Raises:
        ConfigurationError: when the key-encryption key cannot be had.
    """
    from wimse.issuer import EncryptedSealer, PlaintextSealer

    section = config.encryption
    if section is None:
        raise ConfigurationError("the configuration has no [encryption]")
    if section.plaintext:
        return PlaintextSealer()
    earlier = () if section.previous is None else (_key(section.previous),)
    return EncryptedSealer(config.trust_domain, _key(section), earlier)


def _key(source: KeySourceConfig) -> KeyEncryptionKey:
    from wimse.stores.issuer import key_from_command, key_from_credential, key_from_file

    if source.file:
        return key_from_file(Path(source.file))
    if source.credential:
        return key_from_credential(source.credential)
    return key_from_command(source.command, timeout=timedelta(seconds=source.command_timeout_seconds))


def _upstream(config: ServerConfig) -> UpstreamAuthority | None:
    from wimse.issuer import UpstreamAuthority

    section = config.upstream
    if section is None:
        return None
    return UpstreamAuthority.parse(
        chain=_content(Path(section.chain), "the upstream authority's chain"),
        key=_private(Path(section.key), "the upstream authority's key"),
        roots=_content(Path(section.roots), "the upstream authority's roots"),
    )


def _private(path: Path, name: str) -> bytes:
    from wimse.stores.issuer import check_private_file

    check_private_file(path, name)
    return _content(path, name)


def _content(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{name} {path}: {error.strerror}") from None
    if len(data) > _MAX_FILE_BYTES:  # the rest of a list of certificates would be missing, and nobody would know
        raise ConfigurationError(f"{name} {path} is larger than {_MAX_FILE_BYTES} bytes")
    return data
