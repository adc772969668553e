"""The HTTP surface of the service, with a fake model behind it: every route, every limit, one shape of error."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from bentos.intent_service.app import create_app
from bentos.intent_service.limits import MAX_BODY_BYTES, MAX_DEPTH, MAX_EVENTS, MAX_TEXT_CHARACTERS, MAX_TEXTS
from bentos.intent_service.runtime import Runtime
from bentos.intent_service.schemas import IntentRequest
from intent_tracking.events.contract import PARAM_NAMES
from intent_tracking.events.log import EventLog
from intent_tracking.prediction_log import prediction_days, read_predictions
from intent_tracking.release import publish
from intent_tracking.settings import Settings
from tests.fakes.predictors import FakePredictor, fake_artifact

pytestmark = pytest.mark.unit

LOCAL = {"base_url": "http://127.0.0.1:3000", "client": ("127.0.0.1", 50000), "raise_server_exceptions": False}
NOW = datetime.now(UTC).replace(microsecond=0)


def client_of(runtime: Runtime, keys: tuple[str, ...] = (), **options: Any) -> TestClient:
    return TestClient(create_app(runtime, keys), **{**LOCAL, **options})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path / "release.json", {"intent_model": fake_artifact(tmp_path, "m1")}, "first")
    return tmp_path


@pytest.fixture
def runtime(home: Path) -> Iterator[Runtime]:
    running = Runtime(Settings(home=home), FakePredictor.load)
    running.start()
    yield running
    running.close()


@pytest.fixture
def client(runtime: Runtime) -> TestClient:
    return client_of(runtime)


@pytest.fixture(scope="module")
def shared_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """For tests whose answers do not depend on what was tracked before: a start takes half a second."""
    folder = tmp_path_factory.mktemp("shared")
    publish(folder / "release.json", {"intent_model": fake_artifact(folder, "m1")}, "first")
    running = Runtime(Settings(home=folder), FakePredictor.load)
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def shared(shared_runtime: Runtime) -> TestClient:
    return client_of(shared_runtime)


def message(number: int, text: str = "where is my parcel", *, minutes: int = 0, shopper: str = "v1") -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "event_name": "message",
        "event_time": (NOW - timedelta(minutes=60 - minutes)).isoformat(),
        "anonymous_id": shopper,
        "source": "web",
        "params": {"text": text},
    }


def logged(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line.data) for line in EventLog.read(home / "event_log")]


def error(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["error"]
    assert set(body["error"]) <= {"code", "message", "field"}
    assert body["error"]["code"] == code
    assert body["error"]["message"]
    found: dict[str, Any] = body["error"]
    return found


def test_track_answers_the_sessions_of_the_events_and_has_them_on_disk(client: TestClient, home: Path) -> None:
    answer = client.post("/v1/track", json={"events": [message(1), message(2, shopper="v2")]})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["accepted"], body["duplicates"], body["rejected"]) == (2, 0, [])
    assert body["model_version"] == "m1"
    assert len(body["sessions"]) == 2
    session = body["sessions"][0]
    assert set(session) == {
        "session_id",
        "scene",
        "intents",
        "out_of_scope",
        "key_information",
        "purchase_probability",
        "actions",
    }
    assert session["scene"] == "customer_service"
    assert session["intents"][0] == {"name": "intent-of-m1", "probability": 0.7}
    assert session["actions"] == ["show_order_status", "notify_on_delivery"]
    assert [event["event_id"] for event in logged(home)] == ["e1", "e2"]


def test_a_repeated_event_is_a_duplicate_and_is_logged_once(client: TestClient, home: Path) -> None:
    client.post("/v1/track", json={"events": [message(1)]})
    body = client.post("/v1/track", json={"events": [message(1), message(2), message(2)]}).json()
    assert (body["accepted"], body["duplicates"]) == (1, 2)
    assert [event["event_id"] for event in logged(home)] == ["e1", "e2"]


def test_a_repeat_gets_the_answer_that_the_first_sending_got(client: TestClient, home: Path) -> None:
    first = client.post("/v1/track", json={"events": [message(1)]}).json()
    repeat = client.post("/v1/track", json={"events": [message(1)]}).json()
    assert (repeat["accepted"], repeat["duplicates"]) == (0, 1)
    assert repeat["sessions"] == first["sessions"]
    assert len(repeat["sessions"]) == 1
    assert [event["event_id"] for event in logged(home)] == ["e1"]


def test_an_online_store_that_cannot_be_read_costs_the_features_and_not_the_answer(
    client: TestClient, home: Path
) -> None:
    (home / "feast").mkdir()
    (home / "feast" / "online.db").write_bytes(b"")
    body = client.post("/v1/track", json={"events": [message(1)]}).json()
    assert (body["accepted"], len(body["sessions"])) == (1, 1)
    assert 'intent_feature_defaults_total{why="unreadable"}' in client.get("/metrics").text


def test_repeats_sent_at_the_same_time_are_logged_once(client: TestClient, home: Path) -> None:
    answers: list[dict[str, Any]] = []

    def send() -> None:
        answers.append(client.post("/v1/track", json={"events": [message(number) for number in range(20)]}).json())

    senders = [threading.Thread(target=send) for _ in range(6)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sum(answer["accepted"] for answer in answers) == 20
    assert sum(answer["duplicates"] for answer in answers) == 100
    assert len(logged(home)) == 20


def test_one_bad_event_is_rejected_by_index_and_reason_and_the_rest_is_accepted(client: TestClient) -> None:
    nameless = message(2) | {"event_name": "teleport"}
    events = [message(1), nameless, 7, {}, message(3)]
    body = client.post("/v1/track", json={"events": events}).json()
    assert body["accepted"] == 2
    assert [each["index"] for each in body["rejected"]] == [1, 2, 3]
    assert "event_name" in body["rejected"][0]["reason"]


def test_an_old_event_time_is_accepted_and_a_late_event_joins_its_session(client: TestClient) -> None:
    first = client.post("/v1/track", json={"events": [message(1, minutes=10)]}).json()
    late = client.post("/v1/track", json={"events": [message(2, minutes=5)]}).json()
    old = client.post("/v1/track", json={"events": [message(3) | {"event_time": "2020-01-01T00:00:00Z"}]}).json()
    assert late["sessions"][0]["session_id"] == first["sessions"][0]["session_id"]
    assert old["accepted"] == 1


def test_personal_data_reaches_neither_log_nor_state_nor_predictions(runtime: Runtime, home: Path) -> None:
    text = "call me at +49 170 1234567 or mail anna.muster@example.com"
    client_of(runtime).post("/v1/track", json={"events": [message(1, text)]})
    client_of(runtime).post("/v1/intent", json={"texts": [text]})
    runtime.close()
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"1234567" not in kept
    assert b"anna.muster" not in kept
    assert b"<phone>" in kept


def test_the_service_stamps_the_time_of_arrival(client: TestClient, home: Path) -> None:
    client.post("/v1/track", json={"events": [message(1) | {"received_time": "2020-01-01T00:00:00Z"}]})
    assert datetime.fromisoformat(logged(home)[0]["received_time"]) >= NOW


def test_replayed_traffic_keeps_its_time_of_arrival_where_it_is_trusted(home: Path) -> None:
    running = Runtime(Settings(home=home, trust_received_time=True), FakePredictor.load)
    running.start()
    event = message(1) | {"event_time": "2026-01-05T10:00:00Z", "received_time": "2026-01-06T00:10:00Z"}
    client_of(running).post("/v1/track", json={"events": [event]})
    running.close()
    assert logged(home)[0]["received_time"] == "2026-01-06T00:10:00Z"
    assert [day.isoformat() for day in prediction_days(home / "prediction_log")] == ["2026-01-05"]


def kept_sessions(home: Path) -> set[str]:
    with closing(sqlite3.connect(home / "session_state.sqlite")) as database:
        return {row[0] for row in database.execute("SELECT shopper_id FROM session")}


@pytest.mark.parametrize(("trusted", "kept"), [(False, {"anonymous:new"}), (True, {"anonymous:new", "anonymous:old"})])
def test_sessions_without_activity_for_a_week_are_forgotten_while_the_service_runs(
    home: Path, trusted: bool, kept: set[str]
) -> None:
    running = Runtime(Settings(home=home, trust_received_time=trusted), FakePredictor.load, expire_seconds=0.05)
    running.start()
    try:
        old = message(1, shopper="old") | {"event_time": (NOW - timedelta(days=7, minutes=1)).isoformat()}
        new = message(2, shopper="new") | {"event_time": (NOW - timedelta(days=6)).isoformat()}
        assert client_of(running).post("/v1/track", json={"events": [old, new]}).json()["accepted"] == 2
        deadline = time.monotonic() + (0.3 if trusted else 10)
        while (kept_sessions(home) != kept or trusted) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert kept_sessions(home) == kept
    finally:
        running.close()


def test_a_disk_that_refuses_is_a_503_and_the_event_can_be_sent_again(client: TestClient, home: Path) -> None:
    (home / "event_log").write_text("a file where the folder should be")
    refused = client.post("/v1/track", json={"events": [message(1)]})
    error(refused, 503, "storage")
    assert refused.headers["retry-after"]
    (home / "event_log").unlink()
    assert client.post("/v1/track", json={"events": [message(1)]}).json()["accepted"] == 1


def test_a_session_state_that_refuses_is_a_503_too(runtime: Runtime, home: Path) -> None:
    client = client_of(runtime)
    with sqlite3.connect(home / "session_state.sqlite") as database:
        database.execute("DROP TABLE event")
    database.close()
    error(client.post("/v1/track", json={"events": [message(1)]}), 503, "storage")


def test_intent_answers_in_the_order_given_and_with_offsets_in_the_text_sent(client: TestClient) -> None:
    texts = ["  ｒｅｄ  shoes", "anything else?", "a red dress"]
    body = client.post("/v1/intent", json={"texts": texts, "scene": "search"}).json()
    assert body["model_version"] == "m1"
    first, second, third = body["predictions"]
    assert [each["out_of_scope"] for each in (first, second, third)] == [False, True, False]
    assert third["key_information"] == [{"name": "colour", "value": "red", "start": 2, "end": 5}]
    found = first["key_information"][0]
    assert texts[0][found["start"] : found["end"]] == found["value"] == "ｒｅｄ"


def test_long_texts_do_not_keep_other_requests_waiting(runtime: Runtime) -> None:
    request = IntentRequest(texts=["red shoes from shop@example.com, size 42 " * 90] * MAX_TEXTS)

    async def longest_pause() -> tuple[float, float]:
        asked = asyncio.create_task(runtime.intent(request))
        begin = last = time.perf_counter()
        longest = 0.0
        while not asked.done():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            last, longest = now, max(longest, now - last)
        await asked
        return longest, last - begin

    longest, whole = asyncio.run(longest_pause())
    assert longest < whole / 4, f"the event loop stood still for {longest:.2f} s of {whole:.2f} s"


def test_every_served_prediction_is_logged_with_what_the_drift_check_reads(runtime: Runtime, home: Path) -> None:
    client = client_of(runtime)
    client.post("/v1/intent", json={"texts": ["red shoes", "blue shoes?"]})
    client.post("/v1/track", json={"events": [message(1), message(2, minutes=3)]})
    runtime.close()
    root = home / "prediction_log"
    rows = read_predictions(root, prediction_days(root)).to_pylist()
    assert sorted(row["kind"] for row in rows) == ["intent", "intent", "track"]
    tracked = next(row for row in rows if row["kind"] == "track")
    assert (tracked["shopper_id"], tracked["event_count"], tracked["intent"]) == ("anonymous:v1", 2, "intent-of-m1")
    assert tracked["event_time"] == NOW - timedelta(minutes=57)
    assert tracked["model_version"] == "m1"


def test_without_a_release_events_are_kept_and_questions_get_a_clear_503(tmp_path: Path) -> None:
    running = Runtime(Settings(home=tmp_path), FakePredictor.load)
    running.start()
    client = client_of(running)
    try:
        assert client.get("/livez").status_code == 200
        assert "released" in error(client.get("/readyz"), 503, "no_model")["message"]
        error(client.post("/v1/intent", json={"texts": ["hello"]}), 503, "no_model")
        error(client.get("/v1/release"), 503, "no_model")
        body = client.post("/v1/track", json={"events": [message(1)]}).json()
        assert (body["accepted"], body["sessions"], body["model_version"]) == (1, [], None)
        assert len(logged(tmp_path)) == 1
    finally:
        running.close()


def test_a_refused_first_release_says_why_in_readyz(tmp_path: Path) -> None:
    publish(tmp_path / "release.json", {"intent_model": fake_artifact(tmp_path, "m", differences=["line 1"])}, "first")
    running = Runtime(Settings(home=tmp_path), FakePredictor.load)
    running.start()
    try:
        assert "line 1" in error(client_of(running).get("/readyz"), 503, "no_model")["message"]
        assert client_of(running).get("/v1/release").headers["intent-refused-release"] == "1"
    finally:
        running.close()


def test_release_names_what_is_served(client: TestClient) -> None:
    body = client.get("/v1/release").json()
    assert (body["number"], body["model_version"], body["refused"]) == (1, "m1", None)
    assert set(body["components"]["intent_model"]) == {"version", "manifest_sha256"}


def test_health_and_figures(client: TestClient) -> None:
    client.post("/v1/intent", json={"texts": ["red shoes"]})
    client.get("/v1/made-up-path")
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    figures = client.get("/metrics").text
    assert 'intent_predictions_total{intent="intent-of-m1",kind="intent"} 1.0' in figures
    assert 'intent_http_requests_total{route="other",status="404"} 1.0' in figures
    assert "intent_release_number 1.0" in figures
    assert "made-up-path" not in figures


def test_the_document_describes_every_route_and_only_what_exists(client: TestClient) -> None:
    document = client.get("/docs.json").json()
    assert set(document["paths"]) == {
        *("/v1/track", "/v1/intent", "/v1/explain", "/v1/release", "/livez", "/readyz", "/metrics")
    }
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas
    assert schemas["IntentRequest"]["properties"]["texts"]["maxItems"] == MAX_TEXTS


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
    error(shared.get("/v1/intent"), 405, "method_not_allowed")
    error(shared.post("/schema.json", json={}), 404, "not_found")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
EVENT_FIELDS = (
    "event_id",
    "event_name",
    "event_time",
    "received_time",
    "user_id",
    "anonymous_id",
    "session_id",
    "source",
    "scene",
    "schema_version",
    "params",
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(field=st.sampled_from((*EVENT_FIELDS, *sorted(PARAM_NAMES))), value=json_values)
def test_any_value_in_any_field_of_an_event_is_answered_below_500(shared: TestClient, field: str, value: Any) -> None:
    event = message(1)
    if field in PARAM_NAMES:
        event["params"] = {**event["params"], field: value}
    else:
        event[field] = value
    answer = shared.post("/v1/track", json={"events": [event]})
    assert answer.status_code < 500, answer.text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=st.dictionaries(st.sampled_from(["texts", "scene", "events", "x"]), json_values) | json_values)
@pytest.mark.parametrize("path", ["/v1/track", "/v1/intent"])
def test_any_json_body_is_answered_below_500(shared: TestClient, path: str, body: Any) -> None:
    answer = shared.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "options",
    [
        {"client": ("192.0.2.7", 1)},
        {"client": ("::ffff:192.0.2.7", 1)},
        {"base_url": "http://shop.example:3000"},
        {"base_url": "http://192.0.2.1:3000"},
    ],
)
def test_without_keys_only_this_machine_is_answered(shared_runtime: Runtime, options: dict[str, Any]) -> None:
    client = client_of(shared_runtime, **options)
    assert "INTENT_API_KEYS" in error(client.post("/v1/intent", json={"texts": ["a"]}), 403, "loopback_only")["message"]
    error(client.get("/metrics"), 403, "loopback_only")
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("address", ["http://localhost:3000", "http://[::1]:3000"])
def test_this_machine_has_several_names(shared_runtime: Runtime, address: str) -> None:
    assert client_of(shared_runtime, base_url=address).get("/v1/release").status_code == 200


def test_a_socket_for_both_families_names_this_machine_in_its_own_way(shared_runtime: Runtime) -> None:
    assert client_of(shared_runtime, client=("::ffff:127.0.0.1", 1)).get("/v1/release").status_code == 200


def test_with_keys_any_machine_is_answered_that_has_one(shared_runtime: Runtime) -> None:
    client = client_of(shared_runtime, ("first", "second"), client=("192.0.2.7", 1), base_url="http://shop.example")
    body = {"texts": ["a"]}
    assert client.post("/v1/intent", json=body, headers={"authorization": "Bearer second"}).status_code == 200
    for given_key in (
        {},
        {"authorization": "Bearer third"},
        {"authorization": "second"},
        {"authorization": "Basic first"},
    ):
        answer = client.post("/v1/intent", json=body, headers=given_key)
        error(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_with_keys_this_machine_needs_one_too(shared_runtime: Runtime) -> None:
    error(client_of(shared_runtime, ("first",)).get("/v1/release"), 401, "unauthorized")
