"""What PEM says of a key beyond its numbers, and the library does not hand on."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from wimse.errors import Reason, Refused
from wimse.keys.algorithms import Algorithm
from wimse.keys.rsa_checks import restricted_to_pss

__all__ = ["check_der_restriction", "check_restriction"]

_BODY: Final = re.compile(rb"-----BEGIN (?:PUBLIC|PRIVATE) KEY-----([^-]*)-----END", re.ASCII)


def check_restriction(pem: bytes, algorithm: Algorithm) -> None:
    """Refuse to use a key that is for RSASSA-PSS alone by another algorithm (RFC 4055 §1.2, RFC 9421 §7.3.6).

    Args:
        pem: that the library has read already.
        algorithm: what the key is to be used for.

    Raises:
        Refused: `algorithm_mismatch`; `key_malformed` for a block that is not base64; `key_unsupported` when the key
            is restricted to parameters as well.
    """
    if algorithm.key_type != "RSA":
        return
    for found in _BODY.finditer(pem):  # every block: which one the library has read depends on what was asked for
        try:
            der = base64.b64decode(found[1])
        except binascii.Error:  # pragma: no cover - the library has decoded every block, if perhaps more laxly
            raise Refused(Reason.KEY_MALFORMED, "the PEM is not base64") from None
        check_der_restriction(der, algorithm)


def check_der_restriction(der: bytes, algorithm: Algorithm) -> None:
    """As `check_restriction`, for SubjectPublicKeyInfo or PKCS#8 in DER."""
    if algorithm.key_type == "RSA" and restricted_to_pss(der) and algorithm.padding != "pss":
        raise Refused(Reason.ALGORITHM_MISMATCH, "the key is for RSASSA-PSS alone")
