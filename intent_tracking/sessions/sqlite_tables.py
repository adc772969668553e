"""The tables of `sqlite_state`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

# `event` keeps its id after its body is gone, so that a repeat is still known. `size` counts sessions, because counting
# them at each call would read them all.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS session (
    number INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL UNIQUE,
    shopper_id TEXT NOT NULL,
    given_id TEXT NOT NULL,
    user_id TEXT,
    started_at INTEGER NOT NULL,
    last_event_at INTEGER NOT NULL,
    event_count INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS session_of_shopper ON session (shopper_id, given_id, last_event_at);
CREATE INDEX IF NOT EXISTS session_of_user ON session (user_id, last_event_at) WHERE user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS session_by_activity ON session (last_event_at, number);
CREATE TABLE IF NOT EXISTS device (
    session INTEGER NOT NULL,
    anonymous_id TEXT NOT NULL,
    PRIMARY KEY (session, anonymous_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    event_id TEXT PRIMARY KEY,
    session INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    body BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_of_session ON event (session, event_time, event_id);
CREATE INDEX IF NOT EXISTS event_kept ON event (session, event_time, event_id) WHERE body IS NOT NULL;
CREATE TABLE IF NOT EXISTS claim (
    event_id TEXT PRIMARY KEY,
    mark TEXT NOT NULL,
    claimed_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS size (sessions INTEGER NOT NULL);
INSERT INTO size SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM size);
CREATE TRIGGER IF NOT EXISTS session_added AFTER INSERT ON session BEGIN UPDATE size SET sessions = sessions + 1; END;
CREATE TRIGGER IF NOT EXISTS session_removed AFTER DELETE ON session BEGIN
    UPDATE size SET sessions = sessions - 1;
    DELETE FROM event WHERE session = OLD.number;
    DELETE FROM device WHERE session = OLD.number;
END;
"""
_VERSION: Final = 2


def make_tables(database: sqlite3.Connection) -> None:
    """Make what is missing. Tables of an older form are dropped: the state is short-lived, the event log keeps all."""
    if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        for table in ("session", "device", "event", "claim", "size"):
            database.execute(f"DROP TABLE IF EXISTS {table}")
        database.execute(f"PRAGMA user_version = {_VERSION}")
    for statement in _statements(_TABLES):
        database.execute(statement)


def _statements(script: str) -> Iterator[str]:
    """The statements of `script` one by one: `executescript` would commit on its own."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
