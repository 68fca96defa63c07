"""The two forms of an ECDSA signature, DER and r and s side by side, as the library itself turns them around."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import utils
from hypothesis import example, given
from hypothesis import strategies as st

from wimse.keys.primitives import der_of_numbers, numbers_of_der

sizes = st.sampled_from([32, 48, 66])


def number(size: int) -> st.SearchStrategy[int]:
    """Of any length up to `size` bytes, short ones and ones with the first bit set alike."""
    return st.integers(0, size * 8).flatmap(lambda bits: st.integers(0, 2**bits - 1))


pairs = sizes.flatmap(lambda size: st.tuples(st.just(size), number(size), number(size)))


@given(pairs)
@example((32, 0, 0))
@example((32, 2**256 - 1, 1))
@example((48, 2**384 - 1, 2**384 - 1))
@example((66, 2**528 - 1, 2**528 - 1))
def test_both_forms_are_those_of_the_library(drawn: tuple[int, int, int]) -> None:
    size, r, s = drawn
    side_by_side, der = r.to_bytes(size, "big") + s.to_bytes(size, "big"), utils.encode_dss_signature(r, s)
    assert der_of_numbers(side_by_side, size) == der
    assert numbers_of_der(der, size) == side_by_side


@pytest.mark.parametrize("size", [32, 48])
def test_no_length_needs_a_second_byte(size: int) -> None:
    longest = der_of_numbers(b"\xff" * 2 * size, size)
    assert longest[1] == len(longest) - 2 < 128
