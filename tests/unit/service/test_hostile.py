"""Nothing that a caller sends ends in an answer of 5xx, and every answer is what the OpenAPI document says.

`python -m benchmarks.bench_hostile` sends 10,000 of these requests to the service as it runs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, example, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from bentos.intent_service.app import OPERATIONS
from bentos.intent_service.openapi import Operation, openapi_document
from tests.fakes.app_server import served
from tests.fakes.hostile_requests import HostileRequest, hostile_requests

pytestmark = pytest.mark.unit

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
QUICK = settings(database=None, suppress_health_check=list(HealthCheck))
# By default a 413 does not count as a refusal.
CONFIG = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}})
SCHEMA = schemathesis.openapi.from_dict(openapi_document(OPERATIONS), config=CONFIG)


def _send(client: TestClient, request: HostileRequest) -> int:
    def parts() -> Iterator[bytes]:
        yield from (request.body[at : at + 65_536] for at in range(0, len(request.body), 65_536))

    content = parts() if request.chunked else request.body
    headers = [(name.encode(), value.encode("latin-1")) for name, value in request.headers]
    # With its host, or a target like //a would name another.
    address = str(client.base_url).rstrip("/") + request.target
    return client.request(request.method, address, content=content, headers=headers).status_code


@settings(QUICK, max_examples=300)
@given(request=hostile_requests())
@example(HostileRequest("path and method", "GET", "////", (), b""))
def test_no_request_ends_in_a_failure_of_the_service(shared: TestClient, request: HostileRequest) -> None:
    assert _send(shared, request) < 500


@pytest.fixture(scope="module")
def address(shared: TestClient) -> Iterator[str]:
    with served(shared.app) as (host, port):
        yield f"http://{host}:{port}"


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        pytest.param(operation, mode, id=f"{operation.name}-{mode}")
        for operation in OPERATIONS
        for mode in GenerationMode
        # A request without a body cannot be wrong, and a stream does not end.
        if (operation.request is not None or mode is GenerationMode.POSITIVE)
        and operation.answer != "text/event-stream"
    ],
)
def test_every_operation_answers_as_its_document_says(address: str, operation: Operation, mode: GenerationMode) -> None:
    @settings(QUICK, max_examples=20)
    @given(case=SCHEMA[operation.path][operation.method.upper()].as_strategy(generation_mode=mode))
    def holds(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=address, checks=CHECKS, timeout=60)

    holds()
