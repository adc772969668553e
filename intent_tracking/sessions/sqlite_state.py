"""`SessionStore` in one SQLite file: the embedded store, safe with several threads and worker processes.

Each call is a handful of statements, however many events it brings: ids and keys go in as one JSON list.
"""

# ruff: noqa: S608 - statements are put together from texts of this module alone; values are always parameters
from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from intent_tracking.events.contract import Event, shopper_id, visitor_id
from intent_tracking.sessions.sqlite_file import open_shared
from intent_tracking.sessions.sqlite_tables import make_tables
from intent_tracking.sessions.state import (
    GAP,
    MAX_EVENTS_KEPT,
    MAX_IDS_KEPT,
    MAX_SESSIONS,
    REPEATS,
    Appended,
    Claimed,
    Erased,
    LiveSession,
    SessionStoreError,
    from_body,
    kept_event,
    new_session_id,
    to_body,
    to_number,
    to_time,
)

_LISTED: Final = "(SELECT value FROM json_each(?))"
# Sessions that an `expire` removes in one transaction, in which every other call waits, and the pause after it: a lock
# that is taken again at once is had by nobody else, and another process looks only every few milliseconds.
_REMOVED_AT_ONCE: Final = 100
_PAUSE_SECONDS: Final = 0.005


@dataclass(slots=True)
class _Span:
    """A session while a call adds to it."""

    number: int
    session_id: str
    shopper_id: str
    given_id: str
    user_id: str | None
    started_at: int
    last_event_at: int
    event_count: int
    changed: bool = False


