from __future__ import annotations

from tests.drills.d1_d2_identity import drill


async def test_identities_are_renewed_under_load_and_outages_survived() -> None:
    """D1, D2, CL-05, CL-06, WC-47: short lives, short outages."""
    figures = await drill(life=6, short=1.5, long=8, seconds=4)
    assert figures.failures == []
