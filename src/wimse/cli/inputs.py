"""What commands read: files, messages, tokens, keys and trust bundles.

A file that cannot be read, and a key or bundle that is none, are `Unusable` (exit status 2). A message or a token is
what is judged: that it is malformed is left to the room that parses it, whose refusal is the verdict (exit status 1).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from wimse.cli.output import Failed, Unusable
from wimse.errors import Reason, Refused, WimseError

if TYPE_CHECKING:
    from wimse.credentials import TrustBundle, TrustBundles, TrustDomain
    from wimse.httpsig import ComponentIdentifier, MessageFile, Request
    from wimse.keys import Algorithm, PrivateKey, PublicKey, SecretKey, VerificationKey

__all__ = [
    "create_file",
    "is_token_argument",
    "read_algorithm",
    "read_any_keys",
    "read_bundles",
    "read_components",
    "read_file",
    "read_message",
    "read_request",
    "read_signing_key",
    "read_token",
    "read_verification_keys",
    "refuse_two_stdins",
    "unusable",
]

MAX_MESSAGE_BYTES: Final = 67_108_864
MAX_SMALL_FILE_BYTES: Final = 1_048_576
_MAX_BUNDLE_DOMAINS: Final = 256
_SUFFIX: Final = re.compile(r"^[^.]*\.[a-z0-9]{1,5}$|\.(?:txt|jwt|json|http|token|wit)$", re.ASCII)


@contextmanager
def unusable(what: str) -> Iterator[None]:
    """Turn a refusal of something that the user configured into `Unusable`, which is not a verdict."""
    try:
        yield
    except WimseError as error:
        raise Unusable(f"{what}: {error.detail}", error) from None


def read_file(path: str, what: str, *, max_bytes: int = MAX_SMALL_FILE_BYTES) -> bytes:
    """Read a file, or stdin for ``-``.

    Args:
        path: of the file.
        what: what it is, for the explanation.
        max_bytes: largest size accepted.

    Raises:
        Unusable: when it cannot be read or is larger.
    """
    try:
        if path == "-":
            data = sys.stdin.buffer.read(max_bytes + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or "the name is not one that a file can have"
        raise Unusable(f"cannot read {what} {path}: {detail}") from None
    if len(data) > max_bytes:
        raise Unusable(f"{what} {path} is larger than {max_bytes} bytes")
    return data


def refuse_two_stdins(*paths: str | None) -> None:
    """Refuse to read two inputs from the one stdin.

    Raises:
        Unusable: when more than one of `paths` is ``-``.
    """
    if sum(path == "-" for path in paths) > 1:
        raise Unusable("only one input can come from stdin")


def read_message(path: str, *, scheme: str) -> MessageFile:
    """Read the message that is judged.

    Raises:
        Unusable: when the file cannot be read.
        Refused: when its bytes are no message.
    """
    from wimse.httpsig import parse_http1

    return parse_http1(read_file(path, "the message", max_bytes=MAX_MESSAGE_BYTES), scheme=scheme)


def read_request(path: str | None, answer: MessageFile, *, scheme: str) -> Request | None:
    """Read the request that a response answers, where one is given.

    Raises:
        Unusable: when the file cannot be read or holds no request, or when the message itself is a request.
    """
    from wimse.httpsig import Request, parse_http1

    if path is None:
        return None
    if isinstance(answer.message, Request):
        raise Unusable("--request belongs to a response, and the message is a request")
    with unusable("the request"):
        message = parse_http1(read_file(path, "the request", max_bytes=MAX_MESSAGE_BYTES), scheme=scheme).message
    if not isinstance(message, Request):
        raise Unusable(f"{path} is a response, and --request needs a request")
    return message


def is_token_argument(text: str) -> bool:
    """Whether an argument is a compact token itself, well-formed or not, rather than the name of a file.

    What is there as a file is a file. Else it is a token when it begins as one does (``ey`` is base64url of ``{"``), or
    has neither a slash nor the ending of a file's name.
    """
    if _is_there(text):
        return False
    if text.startswith("ey") and "." in text and "/" not in text.partition(".")[0]:
        return True
    return "/" not in text and not _SUFFIX.search(text)


def read_token(argument: str) -> str:
    """The token that is judged: the argument itself, or what is in the file that it names, or in stdin for ``-``.

    Raises:
        Unusable: when it is the name of a file that cannot be read.
    """
    if argument != "-" and is_token_argument(argument):
        return argument
    return read_file(argument, "the token").decode("latin-1").strip(" \t\r\n")


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False


def read_any_keys(path: str, algorithm: Algorithm | None = None) -> list[PrivateKey | PublicKey | SecretKey]:
    """Every key of a file, whatever it is; RSA keys and secrets that do not say so are for `algorithm`.

    Raises:
        Unusable: when it cannot be read, or a key is not acceptable.
    """
    from wimse.keys import load_keys

    with unusable(f"the keys {path}"):
        return load_keys(read_file(path, "the keys"), algorithm=algorithm)


def read_verification_keys(path: str, algorithm: Algorithm | None) -> Callable[[str | None], list[VerificationKey]]:
    """The keys of a file that verify, once it is known what RSA keys and secrets are for that do not say so.

    Args:
        path: of the file. It is read now, and every key that says what it is for is checked now.
        algorithm: from configuration; None lets the signature's own `alg` decide (RFC 9421 §3.2 step 6.3).

    Returns:
        A function of a signature's `alg`, which raises `Refused` with `algorithm_missing` when that does not decide
        either, and with `algorithm_mismatch` when key, configuration and signature do not agree: the bytes of a public
        key never become the secret of an HMAC (§7.3.6).

    Raises:
        Unusable: when the file cannot be read, or a key is not acceptable.
    """
    from wimse.keys import load_verification_keys
    from wimse.keys.algorithms import algorithm_of_http_name

    data = read_file(path, "the keys")
    try:
        with unusable(f"the keys {path}"):
            keys = load_verification_keys(data, algorithm=algorithm)
    except Unusable as error:
        reason = None if error.cause is None else error.cause.reason
        # That key and configuration do not agree is a verdict as well (§3.2 step 6.4), and told with the others.
        if reason is not (Reason.ALGORITHM_MISSING if algorithm is None else Reason.ALGORITHM_MISMATCH):
            raise
        return lambda named: load_verification_keys(data, algorithm=algorithm or algorithm_of_http_name(named))
    return lambda _: keys


def read_signing_key(path: str, algorithm: Algorithm | None) -> PrivateKey | SecretKey:
    """The one key of a file that signs: private, or a shared secret; raises as `read_any_keys`."""
    from wimse.keys import load_signing_key

    with unusable(f"the key {path}"):
        return load_signing_key(read_file(path, "the key"), algorithm=algorithm)


def read_algorithm(name: str | None) -> Algorithm | None:
    """The algorithm that an option ``--alg`` names, by any of its names.

    Raises:
        Unusable: when there is none of this name.
    """
    from wimse.keys import algorithm_named

    with unusable("--alg"):
        return None if name is None else algorithm_named(name)


def read_components(texts: tuple[str, ...], option: str) -> tuple[ComponentIdentifier, ...]:
    """Component identifiers as they stand in Signature-Input, ``"@method" "a";req``, or bare names.

    Args:
        texts: each with any number of identifiers, separated by spaces.
        option: where they come from, for the explanation.

    Raises:
        Unusable: when one is malformed.
    """
    import http_sf

    from wimse.httpsig import ComponentIdentifier

    found: list[ComponentIdentifier] = []
    with unusable(option):
        for text in texts:
            inner = text.strip().removeprefix("(").removesuffix(")")
            if '"' not in inner:
                found.extend(ComponentIdentifier.parse(each) for each in inner.split())
                continue
            try:
                parsed = http_sf.parse(f"({inner})".encode("ascii"), tltype="list", on_duplicate_key=_refuse_duplicate)
            except (http_sf.StructuredFieldError, UnicodeEncodeError):
                raise Refused(Reason.COMPONENT_UNKNOWN, "the list of components is malformed") from None
            members = cast("list[tuple[Any, dict[str, Any]]]", parsed)
            if len(members) != 1 or members[0][1]:
                raise Refused(Reason.COMPONENT_UNKNOWN, "the list of components is malformed")
            found.extend(ComponentIdentifier.from_item(name, parameters) for name, parameters in members[0][0])
    return tuple(found)


def _refuse_duplicate(_: str, __: str) -> None:
    raise Refused(Reason.PARAMETER_DUPLICATED, "a parameter of a component occurs twice")


def read_bundles(path: str, trust_domain: TrustDomain | None) -> TrustBundles:
    """The trust bundles of a file: one SPIFFE bundle (a JWK Set), or a map of several (``trust_domains``).

    Args:
        path: of the file.
        trust_domain: whose bundle it is, or which one of the map; None takes what the file says: the names in a map,
            a member ``trust_domain`` with a URI, or the URI in its CA certificates when all of them agree.

    Raises:
        Unusable: when it cannot be read or parsed, or when nothing says whose bundle it is.
    """
    from wimse.credentials import TrustBundle, TrustBundles
    from wimse.keys import parse_json_object

    data = read_file(path, "the bundle")
    with unusable(f"the bundle {path}"):
        document = parse_json_object(data, "it", max_bytes=MAX_SMALL_FILE_BYTES)
        if "trust_domains" in document:
            bundles = _bundle_map(document["trust_domains"])
            if trust_domain is None:
                return bundles
            if trust_domain not in bundles:
                raise Refused(Reason.TRUST_DOMAIN_UNKNOWN, f"it has no bundle of {trust_domain}")
            return TrustBundles(bundles[trust_domain])
        found = _trust_domain_of(document)
        if trust_domain is not None and "trust_domain" in document and found != trust_domain:
            raise Refused(Reason.TRUST_DOMAIN_UNKNOWN, f"it says that it is the one of {found}")
        if trust_domain is None and found is None:
            raise Unusable(
                f"the bundle {path} does not say whose it is: add --trust-domain, such as spiffe://example.com"
            )
        return TrustBundles(TrustBundle.from_jwks(cast("TrustDomain", trust_domain or found), document))


def _bundle_map(value: object) -> TrustBundles:
    from wimse.credentials import TrustBundle, TrustBundles

    if not isinstance(value, dict) or not 0 < len(value) <= _MAX_BUNDLE_DOMAINS:
        raise Refused(Reason.BUNDLE_MALFORMED, "its trust_domains are not 1 to 256 named bundles")
    bundles: list[TrustBundle] = []
    for name, document in value.items():
        if not isinstance(document, dict):
            raise Refused(Reason.BUNDLE_MALFORMED, "a bundle in its trust_domains is not an object")
        bundles.append(TrustBundle.from_jwks(_domain(name), document))
    return TrustBundles(*bundles)


def _domain(name: str) -> TrustDomain:
    from wimse.credentials import TrustDomain

    return TrustDomain.parse(name if "://" in name else f"spiffe://{name}")


def _trust_domain_of(document: Mapping[str, object]) -> TrustDomain | None:
    """Whose bundle a document says that it is; None when it does not, or when its certificates do not agree."""
    from wimse.credentials import TrustBundle, TrustDomain

    if "trust_domain" in document:
        name = document["trust_domain"]
        if not isinstance(name, str):
            raise Refused(Reason.BUNDLE_MALFORMED, "its trust_domain is not a string")
        return _domain(name)
    anyone = TrustBundle.from_jwks(TrustDomain("spiffe", "unknown"), document)
    named = {uri for certificate in anyone.x509_authorities for uri in _uris_of(certificate)}
    if len(named) != 1:
        return None
    try:
        return TrustDomain.parse(named.pop())
    except Refused:
        return None


def _uris_of(certificate: bytes) -> list[str]:
    from cryptography import x509

    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound, x509.InvalidVersion):
        return []


def create_file(path: str, data: bytes, *, mode: int = 0o600) -> None:
    """Write a new file, whole or not at all; one that is there is never replaced, and no link is followed.

    Args:
        path: of the file.
        data: its bytes.
        mode: its permission bits, from the first moment on.

    Raises:
        Failed: when it is there already, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise Failed(f"{path} is there already and is not replaced") from None
    except (OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or "the name is not one that a file can have"
        raise Failed(f"cannot write {path}: {detail}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        Path(path).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise Failed(f"cannot write {path}: {error.strerror}") from None
        raise
