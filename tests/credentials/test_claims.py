from __future__ import annotations

from datetime import timedelta

import pytest

from tests.refusals import refused
from wimse.credentials import TokenSettings
from wimse.credentials.claims import check_times, optional_text, optional_time, required_time
from wimse.errors import ConfigurationError, Reason

NOW = 1_700_000_000


def settings(leeway: int = 0, life: int = 86_400) -> TokenSettings:
    return TokenSettings(leeway=timedelta(seconds=leeway), max_lifetime=timedelta(seconds=life))


@pytest.mark.parametrize(
    "value", [None, "1", "", True, False, 1.0, 1.5, -1, [], {}, 253_402_300_800, 10**18, float("nan"), float("inf")]
)
def test_a_time_is_a_whole_number_of_seconds_in_our_calendar(value: object) -> None:
    """TM-11: a JSON true is no time, nor is a number after the year 9999."""
    with refused(Reason.TOKEN_CLAIM):
        required_time({"exp": value}, "exp")
    with refused(Reason.TOKEN_CLAIM):
        optional_time({"nbf": value}, "nbf")


def test_times_at_either_end_are_taken() -> None:
    assert required_time({"exp": 0}, "exp") == 0
    assert optional_time({"exp": 253_402_300_799}, "exp") == 253_402_300_799
    assert optional_time({}, "exp") is None
    with refused(Reason.TOKEN_CLAIM):
        required_time({}, "exp")


@pytest.mark.parametrize("value", [1, True, [], {}, ["a"]])
def test_a_text_is_a_string(value: object) -> None:
    with refused(Reason.TOKEN_CLAIM):
        optional_text({"iss": value}, "iss")
    assert optional_text({"iss": "a"}, "iss") == "a"
    assert optional_text({}, "iss") is None


@pytest.mark.parametrize("leeway", [0, 30, 120])
def test_exp_and_nbf_have_exact_bounds(leeway: int) -> None:
    """TM-07, TM-10, WC-09, WC-10, SV-08, SV-09: at exp itself it is over."""
    claims: dict[str, object] = {"exp": NOW + 100, "nbf": NOW}
    assert check_times(claims, NOW + 99 + leeway, settings(leeway)) == NOW + 100
    assert check_times(claims, NOW - leeway, settings(leeway)) == NOW + 100
    with refused(Reason.TOKEN_EXPIRED):
        check_times(claims, NOW + 100 + leeway, settings(leeway))
    with refused(Reason.TOKEN_NOT_YET_VALID):
        check_times(claims, NOW - leeway - 1, settings(leeway))


def test_iat_delays_nothing() -> None:
    """TM-10, SV-10"""
    assert check_times({"exp": NOW + 100, "iat": NOW + 50}, NOW, settings())


@pytest.mark.parametrize("leeway", [0, 30])
def test_a_life_has_an_exact_bound_from_every_beginning(leeway: int) -> None:
    """TM-14, WC-35, WC-49: from now, from iat and from nbf."""
    rules = settings(leeway, 100)
    assert check_times({"exp": NOW + 100 + leeway}, NOW, rules)
    with refused(Reason.TOKEN_LIFETIME):
        check_times({"exp": NOW + 101 + leeway}, NOW, rules)
    for name in ("iat", "nbf"):
        assert check_times({"exp": NOW + 50, name: NOW - 50}, NOW, rules)
        with refused(Reason.TOKEN_LIFETIME):
            check_times({"exp": NOW + 50, name: NOW - 51}, NOW, rules)


@pytest.mark.parametrize("seconds", [-1, 121, 3600])
def test_a_leeway_is_at_most_two_minutes(seconds: int) -> None:
    """TM-12"""
    with pytest.raises(ConfigurationError, match="leeway"):
        settings(seconds)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_life_is_positive(seconds: int) -> None:
    with pytest.raises(ConfigurationError, match="max_lifetime"):
        settings(life=seconds)


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert TokenSettings() == settings(30, 86_400)
