"""OpenTelemetry traces by setting: without INTENT_OTLP_ENDPOINT nothing of it is imported and a span costs nothing.

The one module that knows OpenTelemetry. A span holds names, numbers and codes, never what a shopper wrote: an exception
is named by its type, since its message may quote a text.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from intent_tracking import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

SERVICE_NAME: Final = "intent-service"
TRACES_PATH: Final = "/v1/traces"
# The collector must not hold a shutdown up for long.
EXPORT_SECONDS: Final = 5.0

Attribute = str | int | float | bool


class TracingError(RuntimeError):
    """Traces are asked for and cannot be made."""


class _Tracing:
    """What traces of this process go through."""

    def __init__(self, provider: TracerProvider, share: float) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.api = trace
        self.provider = provider
        self._share = share
        self.tracer: Tracer = provider.get_tracer(SERVICE_NAME, __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._nothing = Context()

    def parent(self, headers: Mapping[str, str]) -> Context:
        """The caller's span where `headers` name one by W3C's traceparent, of its two ids alone.

        Its flag and its trace id are anyone's to choose and would decide what tracing costs us, so we draw ourselves:
        https://www.w3.org/TR/trace-context/#denial-of-service. What tracestate holds is not known to be free of
        personal data.
        """
        found = self._propagator.extract(headers, self._nothing)
        caller = self.api.get_current_span(found).get_span_context()
        if not caller.is_valid:
            return self._nothing
        drawn = self.api.TraceFlags.SAMPLED if random.random() < self._share else self.api.TraceFlags.DEFAULT
        ours = self.api.SpanContext(caller.trace_id, caller.span_id, True, self.api.TraceFlags(drawn))
        return self.api.set_span_in_context(self.api.NonRecordingSpan(ours), self._nothing)


_tracing: _Tracing | None = None


def start_tracing(endpoint: str, share: float, worker: int) -> None:
    """Send spans to the collector at `endpoint`, an OTLP/HTTP address without a path, from a thread of its own.

    Args:
        endpoint: as `http://collector:4318`.
        share: of the requests that are traced, 0 to 1, whatever their callers ask for.
        worker: number of this process among the workers of the service.

    Raises:
        TracingError: the packages are not installed.
    """
    global _tracing
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise TracingError(
            "INTENT_OTLP_ENDPOINT is set, but OpenTelemetry's exporter is not installed: "
            "pip install 'intent-tracking[tracing]', or unset it"
        ) from error
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(share)),
        resource=Resource.create(
            {"service.name": SERVICE_NAME, "service.version": __version__, "service.instance.id": f"worker-{worker}"}
        ),
        # The one who stops the service stops the traces; a handler at exit would wait for a collector once more.
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint.rstrip("/") + TRACES_PATH, timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracing = _Tracing(provider, share)


def stop_tracing() -> None:
    """Send what is left and end."""
    global _tracing
    if _tracing is not None:
        _tracing.provider.shutdown()
        _tracing = None


class RequestSpan:
    """The span of a request; all of it is nothing while traces are off."""

    def __init__(self, span: Span | None = None) -> None:
        self._span = span
        self.trace_id: str | None = None
        if span is not None and span.get_span_context().trace_flags.sampled:
            self.trace_id = f"{span.get_span_context().trace_id:032x}"

    def answered(self, status: int | None, error: str | None, model_version: str | None) -> None:
        """Say how the request ended: its status and error code, and which model answered."""
        if self._span is None or not self._span.is_recording() or _tracing is None:
            return
        known = {"http.response.status_code": status, "error.type": error, "intent.model_version": model_version}
        self._span.set_attributes({name: value for name, value in known.items() if value is not None})
        if status is not None and status >= 500:
            self._span.set_status(_tracing.api.StatusCode.ERROR)


@contextmanager
def request_span(method: str, route: str, request_id: str, headers: Mapping[str, str]) -> Iterator[RequestSpan]:
    """The span of one request, a child of the caller's where `headers` hold a traceparent."""
    if _tracing is None:
        yield RequestSpan()
        return
    attributes = {"http.request.method": method, "http.route": route, "intent.request_id": request_id}
    with _tracing.tracer.start_as_current_span(
        f"{method} {route}",
        _tracing.parent(headers),
        _tracing.api.SpanKind.SERVER,
        attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield RequestSpan(span)


def span(name: str, **attributes: Attribute) -> AbstractContextManager[object]:
    """A part of what is done for the current request; in threads of the process itself, nothing."""
    if _tracing is None or not _tracing.api.get_current_span().get_span_context().is_valid:
        return nullcontext()
    return _part(_tracing, name, attributes)


@contextmanager
def _part(tracing: _Tracing, name: str, attributes: Mapping[str, Attribute]) -> Iterator[None]:
    with tracing.tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as part:
        try:
            yield
        except Exception as error:
            part.set_status(tracing.api.StatusCode.ERROR)
            part.set_attribute("error.type", type(error).__qualname__)
            raise


def here() -> Any:
    """The place in a trace from which work is handed to a batch; None while traces are off."""
    if _tracing is None:
        return None
    from opentelemetry.context import get_current

    return get_current()


@contextmanager
def batch_span(name: str, places: Sequence[Any], **attributes: Attribute) -> Iterator[None]:
    """One piece of work for several requests: it appears in the trace of each, with the same begin and end.

    Args:
        name: of the span.
        places: where each request stood when it gave its part, by `here`.
        attributes: of all of these spans.
    """
    if _tracing is None:
        yield
        return
    begin = time.time_ns()
    try:
        yield
    finally:
        end = time.time_ns()
        for place in places:
            if place is not None and _tracing.api.get_current_span(place).get_span_context().is_valid:
                _tracing.tracer.start_span(name, place, attributes=attributes, start_time=begin).end(end)
