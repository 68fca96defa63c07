"""``wimse wit``: look into a Workload Identity Token, or verify it."""

from __future__ import annotations

import click

from wimse.cli import inputs, output
from wimse.cli.options import json_option, now_option, trust_domain_option
from wimse.cli.root import VerificationCommand
from wimse.errors import Refused

__all__ = ["wit"]


@click.group()
def wit() -> None:
    """Inspect and verify Workload Identity Tokens.

    TOKEN is the token itself, a file that holds it, or - for stdin.
    """


@wit.command(cls=VerificationCommand)
@click.argument("token")
@now_option
@json_option
def inspect(token: str, now: int, as_json: bool) -> None:
    """Show what a token says. Nothing is verified: anybody may have written it.

    \b
    Example:
      wimse wit inspect token.txt
    """
    from wimse.credentials import UnverifiedWIT
    from wimse.keys import PublicKey

    unverified = UnverifiedWIT.parse(inputs.read_token(token))
    header, claims = dict(unverified.jws.header), dict(unverified.jws.claims)
    confirmation = claims.get("cnf")
    jwk = confirmation.get("jwk") if isinstance(confirmation, dict) else None
    key: dict[str, object] | None = None
    if isinstance(jwk, dict):
        try:
            public = PublicKey.from_jwk(jwk)
            key = {"algorithm": public.algorithm.jose_name, "thumbprint": public.thumbprint()}
        except Refused as refused:
            key = {"unusable": refused.reason.code}
    document = {
        "verified": False,
        "identity": str(unverified.claimed_identity),
        "trust_domain": str(unverified.trust_domain),
        "header": header,
        "claims": claims,
        "key": key,
    }
    if as_json:
        output.print_json(document)
        return
    output.print_text("NOT VERIFIED: this is what the token says, and anybody may have written it", fg="yellow")
    output.print_table({"identity": document["identity"], "trust domain": document["trust_domain"]})
    output.print_text("  header")
    output.print_table(header, indent="    ")
    output.print_text("  claims")
    output.print_table({name: _for_people(name, value, now) for name, value in claims.items()}, indent="    ")
    if key is not None:
        output.print_text("  the workload's key")
        output.print_table(key, indent="    ")


def _for_people(name: str, value: object, now: int) -> object:
    if name not in ("exp", "iat", "nbf") or type(value) is not int:
        return value
    text = output.time_text(value)
    return f"{text}, in {value - now} s" if value > now else f"{text}, {now - value} s ago"


@wit.command(cls=VerificationCommand)
@click.argument("token")
@click.option("--bundle", required=True, metavar="B", help="The trust bundle: a JWK Set, or a map of several.")
@trust_domain_option
@now_option
@json_option
def verify(
    token: str,
    bundle: str,
    trust_domain: object,
    now: int,
    as_json: bool,
) -> None:
    """Verify a token under the bundle of its trust domain.

    A valid token says whose key it names, and not that the sender holds this key: `wimse authenticate` verifies both.

    \b
    Example:
      wimse wit verify token.txt --bundle bundle.json --trust-domain spiffe://example.com
    """
    from wimse.credentials import TrustDomain, UnverifiedWIT, verify_wit
    from wimse.errors import Reason

    inputs.refuse_two_stdins(token, bundle)
    bundles = inputs.read_bundles(bundle, trust_domain if isinstance(trust_domain, TrustDomain) else None)
    unverified = UnverifiedWIT.parse(inputs.read_token(token))
    anchors = bundles.get(unverified.trust_domain)
    if anchors is None:
        raise Refused(Reason.TRUST_DOMAIN_UNKNOWN, "the bundle is not the one of the WIT's trust domain")
    verified = verify_wit(unverified, anchors, now=now)
    document = {
        "identity": str(verified.identity),
        "trust_domain": str(verified.identity.trust_domain),
        "issuer": verified.issuer,
        "token_id": verified.token_id,
        "issued_at": verified.issued_at,
        "expires_at": verified.expires_at,
        "key": {"algorithm": verified.key.algorithm.jose_name, "thumbprint": verified.key.thumbprint()},
        "claims": output.to_json_value(verified.claims),
    }
    output.verdict(document, f"valid: {verified.identity}", as_json=as_json)
