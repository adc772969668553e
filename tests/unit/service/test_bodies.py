"""Any body is answered: the right form, or one shape of error that names the field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from bentos.intent_service.limits import MAX_BODY_BYTES, MAX_DEPTH, MAX_EVENTS, MAX_TEXT_CHARACTERS, MAX_TEXTS
from intent_tracking.events.contract import PARAM_NAMES
from tests.fakes.hostile_requests import EVENT_FIELDS, json_values
from tests.fakes.service_client import error, message

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "field"),
    [
        ("/v1/intent", {"texts": ["a"] * (MAX_TEXTS + 1)}, 413, "too_large", "texts"),
        ("/v1/intent", {"texts": ["a" * (MAX_TEXT_CHARACTERS + 1)]}, 413, "too_large", "texts.0"),
        ("/v1/track", {"events": [{}] * (MAX_EVENTS + 1)}, 413, "too_large", "events"),
        ("/v1/intent", {"texts": []}, 422, "invalid_request", "texts"),
        ("/v1/intent", {"texts": [""]}, 422, "invalid_request", "texts.0"),
        ("/v1/intent", {"texts": [5]}, 422, "invalid_request", "texts.0"),
        ("/v1/intent", {"texts": "hello"}, 422, "invalid_request", "texts"),
        ("/v1/intent", {"texts": ["a"], "scene": "moon"}, 422, "invalid_request", "scene"),
        ("/v1/intent", {"texts": ["a"], "model": "x"}, 422, "invalid_request", "model"),
        ("/v1/intent", {}, 422, "invalid_request", "texts"),
        ("/v1/intent", [], 422, "invalid_request", None),
        ("/v1/track", {"events": {}}, 422, "invalid_request", "events"),
        ("/v1/track", None, 422, "invalid_request", None),
    ],
)
def test_a_body_of_the_wrong_form_names_the_field(
    shared: TestClient, path: str, body: Any, status: int, code: str, field: str | None
) -> None:
    answer = shared.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert error(answer, status, code).get("field") == field


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"texts": [NaN]}',
        b'{"texts": ["\\ud800"]}',
        b'{"texts": ["\xff"]}',
        b'{"texts": [1e999]}',
        b"[" * 100_000,
        b'{"events": ' + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"}",
        b'{"events": [{"params": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}]}",
    ],
)
@pytest.mark.parametrize("path", ["/v1/track", "/v1/intent"])
def test_what_is_no_json_is_a_400(shared: TestClient, path: str, body: bytes) -> None:
    error(shared.post(path, content=body, headers={"content-type": "application/json"}), 400, "invalid_json")


def test_a_body_over_the_limit_is_refused_declared_or_not(shared: TestClient) -> None:
    headers = {"content-type": "application/json"}
    error(shared.post("/v1/track", content=b" " * (MAX_BODY_BYTES + 1), headers=headers), 413, "too_large")

    def endless() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 65536 + 2):
            yield b" " * 65536

    error(shared.post("/v1/track", content=endless(), headers=headers), 413, "too_large")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/vnd.bentoml+pickle"},
        {"content-type": "text/plain"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_other_media_types_are_refused(shared: TestClient, headers: dict[str, str]) -> None:
    error(shared.post("/v1/intent", content=b'{"texts": ["a"]}', headers=headers), 415, "unsupported_media_type")


def test_unknown_paths_and_methods_have_the_same_shape(shared: TestClient) -> None:
    error(shared.get("/v2/intent"), 404, "not_found")
    error(shared.post("/v1/intent/", json={"texts": ["a"]}, follow_redirects=False), 404, "not_found")
    error(shared.get("/v1/intent"), 405, "method_not_allowed")
    error(shared.post("/schema.json", json={}), 404, "not_found")


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(field=st.sampled_from((*EVENT_FIELDS, *sorted(PARAM_NAMES))), value=json_values)
def test_any_value_in_any_field_of_an_event_is_answered_below_500(shared: TestClient, field: str, value: Any) -> None:
    event = message(1)
    if field in PARAM_NAMES:
        event["params"] = {**event["params"], field: value}
    else:
        event[field] = value
    answer = shared.post("/v1/track", json={"events": [event]})
    assert answer.status_code < 500, answer.text
