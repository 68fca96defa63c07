"""``wimse credentials``: the identity of this process, printed, or as files that are kept new."""

from __future__ import annotations

import signal as signals
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from wimse.cli import inputs, output
from wimse.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimse.cli.credential_watch import Wanted

__all__ = ["credentials"]

_KINDS: Final = ("wit", "x509", "jwt")
_SIGNALS: Final = ("HUP", "USR1", "USR2")


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--socket", metavar="S", help="Of the agent; SPIFFE_ENDPOINT_SOCKET by default."),
        click.option("--spiffe-id", metavar="ID", help="The identity that is wanted; the first one by default."),
        click.option(
            "--kind",
            "kinds",
            multiple=True,
            type=click.Choice(_KINDS),
            help="Of credential; may be repeated. Default wit.",
        ),
        click.option("--audience", "audiences", multiple=True, metavar="A", help="Of the JWT-SVID; may be repeated."),
        click.option(
            "--timeout",
            type=click.FloatRange(0.1, 3600),
            default=10.0,
            show_default=True,
            metavar="S",
            help="For the first of each kind.",
        ),
    ):
        function = option(function)
    return function


@click.group()
def credentials() -> None:
    """Get this process's identity from the Workload API: WITs, X.509-SVIDs, JWT-SVIDs and trust bundles.

    \b
    Files, by --kind (0600 what is secret, 0644 the bundles):
      wit   wit.jwt, wit-key.jwk, wit-bundles.json
      x509  svid.pem, svid-key.pem, svid-bundle.pem, svid-bundles.json
      jwt   jwt-svid.jwt, jwt-bundles.json
    """


@credentials.command()
@_shared
@click.option("--write", "directory", metavar="DIR", help="Write files there, instead of printing.")
@json_option
def fetch(directory: str | None, as_json: bool, **options: Any) -> None:
    """Get everything once. Without --write it is printed, private keys included.

    \b
    Example:
      wimse credentials fetch --json
      wimse credentials fetch --kind x509 --write /run/orders/identity
    """
    from wimse.cli.credential_watch import fetch_once

    wanted = _wanted(options)
    found = fetch_once(wanted, directory)
    summary = {kind: {"identity": each.identity, "expires_at": each.expires_at} for kind, each in found.items()}
    if directory is not None:
        files = sorted(name for each in found.values() for name in each.files)
        if as_json:
            output.print_json({"written": files, "directory": directory, **summary})
        else:
            output.print_table([(kind, each.identity) for kind, each in found.items()], indent="")
        return
    if as_json:
        contents = {
            kind: {**summary[kind], "files": {name: text.decode("utf-8") for name, (text, _) in each.files.items()}}
            for kind, each in found.items()
        }
        output.print_json(contents)
        return
    for kind, each in found.items():
        output.print_text(f"# {kind}: {output.clean(each.identity)} until {output.time_text(each.expires_at)}")
        for name, (text, _) in each.files.items():
            output.print_text(f"# {name}")
            output.print_text(output.clean_lines(text.decode("utf-8").rstrip("\n")))


@credentials.command()
@_shared
@click.option("--write", "directory", metavar="DIR", required=True, help="Where the files are; made 0700.")
@click.option("--exec", "command", metavar="CMD", help="Run after each renewal; split as a shell does, without one.")
@click.option(
    "--exec-timeout", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True, help="Seconds for it."
)
@click.option("--signal-pid", type=click.IntRange(2), metavar="PID", help="A process to signal after each renewal.")
@click.option("--signal", "signal_name", type=click.Choice(_SIGNALS), default="HUP", show_default=True)
@json_option
def watch(  # noqa: PLR0917 - click passes by name
    directory: str,
    command: str | None,
    exec_timeout: float,
    signal_pid: int | None,
    signal_name: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Keep files new until SIGINT or SIGTERM: token, key and bundles are swapped in one step.

    Each renewal prints a line, with --json a document on one line. A command or a signal that fails is said on stderr
    and stops nothing. When an identity is withdrawn its files go.

    \b
    Example:
      wimse credentials watch --kind x509 --write /run/web/identity --exec 'nginx -s reload'
    """
    import shlex

    from wimse.cli.credential_watch import After, watch_for_ever

    try:
        split = () if command is None else tuple(shlex.split(command))
    except ValueError:
        raise output.Unusable("--exec has a quotation that does not end") from None
    if command is not None and not split:
        raise output.Unusable("--exec names no program")
    number = None if signal_pid is None else signals.Signals[f"SIG{signal_name}"]
    after = After(split, exec_timeout, signal_pid, number)
    watch_for_ever(_wanted(options), directory, after, as_json=as_json)


def _wanted(options: dict[str, Any]) -> Wanted:
    from wimse.cli.credential_watch import Wanted
    from wimse.workload_api import SourceSettings
    from wimse.workload_api.address import EndpointAddress, default_socket
    from wimse.workload_api.source import wanted_identifier

    kinds, audiences, socket = options["kinds"] or ("wit",), options["audiences"], options["socket"]
    if ("jwt" in kinds) is not bool(audiences):
        raise output.Unusable("--kind jwt and --audience belong together")
    if not all(audiences):
        raise output.Unusable("--audience is not empty")
    if socket is not None and socket.startswith("/"):
        socket = f"unix://{socket}"
    with inputs.unusable("the agent's address or the identity"):
        address = default_socket() if socket is None else EndpointAddress.parse(socket)
        identity = wanted_identifier(options["spiffe_id"])
    settings = SourceSettings(first_snapshot_timeout=timedelta(seconds=options["timeout"]))
    return Wanted(tuple(dict.fromkeys(kinds)), audiences, address, identity, settings)
