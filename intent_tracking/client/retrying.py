"""When a failed call is worth another try, and how long to wait before it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from intent_tracking.client.errors import IntentClientError, NoAnswerError, ServiceError

# The service, or what stands before it, says that it cannot now. A 500 would fail again; a 4xx is our mistake.
TRANSIENT = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Retry:
    """Exponential backoff with full jitter (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).

    Args:
        attempts: tries in all; 1 never repeats.
        first_seconds: the longest wait before the second try; it doubles with each further one.
        most_seconds: what the doubling stops at.
        total_seconds: no try begins later than this after the first.
    """

    attempts: int = 4
    first_seconds: float = 0.2
    most_seconds: float = 5.0
    total_seconds: float = 15.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.first_seconds, self.most_seconds, self.total_seconds) < 0:
            raise ValueError(f"attempts must be at least 1 and no time negative: {self}")

    def pause(self, failures: int, error: Exception, draw: Callable[[], float] = random.random) -> float:
        """Seconds to wait after `failures` failed tries, the last with `error`: never less than the service asks for.

        `draw` gives a random number between 0 and 1.
        """
        # 2**60 seconds are enough; a buffer may count failures for weeks.
        longest = min(self.most_seconds, self.first_seconds * 2.0 ** min(failures - 1, 60))
        asked = error.retry_after if isinstance(error, ServiceError) else None
        return max(longest * draw(), asked or 0.0)


def is_transient(error: IntentClientError) -> bool:
    """Whether the same call may succeed later. Every operation of the service may be repeated without harm."""
    return isinstance(error, NoAnswerError) or (isinstance(error, ServiceError) and error.status in TRANSIENT)


class Tries:
    """The tries of one call."""

    def __init__(self, retry: Retry, clock: Callable[[], float] = time.monotonic) -> None:
        self._retry = retry
        self._clock = clock
        self._begin = clock()
        self._failures = 0

    def pause_after(self, error: IntentClientError) -> float:
        """Seconds to wait before the next try.

        Raises:
            IntentClientError: `error` itself, where no further try is worth it.
        """
        self._failures += 1
        pause = self._retry.pause(self._failures, error)
        late = self._clock() - self._begin + pause > self._retry.total_seconds
        if self._failures >= self._retry.attempts or late or not is_transient(error):
            raise error
        return pause
