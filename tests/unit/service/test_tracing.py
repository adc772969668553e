"""Traces: what a collector gets of a request, whose trace it joins, and that none of it exists without the setting."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.intent_service.request_context import RequestExecutor
from bentos.intent_service.runtime import Runtime
from bentos.intent_service.tracing import (
    batch_span,
    here,
    request_span,
    span,
    start_tracing,
    stop_tracing,
)
from intent_tracking.settings import Settings
from tests.fakes.log_lines import logging_configured
from tests.fakes.predictors import FailingPredictor
from tests.fakes.service_client import client_of, message
from tests.fakes.trace_collector import CollectedSpan, TraceCollector, trace_collector

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
SERVER = 2


@pytest.fixture
def collector() -> Iterator[TraceCollector]:
    with trace_collector() as found:
        start_tracing(found.address, 1.0, worker=3)
        yield found
        stop_tracing()


def by_name(spans: list[CollectedSpan]) -> dict[str, CollectedSpan]:
    assert len({each.name for each in spans}) == len(spans)
    return {each.name: each for each in spans}


def test_a_tracked_event_is_a_trace_of_its_parts_within_the_caller_s(
    runtime: Runtime, collector: TraceCollector
) -> None:
    with logging_configured() as lines:
        answer = client_of(runtime).post("/v1/track", json={"events": [message(1)]}, headers={"traceparent": SAMPLED})
        logged = [line for line in lines.records() if line["message"] == "answered"]
    stop_tracing()
    spans = collector.wait_for(4)
    assert {each.trace_id for each in spans} == {TRACE}
    found = by_name(spans)
    request = found["POST /v1/track"]
    assert (request.kind, request.parent_id, request.failed) == (SERVER, CALLER, False)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/track",
        "http.response.status_code": 200,
        "intent.request_id": answer.headers["x-request-id"],
        "intent.model_version": "m1",
    }
    assert request.resource["service.name"] == "intent-service"
    assert request.resource["service.instance.id"] == "worker-3"
    for name, attributes in {
        "track events": {"events": 1},
        "inference": {"inputs": 1},
    }.items():
        part = found[name]
        assert part.parent_id == request.span_id
        assert request.begin <= part.begin <= part.end <= request.end
        assert part.attributes == attributes
    assert [line["trace_id"] for line in logged] == [TRACE]


def test_a_request_without_a_caller_s_trace_begins_one_and_a_broken_header_counts_as_none(
    runtime: Runtime, collector: TraceCollector
) -> None:
    client = client_of(runtime)
    for header in (None, "00-jane.doe-1-01", f"00-{'0' * 32}-{CALLER}-01"):
        client.get("/v1/release", headers={"traceparent": header} if header else {})
    stop_tracing()
    spans = collector.wait_for(3)
    assert {each.parent_id for each in spans} == {""}
    assert len({each.trace_id for each in spans} - {TRACE}) == 3


@pytest.mark.parametrize(("share", "header", "traced"), [(0.0, SAMPLED, False), (1.0, NOT_SAMPLED, True)])
def test_our_share_and_not_the_caller_decides_what_is_traced(share: float, header: str, traced: bool) -> None:
    # Cause: whoever set the flag of a traceparent had every request traced, whatever share was asked for.
    with trace_collector() as collector:
        start_tracing(collector.address, share, worker=1)
        for headers in ({}, {"traceparent": header}):
            with request_span("GET", "/v1/release", "id", headers) as request, span("part"):
                assert (request.trace_id is not None) == traced
        stop_tracing()
        assert len(collector.wait_for(4 if traced else 0)) == (4 if traced else 0)


def test_a_share_of_what_one_caller_sends_is_traced_whatever_its_trace_ids_are() -> None:
    with trace_collector() as collector:
        start_tracing(collector.address, 0.5, worker=1)
        drawn = 0
        for _ in range(400):
            with request_span("GET", "/", "id", {"traceparent": f"00-{1:032x}-{CALLER}-01"}) as request:
                drawn += request.trace_id is not None
        stop_tracing()
    assert 120 < drawn < 280  # 8 standard deviations


def test_what_a_caller_adds_to_its_trace_is_not_sent_on(collector: TraceCollector) -> None:
    with request_span("GET", "/", "id", {"traceparent": SAMPLED, "tracestate": "shop=jane-doe"}):
        pass
    stop_tracing()
    assert [each.trace_id for each in collector.wait_for(1)] == [TRACE]
    assert b"jane-doe" not in b"".join(collector.bodies)


def test_a_failure_is_named_by_its_type_and_nothing_a_shopper_wrote_is_sent(
    home: Path, collector: TraceCollector
) -> None:
    runtime = Runtime(Settings(home=home), FailingPredictor.load)
    runtime.start()
    text = "I am Jane Doe"
    answer = client_of(runtime).post("/v1/intent?user=jane", json={"texts": [text]})
    runtime.close()
    assert answer.status_code == 500
    stop_tracing()
    found = by_name(collector.wait_for(2))
    request, inference = found["POST /v1/intent"], found["inference"]
    assert (request.failed, request.attributes["error.type"]) == (True, "internal")
    assert (inference.failed, inference.attributes["error.type"]) == (True, "ValueError")
    assert (request.event_count, inference.event_count) == (0, 0)
    sent = b"".join(collector.bodies)
    assert [word for word in (b"Jane", b"jane", text.encode()) if word in sent] == []


def test_a_batch_of_several_requests_is_in_the_trace_of_each(collector: TraceCollector) -> None:
    places = [None]
    for number in (1, 2):
        with request_span("POST", "/v1/intent", f"id-{number}", {}):
            places.append(here())
    with batch_span("inference batch", places, inputs=2), span("not of a request"):
        pass
    stop_tracing()
    spans = collector.wait_for(4)
    requests = [each for each in spans if each.name == "POST /v1/intent"]
    batches = [each for each in spans if each.name == "inference batch"]
    assert len(spans) == 4
    assert [(each.trace_id, each.parent_id) for each in batches] == [(each.trace_id, each.span_id) for each in requests]
    assert len({(each.begin, each.end) for each in batches}) == 1
    assert batches[0].attributes == {"inputs": 2}


def test_a_span_in_an_executor_s_thread_belongs_to_the_request_that_asked(collector: TraceCollector) -> None:
    def work() -> None:
        with span("in a thread"):
            pass

    with RequestExecutor(max_workers=1) as executor, request_span("GET", "/v1/release", "id", {}):
        executor.submit(work).result()
    stop_tracing()
    found = by_name(collector.wait_for(2))
    assert found["in a thread"].parent_id == found["GET /v1/release"].span_id


def test_without_the_setting_nothing_of_opentelemetry_is_imported() -> None:
    program = (
        "import sys, bentos.intent_service.app\n"
        "from bentos.intent_service.tracing import batch_span, here, request_span, span\n"
        "with request_span('GET', '/', 'id', {}) as request, span('part'), batch_span('batch', [here()]):\n"
        "    pass\n"
        "print(request.trace_id, [name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert _output_of(program) == "None []"


def test_a_missing_package_is_named_with_its_remedy() -> None:
    program = (
        "import sys\n"
        "sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None\n"
        "from bentos.intent_service.tracing import TracingError, start_tracing\n"
        "try:\n"
        "    start_tracing('http://127.0.0.1:4318', 1.0, 1)\n"
        "except TracingError as error:\n"
        "    print(error)"
    )
    assert "pip install 'intent-tracking[tracing]'" in _output_of(program)


def _output_of(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.strip()
