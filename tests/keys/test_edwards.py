from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448

from tests import vectors
from tests.refusals import reason_of, refused
from wimse.errors import Reason
from wimse.keys import PublicKey, b64url_encode
from wimse.keys.edwards import ED448_CURVE, check_public_point

CASES = vectors.cases("ed25519_public_keys")
SMALL = {name: case for name, case in CASES.items() if "low-order" in name}

# The curve equation, written again: -x^2 + y^2 = 1 + d x^2 y^2 over p.
P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
Point = tuple[int, int]


def _add(a: Point, b: Point) -> Point:
    product = D * a[0] * b[0] * a[1] * b[1] % P
    return (
        (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, P - 2, P) % P,
        (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, P - 2, P) % P,
    )


def _decode_as_lax_libraries_do(encoded: bytes) -> Point:
    y = (int.from_bytes(encoded, "little") & (2**255 - 1)) % P
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert (x * x - square) % P == 0
    return (P - x if x & 1 != encoded[31] >> 7 else x) % P, y


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_only_canonical_points_of_large_order_become_keys(case: dict[str, Any]) -> None:
    """CR-17: all 14 encodings of the points of small order, and what is not canonical."""
    encoded = bytes.fromhex(case["public_key_hex"])
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(encoded)}
    if "reason" in case["expected"]:
        with refused(reason_of(case["expected"]["reason"])):
            PublicKey.from_jwk(jwk)
        with refused(reason_of(case["expected"]["reason"])):
            check_public_point(encoded)
    else:
        assert PublicKey.from_jwk(jwk).algorithm.jose_name == case["expected"]["jose_algorithm"]


def test_the_fourteen_encodings_are_all_of_points_whose_order_divides_eight() -> None:
    assert len({case["public_key_hex"] for case in SMALL.values()}) == 14
    points = {_decode_as_lax_libraries_do(bytes.fromhex(case["public_key_hex"])) for case in SMALL.values()}
    assert len(points) == 8
    for point in points:
        double = _add(point, point)
        fourfold = _add(double, double)
        assert _add(fourfold, fourfold) == (0, 1)


def test_the_refusals_of_the_fourteen_are_of_the_two_kinds() -> None:
    for case in SMALL.values():
        y = int.from_bytes(bytes.fromhex(case["public_key_hex"]), "little") & (2**255 - 1)
        expected = Reason.KEY_MALFORMED if y >= P else Reason.KEY_WEAK
        assert case["expected"] == {"reason": expected.code}


P448 = 2**448 - 2**224 - 1
D448 = -39081 % P448
LOW_ORDER_448 = {"order 1": 1, "order 2": P448 - 1, "order 4": 0}


def _add448(a: Point, b: Point) -> Point:
    product = D448 * a[0] * b[0] * a[1] * b[1] % P448
    return (
        (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, P448 - 2, P448) % P448,
        (a[1] * b[1] - a[0] * b[0]) * pow(1 - product, P448 - 2, P448) % P448,
    )


def _encoded448(y: int, sign: int = 0) -> bytes:
    return (y | sign << 455).to_bytes(57, "little")


def test_the_points_of_low_order_of_ed448_are_four() -> None:
    # Checked with the curve equation: x^2 = (1 - y^2) / (1 - d y^2).
    points = []
    for y in LOW_ORDER_448.values():
        square = (1 - y * y) * pow(1 - D448 * y * y, P448 - 2, P448) % P448
        x = pow(square, (P448 + 1) // 4, P448)
        assert x * x % P448 == square
        points += [(x, y), (-x % P448, y)]
    assert len(set(points)) == 4
    for point in points:
        double = _add448(point, point)
        assert _add448(double, double) == (0, 1)


def _refused448(encoded: bytes, reason: Reason) -> None:
    with refused(reason):
        check_public_point(encoded, ED448_CURVE)
    with refused(reason):
        PublicKey.from_jwk({"kty": "OKP", "crv": "Ed448", "x": b64url_encode(encoded)})
    native = ed448.Ed448PublicKey.from_public_bytes(encoded)  # the library takes all of them
    with refused(reason):
        PublicKey.from_native(native)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", LOW_ORDER_448.values(), ids=LOW_ORDER_448)
def test_ed448_points_of_low_order_are_refused(y: int, sign: int) -> None:
    """CR-17"""
    _refused448(_encoded448(y, sign), Reason.KEY_WEAK)


def test_ed448_keys_that_are_not_canonical_are_refused() -> None:
    """CR-17: y of at least p, and bits between y and the sign of x."""
    good = ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()
    check_public_point(good, ED448_CURVE)
    for encoded in (_encoded448(P448), _encoded448(P448 + 1), _encoded448(2**448 - 1, 1), b"\xff" * 57):
        _refused448(encoded, Reason.KEY_MALFORMED)
    for bit in range(7):
        _refused448(good[:56] + bytes([good[56] ^ 1 << bit]), Reason.KEY_MALFORMED)


def test_ed448_encodings_of_no_point_are_refused() -> None:
    """CR-17"""
    found = [y for y in range(2, 30) if pow((1 - y * y) * (1 - D448 * y * y), (P448 - 1) // 2, P448) != 1]
    assert found
    for y in found:
        _refused448(_encoded448(y), Reason.KEY_MALFORMED)
