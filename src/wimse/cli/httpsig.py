"""``wimse httpsig``: signature bases, signing and verifying by RFC 9421 alone, with no thought of tokens."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click

from wimse.cli import inputs, output
from wimse.cli.options import json_option, now_option, scheme_option
from wimse.cli.root import VerificationCommand
from wimse.errors import Reason, Refused, WimseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimse.httpsig import LabelledSignature, MessageFile, NeedKey, VerifiedSignature
    from wimse.keys import Algorithm, VerificationKey

__all__ = ["httpsig"]

_INTEGER: Final = re.compile(r"-?[0-9]{1,15}", re.ASCII)  # RFC 9651 §3.3.1
_OPTIONS_OF_THEIR_OWN: Final = ("created", "expires", "nonce", "keyid", "alg", "tag")
_LARGEST: Final = 999_999_999_999_999
_request_option = click.option(
    "--request", "request_path", metavar="MESSAGE", help="The request that was sent, when MESSAGE is its response."
)


@click.group()
def httpsig() -> None:
    """HTTP Message Signatures (RFC 9421) alone.

    MESSAGE is a file with the bytes of an HTTP/1.1 message, or - for stdin; CRLF or LF end the lines of its head, and
    all after the empty line is the body.
    """


@httpsig.command()
@click.argument("message")
@click.option("--label", metavar="L", help="Which signature; needed when there are several.")
@_request_option
@scheme_option
@json_option
def base(message: str, label: str | None, request_path: str | None, scheme: str, as_json: bool) -> None:
    """Print the signature base of a signature that the message has, byte for byte, with no newline at its end.

    \b
    Example:
      wimse httpsig base request.http --label sig1
    """
    from wimse.httpsig import Requirements, parse_signatures, select_signature, signature_base

    inputs.refuse_two_stdins(message, request_path)
    file = inputs.read_message(message, scheme=scheme)
    request = inputs.read_request(request_path, file, scheme=scheme)
    chosen = select_signature(parse_signatures(file.message.fields), Requirements(label=label))
    built = signature_base(chosen.input, file.message, request)
    if not as_json:
        output.print_bytes(built.data)
        return
    document = {
        "label": chosen.label,
        "base": built.data.decode("ascii"),
        "covered": built.covered,
        "parameters": output.to_json_value(chosen.input.parameters),
    }
    output.print_json(document)


@httpsig.command()
@click.argument("message")
@click.option("--key", required=True, metavar="K", help="The private key, or a shared secret: a JWK or PEM.")
@click.option(
    "--cover",
    required=True,
    multiple=True,
    metavar="'\"@method\" …'",
    help="What to cover, in this order, as in Signature-Input; may be repeated.",
)
@click.option("--label", default="sig1", show_default=True, metavar="L", help="Name of the signature in the message.")
@click.option("--created", type=click.IntRange(0, _LARGEST), metavar="N", help="Seconds since 1970; now by default.")
@click.option("--no-created", is_flag=True, help="Leave the parameter created out.")
@click.option("--expires", type=click.IntRange(0, _LARGEST), metavar="N", help="Seconds since 1970.")
@click.option("--nonce", metavar="S")
@click.option("--keyid", metavar="S")
@click.option(
    "--alg",
    metavar="S",
    help="What the key is for, needed for RSA in PEM; written as the parameter alg where RFC 9421 has a name for it.",
)
@click.option("--tag", metavar="S")
@click.option(
    "--param",
    "extra",
    multiple=True,
    metavar="NAME=VALUE",
    help="A further parameter. ?1 and ?0 are Booleans, whole numbers Integers, all else is a String; a value in "
    'double quotes is always a String. NAME alone means NAME=?1, such as "--param wimse-sign-response".',
)
@_request_option
@scheme_option
@now_option
@json_option
def sign(  # noqa: PLR0917 - click passes by name
    message: str,
    key: str,
    cover: tuple[str, ...],
    label: str,
    created: int | None,
    no_created: bool,
    expires: int | None,
    nonce: str | None,
    keyid: str | None,
    alg: str | None,
    tag: str | None,
    extra: tuple[str, ...],
    request_path: str | None,
    scheme: str,
    now: int,
    as_json: bool,
) -> None:
    """Sign a message and write it to stdout: its bytes as they are, and two field lines at the end of the head.

    The parameters are written in the order created, expires, nonce, keyid, alg, tag, then each --param.

    \b
    Example:
      wimse httpsig sign request.http --key key.json --cover '"@method" "@path" "content-digest"' --keyid k1
    """
    from wimse.httpsig import SignatureInput, make_signature, parse_signatures

    inputs.refuse_two_stdins(message, key, request_path)
    if no_created and created is not None:
        raise output.Unusable("--created and --no-created exclude each other")
    algorithm = inputs.read_algorithm(alg)
    signer = inputs.read_signing_key(key, algorithm)
    components = inputs.read_components(cover, "--cover")
    own = {
        "created": None if no_created else now if created is None else created,
        "expires": expires,
        "nonce": nonce,
        "keyid": keyid,
        "alg": None if algorithm is None else algorithm.http_name,
        "tag": tag,
    }
    parameters = {name: value for name, value in own.items() if value is not None} | _parameters(extra)
    SignatureInput.build(components, parameters)  # wrong options are told before the message is looked at
    file = inputs.read_message(message, scheme=scheme)
    request = inputs.read_request(request_path, file, scheme=scheme)
    if label in parse_signatures(file.message.fields).labels:
        raise Refused(Reason.SIGNATURE_LABEL_DUPLICATED, "the message has a signature of this label already")
    made = make_signature(file.message, signer, components, parameters, label=label, request=request)
    signed = file.adding(*made.lines()).to_bytes()
    if not as_json:
        output.print_bytes(signed)
        return
    document = {
        "label": label,
        "signature_input": made.signature_input,
        "signature": made.signature,
        "base": made.base.data.decode("ascii"),
        "covered": made.base.covered,
        "parameters": output.to_json_value(parameters),
        "message_base64": base64.b64encode(signed).decode("ascii"),
    }
    output.print_json(document)


def _parameters(texts: tuple[str, ...]) -> dict[str, object]:
    parameters: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name in _OPTIONS_OF_THEIR_OWN:
            raise output.Unusable(f"--param: {name} has an option of its own, --{name}")
        if name in parameters:
            raise output.Unusable("--param: a name occurs twice")
        parameters[name] = _parameter_value(value) if equals else True
    return parameters


def _parameter_value(text: str) -> object:
    if text in ("?0", "?1"):
        return text == "?1"
    if _INTEGER.fullmatch(text):
        return int(text)
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text


@httpsig.command(cls=VerificationCommand)
@click.argument("message")
@click.option(
    "--keys",
    "keys_path",
    required=True,
    metavar="K",
    help="The public key, or a shared secret: a JWK, a JWK Set or PEM.",
)
@click.option("--alg", metavar="A", help="The algorithm, by any of its names; must be that of the key.")
@click.option("--label", metavar="L", help="Which signature, by its label.")
@click.option("--tag", metavar="T", help="Which signature, by its tag.")
@click.option("--max-age", type=click.IntRange(0, _LARGEST), metavar="S", help="Longest age in seconds since created.")
@click.option("--require", multiple=True, metavar="'\"@method\" …'", help="What must be covered; may be repeated.")
@_request_option
@scheme_option
@now_option
@json_option
def verify(  # noqa: PLR0917 - click passes by name
    message: str,
    keys_path: str,
    alg: str | None,
    label: str | None,
    tag: str | None,
    max_age: int | None,
    require: tuple[str, ...],
    request_path: str | None,
    scheme: str,
    now: int,
    as_json: bool,
) -> None:
    """Verify one signature of a message, by RFC 9421 alone.

    The key is the one whose kid is the signature's keyid; a file with one key that has no kid (PEM) is taken as it is,
    and so is the only key when the signature has no keyid. Anything else is refused with key_unknown.

    An RSA key in PEM does not say what it is for: --alg says it, or else the signature's own parameter alg. A shared
    secret is a JWK of the type oct, and nothing else is ever taken for one.

    Without --max-age the signature's age is not judged; its expires always is, and that created is not in the future,
    both with 30 s for clocks that differ.

    The body is not part of a signature. Whether it is the one that Content-Digest says is told as information
    ("content_digest"), with a warning when it is not; `wimse authenticate` would refuse it.

    \b
    Example:
      wimse httpsig verify request.http --keys keys.json --require '"@method" "@path"' --max-age 300
    """
    inputs.refuse_two_stdins(message, keys_path, request_path)
    algorithm = inputs.read_algorithm(alg)
    keys = inputs.read_verification_keys(keys_path, algorithm)
    required = inputs.read_components(require, "--require")
    file = inputs.read_message(message, scheme=scheme)
    request = inputs.read_request(request_path, file, scheme=scheme)

    from wimse.httpsig import Requirements
    from wimse.httpsig import run as run_flow
    from wimse.httpsig import verify as verify_signature

    requirements = Requirements(
        label=label,
        tag=tag,
        components=required,
        max_age=None if max_age is None else timedelta(seconds=min(max_age, 10**12)),
    )
    digest = _digest_of(file)
    flow = verify_signature(file.message, requirements, now=now, request=request)
    try:
        verified: VerifiedSignature = run_flow(flow, _key_of(keys, algorithm))
    except WimseError as error:
        output.show_refusal(error, as_json=as_json, more={"content_digest": digest})
        raise click.exceptions.Exit(1) from None
    if digest in ("mismatch", "unusable"):
        output.show_warning("the body is not the one that Content-Digest says; the signature does not cover the body")
    document = {
        "label": verified.label,
        "algorithm": verified.key.algorithm.http_name or verified.key.algorithm.jose_name,
        "content_digest": digest,
        "covered": dict(verified.covered),
        "parameters": output.to_json_value(verified.parameters),
    }
    output.verdict(document, f"valid: the signature {verified.label}", as_json=as_json)


def _digest_of(file: MessageFile) -> str:
    """What Content-Digest says of the body in the file, as information."""
    from wimse.httpsig import CONTENT_DIGEST, check_content_digest

    if CONTENT_DIGEST not in file.message.fields:
        return "absent"
    try:
        check_content_digest(file.message.fields, file.content)
    except Refused as refused:
        return "mismatch" if refused.reason is Reason.DIGEST_MISMATCH else "unusable"
    return "matches"


def _key_of(
    keys: Callable[[str | None], list[VerificationKey]], algorithm: Algorithm | None
) -> Callable[[NeedKey], VerificationKey]:
    """Choose the key of a signature among `keys`, which must be one for `algorithm` when that is given."""

    def answer(need: NeedKey) -> VerificationKey:
        key = _named(keys(need.signature.input.text("alg")), need.signature)
        if algorithm is not None and key.algorithm is not algorithm:
            raise Refused(Reason.ALGORITHM_MISMATCH, "the algorithm that was asked for is not the one of the key")
        return key

    return answer


def _named(keys: list[VerificationKey], signature: LabelledSignature) -> VerificationKey:
    keyid = signature.input.text("keyid")
    if keyid is None:
        if len(keys) == 1:
            return keys[0]
        raise Refused(Reason.KEY_UNKNOWN, "the signature has no keyid, and there is more than one key")
    named = [key for key in keys if key.kid == keyid]
    if len(named) == 1:
        return named[0]
    if len(keys) == 1 and keys[0].kid is None:
        return keys[0]
    raise Refused(Reason.KEY_UNKNOWN, "not exactly one of the keys has the kid that the signature's keyid names")
