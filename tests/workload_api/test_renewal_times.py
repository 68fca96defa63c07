"""When an answer is to be renewed: before half of a credential's life, and without bursts where it is short."""

from __future__ import annotations

import time

import pytest

from wimse.issuer import IssuedToken
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.streams import Answer

NOW = 1_800_000_000


def renewal(monkeypatch: pytest.MonkeyPatch, life: int, age: float) -> float:
    """Seconds until the renewal of a token whose `iat` was `age` seconds ago, when rounded down."""
    monkeypatch.setattr(time, "time", lambda: NOW + age)
    answer = Answer(pb.WITSVIDResponse(), [IssuedToken("t", NOW, NOW + life)])
    assert answer.renew_at is not None
    return answer.renew_at - NOW - age


@pytest.mark.parametrize("age", [0.0, 0.5, 0.999])
def test_renewal_is_before_half_of_the_life(monkeypatch: pytest.MonkeyPatch, age: float) -> None:
    for _ in range(50):
        assert 0.34 * 300 < renewal(monkeypatch, 300, age) < 0.46 * 300


@pytest.mark.parametrize("life", [2, 3, 5])
@pytest.mark.parametrize("age", [0.0, 0.5, 0.999])
def test_short_life_is_not_renewed_in_bursts(monkeypatch: pytest.MonkeyPatch, life: int, age: float) -> None:
    for _ in range(50):
        assert renewal(monkeypatch, life, age) >= 0.35 * (life - age) - 1e-6
        assert renewal(monkeypatch, life, age) < life - age
