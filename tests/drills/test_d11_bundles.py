"""The short version of drill D11."""

from __future__ import annotations

from pathlib import Path

from tests.drills.d11_bundles import CLOSED, NO_KEY, drill


def test_the_last_good_bundle_stays_until_it_is_too_old_and_an_empty_one_refuses_all(tmp_path: Path) -> None:
    """D11, WT-26, MW-12, IS-35, SV-34."""
    figures = drill(seconds=0.05, max_age=4.0, directory=tmp_path)
    assert figures.failures == []
    assert figures.answers["no key at all"].keys() == {NO_KEY}
    assert figures.answers["away until too old"].keys() == {CLOSED}
    assert sum(figures.canary.values()) > 10
