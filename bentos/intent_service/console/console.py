"""What one process of the service holds for the console."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from bentos.intent_service.console.drift import DriftState, drift_state
from bentos.intent_service.console.moments import FeedWriter
from bentos.intent_service.console.papers import AudienceState, Papers
from bentos.intent_service.console.stream import Streams
from bentos.intent_service.errors import RequestError
from bentos.intent_service.schemas import ReleaseAnswer, SessionAnswer
from bentos.intent_service.tracking import Touched
from intent_tracking.sessions.feed import SessionFeed
from intent_tracking.settings import Settings
from intent_tracking.tombstones import LiveTombstones

# One look for all streams: a report is not read again for each of them.
LOOK_SECONDS: Final = 1.0


class ConsoleStatus(BaseModel):
    """What serves, or why nothing does, the newest word on drift and audiences, and the day of the newest report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: ReleaseAnswer | None
    trouble: str | None
    drift: DriftState | None
    audiences: AudienceState | None
    insights: date | None


class Console:
    """The feed of this process, its writer and its streams.

    Args:
        settings: where the feed and the drift reports lie.
        release: what is served; raises RequestError while nothing is.
        on_skip: told how many answers are not shown.
    """

    def __init__(
        self, settings: Settings, release: Callable[[], ReleaseAnswer], on_skip: Callable[[int], None]
    ) -> None:
        self._drift = settings.drift
        self.papers = Papers(settings)
        self._release = release
        self._feed = SessionFeed(settings.console_feed)
        self._writer = FeedWriter(self._feed, on_skip, erased=LiveTombstones(settings.home).current)
        self._look = threading.Lock()
        self._seen: tuple[float, bytes] | None = None
        self.streams = Streams(self._feed, self.status)

    def start(self) -> None:
        """Begin to write what is answered."""
        self._writer.start()

    def show(self, sessions: Sequence[Touched], answers: Sequence[SessionAnswer], model_version: str) -> None:
        """Take what was answered about `sessions`; never waits for the disk."""
        self._writer.put(sessions, answers, model_version)

    def status(self) -> bytes:
        """A ConsoleStatus as JSON, at most LOOK_SECONDS old."""
        with self._look:
            now = time.monotonic()
            if self._seen is None or now - self._seen[0] >= LOOK_SECONDS:
                self._seen = (now, self._status().model_dump_json().encode())
            return self._seen[1]

    def expire(self, before: datetime) -> int:
        """Forget what was answered before `before`; how many answers.

        Raises:
            sqlite3.Error: the feed cannot be written.
        """
        return self._feed.expire(before)

    def close(self) -> None:
        """End the streams, write the rest and close the file."""
        self.streams.stop()
        self._writer.close()
        self._feed.close()

    def _status(self) -> ConsoleStatus:
        try:
            release, trouble = self._release(), None
        except RequestError as error:
            release, trouble = None, error.message
        return ConsoleStatus(
            release=release,
            trouble=trouble,
            drift=drift_state(self._drift),
            audiences=self.papers.audiences(),
            insights=self.papers.insights_day(),
        )
