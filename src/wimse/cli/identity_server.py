"""``wimse identity-server``: the issuer of this machine's identities, as a process."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from wimse.cli import identity_server_backup, identity_server_keys, inputs, output
from wimse.cli.entries import entry
from wimse.cli.options import json_option, named_trust_domain_option

if TYPE_CHECKING:
    from wimse.credentials import TrustDomain
    from wimse.workload_api import ServerConfig

__all__ = ["identity_server"]


@click.group()
def identity_server() -> None:
    """Issue identities to the workloads of this machine."""


identity_server.add_command(identity_server_keys.key)
identity_server.add_command(identity_server_keys.bundle)
identity_server.add_command(entry)
identity_server.add_command(identity_server_backup.backup)
identity_server.add_command(identity_server_backup.restore)
identity_server.add_command(identity_server_backup.adopt)


@identity_server.command()
@click.option("--config", "config_path", metavar="F", help="A TOML file; the other options override it.")
@named_trust_domain_option("Such as example.com or wimse://example.com. Default example.com.")
@click.option("--socket", metavar="S", help="Such as unix:///run/wimse.sock. Default unix:///tmp/spire.sock.")
@click.option("--scheme", type=click.Choice(["spiffe", "wimse"]), help="Of the identities in WITs. Default spiffe.")
@json_option
def run(
    config_path: str | None,
    trust_domain: TrustDomain | None,
    socket: str | None,
    scheme: str | None,
    as_json: bool,
) -> None:
    """Serve the SPIFFE Workload API on a Unix socket until SIGINT or SIGTERM.

    One line on stdout says when it is ready; with --json it is a document. Logs go to stderr. Signing keys are kept and
    replaced in the [store] of the configuration. Without one they are new at each start, and in memory only.

    \b
    Example:
      wimse identity-server run --trust-domain example.com --socket unix:///tmp/spire.sock
    """
    config = _configuration(config_path, trust_domain, socket, scheme)

    def ready() -> None:
        domain, path = f"{config.scheme}://{config.trust_domain}", config.socket_path()
        text = json.dumps({"ready": True, "trust_domain": domain, "socket": f"unix://{path}"})
        click.echo(text if as_json else f"ready: {domain} on unix://{output.clean(path)}")

    _log_to_stderr()
    again = functools.partial(_configuration, config_path, trust_domain, socket, scheme)
    _serve(config, ready, None if config_path is None else again)


@identity_server.command()
@click.option("--config", "config_path", metavar="F", required=True, help="A TOML file.")
@json_option
def check(config_path: str, as_json: bool) -> None:
    """Say what is wrong with a configuration, with line numbers, and start nothing.

    Exit status 0: nothing is wrong; 1: something is; 2: the file cannot be read.

    \b
    Example:
      wimse identity-server check --config /etc/wimse/identity-server.toml
    """
    from wimse.workload_api import check_config

    with inputs.unusable("the configuration"):
        problems = check_config(config_path)
    if as_json:
        found = [{"line": each.line, "detail": each.detail} for each in problems]
        click.echo(json.dumps({"valid": not problems, "problems": found}))
    else:
        for each in problems:
            where = f"{config_path}:{each.line}" if each.line else config_path
            click.echo(output.clean(f"{where}: {each.detail}"))
        if not problems:
            click.echo(f"{output.clean(config_path)}: nothing is wrong")
    if problems:
        raise click.exceptions.Exit(1)


@identity_server.command()
@click.option("--socket", metavar="S", help="By default what SPIFFE_ENDPOINT_SOCKET says.")
@click.option("--timeout", type=click.FloatRange(0.1, 60), default=5.0, show_default=True, help="In seconds.")
@json_option
def health(socket: str | None, timeout: float, as_json: bool) -> None:
    """Ask a running server whether it accepts calls and issues.

    Exit status 0: it does; 1: it does not, or cannot be reached.

    \b
    Example:
      wimse identity-server health --socket unix:///run/wimse/api.sock
    """
    import asyncio

    from wimse.workload_api import EndpointAddress, default_socket
    from wimse.workload_api.health import ask_health

    with inputs.unusable("the socket"):
        address = default_socket() if socket is None else EndpointAddress.parse(socket)
    healthy, detail = asyncio.run(ask_health(address, timeout))
    click.echo(json.dumps({"healthy": healthy, "detail": detail}) if as_json else output.clean(detail))
    if not healthy:
        raise click.exceptions.Exit(1)


def _configuration(
    path: str | None, trust_domain: TrustDomain | None, socket: str | None, scheme: str | None
) -> ServerConfig:
    """The file's configuration, with what the options say in its place, checked as a whole."""
    import msgspec

    from wimse.workload_api import ServerConfig, load_config

    changes: dict[str, Any] = {}
    if trust_domain is not None:
        changes["trust_domain"] = trust_domain.name
        if trust_domain.scheme != "spiffe":  # a bare name means spiffe, and says nothing against the file
            changes["scheme"] = trust_domain.scheme
    if socket is not None:
        changes["socket"] = socket
    if scheme is not None:
        changes["scheme"] = scheme
    with inputs.unusable("the configuration"):
        config = msgspec.structs.replace(ServerConfig() if path is None else load_config(path), **changes)
        config.check()
    return config


def _log_to_stderr() -> None:
    import logging

    handler = logging.StreamHandler()  # of stderr
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("wimse")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _serve(config: ServerConfig, ready: Any, again: Callable[[], ServerConfig] | None) -> None:
    """Serve until a signal asks to stop.

    Raises:
        Failed: when the server cannot start.
    """
    import asyncio
    import contextlib
    import signal

    from wimse.cli.federation import federation_services
    from wimse.cli.issuer_store import opened_keeper, opened_store
    from wimse.errors import WimseError
    from wimse.workload_api import harden_process, serve

    harden_process()

    async def serve_until_told() -> None:
        serving = asyncio.ensure_future(
            serve(config, ready=ready, reload=_reading(again), keeper=keeper, beside=beside)
        )
        told = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, told.set)  # a second one changes nothing
        telling = asyncio.ensure_future(told.wait())
        await asyncio.wait((serving, telling), return_when=asyncio.FIRST_COMPLETED)
        telling.cancel()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    try:
        with contextlib.ExitStack() as stack:
            keeper = None if config.store is None else stack.enter_context(opened_keeper(config))
            beside = list(federation_services(config))  # services that run in this process too
            if config.admin_socket or config.entries_file:
                from wimse.workload_api.admin import managed_entries

                beside.append(managed_entries(config, stack.enter_context(opened_store(config))))
            asyncio.run(serve_until_told())
    except WimseError as error:  # the configuration is sound, so it is this machine that does not permit it
        raise output.Failed(error.detail, error) from None


def _reading(again: Callable[[], ServerConfig] | None) -> Callable[[], ServerConfig] | None:
    """`again`, with the roof's errors as those of a configuration."""
    if again is None:
        return None
    from wimse.errors import ConfigurationError

    def read() -> ServerConfig:
        try:
            return again()
        except click.ClickException as error:
            raise ConfigurationError(error.message) from None

    return read
