"""`/v1/recommend`: the session under way and the stored past of a shopper, by the intent of the live model."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bentos.intent_service.applications.recommend import RecommendAnswer, RecommendRequest, answer_recommend
from bentos.intent_service.runtime import Runtime
from intent_tracking.applications.recommendation.history import History, Visit
from intent_tracking.applications.recommendation.interactions import Reach
from intent_tracking.client.answers import Recommendations, decode
from intent_tracking.features.derived import USER_ITEMS
from intent_tracking.release import publish
from intent_tracking.settings import Settings
from tests.fakes.online_store import put_online
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.released_applications import released_applications
from tests.fakes.service_client import client_of, error

pytestmark = pytest.mark.unit


def recommend(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/recommend", json=fields)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert asdict(decode(Recommendations, found)) == found | {"items": tuple(found["items"])}
    assert set(found) == {"items", "strategy", "intent"}
    assert all(set(item) == {"item_id", "name", "score", "reason"} for item in found["items"])
    return found


def looks_at(client: TestClient, item: str, user: str) -> str:
    event = {
        "event_id": f"{user}-{item}", "event_name": "view_item", "event_time": datetime.now(UTC).isoformat(),
        "user_id": user, "source": "web", "params": {"items": [{"item_id": item}]},
    }  # fmt: skip
    answer = client.post("/v1/track", json={"events": [event]}).json()
    session_id: str = answer["sessions"][0]["session_id"]
    return session_id


def test_a_newcomer_gets_what_is_popular(shared: TestClient) -> None:
    found = recommend(shared, k=3)
    assert (len(found["items"]), found["strategy"], found["intent"]) == (3, "usual", None)
    assert {item["reason"] for item in found["items"]} == {"many buy it now"}


def test_the_items_of_the_page_lead_to_what_goes_with_them(shared: TestClient) -> None:
    found = recommend(shared, items=["left-2"], k=1, language="zh")
    assert (found["items"][0]["item_id"], found["items"][0]["name"]) == ("right-2", "green mug right")
    assert "搭配" in found["items"][0]["reason"]


def test_the_session_under_way_is_found_by_its_user_and_by_its_id(shared: TestClient) -> None:
    session = looks_at(shared, "left-4", "u-recommend")
    by_user, by_session = recommend(shared, user_id="u-recommend"), recommend(shared, session_id=session)
    assert by_user == by_session
    assert by_user["items"][0]["item_id"] == "right-4"
    assert by_user["intent"] == "intent-of-m1"
    assert by_user["strategy"] == "usual"


def test_an_intent_that_is_not_probable_enough_chooses_nothing(shared: TestClient, shared_runtime: Runtime) -> None:
    session = looks_at(shared, "left-4", "u-unsure")
    rules = shared_runtime.settings.recommendation_rules
    rules.write_text("least_probability: 0.8\nstrategy_of_intent: {intent-of-m1: none}\n")
    unsure = recommend(shared, session_id=session)
    # Another size: the clock of a file system may not have moved on.
    rules.write_text("least_probability: 0.70\nstrategy_of_intent: {intent-of-m1: none}\n")
    sure = recommend(shared, session_id=session)
    rules.unlink()
    assert (unsure["strategy"], unsure["intent"]) == ("usual", None)
    assert (sure["strategy"], sure["intent"], sure["items"]) == ("none", "intent-of-m1", [])


def test_rules_that_cannot_be_used_from_the_start_stop_recommendations(home: Path) -> None:
    components = {"intent_model": fake_artifact(home, "m2"), **released_applications(home)}
    publish(home / "release.json", components, "with applications")
    rules = home / "recommendation.yaml"
    rules.write_text("exclude: {item: [RECALLED-1]}\n")
    running = Runtime(Settings(home=home), FakePredictor.load)
    running.start()
    client = client_of(running)
    told = error(client.post("/v1/recommend", json={"k": 3}), 503, "not_configured")["message"]
    assert told.startswith("recommendation.yaml cannot be used: mend it")
    rules.write_text("exclude: {items: [RECALLED-1]}\n")
    assert len(recommend(client, k=3)["items"]) == 3
    running.close()


def test_other_requests_are_answered_while_the_rules_are_read(shared_runtime: Runtime) -> None:
    # Cause: the file was parsed on the event loop; at each change of a long one every request stood still for seconds.
    rules = shared_runtime.settings.recommendation_rules
    os.mkfifo(rules)  # read as slowly as it is written

    async def ask() -> RecommendAnswer:
        answering = asyncio.create_task(answer_recommend(shared_runtime, RecommendRequest(k=1)))
        while not answering.done():
            with suppress(OSError):  # nobody reads yet
                writing = os.open(rules, os.O_WRONLY | os.O_NONBLOCK)
                os.write(writing, b"default_strategy: none\n")
                os.close(writing)
                return await answering
            await asyncio.sleep(0.01)
        pytest.fail("the event loop stood still")

    late = threading.Timer(60, rules.write_text, ["default_strategy: none\n"])
    late.daemon = True  # it may begin just before it is cancelled, and then nobody reads what it writes
    late.start()
    try:
        assert asyncio.run(ask()).strategy == "none"
    finally:
        late.cancel()
        rules.unlink()


def test_what_is_stored_of_a_shopper_counts(shared: TestClient, shared_runtime: Runtime) -> None:
    now = datetime.now(UTC)
    past = History((Visit((now - timedelta(days=3)).date(), {"left-1": Reach.BOUGHT}),)).to_json()
    put_online(shared_runtime.settings.feast / "online.db", USER_ITEMS.name, "u-regular", {"items": past}, now)
    reasons = {item["item_id"]: item["reason"] for item in recommend(shared, user_id="u-regular", k=50)["items"]}
    assert reasons["left-1"] == "you bought it before"
    assert reasons["right-1"] == "goes with blue vase left, which you bought"


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"k": 0}, "k"), ({"k": 101}, "k"), ({"user": "u"}, "user"),
     ({"language": "fr"}, "language"), ({"user_id": ""}, "user_id")],
)  # fmt: skip
def test_a_request_out_of_bounds_names_the_field(shared: TestClient, fields: dict[str, Any], field: str) -> None:
    answer = shared.post("/v1/recommend", json=fields)
    assert error(answer, 422, "invalid_request")["field"] == field


def test_too_many_items_of_the_page_are_too_large(shared: TestClient) -> None:
    assert error(shared.post("/v1/recommend", json={"items": ["i"] * 51}), 413, "too_large")["field"] == "items"
