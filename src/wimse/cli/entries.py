"""``wimse identity-server entry``: who gets which identity, told to a running server over its admin socket."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wimse.cli import inputs, output
from wimse.cli.options import json_option

if TYPE_CHECKING:
    from wimse.workload_api.admin import BlockingAdminClient, Difference, EntryListing, Failure, StoredEntry

__all__ = ["entry"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@click.group()
def entry() -> None:
    """Say who gets which identity, on a server that keeps entries in a store.

    The admin socket answers root and the server's own user.
    """


def _socket_option(function: Decorated) -> Decorated:
    return click.option(
        "--admin-socket",
        metavar="S",
        default="/run/wimse/admin.sock",
        show_default=True,
        envvar="WIMSE_ADMIN_SOCKET",
        help="Of the server; also $WIMSE_ADMIN_SOCKET.",
    )(function)


def _entry_options(function: Decorated) -> Decorated:
    """What an entry can be, all optional."""
    seconds = click.IntRange(2, 2**31)
    for option in reversed(
        (
            click.option("--selector", "selectors", multiple=True, metavar="S", help="All must match; repeatable."),
            click.option("--hint", metavar="T", help="What the identity is for, where a caller has several."),
            click.option("--wit-lifetime", type=seconds, metavar="N", help="In seconds."),
            click.option("--jwt-svid-lifetime", type=seconds, metavar="N", help="In seconds."),
            click.option("--x509-svid-lifetime", type=seconds, metavar="N", help="In seconds."),
            click.option("--dns-name", "dns_names", multiple=True, metavar="H", help="Of its X.509-SVIDs; repeatable."),
            click.option(
                "--federates-with", multiple=True, metavar="D", help="Trust domain whose bundle it gets; repeatable."
            ),
            click.option("--expires-at", type=click.IntRange(1, 2**40), metavar="N", help="In seconds since 1970."),
            click.option("--key-algorithm", metavar="A", help="Of its keys, such as ES256."),
        )
    ):
        function = option(function)
    return function


@entry.command()
@click.argument("path")
@click.option("--id", "entry_id", metavar="ID", help="Name of the entry; a random one by default.")
@_entry_options
@_socket_option
@json_option
def create(path: str, entry_id: str | None, admin_socket: str, as_json: bool, **given: Any) -> None:
    """Register PATH, such as /payments, for the callers that all selectors match.

    With --id it can be repeated: an entry that is registered just so is no conflict.

    \b
    Example:
      wimse identity-server entry create /payments --id payments --selector unix:user:payments
    """
    from wimse.workload_api.admin import EntrySpec

    spec = EntrySpec(entry_id=entry_id or f"e-{secrets.token_hex(8)}", path=path, **_given(given))
    _show(_client(admin_socket).create(spec), as_json=as_json)


@entry.command(name="list")
@_socket_option
@json_option
def list_entries(admin_socket: str, as_json: bool) -> None:
    """Print all entries, in the order in which they were created, which is that of preference.

    \b
    Example:
      wimse identity-server entry list --json
    """
    listing = _client(admin_socket).list()
    if as_json:
        domain = str(listing.trust_domain)
        entries = [_document(each) for each in listing.entries]
        output.print_json({"trust_domain": domain, "revision": listing.revision, "entries": entries})
        return
    for each in listing.entries:
        output.print_text(output.clean(f"{each.entry_id}  {each.path}  {' '.join(each.selectors)}"))
    if not listing.entries:
        output.print_text("there are no entries")


@entry.command()
@click.argument("entry_id", metavar="ID")
@_socket_option
@json_option
def show(entry_id: str, admin_socket: str, as_json: bool) -> None:
    """Print one entry.

    \b
    Example:
      wimse identity-server entry show payments
    """
    _show(_client(admin_socket).show(entry_id), as_json=as_json)


@entry.command()
@click.argument("entry_id", metavar="ID")
@click.option("--path", metavar="P", help="Another identity.")
@click.option("--revision", type=click.IntRange(1), metavar="N", help="That the entry still has; refused if not.")
@_entry_options
@_socket_option
@json_option
def update(
    entry_id: str, path: str | None, revision: int | None, admin_socket: str, as_json: bool, **given: Any
) -> None:
    """Change what is given of an entry, and leave the rest.

    Selectors can be added in place. For others delete the entry, wait, and register it again.

    \b
    Example:
      wimse identity-server entry update payments --hint internal --wit-lifetime 120
    """
    import msgspec

    changes = {**_given(given), **({} if path is None else {"path": path})}
    if not changes:
        raise output.Unusable("there is nothing to change; give at least one option")
    client = _client(admin_socket)
    stored = client.show(entry_id)
    spec = msgspec.structs.replace(stored.spec, **changes)
    _show(client.update(spec, revision=stored.revision if revision is None else revision), as_json=as_json)


@entry.command()
@click.argument("entry_id", metavar="ID")
@click.option("--revision", type=click.IntRange(1), metavar="N", help="That the entry still has; refused if not.")
@_socket_option
@json_option
def delete(entry_id: str, revision: int | None, admin_socket: str, as_json: bool) -> None:
    """Delete an entry. Its identity is held back until the last credential of it has ended.

    \b
    Example:
      wimse identity-server entry delete payments
    """
    _client(admin_socket).delete(entry_id, revision=revision)
    if as_json:
        output.print_json({"deleted": entry_id})
    else:
        output.print_text(output.clean(f"deleted: {entry_id}"))


@entry.command()
@click.argument("file", metavar="FILE")
@click.option("--dry-run", is_flag=True, help="Print the difference and change nothing; 0 for none, 1 for some.")
@click.option("--prune", is_flag=True, help="Delete what is not in the file, as `prune = true` in it does.")
@_socket_option
@json_option
def apply(file: str, dry_run: bool, prune: bool, admin_socket: str, as_json: bool) -> None:
    """Make the entries those of a TOML file.

    Exit status 0: they are; 1: a change was refused (with --dry-run: there is a difference); 2: the file is wrong.

    \b
    Example:
      wimse identity-server entry apply /etc/wimse/entries.toml --dry-run
    """
    from wimse.workload_api.admin import difference, read_entries

    client = _client(admin_socket)
    listing: EntryListing = client.list()
    with inputs.unusable("the file of entries"):
        declared = read_entries(file, listing.trust_domain)
    if declared.template:
        raise output.Unusable("a template entry is for the file that a server in development mode watches")
    found = difference(declared.entries, listing.entries, listing.trust_domain, prune=prune or declared.prune)
    failures = () if dry_run else _perform(admin_socket, found)
    _show_difference(found, failures, as_json=as_json, done=not dry_run)
    if failures or (dry_run and found):
        raise click.exceptions.Exit(1)


def _perform(admin_socket: str, found: Difference) -> tuple[Failure, ...]:
    from wimse.workload_api.admin import AdminClient, perform

    async def work() -> tuple[Failure, ...]:
        async with AdminClient(admin_socket) as client:
            return await perform(found, client)

    return asyncio.run(work())


def _client(admin_socket: str) -> BlockingAdminClient:
    from wimse.workload_api.admin import BlockingAdminClient

    with inputs.unusable("the admin socket"):
        return BlockingAdminClient(admin_socket)


def _given(given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, by the names of `EntrySpec`."""
    said = {name: value for name, value in given.items() if value not in (None, ())}
    return {f"{name}_seconds" if name.endswith("_lifetime") else name: value for name, value in said.items()}


