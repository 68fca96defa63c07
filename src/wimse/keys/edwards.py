"""Which encodings are points that an honest Ed25519 or Ed448 key can be (RFC 8032 §5.1.3, §5.2.3, §5.1.7).

`cryptography` takes any bytes of the right length as a public key. Of these, points of small order verify a signature
over almost any message, and encodings that are not canonical give one key two names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wimse.errors import Reason, Refused

__all__ = ["ED448_CURVE", "ED25519_CURVE", "EdwardsCurve", "check_public_point"]


@dataclass(frozen=True, slots=True)
class EdwardsCurve:
    """The curve a x^2 + y^2 = 1 + d x^2 y^2 over the integers modulo p, and how its points are encoded.

    Attributes:
        name: of the algorithm, for the explanation.
        p: the field's prime.
        a: 1 or -1.
        d: the curve's constant, modulo p.
        sign_bit: position of the sign of x; all bits below are y, in little-endian order.
        low_order_y: the y coordinates of all points whose order divides the cofactor.
    """

    name: str
    p: int
    a: int
    d: int
    sign_bit: int
    low_order_y: frozenset[int]


_P25519: Final = 2**255 - 19
# The y coordinates of the eight points whose order divides 8: (0, 1) and (0, -1), the two with y = 0, and the four
# whose double has y = 0; for these x^2 = -y^2, so that y is a root of d y^4 + 2 y^2 - 1.
_ORDER_8_Y: Final = 2707385501144840649318225287225658788936804267575313519463743609750303402022

ED25519_CURVE: Final = EdwardsCurve(
    name="Ed25519",
    p=_P25519,
    a=-1,
    d=-121665 * pow(121666, -1, _P25519) % _P25519,
    sign_bit=255,
    low_order_y=frozenset({0, 1, _P25519 - 1, _ORDER_8_Y, _P25519 - _ORDER_8_Y}),
)

_P448: Final = 2**448 - 2**224 - 1
# RFC 8032 §5.2: the cofactor is 4. The points whose order divides it are (0, 1), (0, -1), (1, 0) and (-1, 0).
ED448_CURVE: Final = EdwardsCurve(
    name="Ed448", p=_P448, a=1, d=-39081 % _P448, sign_bit=455, low_order_y=frozenset({0, 1, _P448 - 1})
)


def check_public_point(encoded: bytes, curve: EdwardsCurve = ED25519_CURVE) -> None:
    """Refuse an encoded public key that no honest key pair has.

    Args:
        encoded: 32 bytes for Ed25519, 57 for Ed448: y in little-endian order, the sign of x in the highest bit.
        curve: which of the two curves.

    Raises:
        Refused: `key_malformed` when y is not below the field's prime or is no point of the curve;
            `key_weak` when the point's order divides the cofactor.
    """
    p = curve.p
    # For Ed448 the seven bits between y and the sign are part of the number, so that any of them makes it too large.
    y = int.from_bytes(encoded, "little") & ((1 << curve.sign_bit) - 1)
    if y >= p:
        raise Refused(Reason.KEY_MALFORMED, f"the {curve.name} public key is not in canonical form")
    if y in curve.low_order_y:
        raise Refused(Reason.KEY_WEAK, f"the {curve.name} public key is a point of low order")
    # RFC 8032 §5.1.3 and §5.2.3 step 2: x^2 = (y^2 - 1) / (d y^2 - a) must be a square. It is not 0, for then y would
    # be 1 or -1; the denominator is not 0, for d / a is not a square.
    y2 = y * y % p
    x2 = (y2 - 1) * pow(curve.d * y2 - curve.a, -1, p) % p
    if pow(x2, (p - 1) // 2, p) != 1:
        raise Refused(Reason.KEY_MALFORMED, f"the {curve.name} public key is no point of the curve")
