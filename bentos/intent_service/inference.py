"""The live model as the routes ask it: each answer comes from one model from start to end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import torch

from bentos.intent_service.batching import Job, Lane, MicroBatcher
from bentos.intent_service.cache import PredictionCache
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
    """Predictions and explanations by the live model, through one batcher and one cache.

    Args:
        watcher: knows the live model.
        metrics: counts batches and lookups.
        workers: processes that share the cores of this machine.
        cached: most predictions that are kept; 0: each is computed.

    Raises:
        ValueError: there are more workers than cores.
    """

    def __init__(self, watcher: ReleaseWatcher, metrics: Metrics, *, workers: int = 1, cached: int = 0) -> None:
        self._watcher = watcher
        self._hits, self._misses = (metrics.cache_lookups.labels(result) for result in ("hit", "miss"))
        # Workers times threads must not exceed the cores: with twice as many threads as cores, two workers answered 5.7
        # requests/s in place of hundreds.
        torch.set_num_threads(threads_per_worker(workers))
        self._cache = PredictionCache(cached)
        self._batcher = MicroBatcher(metrics)
        self._explaining = ThreadPoolExecutor(max_workers=2, thread_name_prefix="explaining")

    async def predict(
        self, inputs: Sequence[ModelInput], features: Sequence[Features | None] | None = None
    ) -> Answered | None:
        """Predict `inputs` with the model that is live now; None while nothing is released.

        Raises:
            QueueFullError: too many texts wait for the model.
        """
        # Read once: what is published while these inputs wait is for the next request.
        serving = self._watcher.serving
        if serving is None:
            return None
        if features is not None:
            # Sessions hardly ever come again, and what is erased must not stay here.
            return Answered(serving, await self._computed(serving, inputs, features))
        known = self._cache.find(serving, inputs)
        missing = [place for place, prediction in enumerate(known) if prediction is None]
        self._hits.inc(len(inputs) - len(missing))
        self._misses.inc(len(missing))
        if missing:
            asked = [inputs[place] for place in missing]
            computed = await self._computed(serving, asked)
            self._cache.keep(serving, asked, computed)
            for place, prediction in zip(missing, computed, strict=True):
                known[place] = prediction
        return Answered(serving, [prediction for prediction in known if prediction is not None])

    async def explain(self, entry: ModelInput, intent: str | None) -> Explained | None:
        """Explain `entry` with the model that is live now; None while nothing is released.

        Raises:
            UnknownIntentError: the model does not know `intent`.
            QueueFullError: too many texts wait for the model.
        """
        serving = self._watcher.serving
        if serving is None:
            return None
        slowly = _InBackground(serving, self._batcher)
        loop = asyncio.get_running_loop()
        explanation = await loop.run_in_executor(self._explaining, explain, slowly, entry, intent)
        return Explained(serving, explanation)

    def is_alive(self) -> bool:
        """Whether the model is still run."""
        return self._batcher.is_alive()

    def close(self) -> None:
        """End the threads, after the requests that wait for them."""
        self._explaining.shutdown(wait=True)
        self._batcher.close()

    async def _computed(
        self, serving: Serving, inputs: Sequence[ModelInput], features: Sequence[Features | None] | None = None
    ) -> list[Prediction]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Prediction]] = loop.create_future()

        def deliver(job: Job) -> None:
            # The caller may have given up meanwhile.
            if answer.done():
                return
            if job.error is not None:
                answer.set_exception(job.error)
            else:
                answer.set_result(job.predictions)

        def done(job: Job) -> None:
            # A loop that was closed meanwhile says so; nobody waits in it any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(deliver, job)

        self._batcher.submit(Job(serving, inputs, features, done))
        return await answer


class _InBackground:
    """The model of one release for work of many predictions, which those that callers wait for overtake."""

    def __init__(self, serving: Serving, batcher: MicroBatcher) -> None:
        self._serving = serving
        self._batcher = batcher

    def predict(self, inputs: Sequence[ModelInput], /) -> list[Prediction]:
        """Predictions with every intent, in the order of `inputs`; the calling thread waits."""
        answer: Future[list[Prediction]] = Future()

        def deliver(job: Job) -> None:
            if job.error is not None:
                answer.set_exception(job.error)
            else:
                answer.set_result(job.predictions)

        self._batcher.submit(Job(self._serving, inputs, None, deliver, top_k=None), Lane.BACKGROUND)
        return answer.result()


def threads_per_worker(workers: int) -> int:
    """Threads that each of `workers` processes may use.

    Raises:
        ValueError: there are more workers than cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    if workers > cores:
        raise ValueError(
            f"INTENT_WORKERS={workers} on {cores} cores: each worker needs a core of its own; set it lower"
        )
    return cores // workers
