"""``wimse demo``: the whole story on one machine, with real processes, and what becomes of attacks on it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import signal
import sys
from urllib.parse import urlsplit

import click

__all__ = ["demo"]

DEFAULT_PORT = 18443


@click.command()
@click.option("--json", "as_document", is_flag=True, help="Print one JSON document instead of the story.")
@click.option(
    "--keep", is_flag=True, help="Leave all running at the end, until interrupted, and say how to talk to it."
)
@click.option("--through", metavar="URL", help="Send through a proxy of yours that leads to the middlebox's port.")
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True, help="The middlebox's.")
def demo(*, as_document: bool, keep: bool, through: str | None, port: int) -> None:
    """Tell the whole story on one machine: identities, a signed call through a middlebox, attacks on it.

    An identity server, a server, a client and a middlebox that terminates TLS run as processes of their own. Exit
    status 0 means that every message did what it should.

    \b
    Example:
      wimse demo
      wimse demo --json | jq .ok
    """
    from wimse.cli.demo.processes import DemoError

    missing = [name for name in ("granian", "h11", "httpx2") if importlib.util.find_spec(name) is None]
    if missing:
        click.echo(f"wimse demo: needs {', '.join(missing)}: pip install 'wimse[demo]'", err=True)
        sys.exit(1)
    base = None if through is None else _origin(through)
    try:
        ok = asyncio.run(_tell(as_document=as_document, keep=keep, through=base, port=port))
    except DemoError as error:
        if as_document:
            click.echo(json.dumps({"ok": False, "exchanges": [], "identities": {}, "error": str(error)}))
        click.echo(f"wimse demo: {error}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("wimse demo: interrupted; everything was stopped.", err=True)
        sys.exit(130)
    sys.exit(0 if ok else 1)


async def _tell(*, as_document: bool, keep: bool, through: str | None, port: int) -> bool:
    from wimse.cli.demo.narration import Narration
    from wimse.cli.demo.stage import set_stage
    from wimse.cli.demo.story import Story, as_json

    _stop_on_sigterm()
    narration = Narration(quiet=as_document)
    narration.say("Starting an identity server, a server, a client and a middlebox, each as a process of its own.")
    async with set_stage(port=port, through=through) as stage:
        story = Story(stage, narration)
        await story.tell()
        if as_document:
            click.echo(as_json(story))
        if keep:
            _say_how_to_talk(stage.socket, stage.base, str(stage.certificate), stage.server_identity)
            with contextlib.suppress(asyncio.CancelledError):  # how it is meant to end
                await asyncio.Event().wait()
    return story.ok


def _say_how_to_talk(socket: str, base: str, certificate: str, server: str) -> None:
    click.echo(
        "\nAll of it is still running; end it with Ctrl-C. From another terminal:\n\n"
        f"  curl --cacert {certificate} {base}/orders/1\n"
        f"  wimse request GET {base}/orders/1 --socket {socket} --cacert {certificate} --server {server}\n",
        err=True,
    )


def _stop_on_sigterm() -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise click.BadParameter(
            "give the proxy's URL without a path, such as https://name.example", param_hint="--through"
        )
    return f"{parts.scheme}://{parts.netloc}"
