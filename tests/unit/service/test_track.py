"""`/v1/track`: accepted events are on disk, repeats change nothing, refusals are told one by one."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bentos.intent_service.intake import INTAKE_THREADS
from bentos.intent_service.runtime import Runtime
from intent_tracking.prediction_log import prediction_days
from intent_tracking.settings import Settings
from tests.fakes.predictors import FakePredictor
from tests.fakes.service_client import NOW, client_of, error, logged, message

pytestmark = pytest.mark.unit


def patient(runtime: Runtime, home: Path) -> TestClient:
    """A caller whom nothing is shed for: on a busy machine calls that are sent at once come seconds apart."""
    return client_of(runtime, settings=Settings(home=home, max_wait_seconds=120, request_seconds=120))


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


def test_while_storage_hangs_figures_and_texts_are_answered(runtime: Runtime, home: Path) -> None:
    # Cause: all of them shared the threads that wait for the disk, so with a broker that was away nobody saw a figure.
    client = patient(runtime, home)
    with ThreadPoolExecutor(INTAKE_THREADS + 4) as callers:
        with runtime._tracker._alone_with(["e1"]):
            hanging = [
                callers.submit(client.post, "/v1/track", json={"events": [message(1)]})
                for _ in range(INTAKE_THREADS + 1)
            ]
            deadline = time.monotonic() + 60
            while runtime.metrics.in_flight._value.get() <= INTAKE_THREADS:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            figures = callers.submit(client.get, "/metrics")
            long = callers.submit(client.post, "/v1/intent", json={"texts": ["red shoes " * 300] * 2})
            wait([figures, long], timeout=60)
            answered = [each.done() and each.result().status_code for each in (figures, long)]
            assert not any(each.done() for each in hanging)
        assert answered == [200, 200]
        assert sum(each.result().json()["accepted"] for each in hanging) == 1


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


def test_repeats_sent_at_the_same_time_are_logged_once(runtime: Runtime, home: Path) -> None:
    client = patient(runtime, home)
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


def test_a_late_event_joins_its_session(client: TestClient) -> None:
    first = client.post("/v1/track", json={"events": [message(1, minutes=10)]}).json()
    late = client.post("/v1/track", json={"events": [message(2, minutes=5)]}).json()
    assert late["sessions"][0]["session_id"] == first["sessions"][0]["session_id"]


@pytest.mark.parametrize(("days", "reason"), [(-4, "too_late"), (2, "from_the_future")])
def test_what_validation_would_quarantine_by_its_time_is_rejected_at_the_door(
    client: TestClient, home: Path, days: int, reason: str
) -> None:
    # Cause: such events were answered as accepted, and quarantined in the night, where no sender looks.
    # Days are those of UTC: the minutes keep the event in time if midnight comes before it is sent.
    now = datetime.now(UTC)
    wrong = message(1) | {"event_time": (now + timedelta(days=days)).isoformat()}
    in_time = message(2) | {"event_time": (now - timedelta(days=3) + timedelta(minutes=10)).isoformat()}
    body = client.post("/v1/track", json={"events": [wrong, in_time]}).json()
    assert (body["accepted"], [each["index"] for each in body["rejected"]]) == (1, [0])
    assert body["rejected"][0]["reason"].startswith(f"{reason}: event_time ")
    assert "at most 3 days later" in body["rejected"][0]["reason"]
    assert [event["event_id"] for event in logged(home)] == ["e2"]


def test_a_page_view_is_outside_the_contract_here_too(client: TestClient) -> None:
    # Cause: it was told as unknown_event here and as outside_contract by ingestion.
    body = client.post("/v1/track", json={"events": [message(1) | {"event_name": "page_view"}]}).json()
    assert body["rejected"] == [
        {"index": 0, "reason": "outside_contract: event_name: page_view is not used by intent tracking"}
    ]


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
    # Replayed first: nobody else brings in what happened a week ago.
    replay = Runtime(Settings(home=home, trust_received_time=True), FakePredictor.load)
    replay.start()
    for number, shopper, age in ((1, "old", timedelta(days=7, minutes=1)), (2, "new", timedelta(days=6))):
        moment = (NOW - age).isoformat()
        event = message(number, shopper=shopper) | {"event_time": moment, "received_time": moment}
        assert client_of(replay).post("/v1/track", json={"events": [event]}).json()["accepted"] == 1
    replay.close()
    running = Runtime(Settings(home=home, trust_received_time=trusted), FakePredictor.load, expire_seconds=0.05)
    running.start()
    try:
        deadline = time.monotonic() + (0.3 if trusted else 60)
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
