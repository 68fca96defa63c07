"""Decisions as metrics for Prometheus.

    metrics = DecisionMetrics()
    Authenticator(..., observer=metrics, clock=time.monotonic)
    LaxReplayStore(store, opened=metrics.unchecked)

The labels are of fixed sets: roles, outcomes, reasons and the revisions that are configured. An identity is a label
where it is one of those that were named here, and ``other`` else: a peer cannot make series.

The package `prometheus-client` is imported when the metrics are made: ``pip install 'wimse[metrics]'``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from wimse.authentication import Decision
from wimse.credentials import WorkloadIdentifier
from wimse.errors import ConfigurationError

__all__ = ["DecisionMetrics"]

_LABELS: Final = ("role", "outcome", "reason", "reason_class", "revision", "identity")
# From a first look at a warm cache to what is refused as too slow.
_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class DecisionMetrics:
    """An observer that counts.

    ``wimse_decisions_total``, ``wimse_decision_seconds``, ``wimse_wait_seconds`` and ``wimse_replay_unchecked_total``.
    """

    def __init__(self, *, registry: Any = None, identities: Collection[WorkloadIdentifier] = ()) -> None:
        """Register the metrics.

        Args:
            registry: a `prometheus_client.CollectorRegistry`; None is the package's own.
            identities: callers that get a label of their own; at most 1,000.

        Raises:
            ConfigurationError: without the package `prometheus-client`, or for more identities.
        """
        try:
            from prometheus_client import REGISTRY, Counter, Histogram
        except ImportError:
            raise ConfigurationError("the package prometheus-client is missing: pip install 'wimse[metrics]'") from None
        if len(identities) > 1_000:
            raise ConfigurationError("at most 1,000 identities can be labels")
        registry = REGISTRY if registry is None else registry
        self._identities = {identity: str(identity) for identity in identities}
        self._decisions = Counter("wimse_decisions", "Decisions over messages", _LABELS, registry=registry)
        self._seconds = Histogram(
            "wimse_decision_seconds", "Time to a decision", ("role", "outcome"), buckets=_BUCKETS, registry=registry
        )
        self._waits = Histogram(
            "wimse_wait_seconds", "Of this, waiting", ("role", "for"), buckets=_BUCKETS, registry=registry
        )
        self._unchecked = Counter(
            "wimse_replay_unchecked", "Messages let in without a replay store's answer", registry=registry
        )

    def __call__(self, decision: Decision) -> None:
        """Count a decision."""
        reason, reason_class = decision.reason, decision.reason_class
        self._decisions.labels(
            decision.role.value,
            decision.outcome.value,
            "" if reason is None else reason.code,
            "" if reason_class is None else reason_class.value,
            decision.revision or "",
            self._identity(decision.identity),
        ).inc()
        if decision.total_seconds is not None:
            self._seconds.labels(decision.role.value, decision.outcome.value).observe(decision.total_seconds)
            for what, seconds in (("bundle", decision.bundle_seconds), ("replay", decision.replay_seconds)):
                self._waits.labels(decision.role.value, what).observe(seconds or 0.0)

    def unchecked(self, _: object) -> None:
        """Count a message that a `LaxReplayStore` let in."""
        self._unchecked.inc()

    def _identity(self, identity: WorkloadIdentifier | None) -> str:
        return "" if identity is None else self._identities.get(identity, "other")
