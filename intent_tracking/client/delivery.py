"""What a buffer sends next, when, and what becomes of it: the part that threads and asyncio have in common."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from intent_tracking.client.answers import TrackAnswer
from intent_tracking.client.errors import IntentClientError, OutboxError, ServiceError
from intent_tracking.client.events import MAX_EVENTS, fitting
from intent_tracking.client.outbox import DiskOutbox, MemoryOutbox, Outbox
from intent_tracking.client.retrying import Retry

logger = logging.getLogger(__name__)

# The service says that the events themselves are wrong; any other refusal (a key, an outage, a proxy) passes.
_OF_THE_EVENTS: Final = frozenset({"invalid_json", "invalid_request", "too_large"})
MAX_BYTES: Final = 64 << 20
# Waits between tries while the service is away. `attempts` and `total_seconds` do not count here: it never gives up.
BACKOFF: Final = Retry(first_seconds=0.5, most_seconds=30.0)


@dataclass(frozen=True)
class RejectedEvent:
    """An event that the service will never take, as it was sent, and why."""

    line: bytes
    reason: str

    @property
    def event(self) -> dict[str, Any]:
        """The event with its `event_id`.

        Raises:
            ValueError: the line is damaged, which is why it was rejected.
        """
        found: dict[str, Any] = json.loads(self.line)
        return found


def log_rejected(rejected: RejectedEvent) -> None:
    """Report to the log. The event may hold personal data and stays out of it."""
    logger.warning("the service rejects an event of %d bytes: %s", len(rejected.line), rejected.reason)


class Delivery:
    """The outbox of one buffer and the clock of its sending.

    Args:
        folder: where events wait; None keeps them in memory.
        size: events that are sent without further waiting.
        seconds: the longest that fewer events wait for others.
        max_bytes: events that may wait, in all.
    """

    def __init__(
        self,
        folder: str | Path | None,
        size: int,
        seconds: float,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if size < 1 or seconds < 0 or max_bytes < 1:
            raise ValueError(
                f"size and max_bytes must be at least 1 and seconds not negative: {size}, {max_bytes}, {seconds}"
            )
        self._outbox: Outbox = MemoryOutbox(max_bytes) if folder is None else DiskOutbox(Path(folder), max_bytes)
        self._size = size
        self._seconds = seconds
        self._clock = clock
        # What a former process left is late already.
        self._due = clock()
        self._taken_at = self._due
        self._took_all = False
        self._retry_at = self._asked_until = 0.0
        self._failures = 0
        self._most = MAX_EVENTS
        self.in_haste = False
        self.last_failure: Exception | None = None

    @property
    def pending(self) -> int:
        """Events that are not delivered."""
        return len(self._outbox)

    def add(self, line: bytes) -> None:
        """Take an encoded event in.

        Raises:
            OutboxFullError: as many wait as may.
            OSError: the disk refuses.
        """
        if not self.pending:
            self._due = self._clock() + self._seconds
        self._outbox.append(line)

    def hasten(self) -> None:
        """Send what waits without waiting for more; of the pauses, sit out those alone that the service asked for."""
        self.in_haste = True
        self._retry_at = self._asked_until

    def wait(self) -> float | None:
        """Seconds until the next batch is to be sent, at most 0 for now; None while nothing waits."""
        if not self.pending:
            self.in_haste = False
            return None
        now = self._clock()
        full = self.in_haste or self.pending >= self._size
        return max(self._retry_at, now if full else self._due) - now

    def batch(self) -> Sequence[bytes]:
        """The oldest events that fit one call.

        Raises:
            OutboxError, OSError: the folder cannot be read.
        """
        self._taken_at = self._clock()
        lines = self._outbox.oldest(self._most)
        batch = lines[: fitting(lines, self._most)]
        self._took_all = len(batch) == self.pending
        return batch

    def delivered(self, batch: Sequence[bytes], answer: TrackAnswer) -> list[RejectedEvent]:
        """Forget `batch`, which the service answered; what it rejected.

        Raises:
            OSError: the disk refuses; the batch will be sent again, which changes nothing at the service.
        """
        self._outbox.remove(len(batch))
        self._failures = 0
        self.last_failure = None
        # What is left came after this batch was taken, or did not fit it and goes at once.
        self._due = self._taken_at + self._seconds if self._took_all else self._taken_at
        self._most = min(MAX_EVENTS, 2 * self._most)
        return [RejectedEvent(batch[each.index], each.reason) for each in answer.rejected if each.index < len(batch)]

    def failed(self, batch: Sequence[bytes], error: Exception) -> list[RejectedEvent]:
        """Take note that `batch` failed, whatever with; what of it is given up.

        A batch that the service does not take as a whole is tried in halves, down to the one event that it refuses.
        """
        if isinstance(error, ServiceError) and error.code in _OF_THE_EVENTS:
            if len(batch) > 1:
                self._most = len(batch) // 2
                return []
            try:
                self._outbox.remove(1)
            except OSError as refused:
                # It is sent, refused and reported once more when the disk takes the removal.
                error = refused
            else:
                return [RejectedEvent(batch[0], f"{error.code}: {error.message}")]
        self._failures += 1
        self.last_failure = error
        pause = BACKOFF.pause(self._failures, error)
        asked = error.retry_after if isinstance(error, ServiceError) else None
        self._retry_at, self._asked_until = self._clock() + pause, self._clock() + (asked or 0.0)
        # What none of our own errors names is a mistake of ours or of a transport: its trace says where.
        trace = None if isinstance(error, (IntentClientError, OutboxError, OSError)) else error
        logger.warning(
            "%d events wait for the service, next try in %.1f s: %s", self.pending, pause, error, exc_info=trace
        )
        return []

    def give_up(self) -> list[RejectedEvent]:
        """What ends with this process because it waited in memory."""
        if isinstance(self._outbox, DiskOutbox):
            return []
        lines = self._outbox.oldest(self.pending)
        self._outbox.remove(len(lines))
        return [RejectedEvent(line, f"not delivered before the buffer closed: {self.last_failure}") for line in lines]

    def close(self) -> None:
        """Close the outbox. What waits on disk stays there."""
        self._outbox.close()
