"""Sessions without activity are forgotten: from a thread of their own, since a store may take long over it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

logger = logging.getLogger(__name__)

SESSIONS_KEPT: Final = timedelta(days=7)
EXPIRE_SECONDS: Final = 3600.0


class Forgetting:
    """Calls `expire` with the moment before which a session is old, at the start and every `seconds`.

    `expire` says how many sessions it removed; where storage refuses, it is tried again with the next round.
    """

    def __init__(self, expire: Callable[[datetime], int], seconds: float = EXPIRE_SECONDS) -> None:
        self._expire = expire
        self._seconds = seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="session-expiry", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the round that it is in."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                forgotten = self._expire(datetime.now(UTC) - SESSIONS_KEPT)
            except (OSError, sqlite3.Error) as error:
                logger.error("old sessions are not forgotten, trying again later: %s", error)
            else:
                if forgotten:
                    logger.info("%d sessions without activity for %s are forgotten", forgotten, SESSIONS_KEPT)
            if self._closing.wait(self._seconds):
                return
