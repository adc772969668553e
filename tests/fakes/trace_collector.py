"""A collector of traces as OTLP over HTTP defines one: it takes protobuf messages and keeps their spans."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class CollectedSpan:
    """A span as it arrived; ids are hexadecimal, `parent_id` is empty for the first of a trace, times in seconds."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    begin: float
    end: float
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]
    event_count: int


class TraceCollector:
    """What has arrived at `address`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.bodies: list[bytes] = []
        self._spans: list[CollectedSpan] = []
        self._changed = threading.Condition()

    def take(self, body: bytes) -> None:
        """Decode one export."""
        request = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            self.bodies.append(body)
            for resource in request.resource_spans:
                of = {each.key: _value(each.value) for each in resource.resource.attributes}
                self._spans += [_collected(span, of) for scope in resource.scope_spans for span in scope.spans]
            self._changed.notify_all()

    def wait_for(self, count: int, trace_id: str | None = None) -> list[CollectedSpan]:
        """The spans, of one trace or of all, in the order of their begin, once there are `count`."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        with self._changed:
            while len(found := [span for span in self._spans if trace_id in (None, span.trace_id)]) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"{len(found)} of {count} spans came: {[span.name for span in found]}"
                self._changed.wait(left)
            return sorted(found, key=lambda span: span.begin)


@contextmanager
def trace_collector() -> Iterator[TraceCollector]:
    """A collector on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            good = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if good:
                collector.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if good else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = TraceCollector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _collected(span: Any, resource: dict[str, Any]) -> CollectedSpan:
    return CollectedSpan(
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        begin=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        failed=span.status.code == 2,
        attributes={each.key: _value(each.value) for each in span.attributes},
        resource=resource,
        event_count=len(span.events),
    )


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
