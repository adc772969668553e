"""How long a call may take: plain ASGI, before any route."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.intent_service.errors import ErrorCode, RequestError


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
            if message["type"] == "http.response.start" and _is_stream(message) and not limit.expired():
                # A stream of events goes on for hours. Any other answer is sent in time, also to one who reads slowly.
                limit.reschedule(None)
            await send(message)

        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
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


def _is_stream(message: Message) -> bool:
    return Headers(raw=message.get("headers", [])).get("content-type", "").startswith("text/event-stream")
