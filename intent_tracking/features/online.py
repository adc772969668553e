"""Reads the online store that Feast writes, without Feast: the service needs values in well under a millisecond.

Formats: one SQLite table `<project>_<view>` a view with a row for each key and feature; the key in Feast's entity key
serialization version 3, the value as a `feast.types.Value` protobuf message. A contract test holds this reader against
Feast's own answers.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from intent_tracking.features.catalogue import features_of
from intent_tracking.features.declaration import Entity, Feature
from intent_tracking.features.derived import DERIVED_VIEWS, DerivedView
from intent_tracking.features.schema import view_ttl, views

PROJECT = "intent_tracking"

_STRING_TYPE = 2  # feast.types.ValueType.STRING
_BOUND_VALUES = 900  # SQLite's limit on them is 999 in old builds

Scalar = int | float | str | bool
_INT64, _DOUBLE = 4 << 3, 5 << 3 | 1  # first byte of the messages that nearly all values are
_unpack_double = struct.Struct("<d").unpack_from


@dataclass(frozen=True)
class OnlineRow:
    """The features of one entity as they stand online.

    Attributes:
        key: `shopper_id` or `item_id`.
        values: every feature of the entity by name; the default where `missing` or `stale`.
        written: the moment for which each stored value holds; None where nothing is stored.
        age: of the oldest value that is used; None where only defaults are.
        missing: features with no stored value.
        stale: features whose stored value is older than its time to live.
    """

    key: str
    values: dict[str, float | int]
    written: dict[str, datetime | None]
    age: timedelta | None
    missing: tuple[str, ...]
    stale: tuple[str, ...]


def table_name(view: str, project: str = PROJECT) -> str:
    """The SQLite table in which Feast keeps a view."""
    return f"{project}_{view}"


def entity_key(entity: Entity, key: str) -> bytes:
    """Feast's entity key serialization, version 3, for one join key of type string."""
    name, value = entity.key.encode(), key.encode()
    header = struct.pack("<III", 1, _STRING_TYPE, len(name))
    return header + name + struct.pack("<II", _STRING_TYPE, len(value)) + value


def decode_value(message: bytes) -> Scalar | None:
    """The scalar in a serialized `feast.types.Value`; None for an unset or null value.

    Raises:
        ValueError: a list, map or other value that no feature of ours has.
    """
    if not message:
        return None
    if message[0] == _DOUBLE and len(message) == 9:
        return float(_unpack_double(message, 1)[0])
    if message[0] == _INT64 and len(message) == 2 and message[1] < 0x80:
        return message[1]
    field, wire = message[0] >> 3, message[0] & 7
    if wire == 0 and field in (3, 4, 7):
        number = _varint(message, 1)
        if field == 7:
            return bool(number)
        return number - (1 << 64) if number >> 63 else number
    if field == 5 and wire == 1:
        return float(struct.unpack_from("<d", message, 1)[0])
    if field == 6 and wire == 5:
        return float(struct.unpack_from("<f", message, 1)[0])
    if field == 2 and wire == 2:
        length = _varint(message, 1)
        return message[len(message) - length :].decode()
    if message[:2] == b"\x98\x01":  # field 19, `null_val`
        return None
    raise ValueError(f"online store: value of protobuf field {field} is no scalar that features have")


def online_views(entity: Entity) -> list[str]:
    """The names of all views of `entity` that may be online, declared features first."""
    declared = dict.fromkeys(feature.view for feature in features_of(entity))
    return [*declared, *(view.name for view in DERIVED_VIEWS if view.entity is entity)]


def remove_online(path: Path, entity: Entity, keys: Sequence[str], project: str = PROJECT) -> int:
    """Delete what every view holds of `keys`; the rows deleted.

    Raises:
        sqlite3.OperationalError: the store is locked for longer than 30 seconds.
    """
    if not path.is_file():
        return 0
    removed = 0
    with closing(sqlite3.connect(path, timeout=30)) as database:
        database.execute("PRAGMA secure_delete = ON")
        with database:
            for view in online_views(entity):
                table = table_name(view, project)
                if _is_there(database, table):
                    statement = f'DELETE FROM "{table}" WHERE entity_key = ?'  # noqa: S608 - declared name
                    for key in keys:
                        removed += database.execute(statement, (entity_key(entity, key),)).rowcount
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return removed


