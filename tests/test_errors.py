from __future__ import annotations

import re

import pytest

from wimse import errors
from wimse.errors import ConfigurationError, Reason, ReasonClass, Refused, Unavailable, Violation, WimseError


def test_every_code_is_unique_and_stable_in_form() -> None:
    codes = [reason.code for reason in Reason]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z0-9_]+", code) for code in codes)


def test_every_reason_is_named_by_its_code() -> None:
    for reason in Reason:
        assert reason.name.lower() == reason.code == str(reason)


def test_every_class_has_a_reason() -> None:
    assert {reason.reason_class for reason in Reason} == set(ReasonClass)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.FIELD_MALFORMED, 400),
        (Reason.SIGNATURE_INVALID, 400),  # WC-29: 401 is not recommended
        (Reason.TOKEN_EXPIRED, 400),
        (Reason.REPLAYED, 400),
        (Reason.TOO_MANY_COMPONENTS, 400),
        (Reason.IDENTITY_NOT_ALLOWED, 403),
        (Reason.BODY_TOO_LARGE, 413),
        (Reason.FIELD_TOO_LARGE, 431),
        (Reason.TOO_MANY_FIELDS, 431),
        (Reason.TOKEN_TOO_LARGE, 431),
        (Reason.CONFIGURATION, 500),
        (Reason.RESPONSE_NOT_SIGNABLE, 501),
        (Reason.TRUST_UNAVAILABLE, 503),
    ],
)
def test_a_reason_becomes_an_http_status(reason: Reason, status: int) -> None:
    assert reason.http_status == status
    assert WimseError(reason, "x").http_status == status


def test_what_a_peer_sent_never_becomes_a_server_error() -> None:
    """HS-21, WC-29: nor is it ever 401."""
    ours = {ReasonClass.UNAVAILABLE, ReasonClass.CONFIGURATION}
    for reason in Reason:
        assert reason.http_status != 401
        assert (reason.http_status >= 500) == (reason.reason_class in ours)


@pytest.mark.parametrize(
    ("reason_class", "status"),
    [
        (ReasonClass.PARSE, "INVALID_ARGUMENT"),
        (ReasonClass.AUTHORIZATION, "PERMISSION_DENIED"),
        (ReasonClass.UNAVAILABLE, "UNAVAILABLE"),
        (ReasonClass.LIMIT, "RESOURCE_EXHAUSTED"),
        (ReasonClass.CONFIGURATION, "INTERNAL"),
    ],
)
def test_a_class_becomes_a_grpc_status(reason_class: ReasonClass, status: str) -> None:
    assert reason_class.grpc_status == status


def test_an_error_shows_its_code_and_its_detail() -> None:
    error = Refused(Reason.FIELD_MALFORMED, "a field line has no colon")
    assert str(error) == "field_malformed: a field line has no colon"
    assert (error.reason, error.detail, error.violations) == (Reason.FIELD_MALFORMED, "a field line has no colon", ())
    assert error.reason_class is ReasonClass.PARSE


def test_several_violations_are_one_refusal_with_the_reason_of_the_first() -> None:
    violations = [Violation(Reason.PARAMETER_MISSING, "a"), Violation(Reason.SIGNATURE_EXPIRED, "b")]
    error = Refused.for_violations(violations)
    assert error.reason is Reason.PARAMETER_MISSING
    assert error.detail == "a; b"
    assert error.violations == tuple(violations)


def test_there_is_one_tree_of_errors() -> None:
    for kind in (Refused, Unavailable, ConfigurationError):
        assert issubclass(kind, WimseError)
    assert issubclass(ConfigurationError, ValueError)
    assert ConfigurationError("x").reason is Reason.CONFIGURATION


def test_the_exported_names_exist() -> None:
    assert all(hasattr(errors, name) for name in errors.__all__)
