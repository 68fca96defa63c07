"""Metrics and log lines of decisions: every one counted, with labels and lines that no peer can write."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from tests.authentication.forge import (
    AUDIENCE,
    CALLER,
    CONTENT,
    DOMAIN,
    NOW,
    forge_request,
    new_key,
    reason_of,
    request_parameters,
)
from wimse.authentication import Authenticator, LaxReplayStore, Observer, any_trusted
from wimse.errors import ConfigurationError, Reason
from wimse.servers.decision_log import all_of, log_decision
from wimse.servers.metrics import DecisionMetrics
from wimse.stores import MemoryReplayStore


def entrance(observer: Observer, clock: Any = None, replay: Any = None) -> Authenticator:
    return Authenticator(
        bundles=DOMAIN.bundles,
        audience=AUDIENCE,
        replay=MemoryReplayStore(since=0) if replay is None else replay,
        policy=any_trusted,
        observer=observer,
        clock=clock,
    )


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


ACCEPTED = {"role": "request", "outcome": "accepted", "reason": "", "reason_class": "", "revision": "07"}
INVALID = {"role": "request", "outcome": "refused", "reason": "signature_invalid", "reason_class": "signature"}


def test_every_decision_is_counted() -> None:
    registry = CollectorRegistry()
    server = entrance(DecisionMetrics(registry=registry, identities=[CALLER.identity]))
    server.authenticate(forge_request(), CONTENT, now=NOW)
    for _ in range(2):
        reason_of(server.authenticate, forge_request(key=new_key()), CONTENT, now=NOW)
    assert value(registry, "wimse_decisions_total", **ACCEPTED, identity=str(CALLER.identity)) == 1
    assert value(registry, "wimse_decisions_total", **INVALID, revision="", identity="") == 2
    assert value(registry, "wimse_decision_seconds_count", role="request", outcome="accepted") is None


def test_times_are_histograms() -> None:
    registry, now = CollectorRegistry(), [0.0]

    class Slow(MemoryReplayStore):
        def claim(self, key: bytes, until: int, now_: int) -> bool:
            now[0] += 0.25
            return super().claim(key, until, now_)

    server = entrance(DecisionMetrics(registry=registry), lambda: now[0], Slow(since=0))
    server.authenticate(forge_request(), CONTENT, now=NOW)
    assert value(registry, "wimse_decision_seconds_sum", role="request", outcome="accepted") == 0.25
    assert value(registry, "wimse_wait_seconds_sum", role="request", **{"for": "replay"}) == 0.25
    assert value(registry, "wimse_wait_seconds_sum", role="request", **{"for": "bundle"}) == 0


def test_peers_cannot_make_series() -> None:
    """ID-17: a hundred identities that were not named are one label."""
    registry = CollectorRegistry()
    server = entrance(DecisionMetrics(registry=registry))
    for number in range(100):
        caller = DOMAIN.credential(f"/caller-{number}", now=NOW, key=CALLER.key)  # type: ignore[arg-type]
        request = forge_request(caller, parameters=request_parameters(nonce=f"a-nonce-{number}"))
        server.authenticate(request, CONTENT, now=NOW)
    assert value(registry, "wimse_decisions_total", **ACCEPTED, identity="other") == 100
    lines = [line for line in generate_latest(registry).splitlines() if line.startswith(b"wimse_decisions_total{")]
    assert len(lines) == 1


def test_what_a_lax_store_lets_in_is_counted() -> None:
    """RP-12."""
    registry = CollectorRegistry()
    metrics = DecisionMetrics(registry=registry)
    store = LaxReplayStore(MemoryReplayStore(since=NOW + 1), opened=metrics.unchecked)
    server = entrance(metrics, replay=store)
    server.authenticate(forge_request(), CONTENT, now=NOW)
    assert value(registry, "wimse_replay_unchecked_total") == store.unchecked == 1


def test_the_registry_is_the_packages_own_by_default() -> None:
    server = entrance(DecisionMetrics())
    server.authenticate(forge_request(), CONTENT, now=NOW)
    assert value(REGISTRY, "wimse_decisions_total", **ACCEPTED, identity="other") == 1


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigurationError, match=r"wimse\[metrics\]"):
        DecisionMetrics()


def test_labels_are_bounded() -> None:
    """ID-17."""
    many = [DOMAIN.identity(f"/{number}") for number in range(1_001)]
    with pytest.raises(ConfigurationError, match="1,000"):
        DecisionMetrics(registry=CollectorRegistry(), identities=many)


def test_a_line_says_who_what_why_and_how_long(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wimse.decisions")
    server = entrance(log_decision, lambda: 1.0)
    server.authenticate(forge_request(), CONTENT, now=NOW)
    reason_of(server.authenticate, forge_request(), CONTENT, now=NOW)
    reason_of(
        entrance(log_decision, replay=MemoryReplayStore(since=NOW + 1)).authenticate, forge_request(), CONTENT, now=NOW
    )
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "role=request outcome=accepted identity=spiffe://example.org/caller revision=07 milliseconds=0.0"),
        ("INFO", "role=request outcome=refused reason=replayed reason_class=replay milliseconds=0.0"),
        ("WARNING", "role=request outcome=unavailable reason=replay_store_unavailable reason_class=unavailable"),
    ]
    assert caplog.records[0].__dict__["identity"] == "spiffe://example.org/caller"
    assert caplog.records[1].__dict__["reason"] == "replayed"


def test_a_line_that_nobody_wants_is_not_made(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "wimse.decisions")
    entrance(log_decision).authenticate(forge_request(), CONTENT, now=NOW)
    assert caplog.records == []


def test_several_observers_are_told_in_order(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    caplog.set_level(logging.INFO)
    observer = all_of(lambda _: told.append("first"), log_decision, lambda _: told.append("last"))
    assert entrance(observer).authenticate(forge_request(), CONTENT, now=NOW).identity == CALLER.identity
    assert told == ["first", "last"]
    assert len(caplog.records) == 1
    assert reason_of(entrance(observer).authenticate, forge_request(key=new_key()), CONTENT, now=NOW) is (
        Reason.SIGNATURE_INVALID
    )