def remove_expired(path: Path, moment: datetime, project: str = PROJECT) -> int:
    """Delete the feature values that are older than their time to live at `moment`; the rows deleted.

    No snapshot renews who left the longest window, and what is too old is served as the default, as what is not there.

    Raises:
        sqlite3.OperationalError: the store is locked for longer than 30 seconds.
    """
    removed = 0
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        for view, features in views().items():
            table = table_name(view, project)
            if _is_there(database, table):
                statement = f'DELETE FROM "{table}" WHERE event_ts < ?'  # noqa: S608 - declared name
                oldest = int((moment - view_ttl(features)).timestamp())
                removed += database.execute(statement, (oldest,)).rowcount
    return removed


def _is_there(database: sqlite3.Connection, table: str) -> bool:
    found = database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    return found is not None


def _read_only(path: Path) -> sqlite3.Connection:
    # Timestamps are read as stored, whatever converters another library has registered in this process.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=5, detect_types=0
    )


def _varint(message: bytes, start: int) -> int:
    number = 0
    for shift, byte in enumerate(message[start:]):
        number |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return number
    raise ValueError("online store: a stored value is cut off")


class OnlineFeatures:
    """Read-only access to the online store of one file; safe to share between threads."""

    def __init__(self, path: Path, project: str = PROJECT, features: Sequence[Feature] | None = None) -> None:
        """Open `path`.

        Args:
            path: the SQLite file of the online store.
            project: the Feast project in it.
            features: what can be asked for; None: all of the catalogue.

        Raises:
            FileNotFoundError: there is no such store yet.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no online store; materialize user_features first")
        self._features = {
            entity: tuple(
                feature
                for feature in (features_of(entity) if features is None else features)
                if feature.entity is entity
            )
            for entity in Entity
        }
        self._tables = {
            entity: [table_name(view, project) for view in dict.fromkeys(feature.view for feature in found)]
            for entity, found in self._features.items()
        }
        self._lock = threading.Lock()
        self._connection = _read_only(path)
        self.reads = 0
        self.defaults_missing = 0
        self.defaults_stale = 0

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def read(self, entity: Entity, keys: Sequence[str], now: datetime) -> list[OnlineRow]:
        """The features of each key, in the order given.

        Args:
            entity: whose features.
            keys: `shopper_id`s or `item_id`s.
            now: the moment of the question; values older than their time to live count as stale.

        Raises:
            ValueError: `now` has no time zone.
            sqlite3.OperationalError: the store was never applied, or is locked for longer than five seconds.
        """
        return self.read_each(entity, [(key, now) for key in keys])

    def read_each(self, entity: Entity, asked: Sequence[tuple[str, datetime]]) -> list[OnlineRow]:
        """Like `read`, of each key at a moment of its own; a key may come more than once.

        Raises:
            ValueError: a moment has no time zone.
            sqlite3.OperationalError: the store was never applied, or is locked for longer than five seconds.
        """
        for _, moment in asked:
            if moment.tzinfo is None:
                raise ValueError(f"time {moment.isoformat()} has no time zone: pass it in UTC")
        features = self._features[entity]
        stored = self._stored(entity, [key for key, _ in asked])
        rows = [_row(key, stored[key], features, moment) for key, moment in asked]
        with self._lock:
            self.reads += len(rows)
            self.defaults_missing += sum(len(row.missing) for row in rows)
            self.defaults_stale += sum(len(row.stale) for row in rows)
        return rows

    def _stored(self, entity: Entity, keys: Sequence[str]) -> dict[str, dict[str, tuple[bytes, int | str]]]:
        by_bytes = {entity_key(entity, key): key for key in keys}
        found: dict[str, dict[str, tuple[bytes, int | str]]] = {key: {} for key in keys}
        tables, wanted = self._tables[entity], list(by_bytes)
        if not tables:
            return found
        # One statement for all views: most of what a small read costs is the way into SQLite and back.
        step = max(1, _BOUND_VALUES // len(tables))
        with self._lock:
            for start in range(0, len(wanted), step):
                chunk = wanted[start : start + step]
                query = _query(tuple(tables), len(chunk))
                for key, name, value, written in self._connection.execute(query, chunk * len(tables)):
                    found[by_bytes[key]][name] = (value, written)
        return found


@dataclass(frozen=True)
class DerivedRow:
    """What an application says of one entity, as it stands online.

    Attributes:
        key: `shopper_id` or `item_id`.
        values: every field of the view by name.
        written: the moment for which the values hold.
        age: how old they are at the moment of the question.
        stale: whether that is older than the time to live of the view.
    """

    key: str
    values: Mapping[str, Scalar]
    written: datetime
    age: timedelta
    stale: bool


class OnlineViews:
    """Read-only access to the derived views in the online store of one file; safe to share between threads.

    The store may be made later than the reader: until then nothing is stored.
    """

    def __init__(self, path: Path, project: str = PROJECT) -> None:
        """Args: path: the SQLite file of the online store; project: the Feast project in it."""
        self._path = path
        self._project = project
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._found: set[str] = set()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def read(self, view: DerivedView, key: str, now: datetime) -> DerivedRow | None:
        """What `view` says of `key`; None where nothing is stored. A stale row is given, and says so.

        Raises:
            ValueError: `now` has no time zone.
            sqlite3.Error: the store cannot be read.
        """
        if now.tzinfo is None:
            raise ValueError(f"time {now.isoformat()} has no time zone: pass it in UTC")
        table = table_name(view.name, self._project)
        with self._lock:
            database = self._opened(table)
            if database is None:
                return None
            query = f'SELECT feature_name, value, event_ts FROM "{table}" WHERE entity_key = ?'  # noqa: S608 - declared
            stored = database.execute(query, (entity_key(view.entity, key),)).fetchall()
        values = {name: decode_value(value) for name, value, _ in stored}
        row = {field.name: found for field in view.fields if (found := values.get(field.name)) is not None}
        if len(row) < len(view.fields):
            return None
        written = min(_moment(moment) for _, _, moment in stored)
        age = now - written
        return DerivedRow(key, row, written, age, age > view.ttl)

    def _opened(self, table: str) -> sqlite3.Connection | None:
        if self._connection is None:
            if not self._path.is_file():
                return None
            self._connection = _read_only(self._path)
        if table not in self._found:
            if not _is_there(self._connection, table):
                return None
            self._found.add(table)
        return self._connection


@lru_cache(maxsize=64)
def _query(tables: tuple[str, ...], keys: int) -> str:
    marks = ",".join("?" * keys)
    return " UNION ALL ".join(
        f'SELECT entity_key, feature_name, value, event_ts FROM "{table}" '  # noqa: S608 - declared names
        f"WHERE entity_key IN ({marks})"
        for table in tables
    )


def _row(key: str, stored: dict[str, tuple[bytes, int | str]], features: Sequence[Feature], now: datetime) -> OnlineRow:
    values: dict[str, float | int] = {}
    written: dict[str, datetime | None] = {}
    missing: list[str] = []
    stale: list[str] = []
    ages: dict[datetime, timedelta] = {}
    for feature in features:
        name, whole = feature.name, feature.dtype == "int64"
        message, moment = stored.get(name, (b"", None))
        found = decode_value(message)
        if found is None or moment is None or isinstance(found, str):
            written[name] = None
            missing.append(name)
        else:
            written[name] = at = _moment(moment)
            age = ages.get(at)
            if age is None:
                age = now - at
            if age <= feature.ttl:
                values[name] = int(found) if whole else float(found)
                ages[at] = age
                continue
            stale.append(name)
        values[name] = int(feature.default) if whole else float(feature.default)
    return OnlineRow(key, values, written, max(ages.values(), default=None), tuple(missing), tuple(stale))


# A view is written as a whole: most values share one moment, which is read once.
@lru_cache(maxsize=4096)
def _moment(stored: int | str) -> datetime:
    if isinstance(stored, int):
        return datetime.fromtimestamp(stored, UTC)
    moment = datetime.fromisoformat(stored)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
