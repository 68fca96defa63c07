"""``wimse inspect``: a message or a token, explained step by step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from wimse.cli import inputs, output
from wimse.cli.options import json_option, now_option, scheme_option, trust_domain_option
from wimse.errors import ConfigurationError

if TYPE_CHECKING:
    from wimse.credentials import TrustDomain
    from wimse.inspector import Explanation

__all__ = ["inspect"]

_MARKS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "ok": ("ok       ", {"fg": "green"}),
    "said": ("says     ", {}),
    "unchecked": ("unchecked", {"fg": "yellow"}),
    "failed": ("FAILED   ", {"fg": "red", "bold": True}),
}


@click.command()
@click.argument("source", metavar="[MESSAGE|TOKEN]", required=False)
@click.option("--bundle", metavar="B", help="A trust bundle, to check the token's own signature as well.")
@trust_domain_option
@click.option(
    "--request", "request_path", metavar="MESSAGE", help="The request that was sent, when MESSAGE is its response."
)
@scheme_option
@now_option
@click.option("--web", is_flag=True, help="Serve the page that explains what is pasted into it, on 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65_535), default=8421, show_default=True, help="Of the page.")
@json_option
def inspect(  # noqa: PLR0917 - click passes by name
    source: str | None,
    bundle: str | None,
    trust_domain: TrustDomain | None,
    request_path: str | None,
    scheme: str,
    now: int,
    web: bool,
    port: int,
    as_json: bool,
) -> None:
    """Explain a message or a token, step by step.

    The argument is a file, - for stdin, or a compact token itself.

    It explains and does not decide: exit status 0 says that there was something to explain, also when steps failed; 1
    that it is neither a message nor a token. `wimse authenticate` and `wimse wit verify` decide.

    \b
    Example:
      wimse inspect request.http
      wimse inspect --web
    """
    if web:
        if source is not None:
            raise output.Unusable("--web explains what is pasted into the page, and takes no MESSAGE")
        _serve_page(port, as_json=as_json)
        return
    if source is None:
        raise output.Unusable("a MESSAGE or a TOKEN is missing, or --web")
    inputs.refuse_two_stdins(source, bundle, request_path)
    from wimse.httpsig import Request, parse_http1
    from wimse.inspector import explain

    bundles = None if bundle is None else inputs.read_bundles(bundle, trust_domain)
    request = None
    if request_path is not None:
        with inputs.unusable("the request"):
            data = inputs.read_file(request_path, "the request", max_bytes=inputs.MAX_MESSAGE_BYTES)
            message = parse_http1(data, scheme=scheme).message
        if not isinstance(message, Request):
            raise output.Unusable(f"{request_path} is a response, and --request needs a request")
        request = message
    explanation = explain(_read(source), now=now, scheme=scheme, bundles=bundles, request=request)
    if as_json:
        output.print_json(explanation.to_document())
    else:
        _print(explanation)
    if explanation.kind == "unreadable":
        sys.exit(1)


def _read(source: str) -> bytes:
    """The bytes to explain: the argument when it is a token, else those of the file that it names."""
    if source != "-" and inputs.is_token_argument(source):
        return source.encode("utf-8", "surrogateescape")
    return inputs.read_file(source, "the message", max_bytes=inputs.MAX_MESSAGE_BYTES)


def _print(explanation: Explanation) -> None:
    for step in explanation.steps:
        mark, style = _MARKS[step.outcome.value]
        output.print_text(f"{mark} {output.clean(step.title)}", **style)
        output.print_text(f"          {output.clean(step.text)}")
        output.print_table(list(step.facts), indent="            ")
        for line in [] if step.block is None else step.block.split("\n"):
            output.print_text(f"          | {output.clean(line)}")


def _serve_page(port: int, *, as_json: bool) -> None:
    """Serve the page until SIGINT or SIGTERM."""
    try:
        from wimse.inspector.serving import serve_page
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("granian", "starlette"):
            raise
        raise output.Failed("the page needs two more packages: pip install 'wimse[inspector]'") from None
    url = f"http://127.0.0.1:{port}/"

    def ready() -> None:
        if as_json:
            click.echo(f'{{"url": "{url}"}}')
        else:
            click.echo(f"open {url} in a browser; nothing that is pasted there leaves this machine")

    try:
        serve_page(port, ready=ready)
    except ConfigurationError as error:
        raise output.Failed(error.detail, error) from None
