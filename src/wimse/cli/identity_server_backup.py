"""``wimse identity-server backup``, ``restore`` and ``adopt``: for the day on which the database is lost."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from wimse.cli import output
from wimse.cli.issuer_store import config_option, configured, configured_sealer, opened_store, sqlite_path
from wimse.cli.options import json_option

if TYPE_CHECKING:
    from wimse.issuer import KeySet
    from wimse.workload_api import ServerConfig

__all__ = ["adopt", "backup", "restore"]

_DUMP: Final = (
    "this store is a PostgreSQL database: back it up with pg_dump --format=custom; restore it with pg_restore into an "
    "empty database, while no server runs, and then run wimse identity-server adopt"
)


@click.command()
@click.argument("target")
@config_option
@json_option
def backup(target: str, config_path: str, as_json: bool) -> None:
    """Copy the SQLite database, as of one moment, to the new file TARGET. The server may run.

    Signing keys in it are as well encrypted as in the database. Keep the key-encryption key elsewhere: without it a
    backup is of no use. PostgreSQL has pg_dump.

    \b
    Example:
      wimse identity-server backup /backup/issuer.db --config /etc/wimse/identity-server.toml
    """
    from wimse.stores.issuer import back_up_sqlite

    with _configured(config_path) as config:
        source, path = _sqlite_path(config), Path(target)
        if not source.exists():
            raise output.Failed(f"there is no database {source} yet: the first start of the server makes it")
        back_up_sqlite(source, path)
    if as_json:
        output.print_json({"database": str(source), "backup": str(path.absolute()), "bytes": path.stat().st_size})
    else:
        output.print_text(f"{output.clean(source)} is backed up in {output.clean(path)}")


@click.command()
@click.argument("source")
@config_option
@json_option
def restore(source: str, config_path: str, as_json: bool) -> None:
    """Put the backup SOURCE in the place of a SQLite database that is not there any more.

    Nothing is overwritten: stop the server, and move the database away with its -wal and -shm. The backup has to be of
    this trust domain, and its keys have to open with the [encryption] of the configuration. Every key then waits until
    validators have it, as after `adopt`.

    \b
    Example:
      wimse identity-server restore /backup/issuer.db --config /etc/wimse/identity-server.toml
    """
    from wimse.stores.issuer import restore_sqlite

    adopted: list[KeySet] = []
    with _configured(config_path) as config:
        target = _sqlite_path(config)
        restore_sqlite(Path(source), target, prepare=lambda copy: adopted.append(_adopted(_at(config, copy))))
    _say(f"{output.clean(target)} is restored", config, adopted[0], as_json)


@click.command()
@config_option
@json_option
def adopt(config_path: str, as_json: bool) -> None:
    """Make a database safe that was put back by other means: pg_restore, or the snapshot of a disk.

    Which keys validators hold today is not known. Every key is published again and waits for the publication delay;
    until then nothing is signed. Do it once, before a server is started. `restore` does it itself.

    \b
    Example:
      wimse identity-server adopt --config /etc/wimse/identity-server.toml
    """
    from wimse.stores.issuer import alone_with

    with _configured(config_path) as config, contextlib.ExitStack() as stack:
        path = sqlite_path(config)
        if path is not None:
            stack.enter_context(alone_with(path))
        keys = _adopted(config)
    _say("the database is adopted", config, keys, as_json)


@contextlib.contextmanager
def _configured(config_path: str) -> Iterator[ServerConfig]:
    """The configuration, for the server's user; errors as `configured`."""
    with configured(config_path) as config:
        _check_user(config)
        yield config


def _check_user(config: ServerConfig) -> None:
    """Refuse root where the server is another user, who could not open what root leaves there.

    Raises:
        ConfigurationError: with what to do.
    """
    from wimse.errors import ConfigurationError

    path = sqlite_path(config)
    try:
        owner = 0 if path is None else path.parent.stat().st_uid
    except OSError:  # that is said when it is opened
        return
    if os.geteuid() == 0 and owner != 0:
        name = _user_name(owner)
        raise ConfigurationError(f"{path} is that of the user {name}: do this as {name}, with runuser -u {name} -- …")


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _sqlite_path(config: ServerConfig) -> Path:
    path = sqlite_path(config)
    if path is None:
        without = "the configuration has no [store]: there is nothing to keep"
        raise output.Failed(without if config.store is None else _DUMP)
    return path


def _at(config: ServerConfig, path: Path) -> ServerConfig:
    """The same configuration with its database elsewhere."""
    import msgspec

    from wimse.workload_api import StoreConfig

    return msgspec.structs.replace(config, store=StoreConfig(sqlite=str(path.absolute())))


def _adopted(config: ServerConfig) -> KeySet:
    """Adopt the database of a configuration, whose keys all open."""
    from wimse.errors import ConfigurationError
    from wimse.issuer.sealing import open_keys
    from wimse.stores.issuer import adopt_backup

    with opened_store(config) as store:
        if store.in_use_elsewhere():
            raise ConfigurationError("a server uses this database: stop all of them first")
        open_keys(store.load().keys, configured_sealer(config))
        return adopt_backup(store, now=int(time.time()))


def _say(done: str, config: ServerConfig, keys: KeySet, as_json: bool) -> None:
    prepared = [each.prepared_at for each in keys.keys]
    signs_at = max(prepared) + config.keys.settings().publication_delay if prepared else None
    if as_json:
        output.print_json({"keys": len(keys.keys), "signs_at": signs_at})
    elif signs_at is None:
        output.print_text(f"{done}; it has no signing keys")
    else:
        output.print_text(f"{done}; nothing is signed before {output.time_text(signs_at)}")
        output.print_text("Start the server now. Revoke again what was revoked since the backup, and look at entries.")
