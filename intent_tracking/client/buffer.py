"""Events sent in the background, in batches, as soon as the service takes them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from intent_tracking.client import operations
from intent_tracking.client.answers import TrackAnswer
from intent_tracking.client.client import AsyncIntentClient, IntentClient
from intent_tracking.client.delivery import MAX_BYTES, Delivery, RejectedEvent, log_rejected
from intent_tracking.client.errors import NotDeliveredError
from intent_tracking.client.events import encode_event

logger = logging.getLogger(__name__)

Report = Callable[[RejectedEvent], None]
Answered = Callable[[TrackAnswer], None]
SIZE = 100
SECONDS = 1.0
CLOSE_SECONDS = 5.0


class TrackBuffer:
    """Takes events at once and sends them from a thread of its own. Safe for several threads.

    Args:
        client: how events travel. The buffer waits and repeats by itself, for as long as it takes.
        folder: where events wait, so that they outlive this process; None keeps them in memory. Each process needs its
            own, and opens it after a fork.
        size: events that are sent without further waiting.
        seconds: the longest that fewer events wait for others.
        max_bytes: events that may wait, in all.
        on_rejected: hears of each event that the service will never take, on the buffer's thread.
        on_answer: hears of each answer, on the buffer's thread.

    Raises:
        OutboxError: another process uses the folder.
    """

    def __init__(
        self,
        client: IntentClient,
        folder: str | Path | None = None,
        *,
        size: int = SIZE,
        seconds: float = SECONDS,
        max_bytes: int = MAX_BYTES,
        on_rejected: Report = log_rejected,
        on_answer: Answered | None = None,
    ) -> None:
        self._client = client
        self._on_rejected = on_rejected
        self._on_answer = on_answer
        self._delivery = Delivery(folder, size, seconds, max_bytes)
        self._changed = threading.Condition()
        self._stop_at: float | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="track-buffer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Events that are not delivered yet."""
        with self._changed:
            return self._delivery.pending

    def add(self, event: Mapping[str, Any]) -> None:
        """Take `event` in. With a folder, it outlives this process once this returns.

        Raises:
            EventError: it has no form in JSON.
            OutboxFullError: as much waits as may; the event is not taken in.
            OSError: the disk refuses; the event is not taken in.
        """
        line = encode_event(event)
        with self._changed:
            if self._stop_at is not None:
                raise RuntimeError("the buffer is closed")
            self._delivery.add(line)
            self._changed.notify_all()

    def flush(self, timeout: float = CLOSE_SECONDS) -> None:
        """Wait until every event is delivered.

        Raises:
            NotDeliveredError: some are not within `timeout` seconds; the buffer goes on trying.
        """
        with self._changed:
            self._delivery.hasten()
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: not self._delivery.pending, timeout):
                raise NotDeliveredError(self._delivery.pending, self._delivery.last_failure)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Send what waits, for at most `timeout` seconds and the call under way, then stop.

        What is not delivered stays in the folder for the next buffer; without one it is reported to `on_rejected`.
        """
        with self._changed:
            if self._closed:
                return
            self._stop_at = time.monotonic() + timeout
            self._delivery.hasten()
            self._changed.notify_all()
        self._thread.join()
        self._closed = True
        _report(self._delivery.give_up(), self._on_rejected)
        self._delivery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        while self._is_my_turn():
            answer: TrackAnswer | None = None
            batch: Sequence[bytes] = ()
            try:
                with self._changed:
                    batch = self._delivery.batch()
                answer = self._client.send(operations.track(batch))
                with self._changed:
                    rejected = self._delivery.delivered(batch, answer)
            except Exception as error:  # noqa: BLE001 - it goes to the log and to NotDeliveredError, the events wait
                with self._changed:
                    rejected = self._delivery.failed(batch, error)
            _report(rejected, self._on_rejected)
            if answer is not None and self._on_answer is not None:
                _call(self._on_answer, answer)
            with self._changed:
                self._changed.notify_all()

    def _is_my_turn(self) -> bool:
        """Wait until there is something to send; False once the buffer is to stop."""
        with self._changed:
            while True:
                wait = self._delivery.wait()
                if wait is not None and wait <= 0 and not self._is_late():
                    return True
                if self._stop_at is not None:
                    if wait is None or self._is_late():
                        return False
                    wait = min(wait, self._stop_at - time.monotonic())
                self._changed.wait(wait)

    def _is_late(self) -> bool:
        return self._stop_at is not None and time.monotonic() >= self._stop_at


class AsyncTrackBuffer:
    """`TrackBuffer` for asyncio: a task instead of a thread. Made, used and closed on one event loop.

    The arguments and errors are those of `TrackBuffer`. `add` waits for nothing but the page cache.
    """

    def __init__(
        self,
        client: AsyncIntentClient,
        folder: str | Path | None = None,
        *,
        size: int = SIZE,
        seconds: float = SECONDS,
        max_bytes: int = MAX_BYTES,
        on_rejected: Report = log_rejected,
        on_answer: Answered | None = None,
    ) -> None:
        self._client = client
        self._on_rejected = on_rejected
        self._on_answer = on_answer
        self._delivery = Delivery(folder, size, seconds, max_bytes)
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._closed = False
        self._task = asyncio.get_running_loop().create_task(self._work(), name="track-buffer")

    @property
    def pending(self) -> int:
        """Events that are not delivered yet."""
        return self._delivery.pending

    def add(self, event: Mapping[str, Any]) -> None:
        """Take `event` in; see `TrackBuffer.add`."""
        if self._closed:
            raise RuntimeError("the buffer is closed")
        self._delivery.add(encode_event(event))
        self._empty.clear()
        self._changed.set()

    async def flush(self, timeout: float = CLOSE_SECONDS) -> None:
        """Wait until every event is delivered; see `TrackBuffer.flush`."""
        self._delivery.hasten()
        self._changed.set()
        try:
            async with asyncio.timeout(timeout):
                while self._delivery.pending:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            raise NotDeliveredError(self._delivery.pending, self._delivery.last_failure) from None

    async def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Send what waits, for at most `timeout` seconds, then stop; see `TrackBuffer.close`."""
        if self._closed:
            return
        self._closed = True
        try:
            with suppress(NotDeliveredError):  # reported below, or kept on disk
                await self.flush(timeout)
        finally:  # as well where the task that closes is cancelled
            # A call that is cut off here may have arrived: its events are sent again, which changes nothing.
            self._task.cancel()
            try:
                await asyncio.wait([self._task])
            finally:
                _report(self._delivery.give_up(), self._on_rejected)
                self._delivery.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _work(self) -> None:
        while True:
            self._changed.clear()
            wait = self._delivery.wait()
            if wait is None:
                self._empty.set()
            if wait is None or wait > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                continue
            await self._send()

    async def _send(self) -> None:
        answer: TrackAnswer | None = None
        batch: Sequence[bytes] = ()
        try:
            batch = self._delivery.batch()
            answer = await self._client.send(operations.track(batch))
            rejected = self._delivery.delivered(batch, answer)
        except Exception as error:  # noqa: BLE001 - as in TrackBuffer
            rejected = self._delivery.failed(batch, error)
        _report(rejected, self._on_rejected)
        if answer is not None and self._on_answer is not None:
            _call(self._on_answer, answer)


def _report(rejected: Sequence[RejectedEvent], report: Report) -> None:
    for each in rejected:
        _call(report, each)


def _call(hears: Callable[[Any], None], what: object) -> None:
    try:
        hears(what)
    except Exception:  # whatever the caller's code raises must not end the delivery of the other events
        logger.exception("a callback of the track buffer failed")
