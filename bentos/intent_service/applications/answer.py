"""`POST /v1/answer`: what the desk says to a question, and a person who takes over where it does not know."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from bentos.intent_service.answers import key_information_in
from bentos.intent_service.openapi import Operation
from bentos.intent_service.request_context import RequestExecutor
from bentos.intent_service.runtime import Runtime
from bentos.intent_service.schemas import KeyInformation, Probability, Record, Text
from bentos.intent_service.shedding import wait_elsewhere
from intent_tracking.access.keys import Scope
from intent_tracking.applications.artifacts import ANSWER_INDEX
from intent_tracking.applications.customer_service.answer_index import AnswerIndex
from intent_tracking.applications.customer_service.answering import Answer, Confidences, require_words
from intent_tracking.applications.customer_service.answering import answer as answer_question
from intent_tracking.applications.customer_service.generation import AnswerWriter, EndpointError, NotGroundedError
from intent_tracking.applications.customer_service.handover import HandoverLog, summary
from intent_tracking.events.contract import Identifier
from intent_tracking.inference import ModelInput, Prediction
from intent_tracking.settings import Settings

logger = logging.getLogger(__name__)

MAX_CANDIDATES: Final = 20
# A slow endpoint must not gather a queue of requests, each of which would wait for those before it.
MAX_WORDED_AT_ONCE: Final = 4


def _some_words(text: str) -> str:
    require_words(text)
    return text


class AnswerRequest(Record):
    """A question of a shopper; with `session_id`, a person who takes over sees what happened before."""

    question: Annotated[Text, AfterValidator(_some_words)]
    session_id: Identifier | None = None
    k: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 3


class Candidate(Record):
    """A passage of the shop; `score` is the probability that it answers."""

    text: str
    score: Probability
    id: str


class DeskAnswer(Record):
    """What to say. `source`: `template:<intent>`, `passage:<id>`, `generated:<id>,<id>` or `handover`."""

    answer: str
    source: str
    candidates: list[Candidate]
    intent: Annotated[str | None, Field(description="What the question was taken for; null where nothing was sure.")]
    key_information: list[KeyInformation]


class Desk:
    """What the desk holds in this process beside the index: thresholds, endpoint and the log of handovers."""

    def __init__(self, settings: Settings) -> None:
        self.confidences = Confidences(settings.answer_intent_confidence, settings.answer_confidence)
        self.handovers = HandoverLog(settings.handovers)
        # A place is held for as long as its thread waits, which may outlast the question.
        self.wording_places = threading.BoundedSemaphore(MAX_WORDED_AT_ONCE)
        # Not among the threads that all else shares, which a slow endpoint would hold.
        self.wording = RequestExecutor(max_workers=MAX_WORDED_AT_ONCE, thread_name_prefix="wording")
        self.wording_seconds = settings.answer_model_seconds
        self.writer = (
            AnswerWriter(
                settings.answer_model_url.get_secret_value(),
                settings.answer_model,
                settings.answer_model_key,
                settings.answer_model_seconds,
            )
            if settings.answer_model_url is not None
            else None
        )


async def answer(runtime: Runtime, request: AnswerRequest) -> DeskAnswer:
    """Answer a question.

    Raises:
        RequestError: nothing is released yet, or no answer index is.
        OSError: a handover cannot be kept, or the session state not be read.
    """
    index = runtime.application(ANSWER_INDEX, AnswerIndex)
    desk = runtime.part(Desk)
    entry, prediction = await runtime.understand(request.question)
    # A thread for what takes milliseconds: the spans of a long text, and the search.
    key_information, said = await runtime.in_thread(_answered, index, request, entry, prediction, desk.confidences)
    if desk.writer is not None and said.grounds:
        said = await _worded(desk, desk.writer, said, entry)
    if said.hands_over:
        session = (await runtime.shoppers.now(request.session_id, None)).session if request.session_id else None
        handover = summary(said, request.question, entry, prediction, session, datetime.now(UTC))
        await runtime.in_storage(desk.handovers.append, handover)
    runtime.metrics.answers.labels(said.source.partition(":")[0]).inc()
    return DeskAnswer(
        answer=said.text,
        source=said.source,
        candidates=[
            Candidate(text=found.passage.text, score=found.score, id=found.passage.id) for found in said.candidates
        ],
        intent=said.intent,
        key_information=key_information,
    )


def _answered(
    index: AnswerIndex, request: AnswerRequest, entry: ModelInput, prediction: Prediction, confidences: Confidences
) -> tuple[list[KeyInformation], Answer]:
    found = key_information_in(request.question, entry, prediction)
    known: Sequence[tuple[str, str]] = [(each.name, each.value) for each in found]
    return found, answer_question(index, entry, prediction, known, request.k, confidences)


async def _worded(desk: Desk, writer: AnswerWriter, said: Answer, entry: ModelInput) -> Answer:
    """`said` in the words of the model.

    It is as it was where the endpoint fails or is busy, or its answer does not stand on passages.
    """
    if not desk.wording_places.acquire(blocking=False):
        logger.warning("the passage answers, not the model: %d others wait for it", MAX_WORDED_AT_ONCE)
        return said
    question = entry.text[entry.utterance_start : entry.utterance_end]
    passages = [found.passage for found in said.grounds]
    wait_elsewhere()
    writing = desk.wording.submit(writer.write, question, passages, entry.language)
    writing.add_done_callback(lambda _: desk.wording_places.release())
    try:
        worded = await asyncio.wait_for(asyncio.wrap_future(writing), desk.wording_seconds)
    except TimeoutError:
        logger.warning("the passage answers, not the model: no answer within %g s", desk.wording_seconds)
        return said
    except (EndpointError, NotGroundedError) as error:
        logger.warning("the passage answers, not the model: %s", error)
        return said
    return replace(said, text=worded.text, source=f"generated:{','.join(each.id for each in worded.passages)}")


OPERATION: Final = Operation(
    path="/v1/answer",
    method="post",
    name="answer",
    summary="Answer a question at the desk.",
    description=(
        "A sure intent answers by its template, filled with the key information found, or asks for what it lacks, "
        "unless a passage all but certainly answers. "
        "Anything else is searched in what the shop wrote: the best passage answers, or, where the shop has set an "
        "endpoint, a model that words it from the passages it cites. Below the confidence of the shop's settings the "
        "answer says so, `source` is `handover`, and a person gets a summary. `candidates` are the `k` best passages. "
        "Offsets in `key_information` count in the question as it was sent."
    ),
    request=AnswerRequest,
    answer=DeskAnswer,
    scope=Scope.READ,
    example={"question": "how long does a refund take?", "k": 3},
    errors=(400, 408, 413, 415, 422, 503),
)
