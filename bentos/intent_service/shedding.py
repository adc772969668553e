"""Load shedding: a request that would wait for long is told so at once, instead of making all others wait longer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.intent_service.errors import ErrorCode, RequestError
from bentos.intent_service.limits import MAX_BODY_BYTES

# Of all requests in flight together. A decoded body takes several times its bytes.
MAX_BODY_BYTES_IN_FLIGHT: Final = 16 * MAX_BODY_BYTES
MAX_RETRY_SECONDS: Final = 30


class LoadShedding:
    """Answers 503 with Retry-After while this process has as much to do as it can answer in time.

    Requests are answered about in the order in which they came, by one inference thread. So the longest that a request
    now waits is what the next one has to wait, whatever those before it ask for: that time is measured, not estimated.
    It counts from the end of the body to the begin of the answer, since a caller that sends or reads slowly waits for
    itself. Short requests reach the limit on their number first.

    Args:
        paths: what is shed; probes, figures, and what administrators ask for are answered in any case.
        max_in_flight: requests at once.
        max_wait_seconds: longest wait of a request in flight.
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
        self._paths = frozenset(paths)
        self._max_in_flight = max_in_flight
        self._max_wait_seconds = max_wait_seconds
        self._clock = clock
        self._in_flight = 0
        self._body_bytes = 0
        # When the body of each request in flight was complete, oldest first.
        self._waiting: dict[object, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        oldest = next(iter(self._waiting.values()), None)
        waited = 0.0 if oldest is None else self._clock() - oldest
        if self._in_flight >= self._max_in_flight or waited > self._max_wait_seconds:
            await _overloaded(waited).response()(scope, receive, send)
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
                    raise _overloaded(waited)
                if not message.get("more_body", False):
                    self._waiting.setdefault(request, self._clock())
            return message

        async def answered(message: Message) -> None:
            # A caller that reads slowly waits for itself as well.
            self._waiting.pop(request, None)
            await send(message)

        self._in_flight += 1
        try:
            await self._app(scope, watched, answered)
        finally:
            self._in_flight -= 1
            self._body_bytes -= size
            self._waiting.pop(request, None)


def _overloaded(waited: float) -> RequestError:
    seconds = min(MAX_RETRY_SECONDS, max(1, math.ceil(waited)))
    return RequestError(
        503,
        ErrorCode.OVERLOADED,
        f"the service has more to do than it can answer in time; nothing of this request is accepted, send it again "
        f"in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )
