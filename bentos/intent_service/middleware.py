"""How long a call may take, and how it is counted: plain ASGI, before any route."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.intent_service.errors import ErrorCode, RequestError
from bentos.intent_service.metrics import Metrics


class Deadline:
    """Answers 504 when a request takes longer than the limit, and 408 when it is its body that has not come by then."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; what it started on disk is finished all the same."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        reading = False

        async def received() -> Message:
            nonlocal reading
            reading = True
            message = await receive()
            reading = bool(message.get("more_body", False))
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, received, watched)
        except TimeoutError:
            if started or not limit.expired():
                raise
            # The rest of a body that comes too late is not waited for: the connection ends with the answer.
            late = (
                RequestError(
                    408,
                    ErrorCode.TIMEOUT,
                    f"the body did not come within {self._seconds:g} s; send it again, or less of it",
                    headers={"Connection": "close"},
                )
                if reading
                else RequestError(504, ErrorCode.TIMEOUT, f"no answer within {self._seconds:g} s; repeat the request")
            )
            await late.response()(scope, receive, send)


class Measured:
    """Counts answers and their time by route; unknown paths share one label, so that callers cannot make new ones."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self._routes else "other"
        begin = perf_counter()
        await self._app(scope, receive, self._counting(send, route, begin))

    def _counting(self, send: Send, route: str, begin: float) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(route, str(message["status"])).inc()
                self._metrics.seconds.labels(route).observe(perf_counter() - begin)
            await send(message)

        return counted
