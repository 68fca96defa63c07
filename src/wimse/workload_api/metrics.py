"""What a running server counts, for Prometheus; needs the extra `metrics`.

No label holds an identity, a path or anything else of which there can be very many.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wimse.errors import ConfigurationError
from wimse.workload_api.events import EntryChanged, EntryChangeFailed, Event, Issued, KeysChanged

if TYPE_CHECKING:
    from wimse.workload_api.audit import AuditLog
    from wimse.workload_api.state import ServedState

__all__ = ["Metrics"]


class Metrics:
    """Counters and gauges in a registry of their own; an observer of `IdentityServer`."""

    def __init__(self) -> None:
        """Begin at zero.

        Raises:
            ConfigurationError: when prometheus-client is not installed.
        """
        try:
            import prometheus_client as prometheus  # noqa: PLC0415 - optional
        except ImportError:
            raise ConfigurationError("metrics need the extra: pip install 'wimse[metrics]'") from None
        self._prometheus: Any = prometheus
        self._registry = prometheus.CollectorRegistry()
        registry: dict[str, Any] = {"registry": self._registry}
        self._issued = prometheus.Counter("wimse_issued", "Credentials issued.", ["credential"], **registry)
        self._refused = prometheus.Counter(
            "wimse_refused", "Calls refused or failed.", ["method", "status", "reason"], **registry
        )
        self._entries = prometheus.Counter(
            "wimse_entry_changes", "Changes of entries.", ["action", "source"], **registry
        )
        self._keys = prometheus.Counter("wimse_key_changes", "Changes of signing keys.", **registry)
        self._last = prometheus.Gauge("wimse_last_issue_timestamp_seconds", "When something was issued.", **registry)
        self._streams = prometheus.Gauge("wimse_open_streams", "Calls at this time.", **registry)
        self._healthy = prometheus.Gauge("wimse_healthy", "1 while the issuer issues.", **registry)
        self._audit = prometheus.Gauge("wimse_audit_failures", "Lines of the audit log that were lost.", **registry)

    def __call__(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, Issued):
            self._issued.labels(event.credential).inc()
            self._last.set(time.time())
        elif isinstance(event, EntryChanged):
            self._entries.labels(event.action, event.source).inc()
        elif isinstance(event, KeysChanged):
            self._keys.inc()
        elif isinstance(event, EntryChangeFailed):
            self._entries.labels("failed", event.change.source).inc()
        else:
            self._refused.labels(event.method, event.status, "" if event.reason is None else event.reason.code).inc()

    def watch(self, state: ServedState, audit: AuditLog | None) -> None:
        """Take gauges from a server."""
        self._streams.set_function(lambda: state.open_streams)
        self._healthy.set_function(lambda: int(state.healthy))
        self._audit.set_function(lambda: 0 if audit is None else audit.failures)

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return bytes(self._prometheus.generate_latest(self._registry))
