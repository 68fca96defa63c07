"""Want-Content-Digest and Want-Repr-Digest."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason
from wimse.httpsig import (
    DIGEST_ALGORITHMS,
    WANT_CONTENT_DIGEST,
    WANT_REPR_DIGEST,
    DigestPreferences,
    Fields,
    Limits,
    parse_want_digest,
    want_digest,
)

NAMES = [WANT_CONTENT_DIGEST, WANT_REPR_DIGEST]
WEIGHTS = st.integers(0, 10)


def parsed(value: str, name: str = WANT_CONTENT_DIGEST) -> Mapping[str, int]:
    found = parse_want_digest(Fields([(name, value)]), name)
    assert found is not None
    return found.weights


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_the_specification(name: str) -> None:
    """RFC 9530 §4"""
    assert parsed("sha-256=1", name) == {"sha-256": 1}
    assert parsed("sha-512=3, sha-256=10, unixsum=0", name) == {"sha-512": 3, "sha-256": 10, "unixsum": 0}
    assert parse_want_digest(Fields([("Content-Digest", "sha-256=1")]), name) is None


def test_one_field_is_not_the_other() -> None:
    assert parse_want_digest(Fields([(WANT_REPR_DIGEST, "sha-256=1")])) is None


@pytest.mark.parametrize(
    "value",
    ["sha-256", "sha-256=?1", "sha-256=11", "sha-256=-1", "sha-256=1.0", 'sha-256="1"', "sha-256=:AA==:", "sha-256=(1)",
     "sha-256=1;q=1", "SHA-256=1", "sha-256=1,", "=1", "sha-256=1 2", "sha-256=1, x",
     "sha-256=1000000000000000", "\xe9=1"],
)  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_weight_is_refused(name: str, value: str) -> None:
    with refused(Reason.FIELD_MALFORMED):
        parsed(value, name)


@pytest.mark.parametrize("lines", [["sha-256=1, sha-256=1"], ["sha-256=1", "sha-256=2"], ["md5=0, sha-256=1, md5=0"]])
def test_an_algorithm_that_occurs_twice_is_refused(lines: list[str]) -> None:
    with refused(Reason.FIELD_DUPLICATED):
        parse_want_digest(Fields([(WANT_CONTENT_DIGEST, line) for line in lines]))


def test_the_limits_are_exact() -> None:
    fields = Fields([(WANT_CONTENT_DIGEST, "a=1, b=2")])
    assert parse_want_digest(fields, limits=Limits(max_digests=2, max_field_bytes=8)) is not None
    with refused(Reason.TOO_MANY_DIGESTS):
        parse_want_digest(fields, limits=Limits(max_digests=1))
    with refused(Reason.FIELD_TOO_LARGE):
        parse_want_digest(fields, limits=Limits(max_field_bytes=7))


@pytest.mark.parametrize("name", ["content-digest", "Want-Content-Digest", ""])
def test_another_name_is_a_mistake(name: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_want_digest(Fields(), name)


@pytest.mark.parametrize(
    ("value", "answer", "strictly"),
    [
        ("sha-256=3, sha=10", "sha-256", "sha-256"),  # appendix C.1
        ("sha=10", "sha-256", None),  # appendix C.2
        ("md5=10, unixsum=9, sha-512=1", "sha-512", "sha-512"),
        ("sha-512=3, sha-256=10", "sha-256", "sha-256"),
        ("sha-512=10, sha-256=3", "sha-512", "sha-512"),
        ("sha-512=5, sha-256=5", "sha-256", "sha-256"),
        ("sha-256=0", "sha-512", None),
        ("sha-256=0, sha-512=0, md5=10", None, None),
        ("sha-256=0, sha-512=1", "sha-512", "sha-512"),
        ("", "sha-256", None),
    ],
)
def test_a_wish_is_answered_with_what_is_supported_or_not_at_all(
    value: str, answer: str | None, strictly: str | None
) -> None:
    """RF-21: a deprecated algorithm is never the answer, however much it is wished for."""
    preferences = DigestPreferences(parsed(value))
    assert preferences.choose() == answer
    assert preferences.choose(fall_back=False) == strictly


def test_our_order_decides_between_equals() -> None:
    assert DigestPreferences({"sha-256": 5, "sha-512": 5}).choose(["sha-512", "sha-256"]) == "sha-512"
    assert DigestPreferences({"sha-256": 9}).choose(["sha-512"]) == "sha-512"
    assert DigestPreferences({"sha-256": 9}).choose(["sha-512"], fall_back=False) is None


@pytest.mark.parametrize("supported", [[], ["md5"], ["sha-256", "sha"]])
def test_we_support_nothing_that_is_deprecated(supported: list[str]) -> None:
    """RF-21"""
    with pytest.raises(ConfigurationError):
        DigestPreferences({"md5": 10}).choose(supported)


@given(st.dictionaries(st.sampled_from([*DIGEST_ALGORITHMS, "md5", "sha", "unixsum", "x"]), WEIGHTS), st.booleans())
def test_the_answer_is_supported_and_not_unacceptable(weights: dict[str, int], fall_back: bool) -> None:
    """RF-21"""
    answer = DigestPreferences(weights).choose(fall_back=fall_back)
    if answer is None:
        assert not fall_back or all(weights.get(name) == 0 for name in DIGEST_ALGORITHMS)
    else:
        assert answer in DIGEST_ALGORITHMS
        assert weights.get(answer) != 0
        assert weights.get(answer, 0) == max(weights.get(name, 0) for name in DIGEST_ALGORITHMS)


@given(st.dictionaries(st.sampled_from(DIGEST_ALGORITHMS), WEIGHTS, min_size=1))
def test_what_is_written_is_read(weights: dict[str, int]) -> None:
    assert parsed(want_digest({**weights, "md5": 0})) == {**weights, "md5": 0}


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"md5": 1},
        {"sha": 10},
        {"sha-1024": 1},
        {"sha-256": 11},
        {"sha-256": -1},
        {"sha-256": True},
        {"": 0},
        {"É": 0},
    ],
)
def test_no_wish_is_made_that_could_not_be_checked(weights: dict[str, int]) -> None:
    """RF-21"""
    with pytest.raises(ConfigurationError):
        want_digest(weights)
