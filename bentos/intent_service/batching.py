"""Adaptive micro-batching: while the model computes, texts gather; when it is free, it takes as many as fit.

Nothing ever waits for company. A lone text is computed at once, and under load batches grow by themselves, since the
longer one batch takes, the more texts the next one finds.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from bentos.intent_service.limits import MAX_INTENTS
from bentos.intent_service.metrics import Metrics
from bentos.intent_service.releases import Serving
from bentos.intent_service.tracing import batch_span, here
from intent_tracking.inference import Features, ModelInput, Prediction

MAX_BATCH_TEXTS: Final = 64
# A token has at least one character, so this bounds the tokens of a batch before anybody has counted them.
MAX_BATCH_CHARACTERS: Final = 16_384
# What a caller waits for may wait for one batch of background work: that is kept short.
MAX_BACKGROUND_TEXTS: Final = 16
# Two requests of the greatest size that 256 callers may send would not fit; those of ordinary traffic do many times.
MAX_WAITING_TEXTS: Final = 16_384


class Lane(Enum):
    """Whether a caller waits for a prediction itself, or for something made of many."""

    INTERACTIVE = MAX_BATCH_TEXTS
    BACKGROUND = MAX_BACKGROUND_TEXTS


class QueueFullError(Exception):
    """More texts wait for the model than it will answer in any useful time."""


@dataclass(eq=False)
class Job:
    """Texts that one model answers, all of them, in their order.

    Attributes:
        serving: the release whose model answers.
        features: user features for each input; None: unknown.
        done: told in the model's thread that `predictions` is whole or `error` is set; must not block.
        top_k: how many intents each prediction lists; None: all.
        since: when it came, by `time.perf_counter`.
        place: where in its trace it was asked for.
    """

    serving: Serving
    inputs: Sequence[ModelInput]
    features: Sequence[Features | None] | None
    done: Callable[[Job], None]
    top_k: int | None = MAX_INTENTS
    predictions: list[Prediction] = field(default_factory=list)
    error: Exception | None = None
    _taken: int = 0
    since: float = field(default_factory=time.perf_counter)
    place: Any = field(default_factory=here)

    @property
    def waiting(self) -> int:
        """Inputs that no batch has taken yet."""
        return len(self.inputs) - self._taken

    def take(self, texts: int, characters: int) -> range:
        """Places of the next inputs within both bounds; the caller makes sure that the first one may go over."""
        start = stop = self._taken
        while stop < len(self.inputs) and stop - start < texts and characters > 0:
            characters -= len(self.inputs[stop].text)
            stop += 1
        self._taken = stop
        return range(start, stop)


class MicroBatcher:
    """The only caller of the model: one thread, whose matrix products use all cores that the process may use.

    Jobs of a lane are answered in the order in which they came; one that is larger than a batch goes on behind the
    others after each batch, so that it holds none of them up. The lanes take turns while both have work.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lanes: dict[Lane, deque[Job]] = {lane: deque() for lane in Lane}
        self._last = Lane.BACKGROUND
        self._changed = threading.Condition()
        self._closing = False
        self._waiting = 0
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Texts that wait for the model; those that it computes now are not among them."""
        return self._waiting

    def submit(self, job: Job, lane: Lane = Lane.INTERACTIVE) -> None:
        """Put `job` at the end of its lane.

        Raises:
            QueueFullError: too many texts wait; nothing of the job is computed.
            RuntimeError: the batcher is closed.
        """
        with self._changed:
            if self._closing:
                raise RuntimeError("the inference thread has ended")
            if self._waiting + len(job.inputs) > MAX_WAITING_TEXTS:
                raise QueueFullError(f"{self._waiting} texts wait for the model")
            self._waiting += len(job.inputs)
            self._lanes[lane].append(job)
            self._changed.notify()

    def close(self) -> None:
        """End the thread, after all that waits for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def is_alive(self) -> bool:
        """Whether the model is still run."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or any(self._lanes.values()))
                if not any(self._lanes.values()):
                    return
                batch = self._take()
            self._compute(batch)

    def _take(self) -> list[tuple[Job, range]]:
        """The next batch: jobs of one model, and which of their inputs are in it."""
        first, second = (Lane.BACKGROUND, Lane.INTERACTIVE)[:: 1 if self._last is Lane.INTERACTIVE else -1]
        lane = self._last = first if self._lanes[first] else second
        jobs = self._lanes[lane]
        texts, characters = lane.value, MAX_BATCH_CHARACTERS
        batch: list[tuple[Job, range]] = []
        unfinished: list[Job] = []
        head = jobs[0]
        while jobs and texts > 0 and characters > 0:
            job = jobs[0]
            if job.serving is not head.serving or job.top_k != head.top_k:
                break
            jobs.popleft()
            places = job.take(texts, characters)
            batch.append((job, places))
            texts -= len(places)
            characters -= sum(len(job.inputs[place].text) for place in places)
            if job.waiting:
                unfinished.append(job)
        jobs.extend(unfinished)
        self._waiting -= lane.value - texts
        return batch

    def _compute(self, batch: list[tuple[Job, range]]) -> None:
        inputs = [job.inputs[place] for job, places in batch for place in places]
        features = None
        if any(job.features is not None for job, _ in batch):
            features = [job.features[place] if job.features else None for job, places in batch for place in places]
        head = batch[0][0]
        begin = time.perf_counter()
        try:
            with batch_span("inference batch", [job.place for job, _ in batch], inputs=len(inputs)):
                predictions = head.serving.predictor.predict(inputs, features, top_k=head.top_k)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever sent the text; the thread must go on
            if len(batch) > 1:
                # The others shall not suffer from one text.
                for part in batch:
                    self._compute([part])
            else:
                self._fail(head, error)
            return
        self._metrics.inference_seconds.observe(time.perf_counter() - begin)
        self._metrics.batch_inputs.observe(len(inputs))
        self._metrics.queue_inputs.set(self._waiting)
        start = 0
        for job, places in batch:
            if places.start == 0:
                self._metrics.queue_seconds.observe(begin - job.since)
            job.predictions += predictions[start : start + len(places)]
            start += len(places)
            if len(job.predictions) == len(job.inputs):
                job.done(job)

    def _fail(self, job: Job, error: Exception) -> None:
        job.error = error
        with self._changed:
            # The rest of its inputs is not computed.
            self._waiting -= job.waiting
            for jobs in self._lanes.values():
                if job in jobs:
                    jobs.remove(job)
        job.done(job)
