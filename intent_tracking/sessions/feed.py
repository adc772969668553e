"""The newest answers about live sessions, for people who watch: a short tape that all worker processes share.

It is a view, not a record: what it drops is still in the event log and the session state. Each worker appends what it
answered, each reader follows by the number of what it has read, so a slow reader costs nobody memory.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from intent_tracking.sessions.sqlite_file import open_shared

MAX_MOMENTS: Final = 2_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TABLES = (
    # AUTOINCREMENT: a number is never given twice, also after the newest moments were erased.
    "CREATE TABLE IF NOT EXISTS moment (number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL,"
    " shopper_id TEXT NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS moment_of_shopper ON moment (shopper_id)",
    "CREATE INDEX IF NOT EXISTS moment_by_time ON moment (at)",
)


@dataclass(frozen=True)
class Moment:
    """What one answer said of a session of `shopper_id`; `body` is what readers get."""

    at: datetime
    shopper_id: str
    body: bytes


@dataclass(frozen=True)
class Reading:
    """Bodies with their numbers, oldest first; `position` is the number to read on after.

    `missed` counts moments after the one asked for that had left the tape before they were read. `reset` says that the
    tape is not the one that was read before: its numbers start anew.
    """

    moments: tuple[tuple[int, bytes], ...]
    position: int
    missed: int = 0
    reset: bool = False


class SessionFeed:
    """The tape in one SQLite file of a local disk: threads share one connection, processes share the file.

    The file is opened when it is first used, and tried again with each use: a process goes on without its tape.
    """

    def __init__(self, path: Path, *, max_moments: int = MAX_MOMENTS) -> None:
        self._path = path
        self._max_moments = max_moments
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def append(self, moments: Sequence[Moment]) -> None:
        """Put `moments` at the end, and drop the oldest beyond the limit.

        Raises:
            sqlite3.Error: the file cannot be written; none of `moments` is on the tape.
        """
        rows = [((moment.at - _EPOCH) // _MICROSECOND, moment.shopper_id, moment.body) for moment in moments]
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany("INSERT INTO moment (at, shopper_id, body) VALUES (?, ?, ?)", rows)
                connection.execute(
                    "DELETE FROM moment WHERE number <= (SELECT max(number) FROM moment) - ?", (self._max_moments,)
                )
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def read(self, after: int | None, limit: int) -> Reading:
        """At most `limit` moments after number `after`; without one, the newest `limit` of the tape.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        with self._open() as connection:
            connection.execute("BEGIN")
            try:
                oldest, newest = connection.execute(
                    "SELECT coalesce(min(number), 0), (SELECT coalesce(max(seq), 0) FROM sqlite_sequence) FROM moment"
                ).fetchone()
                reset = after is not None and after > newest
                begin = newest - limit if after is None or reset else after
                rows = connection.execute(
                    "SELECT number, body FROM moment WHERE number > ? ORDER BY number LIMIT ?", (begin, limit)
                ).fetchall()
            finally:
                connection.execute("COMMIT")
        if after is None or reset:
            return Reading(tuple(rows), rows[-1][0] if rows else newest, reset=reset)
        return Reading(tuple(rows), rows[-1][0] if rows else after, max(0, oldest - 1 - after))

    def erase(self, shopper_ids: Collection[str]) -> int:
        """Remove every moment of these shoppers; how many.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        with self._open() as connection:
            removed = connection.executemany(
                "DELETE FROM moment WHERE shopper_id = ?", [(shopper,) for shopper in shopper_ids]
            ).rowcount
            # The write-ahead log still holds the old pages; fold it in so that the words are nowhere on disk.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return max(0, removed)

    def forget(self, is_erased: Callable[[str, datetime], bool]) -> int:
        """Remove the moments whose shopper and time say so; how many.

        Raises:
            sqlite3.Error: the file cannot be read or written.
        """
        with self._open() as connection:
            erased = [
                (number,)
                for number, shopper, at in connection.execute("SELECT number, shopper_id, at FROM moment").fetchall()
                if is_erased(shopper, _EPOCH + at * _MICROSECOND)
            ]
            if erased:
                connection.executemany("DELETE FROM moment WHERE number = ?", erased)
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return len(erased)

    def expire(self, before: datetime) -> int:
        """Remove moments older than `before`; how many.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        with self._open() as connection:
            return connection.execute("DELETE FROM moment WHERE at < ?", ((before - _EPOCH) // _MICROSECOND,)).rowcount

    def close(self) -> None:
        """Close the connection; the last one to close folds the write-ahead log into the file."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise sqlite3.ProgrammingError("the feed is closed")
            if self._connection is None:
                self._connection = _connected(self._path)
            yield self._connection


def _connected(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise sqlite3.OperationalError(f"{path.parent}: {error.strerror}") from error
    try:
        connection = open_shared(path, 5.0)
    except sqlite3.Error as error:
        raise sqlite3.OperationalError(f"{path}: {error}") from error
    try:
        for statement in _TABLES:
            connection.execute(statement)
    except sqlite3.Error as error:
        connection.close()
        raise sqlite3.OperationalError(f"{path}: {error}") from error
    return connection