class SqliteSessionStore:
    """`SessionStore` in one SQLite file. Threads share one connection, processes share the file.

    A commit reaches the disk with the next checkpoint: a power cut may lose the newest sessions but spoils nothing.
    What was answered as accepted stands in the event log; this is only the state that answers are made from.

    Raises:
        SessionStoreError: the file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_sessions: int = MAX_SESSIONS,
        max_events: int = MAX_EVENTS_KEPT,
        max_ids: int = MAX_IDS_KEPT,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._max_sessions = max_sessions
        self._max_events = max_events
        self._max_ids = max(max_ids, max_events)
        self._lock = threading.Lock()
        with self._reported():
            self._connection = open_shared(path, 30.0)
        with self._transaction() as database:
            make_tables(database)

    def claim(self, event_ids: Collection[str], mark: str) -> Claimed:
        """Hold for `mark` those of `event_ids` that the store does not have."""
        wanted = _listed(event_ids)
        with self._transaction() as database:
            rows = database.execute(f"SELECT event_id FROM event WHERE event_id IN {_LISTED}", (wanted,))
            known = frozenset(row[0] for row in rows)
            held = dict(database.execute(f"SELECT event_id, mark FROM claim WHERE event_id IN {_LISTED}", (wanted,)))
            if not held:
                now = time.time_ns() // 1000
                new = [(event_id, mark, now) for event_id in event_ids if event_id not in known]
                database.executemany("INSERT INTO claim VALUES (?, ?, ?)", new)
        return Claimed(known, held)

    def release(self, event_ids: Collection[str], mark: str) -> None:
        """Give up the claims of `mark` on `event_ids`."""
        with self._transaction() as database:
            database.execute(f"DELETE FROM claim WHERE event_id IN {_LISTED} AND mark = ?", (_listed(event_ids), mark))

    def append(self, events: Sequence[Event]) -> Appended:
        """Take in `events` in one transaction: all of them are kept, or none. Claims on them end."""
        # Scrubbing takes longest and needs no lock.
        bodies = {event.event_id: to_body(kept_event(event)) for event in events}
        wanted = _listed(bodies)
        with self._transaction() as database:
            rows = database.execute(
                f"SELECT event_id, session_id FROM event JOIN session ON number = session WHERE event_id IN {_LISTED}",
                (wanted,),
            )
            session_of: dict[str, str] = dict(rows)
            new = []
            for event in events:
                # Of equal ids in one call the first is the event.
                new.append(event.event_id not in session_of)
                session_of.setdefault(event.event_id, "")
            fresh = [event for event, is_new in zip(events, new, strict=True) if is_new]
            session_of.update(self._place(database, fresh, bodies))
            database.execute(f"DELETE FROM claim WHERE event_id IN {_LISTED}", (wanted,))
            self._evict(database)
        return Appended(tuple(session_of[event.event_id] for event in events), tuple(new))

    def read(self, session_id: str) -> LiveSession | None:
        """The session, or `None` where it is unknown, evicted or erased."""
        return self.read_all([session_id])[0]

    def read_all(self, session_ids: Sequence[str]) -> tuple[LiveSession | None, ...]:
        """As `read`, many at once, in the order given."""
        found = {
            session.session_id: session for session in self._read(f"session_id IN {_LISTED}", _listed(session_ids))
        }
        return tuple(found.get(session_id) for session_id in session_ids)

    def latest(self, user_id: str) -> LiveSession | None:
        """The session of a known user with the newest activity."""
        return next(self._read("user_id = ? ORDER BY last_event_at DESC, number DESC LIMIT 1", user_id), None)

    def size(self) -> int:
        """How many sessions are kept."""
        with self._transaction("BEGIN") as database:
            return int(database.execute("SELECT sessions FROM size").fetchone()[0])

    def expire(self, before: datetime) -> Iterator[int]:
        """Remove sessions without activity since `before` as one iterates: how many at a time."""
        limit = to_number(before)
        with self._transaction() as database:
            database.execute("DELETE FROM claim WHERE claimed_at < ?", (limit,))
        while removed := self._expire_some(limit):
            yield removed
            time.sleep(_PAUSE_SECONDS)

    def _expire_some(self, limit: int) -> int:
        with self._transaction() as database:
            idle = "SELECT number FROM session WHERE last_event_at < ? LIMIT ?"
            statement = f"DELETE FROM session WHERE number IN ({idle})"
            return database.execute(statement, (limit, _REMOVED_AT_ONCE)).rowcount

    def erase(self, user_id: str) -> Erased:
        """Remove every session of the user, and the anonymous ones of the devices seen with the user."""
        with self._transaction() as database:
            found = database.execute(
                "SELECT number FROM session WHERE user_id = :user UNION SELECT number FROM session"
                " WHERE user_id IS NULL AND shopper_id IN (SELECT 'anonymous:' || anonymous_id"
                " FROM session JOIN device ON number = session WHERE user_id = :user)",
                {"user": user_id},
            ).fetchall()
            count = "SELECT count(*) FROM event WHERE session = ?"
            events = sum(database.execute(count, row).fetchone()[0] for row in found)
            database.executemany("DELETE FROM session WHERE number = ?", found)
        with self._lock, self._reported():
            # The write-ahead log still holds the old pages; fold it in so that the text is nowhere on disk.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return Erased(sessions=len(found), events=events)

    def close(self) -> None:
        """Close the connection; the last one to close folds the write-ahead log into the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SessionStoreError(f"session state {self._path}: {error}") from error

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        # Immediate: two processes that both read first and then write would end in SQLITE_BUSY, not in waiting.
        with self._lock, self._reported():
            self._connection.execute(begin)
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _place(self, database: sqlite3.Connection, events: Sequence[Event], bodies: dict[str, bytes]) -> dict[str, str]:
        """Write new `events` into their sessions; the session of each."""
        spans = self._spans(database, events)
        ids = [new_session_id(shopper_id(event), event.session_id, event.event_id, taken=False) for event in events]
        taken = {
            row[0]
            for row in database.execute(
                f"SELECT session_id FROM session WHERE session_id IN {_LISTED}", (_listed(ids),)
            )
        }
        next_number = database.execute("SELECT coalesce(max(number), 0) + 1 FROM session").fetchone()[0]
        begun: list[_Span] = []
        devices: set[tuple[int, str]] = set()
        rows: list[tuple[str, int, int, bytes]] = []
        session_of: dict[str, str] = {}
        for event, session_id in zip(events, ids, strict=True):
            shopper, given, at = shopper_id(event), event.session_id or "", to_number(event.event_time)
            near = spans.setdefault((shopper, given), [])
            span = _nearest(near, at)
            if span is None and (span := _login(spans, event, at)) is not None:
                near.append(span)
            if span is None:
                if session_id in taken:
                    session_id = _free_id(database, event, taken)
                taken.add(session_id)
                span = _Span(next_number + len(begun), session_id, shopper, given, event.user_id, at, at, 0)
                near.append(span)
                begun.append(span)
            span.started_at = min(span.started_at, at)
            span.last_event_at = max(span.last_event_at, at)
            span.event_count += 1
            span.changed = True
            if event.anonymous_id is not None:
                devices.add((span.number, event.anonymous_id))
            rows.append((event.event_id, span.number, at, bodies[event.event_id]))
            session_of[event.event_id] = span.session_id
        database.executemany(
            "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(span.number, span.session_id, span.shopper_id, span.given_id, span.user_id),
                    *(span.started_at, span.last_event_at, span.event_count),
                )
                for span in begun
            ],
        )
        new = {span.number for span in begun}
        changed = [span for near in spans.values() for span in near if span.changed]
        database.executemany(
            "UPDATE session SET shopper_id = ?, user_id = ?, started_at = ?, last_event_at = ?, event_count = ?"
            " WHERE number = ?",
            [
                (
                    *(span.shopper_id, span.user_id, span.started_at, span.last_event_at, span.event_count),
                    span.number,
                )
                for span in changed
                if span.number not in new
            ],
        )
        database.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", rows)
        database.executemany("INSERT OR IGNORE INTO device VALUES (?, ?)", sorted(devices))
        for span in changed:
            if span.event_count > self._max_events:
                self._trim(database, span)
        return session_of

    @staticmethod
    def _spans(database: sqlite3.Connection, events: Sequence[Event]) -> dict[tuple[str, str], list[_Span]]:
        """The sessions that `events` may belong to or go on with, by shopper and given id."""
        bounds: dict[tuple[str, str], tuple[int, int]] = {}
        for event in events:
            whose, at = shopper_id(event), to_number(event.event_time)
            for shopper in {whose, visitor_id(event) or whose}:
                key = (shopper, event.session_id or "")
                first, last = bounds.get(key, (at, at))
                bounds[key] = min(first, at), max(last, at)
        wanted = orjson.dumps([(*key, first - GAP, last + GAP) for key, (first, last) in bounds.items()]).decode()
        spans: dict[tuple[str, str], list[_Span]] = {}
        for row in database.execute(
            "SELECT number, session_id, shopper_id, given_id, user_id, started_at, last_event_at, event_count"
            " FROM json_each(?) AS wanted CROSS JOIN session ON shopper_id = wanted.value ->> 0"
            " AND given_id = wanted.value ->> 1 AND last_event_at >= wanted.value ->> 2"
            " AND started_at <= wanted.value ->> 3",
            (wanted,),
        ):
            span = _Span(*row)
            spans.setdefault((span.shopper_id, span.given_id), []).append(span)
        return spans

    def _trim(self, database: sqlite3.Connection, span: _Span) -> None:
        """Forget what events beyond the newest held. Their ids stay for a while, so that a repeat is still known."""
        newest_first = "ORDER BY event_time DESC, event_id DESC LIMIT -1 OFFSET ?"
        database.execute(
            "UPDATE event SET body = NULL WHERE event_id IN"
            f" (SELECT event_id FROM event WHERE session = ? AND body IS NOT NULL {newest_first})",
            (span.number, self._max_events),
        )
        database.execute(
            "DELETE FROM event WHERE session = ? AND event_time < ? AND body IS NULL",
            (span.number, span.last_event_at - REPEATS),
        )
        if span.event_count > self._max_ids:
            database.execute(
                f"DELETE FROM event WHERE event_id IN (SELECT event_id FROM event WHERE session = ? {newest_first})",
                (span.number, self._max_ids),
            )

    def _evict(self, database: sqlite3.Connection) -> None:
        surplus = database.execute("SELECT sessions FROM size").fetchone()[0] - self._max_sessions
        if surplus > 0:
            database.execute(
                "DELETE FROM session WHERE number IN"
                " (SELECT number FROM session ORDER BY last_event_at, number LIMIT ?)",
                (surplus,),
            )

    def _read(self, condition: str, value: str) -> Iterator[LiveSession]:
        """The sessions that meet `condition`, a text of this class, with their events."""
        columns = "number, session_id, shopper_id, user_id, started_at, last_event_at, event_count"
        with self._transaction("BEGIN") as database:
            sessions = database.execute(f"SELECT {columns} FROM session WHERE {condition}", (value,)).fetchall()
            rows = database.execute(
                f"SELECT session, event_id, event_time, body FROM event WHERE session IN {_LISTED}"
                " AND body IS NOT NULL ORDER BY session, event_time, event_id",
                (_listed(row[0] for row in sessions),),
            ).fetchall()
        events: dict[int, list[Any]] = {}
        for number, *event in rows:
            events.setdefault(number, []).append(event)
        for number, session_id, shopper, user_id, started_at, last_event_at, event_count in sessions:
            yield LiveSession(
                session_id=session_id,
                shopper_id=shopper,
                user_id=user_id,
                started_at=to_time(started_at),
                last_event_at=to_time(last_event_at),
                event_count=event_count,
                events=tuple(from_body(*event) for event in events[number]),
            )


