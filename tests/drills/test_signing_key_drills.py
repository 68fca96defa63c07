from __future__ import annotations

from tests.drills import d3_signing_keys, d12_rolling_restarts


async def test_signing_key_is_rotated_tainted_and_revoked_under_load() -> None:
    """D3, IS-25, IS-26: once each."""
    figures = await d3_signing_keys.drill(rounds=1)
    assert figures.failures == []
    assert len(figures.refusal_seconds) == 1


async def test_servers_are_restarted_in_turn_and_nobody_notices() -> None:
    """D12, IS-33: two restarts of each, and a rotation."""
    figures = await d12_rolling_restarts.drill(rounds=2, pause=1.0, interval=5)
    assert figures.failures == []
    assert (figures.restarts, figures.signers >= 2) == (4, True)
