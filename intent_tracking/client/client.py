"""The service as an object: `IntentClient` and, with the same methods, `AsyncIntentClient`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

import intent_tracking
from intent_tracking.client import operations
from intent_tracking.client.answers import (
    DeskAnswer,
    Erasure,
    Explanation,
    IntentAnswer,
    Profile,
    Recommendations,
    Release,
    Risk,
    TrackAnswer,
    merged,
)
from intent_tracking.client.errors import IntentClientError, NoAnswerError, UnexpectedAnswerError
from intent_tracking.client.events import batches, encode_event
from intent_tracking.client.operations import Call, read_answer
from intent_tracking.client.retrying import Retry, Tries

Answer = TypeVar("Answer")
DEFAULT_SCENE = "customer_service"
TIMEOUT_SECONDS = 10.0


class IntentClient:
    """Calls the intent service. Safe for several threads; close it, or use it in a `with` statement.

    Args:
        url: where the service answers, such as `http://127.0.0.1:3000`.
        key: a bearer key of the service; None where it asks for none.
        timeout: seconds that each step of one try may take: to connect, to write, to wait for the next bytes.
        retry: when a failed call is tried again. Every operation may be repeated without harm.
        transport: how requests travel, for tests.

    Every method raises:
        ServiceError: the service refused.
        NoAnswerError: no answer came, at the last try.
        UnexpectedAnswerError: the answer is none of this service.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        retry: Retry = Retry(),  # noqa: B008 - frozen
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retry = retry
        self._http = httpx.Client(base_url=url, headers=_headers(key), timeout=timeout, transport=transport)

    def track(self, events: Sequence[Mapping[str, Any]]) -> TrackAnswer:
        """Record events; learn what their shoppers want. More events than one call takes are sent in several.

        Raises:
            EventError: an event has no form in JSON; nothing is sent.
        """
        sent = list(batches([encode_event(event) for event in events]))
        return merged([self._ask(operations.track(lines)) for lines in sent], [len(lines) for lines in sent])

    def intent(self, texts: Sequence[str], scene: str = DEFAULT_SCENE) -> IntentAnswer:
        """Say what texts want, in their order."""
        return self._ask(operations.intent(texts, scene))

    def explain(self, text: str, *, scene: str = DEFAULT_SCENE, intent: str | None = None) -> Explanation:
        """Say which words speak for the most probable intent, or for the one named."""
        return self._ask(operations.explain(text, scene, intent))

    def profile(self, user_id: str) -> Profile:
        """Say who a shopper is, with the evidence; a `ServiceError` with status 404 where no profile is stored."""
        return self._ask(operations.profile(user_id))

    def recommend(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        items: Sequence[str] = (),
        k: int = 10,
        language: str | None = None,
    ) -> Recommendations:
        """Items for a shopper at this moment; `items` are those of the page, newest last."""
        return self._ask(operations.recommend(user_id, session_id, items, k, language))

    def answer(self, question: str, *, session_id: str | None = None, k: int = 3) -> DeskAnswer:
        """Answer a question of a shopper; with the session a person who takes over sees what happened before."""
        return self._ask(operations.answer(question, session_id, k))

    def risk(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        transaction: Mapping[str, Any] | None = None,
    ) -> Risk:
        """Judge a session, a shopper or an order about to be placed; at least one must be given."""
        return self._ask(operations.risk(user_id, session_id, transaction))

    def erase(self, user_id: str) -> Erasure:
        """Remove everything about one person, at once here and by the erasure job elsewhere; takes an admin's key."""
        return self._ask(operations.erase(user_id))

    def release(self) -> Release:
        """Name the release that is served."""
        return self._ask(operations.release())

    def send(self, call: Call[Answer]) -> Answer:
        """One try of `call`, for callers that wait and repeat by themselves."""
        try:
            response = self._http.request(call.method, call.path, content=call.body)
        except httpx.RequestError as error:
            raise _failure(error) from error
        return read_answer(call, response.status_code, response.headers, response.content)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, call: Call[Answer]) -> Answer:
        tries = Tries(self._retry)
        while True:
            try:
                return self.send(call)
            except IntentClientError as error:
                time.sleep(tries.pause_after(error))


