"""Log lines: one shape for all of them, the request they belong to, and nothing about persons."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.intent_service.logs import LogFormat
from bentos.intent_service.request_context import RequestContext, RequestExecutor, current_request, handling
from bentos.intent_service.runtime import Runtime
from intent_tracking.settings import Settings
from tests.fakes.log_lines import LogLines, logging_configured
from tests.fakes.predictors import FailingPredictor, FakePredictor
from tests.fakes.service_client import client_of, message

pytestmark = pytest.mark.unit

GIVEN = "0f6a2b3c-4d5e-4f60-8a9b-0c1d2e3f4a5b"


@pytest.fixture
def lines() -> Iterator[LogLines]:
    with logging_configured() as found:
        yield found


def answered(lines: LogLines) -> dict[str, Any]:
    [line] = [line for line in lines.records() if line["logger"] == "bentos.intent_service.observed"]
    return line


def test_an_answer_is_one_line_with_its_request_status_time_and_model(runtime: Runtime, lines: LogLines) -> None:
    client_of(runtime).post("/v1/intent", json={"texts": ["hello"]}, headers={"X-Request-Id": GIVEN})
    line = answered(lines)
    assert 0 < line.pop("ms") < 10_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {
        "level": "info",
        "message": "answered",
        "logger": "bentos.intent_service.observed",
        "request_id": GIVEN,
        "route": "/v1/intent",
        "method": "POST",
        "status": 200,
        "model_version": "m1",
    }


def test_an_error_line_names_the_code_and_an_unknown_path_and_method_are_not_quoted(
    runtime: Runtime, lines: LogLines
) -> None:
    client_of(runtime).request("JANE", "/users/jane.doe")
    line = answered(lines)
    assert (line["route"], line["method"], line["status"], line["error"]) == ("other", "other", 404, "not_found")


def test_probes_that_succeed_are_logged_at_debug_only(runtime: Runtime, lines: LogLines) -> None:
    client = client_of(runtime)
    assert [client.get(path).status_code for path in ("/livez", "/readyz", "/metrics")] == [200] * 3
    assert lines.take() == ""
    with logging_configured(level="debug") as all_lines:
        client.get("/livez")
        assert answered(all_lines)["route"] == "/livez"


def test_every_line_of_a_request_carries_its_id_in_executors_too(home: Path, lines: LogLines) -> None:
    runtime = Runtime(Settings(home=home), FailingPredictor.load)
    runtime.start()
    try:
        (home / "feast").mkdir()
        (home / "feast" / "online.db").write_text("no database")
        answer = client_of(runtime).post("/v1/track", json={"events": [message(1)]}, headers={"X-Request-Id": GIVEN})
    finally:
        runtime.close()
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == GIVEN
    found = [line for line in lines.records() if "request_id" in line]
    # Of a storage thread, of the error, and of the answer.
    assert [line["logger"].rpartition(".")[2] for line in found] == ["features", "observed", "observed"]
    assert {line["request_id"] for line in found} == {GIVEN}


def test_an_executor_s_thread_works_for_the_request_that_asked_and_for_no_other_later() -> None:
    async def ask(name: str) -> list[str]:
        with handling(RequestContext(name, "/v1/track")):
            loop = asyncio.get_running_loop()
            found = [await loop.run_in_executor(executor, current_request) for _ in range(20)]
            return [each.request_id for each in found if each is not None]

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(*(ask(name) for name in "abcdef"))

    with RequestExecutor(max_workers=2) as executor:
        assert asyncio.run(all_of_them()) == [[name] * 20 for name in "abcdef"]
        assert executor.submit(current_request).result() is None


PERSON = (
    *("Jane", "Doe", "jane.doe", "example.org", "13812345678", "221B", "Baker", "zhang", "4111111111111111", "离婚"),
    *("user-7788", "device-4455", "session-9911", "order-3322", "coupon-jane", "secretkey"),
)
TEXT = "I am Jane Doe, jane.doe@example.org, 13812345678, 221B Baker Street, card 4111111111111111, 离婚"


def personal_requests() -> Iterator[tuple[str, str, Any, dict[str, str]]]:
    """Personal data in every place that a caller can put it."""
    headers = {
        "X-Request-Id": "jane.doe@example.org",
        "User-Agent": "Jane Doe 13812345678",
        "Referer": "https://example.org/?q=jane.doe",
        "Cookie": "user=user-7788",
        "Authorization": "Bearer secretkey",
    }
    event = {
        **message(1, TEXT),
        "user_id": "user-7788",
        "anonymous_id": "device-4455",
        "session_id": "session-9911",
        "params": {"text": TEXT},
    }
    purchase = {
        **event,
        "event_id": "order-3322",
        "event_name": "purchase",
        "params": {
            "transaction_id": "order-3322",
            "coupon": "coupon-jane",
            "currency": "EUR",
            "value": 1,
            "items": [{"item_id": "x", "item_name": TEXT}],
        },
    }
    yield "POST", "/v1/track", {"events": [event, purchase]}, headers
    for field in (*purchase, "params", "jane.doe@example.org"):
        yield "POST", "/v1/track", {"events": [{**purchase, field: TEXT}]}, headers
        yield "POST", "/v1/track", {"events": [{**purchase, field: {TEXT: [TEXT]}}]}, headers
    yield "POST", "/v1/track", {TEXT: TEXT}, headers
    yield "POST", "/v1/intent", {"texts": [TEXT], "scene": "search"}, headers
    yield "POST", "/v1/intent", {"texts": [TEXT], "scene": TEXT}, headers
    yield "POST", "/v1/intent?user=jane.doe", {"texts": [TEXT] * 300}, headers
    yield "POST", "/v1/explain", {"text": TEXT, "intent": TEXT}, headers
    for person in ("user-7788", TEXT, {TEXT: TEXT}):
        yield "POST", "/v1/erase", {"user_id": person}, headers
    yield "POST", f"/v1/{TEXT}", {}, headers
    yield "GET", "/v1/release?user=user-7788&email=jane.doe@example.org", None, headers
    yield "JANE", "/v1/release", None, headers


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_line_holds_personal_data_wherever_it_was_sent(home: Path, log_format: LogFormat) -> None:
    with logging_configured(log_format, "debug") as lines:
        statuses = set()
        for load in (FakePredictor.load, FailingPredictor.load):
            runtime = Runtime(Settings(home=home), load)
            runtime.start()
            client = client_of(runtime)
            for method, path, body, headers in personal_requests():
                statuses.add(client.request(method, path, json=body, headers=headers).status_code)
            bad = client.post("/v1/track", content=TEXT.encode("utf-16"), headers={"Content-Type": "application/json"})
            statuses.add(bad.status_code)
            runtime.close()
        logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task %r>", TEXT)
        text = lines.take()
    assert {200, 400, 404, 405, 413, 422, 500} <= statuses
    assert len(text.splitlines()) > 40
    assert "ValueError from KeyError" in text
    # The ids of the requests are random hexadecimal digits: they may hold any short digits, but no word.
    assert [word for word in PERSON if word.encode("ascii", "backslashreplace").decode() in text or word in text] == []


def test_an_exception_is_named_with_its_places_and_without_its_message(lines: LogLines) -> None:
    def wrong() -> None:
        raise ValueError(TEXT)

    try:
        wrong()
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    [line] = lines.records()
    assert line["exception"] == "ValueError"
    assert [place.rpartition(" ")[2] for place in line["trace"]][-1] == "wrong"
    assert line["message"] == "Exception in ASGI application"


def test_loggers_of_bentoml_and_warnings_have_the_same_shape() -> None:
    bentoml = logging.getLogger("bentoml.serve")
    bentoml.addHandler(logging.NullHandler())
    logging.getLogger("bentoml").propagate = False
    with logging_configured() as lines, warnings.catch_warnings():
        bentoml.info("Service %s initialized", "intent_service")
        logging.getLogger("uvicorn.error").info("too chatty")
        warnings.simplefilter("always")
        warnings.warn("old", FutureWarning, stacklevel=1)
        found = lines.records()
    assert [(line["logger"], line["level"]) for line in found] == [
        ("bentoml.serve", "info"),
        ("py.warnings", "warning"),
    ]


def test_a_message_cannot_forge_a_line_in_either_format() -> None:
    forged = 'x\n{"level":"info"}\r\x1b[2J\ud800'
    for log_format in ("json", "text"):
        with logging_configured(log_format) as lines:
            logging.getLogger("bentos").warning("%s", forged)
            text = lines.take()
        assert len(text.splitlines()) == 1
        assert "\x1b" not in text
    with logging_configured("json") as lines:
        logging.getLogger("bentos").warning("%s", forged)
        assert json.loads(lines.take())["message"] == forged


@pytest.mark.parametrize("given", [GIVEN, GIVEN.replace("-", ""), "01ARZ3NDEKTSV4RRFFQ69G5FAV", GIVEN.upper()])
def test_a_well_formed_request_id_is_taken(runtime: Runtime, given: str) -> None:
    answer = client_of(runtime).get("/livez", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given", ["", "1", "13812345678", "jane.doe", GIVEN + "x", GIVEN + "\t", GIVEN[:13] + GIVEN[14:], "a" * 5000]
)
def test_another_is_replaced_and_each_answer_has_its_own(runtime: Runtime, given: str) -> None:
    client = client_of(runtime)
    ids = {client.get("/livez", headers={"X-Request-Id": given}).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_errors_of_every_kind_answer_with_the_id(runtime: Runtime) -> None:
    client = client_of(runtime, ("right",))
    sent: list[tuple[str, str, int]] = [("GET", "/metrics", 401), ("GET", "/nowhere", 401), ("POST", "/livez", 405)]
    for method, path, status in sent:
        answer = client.request(method, path, headers={"X-Request-Id": GIVEN})
        assert (answer.status_code, answer.headers["x-request-id"]) == (status, GIVEN)
