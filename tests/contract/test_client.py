"""Both clients against the real app: every operation, the one error shape, and what is tried again."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import pytest

from bentos.intent_service.app import OPERATIONS
from bentos.intent_service.limits import MAX_BODY_BYTES, MAX_EVENTS
from bentos.intent_service.runtime import Runtime
from intent_tracking.client import (
    AsyncIntentClient,
    Event,
    IntentClient,
    Item,
    NoAnswerError,
    Params,
    Retry,
    ServiceError,
    UnexpectedAnswerError,
    events,
)
from intent_tracking.events import contract
from intent_tracking.release import publish
from intent_tracking.settings import Settings
from tests.fakes.client_harness import AsyncHarness, Harness, SyncHarness, harness
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.service_client import app_of
from tests.fakes.visitor import Visitor

pytestmark = pytest.mark.contract

KINDS = [SyncHarness, AsyncHarness]
# Asked by supervisors, Prometheus and browsers, not by the code of a shop.
NOT_FOR_SHOPS = {"livez", "readyz", "metrics", "snippet"}
QUICK = Retry(attempts=4, first_seconds=0.001)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    publish(folder / "release.json", {"intent_model": fake_artifact(folder, "m1")}, "first")
    return folder


@pytest.fixture(scope="module")
def runtime(home: Path) -> Iterator[Runtime]:
    running = Runtime(Settings(home=home), FakePredictor.load)
    running.start()
    yield running
    running.close()


@pytest.fixture(params=KINDS, ids=["sync", "async"])
def service(request: pytest.FixtureRequest, runtime: Runtime) -> Iterator[Harness]:
    with harness(request.param, app_of(runtime)) as made:
        made.client(retry=QUICK)
        yield made


@pytest.fixture
def visitor(home: Path) -> Visitor:
    return Visitor(home)


def busy(retry_after: str | None = None) -> httpx.Response:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return httpx.Response(503, json={"error": {"code": "overloaded", "message": "busy"}}, headers=headers)


def test_every_operation_for_shops_has_a_method_in_both_clients() -> None:
    wanted = {operation.name for operation in OPERATIONS} - NOT_FOR_SHOPS
    for client in (IntentClient, AsyncIntentClient):
        assert wanted <= {name for name, _ in inspect.getmembers(client, inspect.isfunction)}


def test_both_clients_have_the_same_methods() -> None:
    def signatures(client: type) -> dict[str, list[str]]:
        public = inspect.getmembers(client, inspect.isfunction)
        return {name: list(inspect.signature(each).parameters) for name, each in public if not name.startswith("_")}

    assert signatures(IntentClient) == signatures(AsyncIntentClient)


def test_the_limits_and_the_fields_are_those_of_the_service() -> None:
    assert (events.MAX_EVENTS, events.MAX_BODY_BYTES) == (MAX_EVENTS, MAX_BODY_BYTES)
    for typed, record in ((Event, contract.Event), (Params, contract.Params), (Item, contract.Item)):
        assert set(get_type_hints(typed)) == set(record.model_fields)


def test_track_answers_what_was_stored_and_what_the_shopper_wants(service: Harness, visitor: Visitor) -> None:
    answer = service.call("track", [visitor.message(1), visitor.message(1), {"event_name": "nonsense"}])
    assert (answer.accepted, answer.duplicates, answer.model_version) == (1, 1, "m1")
    assert answer.rejected[0].index == 2
    assert "event_name" in answer.rejected[0].reason
    assert answer.sessions[0].intents[0].name == "intent-of-m1"
    assert visitor.numbers() == [1]


def test_an_event_without_id_and_time_gets_both(service: Harness, visitor: Visitor) -> None:
    event: Event = {"event_name": "message", "anonymous_id": visitor.name, "params": {"text": "hello"}}
    assert service.call("track", [event, event]).accepted == 2
    first, second = visitor.in_log()
    assert first["event_id"] != second["event_id"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(first["event_time"])).total_seconds() < 60
    assert "event_id" not in event


def test_more_events_than_one_call_takes_are_sent_in_several(service: Harness, visitor: Visitor) -> None:
    count = MAX_EVENTS + 3
    answer = service.call("track", [*(visitor.message(number) for number in range(count)), {"event_name": "nonsense"}])
    assert answer.accepted == count
    assert [each.index for each in answer.rejected] == [count]
    assert len(service.app.requests) == 2
    assert len(answer.sessions) == 1
    assert len(visitor.in_log()) == count


def test_intent_explain_and_release(service: Harness) -> None:
    answer = service.call("intent", ["a red dress", "hello?"], scene="search")
    assert [prediction.out_of_scope for prediction in answer.predictions] == [False, True]
    assert answer.predictions[0].key_information[0].value == "red"
    release = service.call("release")
    assert (release.number, release.refused) == (1, None)
    assert release.loaded_at.utcoffset() is not None
    assert set(release.components) == {"intent_model"}


def test_a_person_is_erased(service: Harness, visitor: Visitor) -> None:
    service.call("track", [visitor.message(1) | {"user_id": visitor.name}])
    erasure = service.call("erase", visitor.name)
    assert erasure.request
    assert erasure.until.utcoffset() is not None
    assert sum(place.records for place in erasure.removed) >= 1
    assert visitor.in_log() == []


def test_an_error_carries_code_message_and_field(service: Harness) -> None:
    with pytest.raises(ServiceError) as caught:
        service.call("intent", [])
    assert (caught.value.status, caught.value.code, caught.value.field) == (422, "invalid_request", "texts")
    assert caught.value.message
    assert len(service.app.requests) == 1


@pytest.mark.parametrize(
    "failure", [busy(), httpx.Response(502, text="<html>"), httpx.ConnectError("refused"), httpx.ReadTimeout("late")]
)
def test_a_transient_failure_is_tried_again(service: Harness, failure: Any) -> None:
    service.app.instead = [failure, failure]
    assert service.call("intent", ["hello"]).model_version == "m1"
    assert len(service.app.requests) == 3


def test_a_lost_answer_doubles_nothing(service: Harness, visitor: Visitor) -> None:
    service.app.lost = 2
    answer = service.call("track", [{"event_name": "message", "anonymous_id": visitor.name, "params": {"text": "hi"}}])
    assert (answer.accepted, answer.duplicates) == (0, 1)
    assert len(visitor.in_log()) == 1
    bodies = {request.content for request in service.app.requests}
    assert len(service.app.requests) == 3
    assert len(bodies) == 1
    assert json.loads(bodies.pop())["events"][0]["event_id"]


def test_tries_end(service: Harness) -> None:
    service.app.instead = [httpx.ConnectError("refused")] * 10
    with pytest.raises(NoAnswerError, match="ConnectError refused"):
        service.call("release")
    assert len(service.app.requests) == QUICK.attempts


def test_a_service_that_asks_for_a_longer_wait_than_we_have_is_not_asked_again(service: Harness) -> None:
    service.app.instead = [busy("3600")]
    with pytest.raises(ServiceError) as caught:
        service.call("release")
    assert caught.value.retry_after == 3600
    assert len(service.app.requests) == 1


def test_an_unexpected_failure_of_the_service_is_not_repeated(service: Harness) -> None:
    service.app.instead = [httpx.Response(500, json={"error": {"code": "internal", "message": "unexpected"}})]
    with pytest.raises(ServiceError, match="500 internal"):
        service.call("release")
    assert len(service.app.requests) == 1


@pytest.mark.parametrize(
    ("answer", "where"),
    [
        (httpx.Response(200, text="<html>"), "without JSON"),
        (httpx.Response(200, json=[]), "not an object"),
        (httpx.Response(200, json={"predictions": [{"intents": 1}], "model_version": "m"}), r"predictions\[0\]"),
        (
            httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip")),
            "/v1/intent cannot be decoded",
        ),
    ],
)
def test_another_server_at_the_address_is_noticed(service: Harness, answer: httpx.Response, where: str) -> None:
    service.app.instead = [answer]
    with pytest.raises(UnexpectedAnswerError, match=where):
        service.call("intent", ["hello"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_sent_as_bearer_and_shown_nowhere(kind: Any, runtime: Runtime) -> None:
    with harness(kind, app_of(runtime, ("right-key",))) as service:
        service.client(key="wrong-key")
        with pytest.raises(ServiceError) as caught:
            service.call("release")
        assert (caught.value.status, caught.value.code) == (401, "unauthorized")
        assert "wrong-key" not in str(caught.value)
        made = service.client(key="right-key")
        assert service.call("release").number == 1
        assert "right-key" not in repr(made)
