"""A profile's signature that is malformed is refused; one of somebody else is none of the profile's business."""

from __future__ import annotations

import pytest

from tests.refusals import refused
from wimse.errors import Reason
from wimse.httpsig import DEFAULT_LIMITS, Fields, Response
from wimse.profiles.http_signature import REVISION_07, has_profile_signature

TAG = REVISION_07.tag
OURS = f'wimse=();tag="{TAG}"'


def has(signature_input: str | None, signature: str | None) -> bool:
    lines = [("Signature-Input", signature_input), ("Signature", signature)]
    fields = Fields((name, value) for name, value in lines if value is not None)
    return has_profile_signature(Response(status=200, fields=fields), REVISION_07, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("signature_input", "signature", "reason"),
    [
        (OURS, None, Reason.SIGNATURE_LABEL_UNPAIRED),
        (None, "wimse=:AAAA:", Reason.SIGNATURE_LABEL_UNPAIRED),
        (OURS, "other=:AAAA:", Reason.SIGNATURE_LABEL_UNPAIRED),
        (OURS, "wimse=:AB==:", Reason.SIGNATURE_FIELD_MALFORMED),
        (OURS.replace("()", "1"), "wimse=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
        (OURS.replace("()", "(1)"), "wimse=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
        (OURS.replace('"', ""), "wimse=:AAAA:", Reason.PARAMETER_TYPE),
        ("wimse=();tag=1", "wimse=:AAAA:", Reason.PARAMETER_TYPE),
        (OURS + ";expires=?1", "wimse=:AAAA:", Reason.PARAMETER_TYPE),
        (OURS + ';tag="other"', "wimse=:AAAA:", Reason.PARAMETER_DUPLICATED),
        (f'wimse=();tag="other";tag="{TAG}"', "wimse=:AAAA:", Reason.PARAMETER_DUPLICATED),
        (f"x=(), {OURS}, ?", "x=:AAAA:, wimse=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
    ],
)
def test_a_response_whose_signature_is_malformed_is_not_an_unsigned_one(
    signature_input: str | None, signature: str | None, reason: Reason
) -> None:
    """HS-31, SB-24 to SB-27: whoever garbles a signature does not take it away with that."""
    with refused(reason):
        has(signature_input, signature)


@pytest.mark.parametrize(
    ("signature_input", "signature", "found"),
    [
        (None, None, False),
        ("x=()", "x=:AAAA:", False),
        ("x=1", "x=:AAAA:", False),
        ('x=1;tag="other"', "x=:AAAA:", False),
        ("x=()", None, False),
        (OURS, "wimse=:AAAA:", True),
        (f"x=1, {OURS}", "wimse=:AAAA:", True),
        (OURS, "wimse=:AAAA:, x=:AAAA:", True),
    ],
)
def test_a_malformed_signature_of_another_application_does_not_matter(
    signature_input: str | None, signature: str | None, found: bool
) -> None:
    """LB-02"""
    assert has(signature_input, signature) is found
