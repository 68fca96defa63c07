"""``wimse identity-server key`` and ``bundle``: what an operator does with signing keys. They need the store alone."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from wimse.cli import output
from wimse.cli.issuer_store import config_option, configured, opened_store
from wimse.cli.options import json_option

if TYPE_CHECKING:
    from wimse.issuer import KeyRecord, KeySet
    from wimse.stores.issuer import SQLIssuerStore
    from wimse.workload_api import ServerConfig

__all__ = ["bundle", "key"]


@click.group()
def key() -> None:
    """List, rotate, taint and revoke the signing keys of the trust domain.

    They work on the store, also while servers run: those notice within seconds.
    """


@key.command("list")
@config_option
@json_option
def list_keys(config_path: str, as_json: bool) -> None:
    """List the signing keys: what each is for, and where it is in its life.

    \b
    Example:
      wimse identity-server key list --config /etc/wimse/identity-server.toml
    """
    with _store(config_path) as (_, store):
        state = store.load()
    if as_json:
        keys = [_document(each) for each in state.keys.keys]
        output.print_json({"revision": state.revision, "sequence": state.keys.sequence, "keys": keys})
        return
    for each in state.keys.keys:
        output.print_text(f"{each.use:<4}  {_state(each):<17}  {each.kid}  {_times(each)}")


@key.command()
@click.argument("use", type=click.Choice(["wit", "jwt", "x509"]))
@config_option
@json_option
def rotate(use: str, config_path: str, as_json: bool) -> None:
    """Have the next key take over, as soon as it has been published for long enough. Nothing becomes invalid.

    \b
    Example:
      wimse identity-server key rotate wit --config /etc/wimse/identity-server.toml
    """
    from wimse.issuer import KeyUse
    from wimse.issuer.rotation import rotate as rotated

    chosen = KeyUse(use)
    config, keys = _change(config_path, lambda keys, now: rotated(keys, chosen, now=now))
    successor = keys.prepared(chosen)
    ready_at = None if successor is None else successor.prepared_at + config.keys.settings().publication_delay
    document = {"use": use, "next": None if successor is None else successor.kid, "not_before": ready_at}
    when = "as soon as there is one" if ready_at is None else f"not before {output.time_text(ready_at)}"
    _say(document, f"the next {use} key takes over {when}", as_json)


@key.command()
@click.argument("kid")
@config_option
@json_option
def taint(kid: str, config_path: str, as_json: bool) -> None:
    """Let a key sign no more; it stays in the bundle until what it signed has ended. Workloads get new credentials.

    \b
    Example:
      wimse identity-server key taint KID --config /etc/wimse/identity-server.toml
    """
    from wimse.issuer.rotation import taint as tainted

    _, keys = _change(config_path, lambda keys, now: tainted(keys, kid, now=now))
    _say(_document(keys.key(kid)), "the key signs no more; what it signed stays valid until it ends", as_json)


@key.command()
@click.argument("kid")
@config_option
@json_option
def revoke(kid: str, config_path: str, as_json: bool) -> None:
    """Take a key out of the bundle at once: whatever it signed is worth nothing. Workloads get new credentials.

    \b
    Example:
      wimse identity-server key revoke KID --config /etc/wimse/identity-server.toml
    """
    from wimse.issuer.rotation import revoke as revoked

    _, keys = _change(config_path, lambda keys, now: revoked(keys, kid, now=now))
    _say(_document(keys.key(kid)), "the key has left the bundle, and its private half is forgotten", as_json)


@click.group()
def bundle() -> None:
    """Show what the trust domain publishes."""


@bundle.command()
@config_option
@click.option("--scheme", type=click.Choice(["spiffe", "wimse"]), help="Of the trust domain; by default of its WITs.")
@json_option
def show(config_path: str, scheme: str | None, as_json: bool) -> None:
    """Print the trust domain's bundle, a JWK Set, as its servers publish it.

    \b
    Example:
      wimse identity-server bundle show --config /etc/wimse/identity-server.toml
    """
    from wimse.credentials import TrustDomain
    from wimse.issuer import SigningKeys

    with _store(config_path) as (config, store):
        keys = store.load().keys
    hint = config.keys.refresh_hint_seconds
    bundles = SigningKeys.public(keys, refresh_hint=hint).bundles(
        config.trust_domain, TrustDomain(config.scheme, config.trust_domain)
    )
    found = bundles.get(TrustDomain(scheme or config.scheme, config.trust_domain))
    if found is None:
        raise output.Unusable(f"--scheme: this trust domain publishes nothing under {scheme}")
    document: dict[str, Any] = json.loads(found.to_json())
    click.echo(json.dumps(document)) if as_json else output.print_json(document)


@contextlib.contextmanager
def _store(config_path: str) -> Iterator[tuple[ServerConfig, SQLIssuerStore]]:
    """The store of a configuration; errors as `configured`."""
    with configured(config_path) as config, opened_store(config) as store:
        yield config, store


def _change(config_path: str, change: Callable[[KeySet, int], KeySet]) -> tuple[ServerConfig, KeySet]:
    from wimse.stores.issuer import change_keys

    now = int(time.time())
    with _store(config_path) as (config, store):
        return config, change_keys(store, lambda keys: change(keys, now), now=now)


def _say(document: Mapping[str, object], text: str, as_json: bool) -> None:
    if as_json:
        output.print_json(document)
    else:
        output.print_text(text)


def _document(record: KeyRecord) -> dict[str, object]:
    return {
        "kid": record.kid,
        "use": record.use.value,
        "state": record.state.value,
        "tainted": record.tainted,
        "prepared_at": record.prepared_at,
        "due_at": record.due_at,
        "retired_at": record.retired_at,
        "not_after": record.not_after,
    }


def _state(record: KeyRecord) -> str:
    return f"{record.state}, tainted" if record.tainted and record.published else str(record.state)


def _times(record: KeyRecord) -> str:
    if record.retired_at is not None:
        return f"since {output.time_text(record.retired_at)}"
    if record.due_at is not None:
        return f"until {output.time_text(record.due_at)}"
    return f"published since {output.time_text(record.prepared_at)}"
