"""Which encodings are points that an honest Ed25519 key can be (RFC 8032 §5.1.3, §5.1.7).

`cryptography` takes any 32 bytes as a public key. Of these, points of small order verify a signature over almost
any message, and encodings that are not canonical give one key two names.
"""

from __future__ import annotations

from typing import Final

from wimse.errors import Reason, Refused

__all__ = ["check_public_point"]

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P

# The y coordinates of the eight points whose order divides 8: (0, 1) and (0, -1), the two with y = 0, and the four
# whose double has y = 0; for these x^2 = -y^2, so that y is a root of D y^4 + 2 y^2 - 1.
_ORDER_8_Y: Final = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_LOW_ORDER_Y: Final = frozenset({0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y})


def check_public_point(encoded: bytes) -> None:
    """Refuse an encoded Ed25519 public key that no honest key pair has.

    Args:
        encoded: 32 bytes: y in little-endian order, the sign of x in the highest bit.

    Raises:
        Refused: `key_malformed` when y is not below the field's prime or is no point of the curve;
            `key_weak` when the point's order divides 8.
    """
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    if y >= _P:
        raise Refused(Reason.KEY_MALFORMED, "the Ed25519 public key is not in canonical form")
    if y in _LOW_ORDER_Y:
        raise Refused(Reason.KEY_WEAK, "the Ed25519 public key is a point of low order")
    # RFC 8032 §5.1.3 step 2: x^2 = (y^2 - 1) / (D y^2 + 1) must be a square.
    y2 = y * y % _P
    x2 = (y2 - 1) * pow(_D * y2 + 1, -1, _P) % _P
    if pow(x2, (_P - 1) // 2, _P) != 1:
        raise Refused(Reason.KEY_MALFORMED, "the Ed25519 public key is no point of the curve")
