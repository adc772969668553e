"""Sessions without activity are forgotten: from a thread of their own, since a store may take long over it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

logger = logging.getLogger(__name__)

SESSIONS_KEPT: Final = timedelta(days=7)
EXPIRE_SECONDS: Final = 3600.0


class Forgetting:
    """Goes through `expire` with the moment before which a session is old, at the start and every `seconds`.

    `expire` removes sessions a few at a time and says how many each time; where storage refuses, it is tried again
    with the next round.
    """

    def __init__(self, expire: Callable[[datetime], Iterable[int]], seconds: float = EXPIRE_SECONDS) -> None:
        self._expire = expire
        self._seconds = seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="session-expiry", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the sessions that it is removing; the next start removes the rest."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def is_alive(self) -> bool:
        """Whether old sessions are still forgotten."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while True:
            forgotten = 0
            try:
                for removed in self._expire(datetime.now(UTC) - SESSIONS_KEPT):
                    forgotten += removed
                    if self._closing.is_set():
                        break
            except (OSError, sqlite3.Error) as error:
                logger.error("old sessions are not forgotten, trying again later: %s", error)
            if forgotten:
                logger.info("%d sessions without activity for %s are forgotten", forgotten, SESSIONS_KEPT)
            if self._closing.wait(self._seconds):
                return
