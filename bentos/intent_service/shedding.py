"""Load shedding: a request that would wait for long is told so at once, instead of making all others wait longer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from contextvars import ContextVar
from functools import partial
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.intent_service.errors import ErrorCode, RequestError
from bentos.intent_service.limits import MAX_BODY_BYTES

# Of all requests in flight together. A decoded body takes several times its bytes.
MAX_BODY_BYTES_IN_FLIGHT: Final = 16 * MAX_BODY_BYTES
MAX_RETRY_SECONDS: Final = 30
# Share of the limit that somebody must have waited before the pace of the last answers counts.
_EVIDENCE: Final = 0.25
# What the newest answer weighs in the pace.
_NEWEST: Final = 0.2
_leave_queue: ContextVar[Callable[[], None] | None] = ContextVar("leave_queue", default=None)


def wait_elsewhere() -> None:
    """Say that the request under way waits for another service from here on: it holds up none that come after it."""
    leave = _leave_queue.get()
    if leave is not None:
        leave()


class LoadShedding:
    """Answers 503 with Retry-After while this process has as much to do as it can answer in time.

    Each route is counted for itself, because each waits for something else: the storage, the model, or the model for
    long. A disk or a broker that hangs makes no text wait.

    Args:
        paths: what is shed; probes, figures, and what administrators ask for are answered in any case.
        max_in_flight: requests of one path at once.
        max_wait_seconds: longest wait that the next request is let in for.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        app: ASGIApp,
        paths: Collection[str],
        max_in_flight: int,
        max_wait_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._queues = {path: _Queue(max_wait_seconds, clock) for path in paths}
        self._max_in_flight = max_in_flight
        self._max_wait_seconds = max_wait_seconds
        # Of all paths: they share the memory.
        self._body_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        queue = self._queues.get(scope["path"]) if scope["type"] == "http" else None
        if queue is None:
            await self._app(scope, receive, send)
            return
        wait = queue.expected_wait()
        if queue.in_flight >= self._max_in_flight or wait > self._max_wait_seconds:
            await _overloaded(wait).response()(scope, receive, send)
            return
        request = object()
        size = 0

        async def watched() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                received = len(message.get("body", b""))
                size += received
                self._body_bytes += received
                if self._body_bytes > MAX_BODY_BYTES_IN_FLIGHT:
                    raise _overloaded(wait)
                if not message.get("more_body", False):
                    queue.enter(request)
            return message

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                queue.note_answer(request)
            await send(message)

        queue.in_flight += 1
        under_way = _leave_queue.set(partial(queue.leave, request))
        try:
            await self._app(scope, watched, answered)
        finally:
            _leave_queue.reset(under_way)
            queue.in_flight -= 1
            self._body_bytes -= size
            queue.leave(request)


class _Queue:
    """The requests of one path that wait for their answers.

    They are answered about in the order in which they came. So the longest that a request now waits is the least that
    the next one has to wait, whatever those before it ask for. It counts from the end of the body to the begin of the
    answer, since a caller that sends or reads slowly waits for itself.

    It grows only as fast as the clock, while a queue may grow faster: once somebody waits for a part of the limit, the
    number of those who wait, at the pace of the last answers, counts too. Before that it does not: the pace of long
    requests says nothing about the short ones that come after them.
    """

    def __init__(self, max_wait_seconds: float, clock: Callable[[], float]) -> None:
        self._max_wait_seconds = max_wait_seconds
        self._clock = clock
        self.in_flight = 0
        # When the body of each request in flight was complete, oldest first.
        self._waiting: dict[object, float] = {}
        self._answered_at = clock()
        self._seconds_an_answer: float | None = None

    def expected_wait(self) -> float:
        """Seconds until a request that came now would be answered."""
        if not self._waiting:
            return 0.0
        longest = self._clock() - next(iter(self._waiting.values()))
        if self._seconds_an_answer is None or longest < _EVIDENCE * self._max_wait_seconds:
            return longest
        return max(longest, len(self._waiting) * self._seconds_an_answer)

    def enter(self, request: object) -> None:
        """The body of `request` is complete."""
        self._waiting.setdefault(request, self._clock())

    def leave(self, request: object) -> None:
        """`request` waits here no more, answered or not."""
        self._waiting.pop(request, None)

    def note_answer(self, request: object) -> None:
        """The answer of `request` begins."""
        asked_at = self._waiting.pop(request, None)
        if asked_at is None:
            # Refused before its body was complete, or it waited elsewhere: it took nobody's time.
            return
        now = self._clock()
        took = now - max(asked_at, self._answered_at)
        self._answered_at = now
        before = took if self._seconds_an_answer is None else self._seconds_an_answer
        self._seconds_an_answer = before + _NEWEST * (took - before)


def _overloaded(wait: float) -> RequestError:
    seconds = min(MAX_RETRY_SECONDS, max(1, math.ceil(wait)))
    return RequestError(
        503,
        ErrorCode.OVERLOADED,
        f"the service has more to do than it can answer in time; nothing of this request is accepted, send it again "
        f"in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )
