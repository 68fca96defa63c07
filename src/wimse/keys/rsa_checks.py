"""Which numbers are an RSA key that proves something and that costs a bounded time to use.

Rules: a modulus of 2,048 (RFC 7518 §3.3, §3.5) to 8,192 bits, odd and without a small factor (SP 800-89 §5.3.3); an
odd exponent of at least 3 and below 2^32: with 1 everybody signs, and a huge one makes each verification slow.
A private key has every member for the Chinese remainder theorem, and each fits the others: a signature that is made
with one wrong member gives a factor of the modulus away.
"""

from __future__ import annotations

import math
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from wimse.errors import Reason, Refused

__all__ = ["MAX_MODULUS_BITS", "MIN_MODULUS_BITS", "check_private", "check_public", "restricted_to_pss"]

MIN_MODULUS_BITS: Final = 2_048
MAX_MODULUS_BITS: Final = 8_192
MAX_EXPONENT_BITS: Final = 32

# SP 800-89 §5.3.3: no factor smaller than 752.
_SMALL_PRIMES: Final = math.prod(n for n in range(3, 752, 2) if all(n % d for d in range(3, math.isqrt(n) + 1, 2)))

_ID_RSASSA_PSS: Final = bytes.fromhex("06092a864886f70d01010a")  # RFC 4055 §1.2, with its DER tag and length


def check_public(n: int, e: int) -> None:
    """Check a public key's modulus `n` and exponent `e`.

    Raises:
        Refused: `key_weak` below 2,048 bits, for an exponent of 1, and for a modulus with a small factor;
            `key_unsupported` above 8,192 bits and for an exponent of more than 32; `key_malformed` when either is even.
    """
    if n.bit_length() < MIN_MODULUS_BITS:
        raise Refused(Reason.KEY_WEAK, f"the RSA modulus has fewer than {MIN_MODULUS_BITS} bits")
    if n.bit_length() > MAX_MODULUS_BITS:
        raise Refused(Reason.KEY_UNSUPPORTED, f"the RSA modulus has more than {MAX_MODULUS_BITS} bits")
    if e.bit_length() > MAX_EXPONENT_BITS:
        raise Refused(Reason.KEY_UNSUPPORTED, f"the RSA exponent has more than {MAX_EXPONENT_BITS} bits")
    if not n & 1 or not e & 1:
        raise Refused(Reason.KEY_MALFORMED, "the RSA modulus or exponent is even")
    if e == 1:
        raise Refused(Reason.KEY_WEAK, "the RSA exponent is 1")
    if math.gcd(n, _SMALL_PRIMES) != 1:
        raise Refused(Reason.KEY_WEAK, "the RSA modulus has a small factor")


def check_private(numbers: rsa.RSAPrivateNumbers) -> None:
    """Check that the members of a private key fit each other (RFC 8017 §3.2). The public ones are checked already.

    Raises:
        Refused: `key_mismatch` when they do not.
    """
    p, q, d = numbers.p, numbers.q, numbers.d
    fits = (
        min(p, q) > 1
        and p * q == numbers.public_numbers.n
        and d * numbers.public_numbers.e % (p - 1) == 1
        and d * numbers.public_numbers.e % (q - 1) == 1
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and 0 < numbers.iqmp < p
        and numbers.iqmp * q % p == 1
    )
    if not fits:
        raise Refused(Reason.KEY_MISMATCH, "the members of the RSA private key do not fit each other")


def restricted_to_pss(der: bytes) -> bool:
    """Whether a key in DER (SubjectPublicKeyInfo or PKCS#8) says that it is for RSASSA-PSS alone (RFC 4055 §1.2).

    The library reads such a key as any RSA key, and forgets what it is for.

    Raises:
        Refused: `key_unsupported` when it is restricted to parameters as well: their defaults are SHA-1, and what JOSE
            and RFC 9421 ask for cannot be told from them without reading all of them.
    """
    # The algorithm is the first member of the outer sequence, or the second one after a version of three bytes.
    position = der[:32].find(_ID_RSASSA_PSS)
    if position < 1:
        return False
    if der[position - 1] != len(_ID_RSASSA_PSS):
        raise Refused(Reason.KEY_UNSUPPORTED, "the RSA key is restricted to certain parameters of RSASSA-PSS")
    return True
