"""``wimse key``: generate, show and convert keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from wimse.cli import inputs, output
from wimse.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wimse.keys import PrivateKey, PublicKey, SecretKey

__all__ = ["key"]

_PUBLIC_FILE_MODE = 0o644
_ALGORITHM_HELP = (
    "ES256, ES384, ES512, EdDSA (Ed25519), Ed448, PS256 to PS512, RS256 to RS512, HS256 to HS512 (a shared secret), or "
    "a name of RFC 9421."
)
_out_option = click.option(
    "--out", metavar="F", help="Write to this new file, 0600 for a private key; one that is there is not replaced."
)

_alg_option = click.option(
    "--alg", metavar="A", help="What an RSA key or a shared secret is for, where it does not say so itself (PEM)."
)


@click.group()
def key() -> None:
    """Generate, show and convert keys: JWK, JWK Set and PEM; ECDSA, EdDSA, RSA and shared secrets."""


@key.command()
@click.option("--algorithm", default="ES256", show_default=True, metavar="A", help=_ALGORITHM_HELP)
@click.option("--bits", type=click.IntRange(2_048, 8_192), metavar="N", help="Size of an RSA modulus; 3072 by default.")
@click.option("--kid", metavar="S", help="The key's identifier, in a JWK.")
@click.option("--format", "form", type=click.Choice(["jwk", "pem"]), default="jwk", show_default=True)
@_out_option
@json_option
def generate(  # noqa: PLR0917 - click passes by name
    algorithm: str, bits: int | None, kid: str | None, form: str, out: str | None, as_json: bool
) -> None:
    """Make a new private key or shared secret, and write it to stdout or to a new file.

    \b
    Example:
      wimse key generate --algorithm EdDSA --kid k1 --out key.json
    """
    from wimse.keys import PrivateKey, SecretKey, algorithm_named

    if form == "pem" and kid is not None:
        raise output.Unusable("--kid: PEM holds no kid; use --format jwk")
    with inputs.unusable("--algorithm"):
        chosen = algorithm_named(algorithm)
    if bits is not None and chosen.key_type != "RSA":
        raise output.Unusable("--bits is for RSA")
    made: PrivateKey | SecretKey
    if chosen.symmetric:
        made = SecretKey.generate(chosen, kid=kid)
    else:
        made = PrivateKey.generate(chosen, kid=kid, **({} if bits is None else {"rsa_bits": bits}))
    data = _pem_of(made) if form == "pem" else _json_bytes(made.to_jwk())
    _deliver(data, out, [made], private=True, as_json=as_json)


@key.command()
@click.argument("file")
@_alg_option
@json_option
def show(file: str, alg: str | None, as_json: bool) -> None:
    """Show the public information of the keys in a file; never a private part or a secret.

    \b
    Example:
      wimse key show key.json
    """
    keys = inputs.read_any_keys(file, inputs.read_algorithm(alg))
    documents = [_public_document(each) for each in keys]
    if as_json:
        output.print_json({"keys": documents})
        return
    for document in documents:
        output.print_table([(name, value) for name, value in document.items() if name != "jwk"], indent="")
        if "jwk" in document:
            output.print_text(f"jwk          {output.clean(json.dumps(document['jwk'], ensure_ascii=False))}")


@key.command()
@click.argument("file")
@click.option("--to", "form", type=click.Choice(["jwk", "jwks", "pem"]), required=True)
@click.option("--public", is_flag=True, help="Only the public half; without it a private key is written as one.")
@_alg_option
@_out_option
@json_option
def convert(  # noqa: PLR0917 - click passes by name
    file: str, form: str, public: bool, alg: str | None, out: str | None, as_json: bool
) -> None:
    """Write the keys of a file in another format, to stdout or to a new file.

    \b
    Example:
      wimse key convert key.pem --to jwks --public --out keys.json
    """
    from wimse.keys import PrivateKey, PublicKey, SecretKey

    keys = inputs.read_any_keys(file, inputs.read_algorithm(alg))
    if public and any(isinstance(each, SecretKey) for each in keys):
        raise output.Unusable(f"{file} holds a shared secret, which has no public half")
    if public:
        keys = [each.public_key if isinstance(each, PrivateKey) else each for each in keys]
    if form == "jwks":
        data = _json_bytes({"keys": [each.to_jwk() for each in keys]})
    elif len(keys) != 1:
        raise output.Unusable(f"{file} holds {len(keys)} keys, and --to {form} takes one")
    else:
        data = _pem_of(keys[0]) if form == "pem" else _json_bytes(keys[0].to_jwk())
    _deliver(data, out, keys, private=not all(isinstance(each, PublicKey) for each in keys), as_json=as_json)


def _pem_of(each: PrivateKey | PublicKey | SecretKey) -> bytes:
    from wimse.keys import SecretKey

    if isinstance(each, SecretKey):
        raise output.Unusable("there is no PEM of a shared secret; use JWK")
    return each.to_pem()


def _json_bytes(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode("utf-8")


def _deliver(
    data: bytes, out: str | None, keys: Sequence[PrivateKey | PublicKey | SecretKey], *, private: bool, as_json: bool
) -> None:
    """Write `data` where it was asked for, and say what it is where that is not in the way."""
    if out is not None:
        inputs.create_file(out, data, mode=0o600 if private else _PUBLIC_FILE_MODE)
    documents = [_public_document(each) for each in keys]
    if as_json:
        where = {"file": out} if out is not None else {"data": data.decode("ascii")}
        output.print_json({"keys": documents, "private": private, **where})
    elif out is None:
        output.print_bytes(data)
    else:
        output.print_text(f"wrote {output.clean(out)}")
        for document in documents:
            output.print_table([(name, value) for name, value in document.items() if name != "jwk"])


def _public_document(each: PrivateKey | PublicKey | SecretKey) -> dict[str, object]:
    from wimse.keys import PrivateKey, SecretKey

    if isinstance(each, SecretKey):
        # Neither a jwk nor a thumbprint: the one is the secret, and against the other guesses can be tried.
        names = {"algorithm": each.algorithm.jose_name, "http_name": each.algorithm.http_name}
        return {**names, "kid": each.kid, "private": True}
    public = each.public_key if isinstance(each, PrivateKey) else each
    return {
        "algorithm": public.algorithm.jose_name,
        "http_name": public.algorithm.http_name,
        "thumbprint": public.thumbprint(),
        "kid": public.kid,
        "private": isinstance(each, PrivateKey),
        "jwk": public.to_jwk(),
    }