def _nearest(spans: Sequence[_Span], at: int) -> _Span | None:
    """Of `spans` that `at` is inside of or near to, the one with the newest activity."""
    near = (each for each in spans if each.started_at - GAP <= at <= each.last_event_at + GAP)
    return max(near, key=lambda each: (each.last_event_at, each.number), default=None)


def _login(spans: dict[tuple[str, str], list[_Span]], event: Event, at: int) -> _Span | None:
    """The session without a user that the user of `event` goes on with, taken from `spans`; it is the user's then."""
    visitor = visitor_id(event)
    if event.user_id is None or visitor is None:
        return None
    of_visitor = spans.get((visitor, event.session_id or ""), [])
    span = _nearest(of_visitor, at)
    if span is None or span.user_id is not None or at < span.started_at:
        return None
    of_visitor.remove(span)
    span.shopper_id, span.user_id = shopper_id(event), event.user_id
    return span


def _free_id(database: sqlite3.Connection, event: Event, taken: set[str]) -> str:
    """An id for the session that `event` begins, whose own is taken."""
    session_id = new_session_id(shopper_id(event), event.session_id, event.event_id, taken=True)
    # A source may give an id that looks like one of ours.
    found = "SELECT 1 FROM session WHERE session_id = ?"
    while session_id in taken or database.execute(found, (session_id,)).fetchone() is not None:
        session_id += "#"
    return session_id


def _listed(values: Any) -> str:
    return orjson.dumps(list(values)).decode()
