"""``wimse key``: generate, show and convert keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from wimse.cli import inputs, output
from wimse.cli.options import json_option

if TYPE_CHECKING:
    from wimse.keys import PrivateKey, PublicKey

__all__ = ["key"]

_PUBLIC_FILE_MODE = 0o644
_out_option = click.option(
    "--out", metavar="F", help="Write to this new file, 0600 for a private key; one that is there is not replaced."
)


@click.group()
def key() -> None:
    """Generate, show and convert keys: JWK, JWK Set and PEM; P-256 (ES256) and Ed25519 (EdDSA)."""


@key.command()
@click.option("--algorithm", default="ES256", show_default=True, metavar="A", help="ES256 or EdDSA.")
@click.option("--kid", metavar="S", help="The key's identifier, in a JWK.")
@click.option("--format", "form", type=click.Choice(["jwk", "pem"]), default="jwk", show_default=True)
@_out_option
@json_option
def generate(algorithm: str, kid: str | None, form: str, out: str | None, as_json: bool) -> None:
    """Make a new private key, and write it to stdout or to a new file.

    \b
    Example:
      wimse key generate --algorithm EdDSA --kid k1 --out key.json
    """
    from wimse.keys import PrivateKey, algorithm_named

    if form == "pem" and kid is not None:
        raise output.Unusable("--kid: PEM holds no kid; use --format jwk")
    with inputs.unusable("--algorithm"):
        made = PrivateKey.generate(algorithm_named(algorithm), kid=kid)
    data = made.to_pem() if form == "pem" else _json_bytes(made.to_jwk())
    _deliver(data, out, [made], private=True, as_json=as_json)


@key.command()
@click.argument("file")
@json_option
def show(file: str, as_json: bool) -> None:
    """Show the public information of the keys in a file; never a private part.

    \b
    Example:
      wimse key show key.json
    """
    from wimse.keys import load_keys

    with inputs.unusable(f"the keys {file}"):
        keys = load_keys(inputs.read_file(file, "the keys"))
    documents = [_public_document(each) for each in keys]
    if as_json:
        output.print_json({"keys": documents})
        return
    for document in documents:
        output.print_table([(name, value) for name, value in document.items() if name != "jwk"], indent="")
        output.print_text(f"jwk          {output.clean(json.dumps(document['jwk'], ensure_ascii=False))}")


@key.command()
@click.argument("file")
@click.option("--to", "form", type=click.Choice(["jwk", "jwks", "pem"]), required=True)
@click.option("--public", is_flag=True, help="Only the public half; without it a private key is written as one.")
@_out_option
@json_option
def convert(file: str, form: str, public: bool, out: str | None, as_json: bool) -> None:
    """Write the keys of a file in another format, to stdout or to a new file.

    \b
    Example:
      wimse key convert key.pem --to jwks --public --out keys.json
    """
    from wimse.keys import PrivateKey, load_keys

    with inputs.unusable(f"the keys {file}"):
        keys = load_keys(inputs.read_file(file, "the keys"))
    if public:
        keys = [each.public_key if isinstance(each, PrivateKey) else each for each in keys]
    if form == "jwks":
        data = _json_bytes({"keys": [each.to_jwk() for each in keys]})
    elif len(keys) != 1:
        raise output.Unusable(f"{file} holds {len(keys)} keys, and --to {form} takes one")
    else:
        data = keys[0].to_pem() if form == "pem" else _json_bytes(keys[0].to_jwk())
    _deliver(data, out, keys, private=any(isinstance(each, PrivateKey) for each in keys), as_json=as_json)


def _json_bytes(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode("utf-8")


def _deliver(
    data: bytes, out: str | None, keys: list[PrivateKey] | list[PrivateKey | PublicKey], *, private: bool, as_json: bool
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


def _public_document(each: PrivateKey | PublicKey) -> dict[str, object]:
    from wimse.keys import PrivateKey

    public = each.public_key if isinstance(each, PrivateKey) else each
    return {
        "algorithm": public.algorithm.jose_name,
        "http_name": public.algorithm.http_name,
        "thumbprint": public.thumbprint(),
        "kid": public.kid,
        "private": isinstance(each, PrivateKey),
        "jwk": public.to_jwk(),
    }
