"""Short versions of the drills of the issuer's store; the full ones are programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.d5_identity_clock import drill as clock
from tests.drills.d9_full_disk import drill as full_disk
from tests.drills.d10_rotation_crash import check, crash
from tests.stores.issuers import NOW


@pytest.mark.parametrize("point", [1, 4, 5, 7, 8, 9, 12, 20])
def test_a_process_that_is_killed_in_a_rotation_leaves_a_whole_state(tmp_path: Path, point: int) -> None:
    """IS-33: after the restart the published keys contain the active one, and every key is the one of its kid."""
    path = tmp_path / "issuer.db"
    assert crash(path, now=NOW, point=point)
    check(path, now=NOW)
    assert crash(path, now=NOW + 500, point=30)
    check(path, now=NOW + 1000)


async def test_clock_that_jumps_under_the_whole_process() -> None:
    """IS-34, IS-25: libfaketime under the real command; a day ahead, a day back, and starts that are behind."""
    figures = await clock(ahead=(86_400,), back=(86_400,))
    assert figures.failures == []
    assert len(figures.refusals) == 6  # three kinds while it runs, and three starts
    assert figures.signers >= 6  # each of its keys has been replaced


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """IS-33: and it goes on when there is room again."""
    assert full_disk(tmp_path / "issuer.db", limit=300_000)["refused"]
