"""Strict base64url and strict JSON: nothing that a second reader of the same bytes might take otherwise.

`base64.urlsafe_b64decode` drops foreign characters and takes non-zero trailing bits; `json.loads` lets the last of
two equal members win, takes NaN and Infinity and recurses as deep as the input says. Any of these gives one signed
token two readings, so none of them is used bare.
"""

from __future__ import annotations

import binascii
import json
import re
from binascii import a2b_base64, b2a_base64
from typing import Final, NoReturn

import msgspec

from wimse.errors import Reason, Refused

__all__ = ["b64url_decode", "b64url_encode", "parse_json_object"]

MAX_JSON_BYTES: Final = 65_536
MAX_JSON_DEPTH: Final = 16
MAX_JSON_INTEGER_DIGITS: Final = 19

_B64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
# By what is left of the length over fours: what it lacks, and the last characters that it can have (RFC 4648 §3.5).
_PADDING: Final = (b"", b"", b"==", b"=")
_LAST: Final = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")
_DIGITS_AS_ONE: Final = bytes.maketrans(b"123456789-", b"0000000000")
_LONG_NUMBER: Final = b"0" * (MAX_JSON_INTEGER_DIGITS + 1)
# The closing quote is optional: without it each quote of an unterminated string would be tried anew, in quadratic time.
_JSON_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def b64url_encode(data: bytes) -> str:
    """Encode as base64url without padding (RFC 7515 §2)."""
    return b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=").decode("ascii")


def b64url_decode(text: str, what: str) -> bytes:
    """Decode base64url without padding, accepting only the encoding that `b64url_encode` writes.

    Args:
        text: the encoded text.
        what: what it is, for the explanation.

    Raises:
        Refused: `base64_malformed` for characters outside the alphabet, padding, an impossible length, or
            trailing bits that are not zero.
    """
    written = text.encode("ascii", "replace")  # with a question mark, which is none of the characters either
    rest = len(written) % 4
    # What base64 has and base64url does not, first; strict_mode refuses all other characters and lengths. Of the last
    # character some bits may stand for nothing, and are zero then.
    if b"+" in written or b"/" in written or b"=" in written or (rest and written[-1] not in _LAST[rest]):
        raise _malformed(text, what)
    try:
        return a2b_base64(written.translate(_STANDARD) + _PADDING[rest], strict_mode=True)
    except binascii.Error:
        raise _malformed(text, what) from None


def _malformed(text: str, what: str) -> Refused:
    if not _B64URL.fullmatch(text):
        wrong = "has a character that base64url does not have"
    elif len(text) % 4 == 1:
        wrong = "has a length that base64url cannot have"
    else:
        wrong = "is not canonical base64url"
    return Refused(Reason.BASE64_MALFORMED, f"{what} {wrong}")


def parse_json_object(data: bytes, what: str, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, object]:
    """Parse a JSON object in UTF-8, refusing everything that readers disagree about.

    Args:
        data: the document.
        what: what it is, for the explanation.
        max_bytes: largest size accepted, in bytes.

    Raises:
        Refused: `json_malformed`, `json_duplicate_member`, `json_too_deep` (more than 16 levels) or
            `document_too_large`.
    """
    if len(data) > max_bytes:
        raise Refused(Reason.DOCUMENT_TOO_LARGE, f"{what} is larger than {max_bytes} bytes")
    canonical = _parse_canonical(data)
    if canonical is not None:
        return canonical
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(Reason.JSON_MALFORMED, f"{what} is not UTF-8") from None
    _check_depth(text, what)
    try:
        value = _decoder(what).decode(text)
    except json.JSONDecodeError:
        raise Refused(Reason.JSON_MALFORMED, f"{what} is not JSON") from None
    if not isinstance(value, dict):
        raise Refused(Reason.JSON_MALFORMED, f"{what} is not a JSON object")
    _check_strings(value, what)
    return value


def _parse_canonical(data: bytes) -> dict[str, object] | None:
    """Read a document that is the same to the letter when it is written again; None leaves it to the strict parser.

    So does nearly every issuer write. In such a text no member is there twice, since it would have been written once;
    and what readers disagree about (constants, escapes, numbers with an exponent) is written otherwise.
    """
    try:
        value = msgspec.json.decode(data)
    except (ValueError, RecursionError):  # msgspec.DecodeError and UnicodeDecodeError are the former
        return None
    if type(value) is not dict or msgspec.json.encode(value) != data:
        return None
    if data.count(b"{") + data.count(b"[") > MAX_JSON_DEPTH or _LONG_NUMBER in data.translate(_DIGITS_AS_ONE):
        return None  # it may be too deep, or have an integer of too many digits
    return value


def _check_depth(text: str, what: str) -> None:
    # Before the parser, which recurses: RecursionError is not a ValueError.
    depth = 0
    for match in _JSON_STRUCTURE.finditer(text):
        found = match.group()
        if found in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise Refused(Reason.JSON_TOO_DEEP, f"{what} is nested deeper than {MAX_JSON_DEPTH} levels")
        elif found in "]}":
            depth -= 1


def _decoder(what: str) -> json.JSONDecoder:
    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise Refused(Reason.JSON_DUPLICATE_MEMBER, f"{what} has a member twice")
        return result

    def constant(_: str) -> NoReturn:
        raise Refused(Reason.JSON_MALFORMED, f"{what} has a number that JSON does not have")

    def integer(digits: str) -> int:
        if len(digits) > MAX_JSON_INTEGER_DIGITS:
            raise Refused(Reason.JSON_MALFORMED, f"{what} has an integer of too many digits")
        return int(digits)

    def real(digits: str) -> float:
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            raise Refused(Reason.JSON_MALFORMED, f"{what} has a number that is too large")
        return number

    return json.JSONDecoder(object_pairs_hook=members, parse_constant=constant, parse_int=integer, parse_float=real)


def _check_strings(value: object, what: str) -> None:
    # "\ud800" alone is JSON but not text: it cannot be encoded, compared or logged.
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise Refused(Reason.JSON_MALFORMED, f"{what} has a string that is not Unicode text") from None
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_strings(name, what)
            _check_strings(member, what)
    elif isinstance(value, list):
        for item in value:
            _check_strings(item, what)
