"""What the service counts for Prometheus, from all of its workers.

Every label has a bounded set of values: routes, codes and reasons that the code names, intents of the served models up
to MAX_INTENTS_COUNTED, the numbers of the workers.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter as CountOf
from collections.abc import Iterable, Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bentos.intent_service.workers import WorkerFigures, forget_former_process
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL
from intent_tracking.prediction_log import ServedPrediction

MAX_INTENTS_COUNTED = 300
OTHER_INTENT = "other"

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_HOUR = 3600.0
_Mode = Literal["livesum", "livemin", "livemax", "liveall", "livemostrecent"]


class Metrics:
    """The figures of one process, `worker` of its service; `render` gives those of all workers.

    Gauges are of live workers only: `livesum` adds them up, `livemin` and `livemax` choose. Counters and histograms
    keep what a dead worker has counted, as a restart of one worker is no restart of the service.
    """

    def __init__(self, worker: int = 1) -> None:
        forget_former_process()
        self._registry = CollectorRegistry()
        self._http()
        self._model()
        self._drift()
        self._storage()
        self._features()
        self._process(worker)

    def _http(self) -> None:
        self.requests = self._counter("intent_http_requests", "Answers by route and status", "route", "status")
        self.seconds = self._histogram("intent_http_request_seconds", "Time from request to answer", _SECONDS, "route")
        self.errors = self._counter("intent_http_errors", "Error answers by their code", "route", "code")
        self.in_flight = self._gauge("intent_http_in_flight", "Requests that are being answered", "livesum")

    def _model(self) -> None:
        self.inference_seconds = self._histogram("intent_inference_seconds", "Computation of one batch", _SECONDS)
        self.batch_inputs = self._histogram(
            "intent_batch_inputs", "Inputs that one batch computed", (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
        )
        self.queue_inputs = self._gauge("intent_queue_inputs", "Inputs that wait for the model", "livesum")
        self.queue_seconds = self._histogram("intent_queue_seconds", "Wait of a request for the model", _SECONDS)
        self.cache_lookups = self._counter("intent_cache_lookups", "Inputs looked up in the result cache", "result")
        self.switches = self._counter("intent_release_switches", "Releases by whether they went live", "result")
        self.release_number = self._gauge(
            "intent_release_number", "The release that is served, of the slowest worker; 0 before the first", "livemin"
        )
        self.release_refused = self._gauge(
            "intent_release_refused",
            "Whether a worker refuses the newest release or a part of it (1) or none does (0)",
            "livemax",
        )
        self._model_info = self._gauge(
            "intent_model_info", "Workers that serve this version of the model", "livesum", "model_version"
        )
        self._model_version: str | None = None

    def _drift(self) -> None:
        self._predictions = self._counter(
            "intent_predictions", "Predictions by the intent that won; `oos` is out of scope", "kind", "intent"
        )
        self._confidence = self._histogram(
            "intent_confidence", "Probability of the most probable intent", [tenth / 10 for tenth in range(1, 11)]
        )
        self._unknown_share = self._histogram(
            "intent_unknown_token_share",
            "Share of a text that the model's vocabulary lacks",
            (0, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
        )
        self._text_characters = self._histogram(
            "intent_text_characters", "Length of what the model read", (10, 20, 50, 100, 200, 500, 1000, 2000, 4000)
        )
        self.answers = self._counter("intent_desk_answers", "Answers of the desk by who gave them", "source")
        self._intents_counted: set[str] = set()
        self._counting = threading.Lock()

    def _storage(self) -> None:
        self.events = self._counter("intent_events", "Events by what became of them", "result")
        self.events_rejected = self._counter("intent_events_rejected", "Rejected events by the first reason", "reason")
        self.log_append_seconds = self._histogram(
            "intent_event_log_append_seconds", "Wait of a request until its events are in the event log", _SECONDS
        )
        self.log_bytes = self._counter("intent_event_log_bytes", "Bytes of accepted events")
        self.sessions = self._gauge("intent_sessions", "Live sessions in the session state", "livemostrecent")
        self.prediction_log_dropped = self._counter(
            "intent_prediction_log_dropped", "Predictions that the prediction log could not keep"
        )
        self.console_skipped = self._counter(
            "intent_console_skipped", "Answers that the console does not show: too many to follow, or no disk"
        )

    def _features(self) -> None:
        self.feature_defaults = self._counter(
            "intent_feature_defaults", "Feature values replaced by their declared default, by why", "why"
        )
        self.feature_age = self._histogram(
            "intent_feature_age_seconds",
            "Age of the oldest feature value that a prediction used",
            (_HOUR, 6 * _HOUR, 24 * _HOUR, 48 * _HOUR, 72 * _HOUR),
        )

    def _process(self, worker: int) -> None:
        # Their values are read from the operating system when they are rendered.
        for name, meaning in WorkerFigures.READ_AT_RENDER.items():
            self._gauge(name, meaning, "liveall", "worker").labels(str(worker)).set(0)

    def count_predictions(self, predictions: Sequence[ServedPrediction]) -> None:
        """Count what was answered, and the figures by which drift shows first."""
        won = CountOf((each.kind, OUT_OF_SCOPE_LABEL if each.out_of_scope else each.intent) for each in predictions)
        for (kind, intent), count in won.items():
            self._predictions.labels(kind, self._bounded(intent)).inc(count)
        observe_all(self._confidence, [each.confidence for each in predictions])
        observe_all(self._unknown_share, [each.unknown_share for each in predictions])
        observe_all(self._text_characters, [len(each.text) for each in predictions])

    def count_rejected(self, reasons: Iterable[str]) -> None:
        """Count rejected events, by the reason that each was rejected for first."""
        for reason, count in CountOf(reasons).items():
            self.events.labels("rejected").inc(count)
            self.events_rejected.labels(reason).inc(count)

    def serve(self, release: int, model_version: str) -> None:
        """Say what this process serves from now on."""
        if self._model_version not in (None, model_version):
            # A series cannot be taken back from the other workers' view; one at 0 is not rendered.
            self._model_info.labels(self._model_version).set(0)
        self._model_version = model_version
        self._model_info.labels(model_version).set(1)
        self.release_number.set(release)
        self.switches.labels("live").inc()

    def render(self) -> bytes:
        """All figures in the Prometheus text format."""
        return generate_latest(WorkerFigures(self._registry, drop_zero=("intent_model_info",)))

    def _bounded(self, intent: str) -> str:
        with self._counting:
            if intent not in self._intents_counted:
                if len(self._intents_counted) >= MAX_INTENTS_COUNTED:
                    return OTHER_INTENT
                self._intents_counted.add(intent)
        return intent

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str, mode: _Mode, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self._registry, multiprocess_mode=mode)

    def _histogram(self, name: str, meaning: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, meaning, labels, registry=self._registry, buckets=buckets)


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """Observe many values at once: `observe` writes to shared memory for each, which 256 texts a request would feel."""
    if len(values) == 1:
        histogram.observe(values[0])
        return
    bounds = histogram._upper_bounds
    for bucket, count in CountOf(bisect_left(bounds, value) for value in values).items():
        histogram._buckets[bucket].inc(count)
    histogram._sum.inc(sum(values))
