"""The result cache: the same text is computed once a release, and logged each time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from bentos.intent_service.cache import PredictionCache
from bentos.intent_service.releases import Serving
from bentos.intent_service.runtime import Runtime
from intent_tracking.inference import ModelInput, Prediction
from intent_tracking.prediction_log import prediction_days, read_predictions
from intent_tracking.release import Component, Release, publish, read_release
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.service_client import client_of

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMPONENT = Component(version="m1", path="m1", manifest_sha256="0" * 64)


def _serving(number: int = 1) -> Serving:
    return Serving(
        Release(number=number, created_at=NOW, components={"intent_model": COMPONENT}, reason="test"),
        FakePredictor("m1"),
        NOW,
    )


def _entry(text: str, scene: str = "search") -> ModelInput:
    return ModelInput(text, 0, len(text), scene, "en")


def _prediction() -> Prediction:
    return Prediction((), True, (), 0.5, np.zeros(2, dtype=np.float32), 0.0, 1)


def test_a_known_text_is_found_in_its_scene_alone() -> None:
    cache, serving, kept = PredictionCache(4), _serving(), _prediction()
    cache.keep(serving, [_entry("red")], [kept])
    assert cache.find(serving, [_entry("red"), _entry("blue"), _entry("red", "cart")]) == [kept, None, None]


def test_another_release_of_the_same_model_begins_empty() -> None:
    cache, old = PredictionCache(4), _serving()
    new = Serving(old.release.model_copy(update={"number": 2}), old.predictor, old.loaded_at)
    cache.keep(old, [_entry("red")], [_prediction()])
    assert cache.find(new, [_entry("red")]) == [None]
    # The answer of the former release that comes late is nobody's answer now.
    kept = _prediction()
    cache.keep(new, [_entry("red")], [kept])
    cache.keep(old, [_entry("blue")], [_prediction()])
    assert cache.find(new, [_entry("blue")]) == [None]


def test_those_least_recently_asked_for_are_forgotten_first() -> None:
    cache, serving = PredictionCache(2), _serving()
    for text in ("a", "b"):
        cache.keep(serving, [_entry(text)], [_prediction()])
    assert cache.find(serving, [_entry("a")]) != [None]
    cache.keep(serving, [_entry("c")], [_prediction()])
    assert [found is not None for found in cache.find(serving, [_entry(text) for text in "abc"])] == [True, False, True]


def test_size_nought_keeps_nothing() -> None:
    cache, serving = PredictionCache(0), _serving()
    cache.keep(serving, [_entry("a")], [_prediction()])
    assert cache.find(serving, [_entry("a")]) == [None]


def test_a_text_is_computed_once_a_release_and_logged_each_time(runtime: Runtime, home: Path) -> None:
    client = client_of(runtime)
    body = {"texts": ["red shoes", "blue shoes", "red shoes"], "scene": "search"}
    first, again = (client.post("/v1/intent", json=body).json() for _ in range(2))
    assert again == first
    figures = runtime.metrics.render().decode()
    assert 'intent_cache_lookups_total{result="hit"} 3.0' in figures
    assert 'intent_cache_lookups_total{result="miss"} 3.0' in figures
    assert "intent_batch_inputs_sum 3.0" in figures

    publish(home / "release.json", {"intent_model": fake_artifact(home, "m2")}, "second")
    released = read_release(home / "release.json")
    assert released is not None
    while client.get("/v1/release").json()["number"] != released.number:
        pass
    later = client.post("/v1/intent", json=body).json()
    assert later["model_version"] == "m2"
    assert later["predictions"][0]["intents"][0]["name"] == "intent-of-m2"
    runtime.close()
    root = home / "prediction_log"
    rows = read_predictions(root, prediction_days(root)).to_pylist()
    assert [row["model_version"] for row in rows].count("m1") == 6
    assert [row["model_version"] for row in rows].count("m2") == 3