class AsyncIntentClient:
    """`IntentClient` for asyncio: the same arguments, methods and errors."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        retry: Retry = Retry(),  # noqa: B008 - frozen
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retry = retry
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(key), timeout=timeout, transport=transport)

    async def track(self, events: Sequence[Mapping[str, Any]]) -> TrackAnswer:
        """Record events; learn what their shoppers want. More events than one call takes are sent in several.

        Raises:
            EventError: an event has no form in JSON; nothing is sent.
        """
        sent = list(batches([encode_event(event) for event in events]))
        # One after the other: what a shopper did first is recorded first.
        answers = [await self._ask(operations.track(lines)) for lines in sent]
        return merged(answers, [len(lines) for lines in sent])

    async def intent(self, texts: Sequence[str], scene: str = DEFAULT_SCENE) -> IntentAnswer:
        """Say what texts want, in their order."""
        return await self._ask(operations.intent(texts, scene))

    async def explain(self, text: str, *, scene: str = DEFAULT_SCENE, intent: str | None = None) -> Explanation:
        """Say which words speak for the most probable intent, or for the one named."""
        return await self._ask(operations.explain(text, scene, intent))

    async def profile(self, user_id: str) -> Profile:
        """Say who a shopper is, with the evidence; a `ServiceError` with status 404 where no profile is stored."""
        return await self._ask(operations.profile(user_id))

    async def recommend(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        items: Sequence[str] = (),
        k: int = 10,
        language: str | None = None,
    ) -> Recommendations:
        """Items for a shopper at this moment; `items` are those of the page, newest last."""
        return await self._ask(operations.recommend(user_id, session_id, items, k, language))

    async def answer(self, question: str, *, session_id: str | None = None, k: int = 3) -> DeskAnswer:
        """Answer a question of a shopper; with the session a person who takes over sees what happened before."""
        return await self._ask(operations.answer(question, session_id, k))

    async def risk(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        transaction: Mapping[str, Any] | None = None,
    ) -> Risk:
        """Judge a session, a shopper or an order about to be placed; at least one must be given."""
        return await self._ask(operations.risk(user_id, session_id, transaction))

    async def erase(self, user_id: str) -> Erasure:
        """Remove everything about one person, at once here and by the erasure job elsewhere; takes an admin's key."""
        return await self._ask(operations.erase(user_id))

    async def release(self) -> Release:
        """Name the release that is served."""
        return await self._ask(operations.release())

    async def send(self, call: Call[Answer]) -> Answer:
        """One try of `call`, for callers that wait and repeat by themselves."""
        try:
            response = await self._http.request(call.method, call.path, content=call.body)
        except httpx.RequestError as error:
            raise _failure(error) from error
        return read_answer(call, response.status_code, response.headers, response.content)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, call: Call[Answer]) -> Answer:
        tries = Tries(self._retry)
        while True:
            try:
                return await self.send(call)
            except IntentClientError as error:
                await asyncio.sleep(tries.pause_after(error))


def _headers(key: str | None) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "accept": "application/json",
        "user-agent": f"intent-tracking/{intent_tracking.__version__}",
    }
    return headers | ({"authorization": f"Bearer {key}"} if key else {})


def _failure(error: httpx.RequestError) -> IntentClientError:
    if isinstance(error, httpx.DecodingError):
        return UnexpectedAnswerError(f"the answer of {error.request.url} cannot be decoded: {error}")
    # Some of httpx' errors have no text of their own.
    return NoAnswerError(f"no answer from {error.request.url}: {type(error).__name__} {error}".rstrip())
