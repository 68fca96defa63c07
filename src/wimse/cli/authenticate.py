"""``wimse authenticate``: the complete verification of one message."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from wimse.cli import inputs, output
from wimse.cli.options import json_option, now_option, revision_option, scheme_option, trust_domain_option
from wimse.cli.root import VerificationCommand
from wimse.errors import Reason, Refused

if TYPE_CHECKING:
    from wimse.authentication import AuthenticatedWorkload
    from wimse.credentials import TrustBundles, TrustDomain
    from wimse.httpsig import MessageFile, Request
    from wimse.profiles.http_signature import Revision, SignedRequest

__all__ = ["authenticate", "workload_document"]


@click.command(cls=VerificationCommand)
@click.argument("message")
@click.option("--bundle", required=True, metavar="B", help="The trust bundle: a JWK Set, or a map of several.")
@trust_domain_option
@click.option(
    "--audience",
    "audiences",
    multiple=True,
    metavar="A",
    help="Who we are to callers, compared whole; may be repeated. Needed for a request, but of cofide-poc, which names "
    "none; a response has none.",
)
@click.option(
    "--request", "request_path", metavar="MESSAGE", help="The request that was sent, when MESSAGE is its response."
)
@revision_option
@scheme_option
@now_option
@json_option
def authenticate(  # noqa: PLR0917 - click passes by name
    message: str,
    bundle: str,
    trust_domain: TrustDomain | None,
    audiences: tuple[str, ...],
    request_path: str | None,
    revision: Revision,
    scheme: str,
    now: int,
    as_json: bool,
) -> None:
    """Verify a message completely, and say who sent it: the token, the signature, the digest, the audience.

    MESSAGE is a file with the bytes of an HTTP/1.1 message, or - for stdin. All after the empty line is the body.

    With --request, MESSAGE is a response, judged as the client that sent this request would: it must carry the nonce
    of the request, and be signed if the request asked for that. An unsigned response to a request that did not ask is
    accepted with identity null. Any workload of the bundle may have answered: compare the identity.

    The revision cofide-poc is that of the Go proof of concept by Cofide. It binds neither audience nor response.

    Replay is judged within this one call only, which means not at all: a server that remembers nonces would refuse the
    same message the second time.

    \b
    Example:
      wimse authenticate request.http --bundle bundle.json --audience https://orders.example/items
    """
    inputs.refuse_two_stdins(message, bundle, request_path)
    bundles = inputs.read_bundles(bundle, trust_domain)
    judged = inputs.read_message(message, scheme=scheme)
    request = inputs.read_request(request_path, judged, scheme=scheme)
    if request is None:
        workload: AuthenticatedWorkload | None = _sender(judged, bundles, audiences, revision, now)
    else:
        workload = _answerer(judged, bundles, request, revision, now)
    if workload is None:
        document: dict[str, object] = {"identity": None, "label": None, "covered": {}, "parameters": {}}
        output.verdict(document, "accepted without a signature, which was not asked for", as_json=as_json)
        return
    output.verdict(workload_document(workload), f"valid: {workload.identity}", as_json=as_json)


def workload_document(workload: AuthenticatedWorkload) -> dict[str, object]:
    """What is printed of a message that was authenticated."""
    return {
        "identity": str(workload.identity),
        "revision": workload.revision,
        "label": workload.signature.label,
        "covered": dict(workload.covered),
        "parameters": output.to_json_value(workload.signature.parameters),
    }


def _sender(
    judged: MessageFile, bundles: TrustBundles, audiences: tuple[str, ...], revision: Revision, now: int
) -> AuthenticatedWorkload:
    from wimse.authentication import Authenticator, any_trusted
    from wimse.httpsig import Request
    from wimse.stores.memory import MemoryReplayStore

    if not isinstance(judged.message, Request):
        raise output.Unusable("the message is a response: give the request that it answers with --request")
    if not all(audiences) or (revision.binds_audience and not audiences):
        raise output.Unusable("--audience is needed to judge a request, and is not empty")
    authenticator = Authenticator(
        # Without a name of ours, a request that names somebody is for another recipient.
        bundles=bundles,
        audience=audiences or (lambda _, __: False),
        replay=MemoryReplayStore(),
        policy=any_trusted,
        revision=revision,
    )
    return authenticator.authenticate(judged.message, judged.content, now=now)


def _answerer(
    judged: MessageFile, bundles: TrustBundles, request: Request, revision: Revision, now: int
) -> AuthenticatedWorkload | None:
    from wimse.authentication import ClientAuthenticator, any_trusted, expect
    from wimse.httpsig import Response

    if not isinstance(judged.message, Response):  # read_request has seen to it
        raise output.Unusable("the message is not a response")
    sent = _as_sent(request, revision)
    client = ClientAuthenticator(_NoSource(), server=expect(any_trusted), bundles=bundles.get, revision=revision)
    return client.verify_response(judged.message, judged.content, sent, now=now)


def _as_sent(request: Request, revision: Revision) -> SignedRequest:
    """What the client that signed `request` would remember of it."""
    from wimse.httpsig import Requirements, parse_signatures, select_signature
    from wimse.profiles.http_signature import SIGN_RESPONSE, SignedRequest

    with inputs.unusable("the request"):
        found = parse_signatures(request.fields, extension_types=revision.parameter_types)
        metadata = select_signature(found, Requirements(tag=revision.tag)).input
        nonce = metadata.text("nonce")
        if not nonce:
            raise Refused(Reason.PARAMETER_MISSING, "its signature has no nonce, so that no response can answer it")
    # Where a revision has no way to ask for a signed response, every response has a signature.
    must_be_signed = metadata.flag(SIGN_RESPONSE) or SIGN_RESPONSE not in revision.request_sent
    return SignedRequest(request, nonce, must_be_signed)


class _NoSource:
    """Nothing is signed here."""

    def snapshot(self) -> NoReturn:
        """There is no credential."""
        raise output.Failed("there is no credential to sign with")
