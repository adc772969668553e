"""`/v1/explain`: why one text has its intent, in the words that the caller sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bentos.intent_service.limits import MAX_TEXT_CHARACTERS
from bentos.intent_service.runtime import Runtime
from intent_tracking.inference import Features, ModelInput, Prediction
from intent_tracking.modeling.explaining import MAX_PARTS
from intent_tracking.prediction_log import prediction_days
from intent_tracking.release import publish
from intent_tracking.settings import Settings
from tests.fakes.keyword_predictor import KeywordPredictor
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.service_client import client_of

pytestmark = pytest.mark.unit


class ReadsKeywords(FakePredictor):
    """Answers as `KeywordPredictor`, and remembers the most inputs that one call gave it."""

    most = 0

    def predict(
        self,
        inputs: Sequence[ModelInput],
        features: Sequence[Features | None] | None = None,
        *,
        top_k: int | None = None,
    ) -> list[Prediction]:
        """The answers to `inputs`."""
        type(self).most = max(self.most, len(inputs))
        return KeywordPredictor().predict(inputs)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    publish(folder / "release.json", {"intent_model": fake_artifact(folder, "m1")}, "first")
    return folder


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    running = Runtime(Settings(home=home), ReadsKeywords.load)
    running.start()
    yield client_of(running)
    running.close()


def test_the_word_that_decides_is_named_where_it_was_sent(client: TestClient) -> None:
    text = "  Ｐlease ｃａｎｃｅｌ   it"
    answer = client.post("/v1/explain", json={"text": text})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["intent"], body["model_version"]) == ("cancel_order", "m1")
    assert [word["text"] for word in body["words"]] == ["Ｐlease", "ｃａｎｃｅｌ", "it"]
    assert all(text[word["start"] : word["end"]] == word["text"] for word in body["words"])
    best = max(body["words"], key=lambda word: word["weight"])
    assert best["text"] == "ｃａｎｃｅｌ"
    assert 0 < best["weight"] < body["probability"] <= 1
    assert [part["text"] for part in body["behaviour"]] == ["<scene:customer_service>", "<message>"]


def test_a_search_is_explained_in_its_scene_and_another_intent_on_request(client: TestClient) -> None:
    body = client.post("/v1/explain", json={"text": "退货 优惠", "scene": "search", "intent": "bargain"}).json()
    assert body["intent"] == "bargain"
    weights = {word["text"]: word["weight"] for word in body["words"]}
    assert weights["优"] > 0 > weights["退"]
    assert [part["text"] for part in body["behaviour"]] == ["<scene:search>", "<search>"]


def test_personal_data_is_explained_as_the_placeholder_that_the_model_read(client: TestClient) -> None:
    text = "cancel it, mail anna.muster@example.com"
    words = client.post("/v1/explain", json={"text": text}).json()["words"]
    assert words[-1]["text"] == "anna.muster@example.com"


def test_a_long_text_costs_the_model_no_more_than_the_limit(client: TestClient) -> None:
    answer = client.post("/v1/explain", json={"text": "退" * MAX_TEXT_CHARACTERS})
    assert answer.status_code == 200
    assert ReadsKeywords.most <= 2 * MAX_PARTS + 3


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"text": ""}, 422, "text"),
        ({"text": "a" * (MAX_TEXT_CHARACTERS + 1)}, 413, "text"),
        ({"texts": ["a"]}, 422, "text"),
        ({"text": "a", "scene": "moon"}, 422, "scene"),
        ({"text": "a", "intent": "card_arrival"}, 422, "intent"),
        ({"text": "a", "intent": ""}, 422, "intent"),
    ],
)
def test_what_cannot_be_explained_is_refused_by_field(
    client: TestClient, body: dict[str, Any], status: int, field: str
) -> None:
    answer = client.post("/v1/explain", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["field"] == field


class Breaks(FakePredictor):
    """Fails as a damaged network would."""

    def predict(self, *_: object, **__: object) -> list[Prediction]:
        """Nothing."""
        raise ValueError("shapes do not match")


def test_a_failure_of_the_model_is_not_blamed_on_the_caller(home: Path) -> None:
    running = Runtime(Settings(home=home), Breaks.load)
    running.start()
    try:
        answer = client_of(running).post("/v1/explain", json={"text": "cancel it", "intent": "cancel_order"})
    finally:
        running.close()
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "shapes" not in answer.text


def test_an_explanation_is_no_served_prediction(client: TestClient, home: Path) -> None:
    client.post("/v1/explain", json={"text": "cancel it"})
    assert prediction_days(home / "prediction_log") == []
    assert "intent_predictions_total{" not in client.get("/metrics").text


def test_without_a_release_there_is_nothing_to_explain(tmp_path: Path) -> None:
    running = Runtime(Settings(home=tmp_path), FakePredictor.load)
    running.start()
    try:
        answer = client_of(running).post("/v1/explain", json={"text": "cancel it"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_model")
    finally:
        running.close()
