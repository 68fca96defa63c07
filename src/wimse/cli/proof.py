"""``wimse proof``: verify a request with a Workload Proof Token."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from wimse.cli import inputs, output
from wimse.cli.options import json_option, now_option, scheme_option, trust_domain_option
from wimse.cli.root import VerificationCommand
from wimse.errors import ConfigurationError

if TYPE_CHECKING:
    from wimse.authentication import AuthenticatedWorkload, Authenticator
    from wimse.credentials import TrustBundles, TrustDomain
    from wimse.profiles.proof_token import ProofRevision, VerifiedRequestProof

__all__ = ["proof"]


def _revision(_: click.Context, __: click.Parameter, value: str) -> ProofRevision:
    from wimse.profiles.proof_token import REVISIONS

    if value not in REVISIONS:
        raise click.BadParameter(f"there is no such revision; known are {', '.join(REVISIONS)}")
    return REVISIONS[value]


@click.group()
def proof() -> None:
    """Verify Workload Proof Tokens (draft-ietf-wimse-wpt)."""


@proof.command(cls=VerificationCommand)
@click.argument("message")
@click.option("--bundle", required=True, metavar="B", help="The trust bundle: a JWK Set, or a map of several.")
@trust_domain_option
@click.option(
    "--audience",
    "audiences",
    multiple=True,
    required=True,
    metavar="A",
    help="Who we are to callers, without query and fragment; may be repeated.",
)
@click.option(
    "--context-field",
    "context_fields",
    multiple=True,
    metavar="NAME",
    help="A field that holds a further token, which the proof has to bind (oth); may be repeated.",
)
@click.option(
    "--revision", default="02", show_default=True, metavar="R", callback=_revision, help="Of the wpt draft: 02 or 01."
)
@scheme_option
@now_option
@json_option
def verify(  # noqa: PLR0917 - click passes by name
    message: str,
    bundle: str,
    trust_domain: TrustDomain | None,
    audiences: tuple[str, ...],
    context_fields: tuple[str, ...],
    revision: ProofRevision,
    scheme: str,
    now: int,
    as_json: bool,
) -> None:
    """Verify a request's WIT and its proof, and say who sent it, for whom, and beside which tokens.

    MESSAGE is a file with the bytes of an HTTP/1.1 request, or - for stdin. A proof covers neither method nor path, nor
    content: what is valid here may be another request than the one that its sender wrote.

    Replay is not judged: a server that remembers proofs would refuse the same one the second time.

    \b
    Example:
      wimse proof verify request.http --bundle bundle.json --audience https://orders.example/items
    """
    from wimse.httpsig import Request

    inputs.refuse_two_stdins(message, bundle)
    bundles = inputs.read_bundles(bundle, trust_domain)
    entrance = _entrance(bundles, audiences, context_fields, revision)
    judged = inputs.read_message(message, scheme=scheme)
    if not isinstance(judged.message, Request):
        raise output.Unusable("the message is a response, and proof tokens are for requests")
    workload = entrance.authenticate(judged.message, judged.content, now=now)
    output.verdict(_document(workload), f"valid: {workload.identity}", as_json=as_json)


def _entrance(
    bundles: TrustBundles, audiences: tuple[str, ...], context_fields: tuple[str, ...], revision: ProofRevision
) -> Authenticator:
    from wimse.authentication import Authenticator, any_trusted
    from wimse.profiles.proof_token import ProofTokenSettings
    from wimse.stores.memory import MemoryReplayStore

    try:
        return Authenticator(
            bundles=bundles,
            audience=audiences,
            replay=MemoryReplayStore(),
            policy=any_trusted,
            revision=revision,
            proof_settings=ProofTokenSettings(context_fields=tuple(name.lower() for name in context_fields)),
        )
    except ConfigurationError as error:
        raise output.Unusable(error.detail, error) from None


def _document(workload: AuthenticatedWorkload) -> dict[str, object]:
    verified = cast("VerifiedRequestProof", workload.proof).proof  # no other revision is accepted
    return {
        "identity": str(workload.identity),
        "revision": workload.revision,
        "audience": verified.audience,
        "token_id": verified.token_id,
        "expires_at": verified.expires_at,
        "covered": dict(workload.covered),
        "parameters": output.to_json_value(verified.claims),
    }
