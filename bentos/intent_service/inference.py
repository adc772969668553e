"""Runs the live model in a thread of its own, one request after the other, each on one model from start to end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from bentos.intent_service.limits import MAX_INTENTS, WORKERS
from bentos.intent_service.metrics import Metrics
from bentos.intent_service.releases import ReleaseWatcher, Serving
from intent_tracking.inference import Features, ModelInput, Prediction
from intent_tracking.modeling.explaining import Explanation, explain


@dataclass(frozen=True)
class Answered:
    """Predictions in the order asked for, and the release whose model computed every one of them."""

    serving: Serving
    predictions: list[Prediction]


@dataclass(frozen=True)
class Explained:
    """An explanation, and the release whose model it explains."""

    serving: Serving
    explanation: Explanation


class Inference:
    """The only caller of the model: one thread, whose matrix products use all cores. Several would fight for them."""

    def __init__(self, watcher: ReleaseWatcher, metrics: Metrics) -> None:
        self._watcher = watcher
        self._metrics = metrics
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        # Workers times threads must not exceed the cores: with twice as many threads as cores, two workers answered 5.7
        # requests/s in place of hundreds.
        torch.set_num_threads(threads_per_worker(WORKERS))

    async def predict(
        self, inputs: Sequence[ModelInput], features: Sequence[Features | None] | None = None
    ) -> Answered | None:
        """Predict `inputs` with the model that is live when their turn comes; None while nothing is released."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._predict, inputs, features)

    async def explain(self, entry: ModelInput, intent: str | None) -> Explained | None:
        """Explain `entry` with the model that is live when its turn comes; None while nothing is released.

        Raises:
            UnknownIntentError: the model does not know `intent`.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._explain, entry, intent)

    def close(self) -> None:
        """End the thread, after the requests that wait for it."""
        self._executor.shutdown(wait=True)

    def _predict(self, inputs: Sequence[ModelInput], features: Sequence[Features | None] | None) -> Answered | None:
        # Read once: what is published while these inputs are computed is for the next request.
        serving = self._watcher.serving
        if serving is None:
            return None
        with self._metrics.inference_seconds.time():
            predictions = serving.predictor.predict(inputs, features, top_k=MAX_INTENTS)
        return Answered(serving, predictions)

    def _explain(self, entry: ModelInput, intent: str | None) -> Explained | None:
        serving = self._watcher.serving
        if serving is None:
            return None
        with self._metrics.inference_seconds.time():
            explanation = explain(serving.predictor, entry, intent)
        return Explained(serving, explanation)


def threads_per_worker(workers: int) -> int:
    """Threads that each of `workers` processes may use, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, cores // workers)
