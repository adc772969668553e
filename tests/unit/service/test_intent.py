"""`/v1/intent`: answers in order, with offsets in the text that was sent, and logged for the drift check."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bentos.intent_service.limits import MAX_TEXTS
from bentos.intent_service.runtime import Runtime
from bentos.intent_service.schemas import IntentAnswer, IntentRequest
from intent_tracking.prediction_log import prediction_days, read_predictions
from tests.fakes.service_client import NOW, client_of, message

pytestmark = pytest.mark.unit


def test_intent_answers_in_the_order_given_and_with_offsets_in_the_text_sent(client: TestClient) -> None:
    texts = ["  ｒｅｄ  shoes", "anything else?", "a red dress"]
    body = client.post("/v1/intent", json={"texts": texts, "scene": "search"}).json()
    assert body["model_version"] == "m1"
    first, second, third = body["predictions"]
    assert [each["out_of_scope"] for each in (first, second, third)] == [False, True, False]
    assert third["key_information"] == [{"name": "colour", "value": "red", "start": 2, "end": 5}]
    found = first["key_information"][0]
    assert texts[0][found["start"] : found["end"]] == found["value"] == "ｒｅｄ"
    assert IntentAnswer.model_validate(body).model_dump() == body


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

    # One of ten: where the machine is busy, it stands still for that, too.
    pauses = (asyncio.run(longest_pause()) for _ in range(10))
    assert any(longest < whole / 4 for longest, whole in pauses), "each time the event loop stood still for a quarter"


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
