"""Live sessions of the service: events in, in any order and more than once; the session so far out.

One interface, and the embedded store behind it: SQLite in WAL mode, safe with several worker processes. The same
contract suite (`tests/contract/test_session_store.py`) runs against every store.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import orjson

from intent_tracking.events.contract import Event, EventName, Scene, shopper_id
from intent_tracking.sessions.render import SessionEvent, SessionItem, free_text
from intent_tracking.sessions.vocabulary import SESSION_GAP

MAX_EVENTS_KEPT: Final = 50
MAX_ITEMS_KEPT: Final = 20
MAX_SESSIONS: Final = 200_000
REPEATS_KNOWN_FOR: Final = timedelta(hours=1)
"""How long, by event time, the id of an event that is no longer kept is remembered."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_GAP = SESSION_GAP // _MICROSECOND
_REPEATS = REPEATS_KNOWN_FOR // _MICROSECOND


@dataclass(frozen=True)
class LiveSession:
    """A session so far: its newest events, oldest first. `event_count` also counts those no longer kept."""

    session_id: str
    shopper_id: str
    user_id: str | None
    started_at: datetime
    last_event_at: datetime
    event_count: int
    events: tuple[SessionEvent, ...]


@dataclass(frozen=True)
class Appended:
    """For each event given, in order: the session it belongs to, and whether it was new (`False`: seen before)."""

    session_ids: tuple[str, ...]
    new: tuple[bool, ...]


@dataclass(frozen=True)
class Erased:
    """What was removed."""

    sessions: int
    events: int


class SessionStore(Protocol):
    """Live sessions by shopper.

    An event belongs to the shopper's session, with the same session id where the source gives one, whose span it is
    inside or at most 30 minutes away from; else it begins a new one. So a session that was silent for longer is over,
    though it can still be read. An event whose id is known changes nothing. Free text is scrubbed before it is kept.

    A store keeps the newest 50 events of a session, and the sessions with the newest activity up to its limit.
    """

    def append(self, events: Sequence[Event]) -> Appended:
        """Take in `events` in one transaction: all of them are kept, or none."""
        ...

    def known(self, event_ids: Collection[str]) -> frozenset[str]:
        """Those of `event_ids` that `append` would report as seen before: a caller logs only the others."""
        ...

    def read(self, session_id: str) -> LiveSession | None:
        """The session, or `None` where it is unknown, evicted or erased."""
        ...

    def latest(self, user_id: str) -> LiveSession | None:
        """The session of a known user with the newest activity."""
        ...

    def size(self) -> int:
        """How many sessions are kept."""
        ...

    def expire(self, before: datetime) -> int:
        """Remove sessions without activity since `before`; how many."""
        ...

    def erase(self, user_id: str) -> Erased:
        """Remove every session of the user, and the anonymous ones of the devices seen with the user."""
        ...

    def close(self) -> None:
        """Give files and connections back."""
        ...


def new_session_id(shopper: str, given_id: str | None, first_event_id: str, *, taken: bool) -> str:
    """The id of a session that begins with `first_event_id`; the same that `sessionise` gives it a day later.

    A given id is kept unless it is `taken` by another session.
    """
    digest = hashlib.sha256(f"{shopper}\x1f{first_event_id}".encode()).hexdigest()
    if given_id is None:
        return f"s-{digest[:24]}"
    return f"{given_id}#{digest[:8]}" if taken else given_id


def kept_event(event: Event) -> SessionEvent:
    """What a store keeps of `event`: free text scrubbed, a bounded number of items."""
    kept = SessionEvent.from_event(event)
    return replace(
        kept,
        search_term=free_text(kept.search_term) if kept.search_term else None,
        text=free_text(kept.text) if kept.text else None,
        items=kept.items[:MAX_ITEMS_KEPT],
    )


_TABLES = """
CREATE TABLE IF NOT EXISTS session (
    number INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL UNIQUE,
    shopper_id TEXT NOT NULL,
    given_id TEXT NOT NULL,
    user_id TEXT,
    anonymous_id TEXT,
    started_at INTEGER NOT NULL,
    last_event_at INTEGER NOT NULL,
    event_count INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS session_of_shopper ON session (shopper_id, given_id, last_event_at);
CREATE INDEX IF NOT EXISTS session_of_user ON session (user_id, last_event_at) WHERE user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS session_by_activity ON session (last_event_at, number);
CREATE TABLE IF NOT EXISTS event (
    event_id TEXT PRIMARY KEY,
    session INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    body BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_of_session ON event (session, event_time, event_id);
CREATE INDEX IF NOT EXISTS event_kept ON event (session, event_time, event_id) WHERE body IS NOT NULL;
CREATE TABLE IF NOT EXISTS size (sessions INTEGER NOT NULL);
INSERT INTO size SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM size);
CREATE TRIGGER IF NOT EXISTS session_added AFTER INSERT ON session BEGIN UPDATE size SET sessions = sessions + 1; END;
CREATE TRIGGER IF NOT EXISTS session_removed AFTER DELETE ON session BEGIN
    UPDATE size SET sessions = sessions - 1;
    DELETE FROM event WHERE session = OLD.number;
END;
"""


