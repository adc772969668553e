"""An online store as Feast writes it, with 50 features of 5,000 users, and how long one user takes to read."""

from __future__ import annotations

import random
import sqlite3
import struct
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from intent_tracking.features.catalogue import USER_FEATURES
from intent_tracking.features.declaration import Entity, Feature
from intent_tracking.features.online import OnlineFeatures, entity_key, table_name

FEATURES, USERS = 50, 5_000
_NOW = datetime(2026, 1, 2, tzinfo=UTC)


def features() -> tuple[Feature, ...]:
    """The user features of the catalogue, and as many copies of them under other names as make 50."""
    found = list(USER_FEATURES)
    while len(found) < FEATURES:
        copied = USER_FEATURES[len(found) % len(USER_FEATURES)]
        found.append(replace(copied, name=copied.name.replace("user_", f"user_more{len(found)}_", 1)))
    return tuple(found[:FEATURES])


def write_store(path: Path) -> None:
    """One table a view, as Feast 0.67 makes them, one row for each user and feature."""
    by_view: dict[str, list[Feature]] = {}
    for feature in features():
        by_view.setdefault(feature.view, []).append(feature)
    numbers = random.Random(0)
    written = _NOW - timedelta(hours=6)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        for view, declared in by_view.items():
            table = table_name(view)
            connection.execute(
                f'CREATE TABLE "{table}" (entity_key BLOB, feature_name TEXT, value BLOB, vector_value BLOB, '
                "event_ts timestamp, created_ts timestamp, PRIMARY KEY(entity_key, feature_name))"
            )
            connection.execute(f'CREATE INDEX "{table}_ek" ON "{table}" (entity_key)')
            connection.executemany(
                f'INSERT INTO "{table}" VALUES (?, ?, ?, NULL, ?, ?)',  # noqa: S608 - a declared name
                (
                    (
                        entity_key(Entity.USER, f"u{user}"),
                        feature.name,
                        _message(feature, numbers.randrange(100)),
                        written.isoformat(" "),
                        written.isoformat(" "),
                    )
                    for user in range(USERS)
                    for feature in declared
                ),
            )


def read_seconds(path: Path, reads: int) -> list[float]:
    """How long each of `reads` reads of a random user took."""
    store = OnlineFeatures(path, features=features())
    numbers = random.Random(1)
    taken = []
    for _ in range(reads):
        user = f"u{numbers.randrange(USERS)}"
        begin = time.perf_counter()
        [row] = store.read(Entity.USER, [user], _NOW)
        taken.append(time.perf_counter() - begin)
        assert len(row.values) == FEATURES
        assert not row.missing
    store.close()
    return taken


def _message(feature: Feature, value: int) -> bytes:
    """A `feast.types.Value`."""
    return bytes((4 << 3, value)) if feature.dtype == "int64" else bytes((5 << 3 | 1,)) + struct.pack("<d", value + 0.5)
