from __future__ import annotations

from typing import Any

import pytest

from tests import vectors
from tests.refusals import reason_of, refused
from wimse.errors import Reason
from wimse.keys import PublicKey, b64url_encode
from wimse.keys.ed25519_points import check_public_point

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
