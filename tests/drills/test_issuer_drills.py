"""Short versions of the drills of the issuer's store; the full ones are programs."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """IS-33: and it goes on when there is room again."""
    assert full_disk(tmp_path / "issuer.db", limit=300_000)["refused"]
