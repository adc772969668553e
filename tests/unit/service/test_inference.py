"""Predictions as the routes ask for them: whoever gives up leaves the model to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from bentos.intent_service.inference import Inference, threads_per_worker
from bentos.intent_service.metrics import Metrics
from bentos.intent_service.releases import Serving
from intent_tracking.inference import ModelInput
from intent_tracking.release import Component, Release
from tests.fakes.predictors import GatedPredictor

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENTRY = ModelInput("red", 0, 3, "search", "en")


@dataclass
class Model:
    """One served model and its inference."""

    predictor: GatedPredictor
    inference: Inference


@pytest.fixture
def model() -> Iterator[Model]:
    predictor = GatedPredictor("m1")
    component = Component(version="m1", path="m1", manifest_sha256="0" * 64)
    release = Release(number=1, created_at=NOW, components={"intent_model": component}, reason="test")
    watcher = SimpleNamespace(serving=Serving(release, predictor, NOW))
    inference = Inference(watcher, Metrics())  # type: ignore[arg-type]
    yield Model(predictor, inference)
    predictor.gate.set()
    inference.close()


def test_a_caller_that_gave_up_and_whose_loop_is_closed_harms_no_other(model: Model) -> None:
    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await model.inference.predict([ENTRY])

    asyncio.run(impatient())
    model.predictor.gate.set()
    answered = asyncio.run(model.inference.predict([ENTRY]))
    assert answered is not None
    assert answered.predictions[0].intents[0].name == "intent-of-m1"
    assert model.inference.is_alive()


def test_more_workers_than_cores_are_refused() -> None:
    assert threads_per_worker(1) >= 1
    with pytest.raises(ValueError, match="INTENT_WORKERS=10000 on"):
        threads_per_worker(10_000)
