"""What the service counts for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client import values as prometheus_values
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


class Metrics:
    """The figures of one process; `render` gives those of all workers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "intent_http_requests", "Answers by route and status", ("route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "intent_http_request_seconds",
            "Time from request to answer",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.events = Counter("intent_events", "Events by what became of them", ("result",), registry=self._registry)
        self.predictions = Counter(
            "intent_predictions",
            "Predictions by the intent that won; `oos` is out of scope",
            ("kind", "intent"),
            registry=self._registry,
        )
        self.inference_seconds = Histogram(
            "intent_inference_seconds", "Forward pass of one request", buckets=_SECONDS, registry=self._registry
        )
        self.feature_defaults = Counter(
            "intent_feature_defaults",
            "Feature values replaced by their declared default, by why",
            ("why",),
            registry=self._registry,
        )
        self.feature_age = Histogram(
            "intent_feature_age_seconds",
            "Age of the oldest feature value that a prediction used",
            buckets=(3600, 6 * 3600, 24 * 3600, 48 * 3600, 72 * 3600),
            registry=self._registry,
        )
        self.switches = Counter(
            "intent_release_switches", "Releases by whether they went live", ("result",), registry=self._registry
        )
        self.release_number = Gauge(
            "intent_release_number",
            "The release that is served, 0 before the first",
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        self.prediction_log_dropped = Gauge(
            "intent_prediction_log_dropped",
            "Predictions that the prediction log could not keep",
            registry=self._registry,
            multiprocess_mode="livesum",
        )

    def render(self) -> bytes:
        """All figures in the Prometheus text format."""
        # BentoML's parent process puts prometheus_client into its multi-process mode before it is imported.
        if getattr(prometheus_values.ValueClass, "_multiprocess", False):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
            return generate_latest(registry)
        return generate_latest(self._registry)
