"""Server-sent events for the console (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Every stream reads the shared feed at its own pace, by the number of what it sent last: a slow browser holds up its own
stream alone, at a batch of memory, and is told what it missed. Nothing is kept for it here.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from types import FrameType
from typing import Final

import orjson

from bentos.intent_service.errors import ErrorCode, RequestError
from intent_tracking.sessions.feed import SessionFeed

MAX_STREAMS: Final = 16
POLL_SECONDS: Final = 0.25
STATUS_SECONDS: Final = 2.0
QUIET_SECONDS: Final = 10.0
BATCH: Final = 100
"""Moments read at once, and those of the past that a page begins with."""

_STOPS = (signal.SIGTERM, signal.SIGINT)


class Streams:
    """The open streams of one process.

    Args:
        feed: what they read.
        status: JSON of what serves and whether it drifts; asked from a thread.
    """

    def __init__(self, feed: SessionFeed, status: Callable[[], bytes]) -> None:
        self._feed = feed
        self._status = status
        self._stopping = False
        self._hears_signals = False
        self.open = 0

    def stop(self) -> None:
        """End every stream within a poll."""
        self._stopping = True

    def admit(self) -> None:
        """Check that one more stream may open.

        Raises:
            RequestError: there are MAX_STREAMS already, or the process ends.
        """
        self._hear_signals()
        if self.open >= MAX_STREAMS or self._stopping:
            raise RequestError(
                503,
                ErrorCode.OVERLOADED,
                f"{MAX_STREAMS} consoles are open on this process; close one or try again later",
                headers={"Retry-After": "10"},
            )

    async def events(self, after: int | None, check_access: Callable[[], object]) -> AsyncIterator[bytes]:
        """The events after number `after`; without a number the newest of the past come first.

        They end when `check_access`, asked before each status, raises RequestError.
        """
        self.open += 1
        try:
            said: bytes | None = None
            status_at = spoken_at = -QUIET_SECONDS
            while not self._stopping:
                now = time.monotonic()
                parts: list[bytes] = []
                if now - status_at >= STATUS_SECONDS:
                    status_at = now
                    try:
                        check_access()
                    except RequestError as refusal:
                        # The page asks anew, and is told what it needs.
                        yield _event("trouble", orjson.dumps({"message": refusal.message}))
                        return
                    status = await asyncio.to_thread(self._status)
                    if status != said:
                        parts.append(_event("status", status))
                        said = status
                try:
                    reading = await asyncio.to_thread(self._feed.read, after, BATCH)
                except sqlite3.Error as error:
                    # The stream ends and the page says that it is cut off, instead of showing an old state as live.
                    yield _event("trouble", orjson.dumps({"message": f"the feed cannot be read: {error}"}))
                    return
                if reading.reset or reading.missed:
                    parts.append(_event("missed", orjson.dumps({"count": reading.missed, "reset": reading.reset})))
                parts += [_event("moment", body, number) for number, body in reading.moments]
                after = reading.position
                if parts:
                    spoken_at = now
                    yield b"".join(parts)
                elif now - spoken_at >= QUIET_SECONDS:
                    spoken_at = now
                    yield b": still here\n\n"
                if len(reading.moments) < BATCH:
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            self.open -= 1

    def _hear_signals(self) -> None:
        """End the streams when the server is told to stop.

        uvicorn waits for open answers before it tells the app (its lifespan shutdown comes last), and these would never
        end. Its own handlers stay and are called after ours.
        """
        if self._hears_signals or threading.current_thread() is not threading.main_thread():
            return
        self._hears_signals = True
        for number in _STOPS:
            self._chain(number)

    def _chain(self, number: signal.Signals) -> None:
        before = signal.getsignal(number)

        def stop_first(received: int, frame: FrameType | None) -> None:
            self.stop()
            if callable(before):
                before(received, frame)

        if callable(before):
            signal.signal(number, stop_first)


def _event(name: str, data: bytes, number: int | None = None) -> bytes:
    # The data is JSON on one line: orjson and pydantic write no line breaks.
    head = f"event: {name}\n" + (f"id: {number}\n" if number is not None else "")
    return head.encode() + b"data: " + data + b"\n\n"
