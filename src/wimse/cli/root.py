"""The program: commands found when they are used, and one place that turns every failure into an exit status."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from wimse import __version__
from wimse.cli.output import Failed, Unusable, clean, show_error, show_refusal
from wimse.errors import ConfigurationError, WimseError

__all__ = ["LazyGroup", "Program", "VerificationCommand"]


class VerificationCommand(click.Command):
    """A command whose question is whether something is valid: a refusal is its answer, no, and not a failure."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; print a refusal as the verdict, with exit status 1."""
        try:
            return super().invoke(ctx)
        except ConfigurationError:
            raise
        except WimseError as error:
            show_refusal(error, as_json=bool(ctx.params.get("as_json")))
            ctx.exit(1)


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports each one when it is used."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        """Hold the commands.

        Args:
            args: as for `click.Group`.
            lazy: name to ``module:attribute`` and one line of help.
            kwargs: as for `click.Group`.
        """
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order in which they were given."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """Import and return a command; None when there is none of this name."""
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        """List the commands for ``--help`` without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])


class Program(LazyGroup):
    """The root of all commands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the program; arguments as `LazyGroup`."""
        super().__init__(*args, context_settings={"help_option_names": ["-h", "--help"]}, **kwargs)
        self.params.append(
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_version,
                help="Print the version and end.",
            )
        )

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = "wimse",
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the program; ends the process with the exit status unless `standalone_mode` is false."""
        arguments = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in arguments
        try:
            result = super().main(arguments, prog_name, complete_var, standalone_mode=False, **extra)
            status = result if isinstance(result, int) else 0
        except click.Abort:
            show_error("interrupted", as_json=as_json)
            status = 1
        except click.ClickException as error:
            _show_click(error, as_json=as_json)
            status = error.exit_code
        except WimseError as error:
            show_error(f"{error.detail}", as_json=as_json, error=error)
            status = 2 if isinstance(error, ConfigurationError) else 1
        except OSError as error:
            show_error(f"{error.filename or 'the system'}: {error.strerror or error}", as_json=as_json)
            status = 1
        if standalone_mode:
            sys.exit(status)
        return status


def _show_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(f"wimse {__version__}")
        context.exit()


def _show_click(error: click.ClickException, *, as_json: bool) -> None:
    if isinstance(error, Unusable | Failed):
        show_error(error.message, as_json=as_json, error=error.cause)
        return
    helpless = isinstance(error, click.exceptions.NoArgsIsHelpError)
    message = "a command is missing" if helpless else " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    if not as_json and context is not None:
        if helpless:
            click.echo(context.get_help(), err=True)
            return
        click.echo(f"{context.get_usage()}\nTry '{clean(context.command_path)} --help' for help.\n", err=True)
    show_error(message, as_json=as_json)
