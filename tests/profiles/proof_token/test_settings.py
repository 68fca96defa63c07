from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest

from wimse.errors import ConfigurationError
from wimse.profiles.proof_token import REVISION_01, REVISION_02, REVISIONS, ProofTokenSettings


def test_the_defaults_are_short_and_finite() -> None:
    """WPTC-06, WPTC-33: minutes or seconds."""
    settings = ProofTokenSettings()
    assert settings.lifetime == timedelta(seconds=60)
    assert settings.max_lifetime == timedelta(seconds=300)
    assert settings.leeway == timedelta(seconds=30)
    assert (settings.min_token_id_characters, settings.max_token_id_characters) == (16, 256)
    assert settings.context_fields == ()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"lifetime": timedelta(seconds=301)}, id="WPTC-06 ours too long"),
        pytest.param({"max_lifetime": timedelta(seconds=301)}, id="WPTC-06 others' too long"),
        {"lifetime": timedelta(0)},
        {"max_lifetime": timedelta(seconds=-1)},
        {"leeway": timedelta(seconds=121)},
        {"leeway": timedelta(seconds=-1)},
        {"min_token_id_characters": 7},
        {"min_token_id_characters": 20, "max_token_id_characters": 19},
        pytest.param({"context_fields": ("X-User",)}, id="WPTC-12 not in lower case"),
        {"context_fields": ("",)},
        {"context_fields": ("a b",)},
        {"context_fields": ("x-user", "x-user")},
        {"context_fields": "x-user"},
        {"context_fields": ("txn-token",)},
        {"context_fields": ("authorization",)},
        {"context_fields": ("workload-identity-token",)},
        {"context_fields": ("workload-proof-token",)},
    ],
)
def test_what_is_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ProofTokenSettings(**changes)


def test_revisions_are_values() -> None:
    assert REVISIONS == {"02": REVISION_02, "01": REVISION_01}
    assert next(iter(REVISIONS)) == "02"
    assert len({hash(each) for each in REVISIONS.values()}) == 2
    with pytest.raises(FrozenInstanceError):
        REVISION_02.challenge = None  # type: ignore[misc]
    with pytest.raises(TypeError):
        REVISIONS["03"] = REVISION_02  # type: ignore[index]


def test_a_revision_says_how_a_failure_is_answered() -> None:
    """WPTC-38, WPTC-41: 401 with a challenge under 02; none, and so 400, under 01."""
    assert (REVISION_02.challenge, REVISION_01.challenge) == ("WPT", None)