class SqliteSessionStore:
    """`SessionStore` in one SQLite file. Threads share one connection, processes share the file.

    A commit reaches the disk with the next checkpoint: a power cut may lose the newest sessions but spoils nothing.
    What was answered as accepted stands in the event log; this is only the state that answers are made from.
    """

    def __init__(self, path: Path, *, max_sessions: int = MAX_SESSIONS, max_events: int = MAX_EVENTS_KEPT) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._max_sessions = max_sessions
        self._max_events = max_events
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        # Erased text must be gone from the file, not only from the tables.
        self._connection.execute("PRAGMA secure_delete = ON")
        with self._transaction() as database:
            for statement in _statements(_TABLES):
                database.execute(statement)

    def append(self, events: Sequence[Event]) -> Appended:
        """Take in `events` in one transaction: all of them are kept, or none."""
        prepared = [(event, kept_event(event)) for event in events]
        session_ids: list[str] = []
        new: list[bool] = []
        touched: set[int] = set()
        with self._transaction() as database:
            for event, kept in prepared:
                number, session_id, is_new = self._take_in(database, event, kept)
                session_ids.append(session_id)
                new.append(is_new)
                if is_new:
                    touched.add(number)
            for number in sorted(touched):
                self._trim(database, number)
            self._evict(database)
        return Appended(tuple(session_ids), tuple(new))

    def known(self, event_ids: Collection[str]) -> frozenset[str]:
        """Those of `event_ids` that `append` would report as seen before: a caller logs only the others."""
        with self._lock:
            found = (
                self._connection.execute("SELECT event_id FROM event WHERE event_id = ?", (event_id,)).fetchone()
                for event_id in event_ids
            )
            return frozenset(row[0] for row in found if row is not None)

    def read(self, session_id: str) -> LiveSession | None:
        """The session, or `None` where it is unknown, evicted or erased."""
        return self._read("session_id = ?", session_id)

    def latest(self, user_id: str) -> LiveSession | None:
        """The session of a known user with the newest activity."""
        return self._read("user_id = ? ORDER BY last_event_at DESC, number DESC LIMIT 1", user_id)

    def size(self) -> int:
        """How many sessions are kept."""
        with self._lock:
            return int(self._connection.execute("SELECT sessions FROM size").fetchone()[0])

    def expire(self, before: datetime) -> int:
        """Remove sessions without activity since `before`; how many."""
        with self._transaction() as database:
            return database.execute("DELETE FROM session WHERE last_event_at < ?", (_to_number(before),)).rowcount

    def erase(self, user_id: str) -> Erased:
        """Remove every session of the user, and the anonymous ones of the devices seen with the user."""
        with self._transaction() as database:
            devices = database.execute(
                "SELECT DISTINCT anonymous_id FROM session WHERE user_id = ? AND anonymous_id IS NOT NULL", (user_id,)
            ).fetchall()
            found = database.execute("SELECT number FROM session WHERE user_id = ?", (user_id,)).fetchall()
            for (device,) in devices:
                found += database.execute(
                    "SELECT number FROM session WHERE shopper_id = ? AND user_id IS NULL", (f"anonymous:{device}",)
                ).fetchall()
            count = "SELECT count(*) FROM event WHERE session = ?"
            events = sum(database.execute(count, row).fetchone()[0] for row in found)
            database.executemany("DELETE FROM session WHERE number = ?", found)
        with self._lock:
            # The write-ahead log still holds the old pages; fold it in so that the text is nowhere on disk.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return Erased(sessions=len(found), events=events)

    def close(self) -> None:
        """Close the connection; the last one to close folds the write-ahead log into the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            # Immediate: two processes that both read first and then write would end in SQLITE_BUSY, not in waiting.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _take_in(self, database: sqlite3.Connection, event: Event, kept: SessionEvent) -> tuple[int, str, bool]:
        known = database.execute(
            "SELECT number, session_id FROM event JOIN session ON number = session WHERE event_id = ?",
            (event.event_id,),
        ).fetchone()
        if known is not None:
            return known[0], known[1], False
        shopper, at = shopper_id(event), _to_number(event.event_time)
        row = database.execute(
            "SELECT number, session_id FROM session WHERE shopper_id = ? AND given_id = ? AND last_event_at >= ?"
            " AND started_at <= ? ORDER BY last_event_at DESC LIMIT 1",
            (shopper, event.session_id or "", at - _GAP, at + _GAP),
        ).fetchone()
        if row is None:
            row = self._begin(database, event, shopper, at)
        else:
            database.execute(
                "UPDATE session SET started_at = min(started_at, ?), last_event_at = max(last_event_at, ?),"
                " event_count = event_count + 1, anonymous_id = coalesce(?, anonymous_id) WHERE number = ?",
                (at, at, event.anonymous_id, row[0]),
            )
        database.execute("INSERT INTO event VALUES (?, ?, ?, ?)", (event.event_id, row[0], at, _to_body(kept)))
        return row[0], row[1], True

    @staticmethod
    def _begin(database: sqlite3.Connection, event: Event, shopper: str, at: int) -> tuple[int, str]:
        taken = (
            event.session_id is not None
            and database.execute("SELECT 1 FROM session WHERE session_id = ?", (event.session_id,)).fetchone()
            is not None
        )
        session_id = new_session_id(shopper, event.session_id, event.event_id, taken=taken)
        number = database.execute(
            "INSERT INTO session (session_id, shopper_id, given_id, user_id, anonymous_id, started_at, last_event_at,"
            " event_count) VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
            (session_id, shopper, event.session_id or "", event.user_id, event.anonymous_id, at, at),
        ).lastrowid
        if number is None:
            raise RuntimeError(f"SQLite gave no row number for session {session_id!r}")
        return number, session_id

    def _trim(self, database: sqlite3.Connection, number: int) -> None:
        """Forget what events beyond the newest held. Their ids stay for a while, so that a repeat is still known."""
        count, newest = database.execute(
            "SELECT event_count, last_event_at FROM session WHERE number = ?", (number,)
        ).fetchone()
        if count <= self._max_events:
            return
        database.execute(
            "UPDATE event SET body = NULL WHERE event_id IN (SELECT event_id FROM event"
            " WHERE session = ? AND body IS NOT NULL ORDER BY event_time DESC, event_id DESC LIMIT -1 OFFSET ?)",
            (number, self._max_events),
        )
        database.execute(
            "DELETE FROM event WHERE session = ? AND event_time < ? AND body IS NULL", (number, newest - _REPEATS)
        )

    def _evict(self, database: sqlite3.Connection) -> None:
        surplus = database.execute("SELECT sessions FROM size").fetchone()[0] - self._max_sessions
        if surplus > 0:
            database.execute(
                "DELETE FROM session WHERE number IN"
                " (SELECT number FROM session ORDER BY last_event_at, number LIMIT ?)",
                (surplus,),
            )

    def _read(self, condition: str, value: str) -> LiveSession | None:
        columns = "number, session_id, shopper_id, user_id, started_at, last_event_at, event_count"
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                row = self._connection.execute(
                    f"SELECT {columns} FROM session WHERE {condition}",  # noqa: S608 - both are texts of this class
                    (value,),
                ).fetchone()
                if row is None:
                    return None
                bodies = self._connection.execute(
                    "SELECT event_id, event_time, body FROM event WHERE session = ? AND body IS NOT NULL"
                    " ORDER BY event_time, event_id",
                    (row[0],),
                ).fetchall()
            finally:
                self._connection.execute("COMMIT")
        return LiveSession(
            session_id=row[1],
            shopper_id=row[2],
            user_id=row[3],
            started_at=_to_time(row[4]),
            last_event_at=_to_time(row[5]),
            event_count=row[6],
            events=tuple(_from_body(*body) for body in bodies),
        )


def _statements(script: str) -> Iterator[str]:
    """The statements of `script` one by one: `executescript` would commit on its own."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _to_number(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _to_time(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)


def _to_body(event: SessionEvent) -> bytes:
    items = [
        (item.item_id, item.item_name, item.item_brand, item.item_category, item.price, item.quantity)
        for item in event.items
    ]
    return orjson.dumps((event.event_name.value, event.scene.value, event.search_term, event.text, items))


def _from_body(event_id: str, event_time: int, body: bytes) -> SessionEvent:
    name, scene, search_term, text, items = orjson.loads(body)
    return SessionEvent(
        event_id=event_id,
        event_name=EventName(name),
        event_time=_to_time(event_time),
        scene=Scene(scene),
        search_term=search_term,
        text=text,
        items=tuple(SessionItem(*item) for item in items),
    )
