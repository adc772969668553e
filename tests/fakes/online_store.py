"""The online store as Feast leaves it, written without Feast; the contract suite holds the format against Feast's."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

from intent_tracking.features.declaration import Entity
from intent_tracking.features.online import entity_key, online_views, table_name


def put_online(
    path: Path, view: str, key: str, values: Mapping[str, float | str], at: datetime, entity: Entity = Entity.USER
) -> None:
    """Store the values of one entity in one view; the tables of all views of the entity are there afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        for name in online_views(entity):
            database.execute(
                f'CREATE TABLE IF NOT EXISTS "{table_name(name)}" '
                "(entity_key BLOB, feature_name TEXT, value BLOB, event_ts INTEGER, UNIQUE(entity_key, feature_name))"
            )
        database.executemany(
            f'INSERT OR REPLACE INTO "{table_name(view)}" VALUES (?, ?, ?, ?)',  # noqa: S608 - a declared name
            [(entity_key(entity, key), name, encoded(each), int(at.timestamp())) for name, each in values.items()],
        )


def encoded(value: float | str) -> bytes:
    """A `feast.types.Value` message."""
    if isinstance(value, str):
        content = value.encode()
        return b"\x12" + _varint(len(content)) + content
    if isinstance(value, int):
        return b"\x20" + _varint(value)
    return b"\x29" + struct.pack("<d", value)


def _varint(number: int) -> bytes:
    found = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        found.append(low | (0x80 if number else 0))
        if not number:
            return bytes(found)
