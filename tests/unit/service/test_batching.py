"""Micro-batching: what gathers while the model computes goes together, in order, and nobody is starved."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bentos.intent_service.batching import (
    MAX_BACKGROUND_TEXTS,
    MAX_BATCH_CHARACTERS,
    MAX_BATCH_TEXTS,
    MAX_WAITING_TEXTS,
    Job,
    Lane,
    MicroBatcher,
    QueueFullError,
)
from bentos.intent_service.metrics import Metrics
from bentos.intent_service.releases import Serving
from intent_tracking.inference import ModelInput
from intent_tracking.release import Component, Release
from tests.fakes.predictors import GatedPredictor

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMPONENT = Component(version="m1", path="m1", manifest_sha256="0" * 64)


class Desk:
    """A batcher whose model is held up by a first text, and the jobs that were answered, in order."""

    def __init__(self) -> None:
        self.predictor = GatedPredictor("m1")
        self.serving = _serving(self.predictor)
        self.batcher = MicroBatcher(Metrics())
        self.done: queue.Queue[Job] = queue.Queue()
        self.ask("first")
        assert self.predictor.started.acquire(timeout=60)

    def ask(self, *texts: str, lane: Lane = Lane.INTERACTIVE, serving: Serving | None = None) -> Job:
        inputs = [ModelInput(text, 0, len(text), "search", "en") for text in texts]
        job = Job(serving or self.serving, inputs, None, self.done.put)
        self.batcher.submit(job, lane)
        return job

    def answered(self, count: int) -> list[Job]:
        """Let the model go on; the next `count` answered jobs."""
        self.predictor.gate.set()
        return [self.done.get(timeout=60) for _ in range(count)]


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.predictor.gate.set()
    made.batcher.close()


def _serving(predictor: GatedPredictor) -> Serving:
    return Serving(
        Release(number=1, created_at=NOW, components={"intent_model": COMPONENT}, reason="test"), predictor, NOW
    )


def test_what_comes_while_the_model_computes_is_computed_together_and_answered_in_order(desk: Desk) -> None:
    jobs = [desk.ask("a", "b"), desk.ask("c"), desk.ask("d", "e")]
    assert desk.batcher.waiting == 5
    assert desk.answered(4)[1:] == jobs
    assert desk.predictor.batches == [["first"], ["a", "b", "c", "d", "e"]]
    assert [len(job.predictions) for job in jobs] == [2, 1, 2]
    assert desk.batcher.waiting == 0


def test_a_batch_is_bounded_by_texts_and_by_characters(desk: Desk) -> None:
    many = desk.ask(*(f"t{number}" for number in range(MAX_BATCH_TEXTS + 6)))
    long = desk.ask(*["x" * (MAX_BATCH_CHARACTERS // 2 + 1)] * 3, "y" * (2 * MAX_BATCH_CHARACTERS))
    desk.answered(3)
    assert [len(job.predictions) for job in (many, long)] == [MAX_BATCH_TEXTS + 6, 4]
    for batch in desk.predictor.batches:
        assert len(batch) <= MAX_BATCH_TEXTS
        assert sum(map(len, batch[:-1])) < MAX_BATCH_CHARACTERS
    answered = [text for batch in desk.predictor.batches for text in batch]
    assert sorted(answered) == sorted(["first", *(entry.text for job in (many, long) for entry in job.inputs)])


def test_a_large_request_does_not_hold_up_the_small_one_behind_it(desk: Desk) -> None:
    large = desk.ask(*["large"] * (4 * MAX_BATCH_TEXTS))
    small = desk.ask("small")
    assert desk.answered(3)[1:] == [small, large]
    assert len(large.predictions) == 4 * MAX_BATCH_TEXTS


def test_background_work_comes_in_short_batches_between_those_that_callers_wait_for(desk: Desk) -> None:
    slow = desk.ask(*["slow"] * (3 * MAX_BACKGROUND_TEXTS), lane=Lane.BACKGROUND)
    asked = [desk.ask(*[f"fast {number}"] * MAX_BATCH_TEXTS) for number in range(4)]
    order = desk.answered(6)
    assert [len(batch) for batch in desk.predictor.batches[1:]] == [
        *[MAX_BACKGROUND_TEXTS, MAX_BATCH_TEXTS] * 3,
        MAX_BATCH_TEXTS,
    ]
    assert order[1:] == [asked[0], asked[1], slow, asked[2], asked[3]]


def test_a_batch_holds_texts_of_one_model_alone(desk: Desk) -> None:
    other = GatedPredictor("m2")
    other.gate.set()
    jobs = [desk.ask("a"), desk.ask("b", serving=_serving(other)), desk.ask("c")]
    assert desk.answered(4)[1:] == jobs
    assert desk.predictor.batches[1:] == [["a"], ["c"]]
    assert [job.predictions[0].intents[0].name for job in jobs] == ["intent-of-m1", "intent-of-m2", "intent-of-m1"]


def test_a_text_that_the_model_fails_on_costs_its_own_request_alone(desk: Desk) -> None:
    jobs = [desk.ask("a"), desk.ask("poison", *["more"] * (2 * MAX_BATCH_TEXTS)), desk.ask("b")]
    desk.answered(4)
    assert [job.error is None for job in jobs] == [True, False, True]
    assert isinstance(jobs[1].error, ValueError)
    assert desk.batcher.waiting == 0


def test_more_texts_than_will_be_answered_in_time_are_refused(desk: Desk) -> None:
    desk.ask(*["waits"] * MAX_WAITING_TEXTS)
    with pytest.raises(QueueFullError, match=f"{MAX_WAITING_TEXTS} texts wait"):
        desk.ask("one too many")
    assert desk.batcher.waiting == MAX_WAITING_TEXTS


def test_what_waits_at_the_close_is_answered(desk: Desk) -> None:
    job = desk.ask("late")
    desk.predictor.gate.set()
    desk.batcher.close()
    assert len(job.predictions) == 1
    with pytest.raises(RuntimeError, match="has ended"):
        desk.ask("too late")
