from __future__ import annotations

from tests.drills.d1_d2_identity import drill


async def test_identities_are_renewed_under_load_and_outages_survived() -> None:
    """D1, D2, CL-05, CL-06, WC-47: short lives, short outages."""
    # Half a life is left at the worst when the short outage begins: enough for a busy machine to start a server again.
    figures = await drill(life=10, short=1.5, long=13, seconds=7)
    assert figures.failures == []
