"""Events in, several calls at a time: what calls bring while one write is under way shares the next one.

A call of one event costs five times what an event in a batch costs: a claim, a write that reaches the disk, and a
transaction. Callers who come at once pay for them together.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from bentos.intent_service.tracing import batch_span, here
from bentos.intent_service.tracking import Call, StillHeldError

Taken = TypeVar("Taken")

# Two: one checks and scrubs what comes while the other waits for the disk.
INTAKE_THREADS: Final = 2
# What is taken in at once is answered at once: more would make the first caller wait for the last.
MAX_EVENTS_AT_ONCE: Final = 1_000


@dataclass
class _Waiting(Generic[Taken]):
    call: Call
    future: Future[Taken] = field(default_factory=Future)
    place: Any = field(default_factory=here)
    context: Context = field(default_factory=copy_context)


class Intake(Generic[Taken]):
    """The threads behind `/v1/track`.

    Args:
        take_in: takes in several calls at once and gives the result of each, in their order.
        threads: that do so.
    """

    def __init__(self, take_in: Callable[[Sequence[Call]], Sequence[Taken]], threads: int = INTAKE_THREADS) -> None:
        self._take_in = take_in
        self._waiting: deque[_Waiting[Taken]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._run, name=f"intake_{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Call) -> Future[Taken]:
        """Put `call` behind those that wait; one that is cancelled before its turn is not taken in.

        Raises:
            RuntimeError: the intake is closed.
        """
        waiting: _Waiting[Taken] = _Waiting(call)
        with self._changed:
            if self._closing:
                raise RuntimeError("the intake is closed")
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.future

    def close(self) -> None:
        """End the threads, after all that waits for them."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._waiting)
                if not self._waiting:
                    return
                together = self._next()
            self._answer([each for each in together if each.future.set_running_or_notify_cancel()])

    def _next(self) -> list[_Waiting[Taken]]:
        together = [self._waiting.popleft()]
        events = len(together[0].call.documents)
        while self._waiting and events + len(self._waiting[0].call.documents) <= MAX_EVENTS_AT_ONCE:
            together.append(self._waiting.popleft())
            events += len(together[-1].call.documents)
        return together

    def _answer(self, together: Sequence[_Waiting[Taken]]) -> None:
        if not together:
            return
        events = sum(len(each.call.documents) for each in together)
        try:
            with batch_span("track events", [each.place for each in together], events=events):
                calls = [each.call for each in together]
                # What is logged of a lone call names its request; of several at once there is no one request.
                taken = together[0].context.run(self._take_in, calls) if len(calls) == 1 else self._take_in(calls)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever sent the events; the thread must go on
            if len(together) > 1 and (isinstance(error, StillHeldError) or not isinstance(error, OSError)):
                # The others shall not suffer from one call. Storage that refuses does so whoever asks.
                for each in together:
                    self._answer([each])
                return
            for each in together:
                each.future.set_exception(error)
            return
        for each, result in zip(together, taken, strict=True):
            each.future.set_result(result)
