"""How processes share an SQLite file: each opens it here."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path


def open_shared(path: Path, seconds: float) -> sqlite3.Connection:
    """A connection to a new or known file, whose readers go on beside a writer and whose erased text is gone from it.

    Transactions are the caller's to begin, and threads take turns by a lock of the caller's.

    Args:
        path: in a folder that exists.
        seconds: to wait for another process that holds the file.

    Raises:
        sqlite3.Error: it cannot be opened, or stays locked.
    """
    connection = sqlite3.connect(path, timeout=seconds, isolation_level=None, check_same_thread=False)
    try:
        _write_ahead(connection, seconds)
        connection.execute("PRAGMA synchronous = NORMAL")
        # Erased text must be gone from the file, not only from the tables.
        connection.execute("PRAGMA secure_delete = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, seconds: float) -> None:
    """Of two that switch a new file at once SQLite refuses one without waiting, for its lock: that one asks again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