def _document(stored: StoredEntry) -> dict[str, Any]:
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(stored)
    return document


def _show(stored: StoredEntry, *, as_json: bool) -> None:
    document = _document(stored)
    if as_json:
        output.print_json(document)
        return
    rows = {name: value for name, value in document.items() if value not in (None, "", [], ())}
    for name in ("selectors", "dns_names", "federates_with"):
        if name in rows:
            rows[name] = " ".join(rows[name])
    output.print_table(rows, indent="")


def _show_difference(found: Difference, failures: tuple[Failure, ...], *, as_json: bool, done: bool) -> None:
    if as_json:
        output.print_json(
            {
                "applied": done,
                "create": [each.entry_id for each in found.create],
                "update": [stored.entry_id for stored, _ in found.update],
                "delete": [each.entry_id for each in found.delete],
                "unlisted": [each.entry_id for each in found.unlisted],
                "refused": [
                    {"action": each.action, "entry_id": each.entry_id, **output.refusal_document(each.error)}
                    for each in failures
                ],
            }
        )
        return
    for line in found.lines():
        output.print_text(output.clean(line))
    for stored in found.unlisted:
        output.print_text(output.clean(f"  {stored.entry_id} {stored.path} is not in the file, and stays"))
    for each in failures:
        text = f"cannot {each.action} {each.entry_id}: {each.error.detail}"
        output.show_error(text, as_json=False, error=each.error)
    if not found:
        output.print_text("there is no difference")
