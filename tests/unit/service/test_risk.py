"""`POST /v1/risk` with a real risk model behind the real app."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from bentos.intent_service.request_context import RequestContext, handling, preferred_language
from bentos.intent_service.runtime import Runtime
from intent_tracking.applications.artifacts import RISK_MODEL
from intent_tracking.applications.risk.policy import shipped_policy
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.applications.risk.training import learn, write_risk_model
from intent_tracking.release import Component, publish
from intent_tracking.settings import Settings
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.risk_cases import FIRST_DAY, made_up_cases
from tests.fakes.service_client import NOW, client_of, error

pytestmark = pytest.mark.unit

COSTLY = {"transaction_id": "t-1", "value": 4000.0, "currency": "EUR", "items": [{"item_id": "i-1", "quantity": 5}]}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("risk")
    cases = made_up_cases(sessions=60)
    model, metrics = learn(
        cases, {}, Shop(usual_amount={"EUR": 50.0}, main_currency="EUR"), shipped_policy(), FIRST_DAY
    )
    folder = write_risk_model(model, metrics, cases, {}, FIRST_DAY, home / "applications")
    components = {"intent_model": fake_artifact(home, "m1"), RISK_MODEL: Component.of(folder)}
    publish(home / "release.json", components, "both")
    runtime = Runtime(Settings(home=home), FakePredictor.load)
    runtime.start()
    yield client_of(runtime)
    runtime.close()


def act(number: int, name: str, seconds: float, session: str, **params: Any) -> dict[str, Any]:
    return {
        "event_id": f"{session}-{number}",
        "event_name": name,
        "event_time": (NOW - timedelta(minutes=20) + timedelta(seconds=seconds)).isoformat(),
        "anonymous_id": f"visitor-of-{session}",
        "session_id": session,
        "source": "web",
        "params": params,
    }


def track(client: TestClient, *events: dict[str, Any]) -> None:
    answer = client.post("/v1/track", json={"events": list(events)})
    assert answer.json()["accepted"] == len(events), answer.text


def risk(client: TestClient, language: str | None = None, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/risk", json=body, headers={"Accept-Language": language} if language else {})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert list(found) == ["score", "decision", "reasons"]
    return found


def test_a_robot_is_told_from_a_person_by_the_live_session(asked: TestClient) -> None:
    pages = [{"items": [{"item_id": f"i-{number}", "price": 5.0}]} for number in range(40)]
    track(asked, *(act(n, "view_item", 0.9 * n, "robot", **page) for n, page in enumerate(pages)))
    track(asked, *(act(n, "view_item", 40.0 * n * n, "person", **page) for n, page in enumerate(pages[:4])))
    robot, person = risk(asked, session_id="robot"), risk(asked, session_id="person")
    assert robot["decision"] in ("review", "block")
    assert any("left within two seconds" in reason for reason in robot["reasons"])
    assert (person["decision"], person["reasons"]) == ("allow", [])
    assert robot["score"] > person["score"]


def test_an_order_is_judged_with_its_session_and_the_worst_is_answered(asked: TestClient) -> None:
    track(asked, act(0, "add_to_cart", 0, "cards", items=[{"item_id": "i-1", "price": 800.0, "quantity": 5}]))
    track(asked, *(act(n, "add_payment_info", 10.0 * n, "cards") for n in range(1, 7)))
    found = risk(asked, session_id="cards", transaction=COSTLY)
    assert found["decision"] in ("review", "block")
    assert any("6 payment attempts" in reason for reason in found["reasons"])
    usual = {"value": 50.0, "currency": "EUR", "items": [{"item_id": "i-2", "price": 50.0, "quantity": 1}]}
    assert risk(asked, transaction=usual)["decision"] == "allow"
    # A harmless order does not clear the session in which it is placed.
    assert risk(asked, session_id="cards", transaction=usual)["score"] >= risk(asked, session_id="cards")["score"]


def test_an_absurd_order_is_never_allowed_and_a_currency_that_was_never_seen_is_a_reason(asked: TestClient) -> None:
    def order(value: float, currency: str) -> dict[str, Any]:
        line = {"item_id": "i-2", "price": value, "quantity": 1}
        return risk(asked, transaction={"value": value, "currency": currency, "items": [line]})

    usual, above, far, absurd = (order(50.0 * times, "EUR") for times in (1, 9, 30, 3000))
    assert usual["decision"] == "allow"
    assert usual["score"] < above["score"] < far["score"] < absurd["score"] < 1
    assert {far["decision"], absurd["decision"]} <= {"review", "block"}
    unseen = order(50.0, "USD")
    assert unseen["decision"] == "review"
    assert unseen["reasons"][0] == "The shop has had no order in this currency: its amount cannot be compared."


def test_reasons_come_in_the_language_that_the_caller_prefers(asked: TestClient) -> None:
    assert any("80 times" in each for each in risk(asked, transaction=COSTLY)["reasons"])
    assert any("80 倍" in each for each in risk(asked, "fr, zh-CN;q=0.9, en;q=0.5", transaction=COSTLY)["reasons"])


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh", "zh"),
        ("ZH-Hans-CN", "zh"),
        ("fr", "en"),
        ("en;q=0.2, zh;q=0.3", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=nan, *", "en"),
        ("zh;q=9", "en"),
        (",;q=,", "en"),
        ("x" * 5000 + ",zh", "en"),
    ],
)
def test_the_preferred_language_is_read_as_the_standard_says(header: str | None, language: str) -> None:
    with handling(RequestContext("r", "/v1/risk", accept_language=header)):
        assert preferred_language(("en", "zh"), "en") == language


def test_a_shopper_nobody_knows_is_no_risk(asked: TestClient) -> None:
    found = risk(asked, user_id="nobody")
    assert (found["decision"], found["reasons"]) == ("allow", [])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": None},
        {"transaction": {}},
        {"transaction": {"value": 5.0}},
        {"transaction": {"value": "5", "currency": "EUR"}},
        {"transaction": {"items": [{"item_id": "i", "price": "5"}]}},
        {"transaction": {"items": [{"item_id": "i", "quantity": True}]}},
        {"transaction": {"value": -1.0, "currency": "EUR"}},
        {"transaction": {"value": 5.0, "currency": "EUR", "colour": "red"}},
        {"transaction": {"items": [{"price": 5.0}]}},
        {"session_id": ""},
    ],
)
def test_what_cannot_be_judged_is_refused(asked: TestClient, body: dict[str, Any]) -> None:
    error(asked.post("/v1/risk", json=body), 422, "invalid_request")


def test_without_a_risk_model_the_service_says_what_to_do(client: TestClient) -> None:
    assert (
        "materialize risk_model"
        in error(client.post("/v1/risk", json={"user_id": "u"}), 503, "not_released")["message"]
    )
