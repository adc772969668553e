"""SQLite files as a search reads them: every row, and every byte behind the rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol

_MAGIC: Final = b"SQLite format 3\x00"
_COMPANIONS: Final = ("-wal", "-shm", "-journal")
_CHUNK: Final = 1 << 22


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database, by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def belongs_to_database(path: Path) -> bool:
    """Whether a file is the log or the index of a database beside it."""
    for ending in _COMPANIONS:
        if path.name.endswith(ending):
            main = path.with_name(path.name.removesuffix(ending))
            return main.is_file() and is_database(main)
    return False


def raw_chunks(path: Path, overlap: int) -> Iterator[bytes]:
    """The bytes of a database and of its write-ahead log, each chunk with the end of the one before."""
    for file_path in (path, path.with_name(f"{path.name}-wal")):
        if not file_path.is_file():
            continue
        rest = b""
        with file_path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield rest + chunk
                rest = chunk[-overlap:]


class Occurring(Protocol):
    """Names that are looked for, as `search.Names`."""

    longest: int

    def occur(self, text: bytes) -> str | None:
        """A name whose characters occur in `text`."""
        ...


def left_in(path: Path, names: Occurring) -> str | None:
    """A name whose characters stand anywhere in a database, in its rows or behind them."""
    return next((found for chunk in raw_chunks(path, names.longest) if (found := names.occur(chunk)) is not None), None)


def forget_freed_pages(path: Path, names: Occurring) -> bool:
    """Write a database anew where it holds a name that no row has; whether that was so.

    Deleting with `secure_delete` leaves nothing, but Feast writes without it, and so may leave what it replaced.

    Raises:
        sqlite3.OperationalError: the database is locked for longer than a minute.
    """
    if not path.is_file() or left_in(path, names) is None:
        return False
    for _, record in rows(path):
        for value in record.values():
            text = value if isinstance(value, bytes) else str(value).encode("utf-8", "backslashreplace")
            if names.occur(text) is not None:
                return False  # a search tells what it is
    with closing(sqlite3.connect(path, timeout=60)) as database:
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return True


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of every table, with the name of its table; numbers, texts and bytes as they are stored."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as database:
        database.text_factory = lambda stored: stored.decode("utf-8", "backslashreplace")
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            quoted = table.replace('"', '""')
            cursor = database.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608 - a name of the schema, quoted
            columns = [each[0] for each in cursor.description]
            for row in cursor:
                yield table, dict(zip(columns, row, strict=True))
