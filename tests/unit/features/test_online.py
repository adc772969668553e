from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from intent_tracking.features.catalogue import USER_FEATURES, features_of
from intent_tracking.features.declaration import Entity
from intent_tracking.features.online import OnlineFeatures, decode_value, entity_key, table_name
from intent_tracking.features.schema import views

pytestmark = pytest.mark.unit

NOW = datetime(2025, 3, 10, tzinfo=UTC)
FIVE = b"\x20\x05"  # int64_val: 5


def _store(path: Path, stored: dict[str, datetime], key: str = "ann") -> Path:
    """A store whose features in `stored` have the value 5 for `key`, written at the given moments."""
    connection = sqlite3.connect(path)
    with connection:
        for view, features in views().items():
            table = table_name(view)
            connection.execute(
                f"CREATE TABLE {table} (entity_key BLOB, feature_name TEXT, value BLOB, event_ts timestamp)"
            )
            for feature in features:
                if feature.name in stored:
                    row = (entity_key(feature.entity, key), feature.name, FIVE, int(stored[feature.name].timestamp()))
                    connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", row)  # noqa: S608 - a declared name
    connection.close()
    return path


@pytest.mark.parametrize(
    ("message", "scalar"),
    [
        (b"\x20\x05", 5),
        (b"\x20\x00", 0),
        (b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -1),
        (b"\x29\x00\x00\x00\x00\x00\x00\xf8\x3f", 1.5),
        (b"\x35\x00\x00\xc0\x3f", 1.5),
        (b"\x12\x02hi", "hi"),
        (b"\x38\x01", True),
        (b"\x98\x01\x00", None),
        (b"", None),
    ],
)
def test_scalars_are_decoded(message: bytes, scalar: object) -> None:
    assert decode_value(message) == scalar


def test_a_value_that_no_feature_has_is_refused() -> None:
    with pytest.raises(ValueError, match="field 11"):
        decode_value(b"\x5a\x00")


def test_a_fresh_value_is_served_with_its_age(tmp_path: Path) -> None:
    written = NOW - timedelta(hours=5)
    reader = OnlineFeatures(_store(tmp_path / "online.db", dict.fromkeys([f.name for f in USER_FEATURES], written)))

    (row,) = reader.read(Entity.USER, ["ann"], NOW)

    assert set(row.values.values()) == {5}
    assert row.age == timedelta(hours=5)
    assert (row.missing, row.stale) == ((), ())
    reader.close()


def test_defaults_stand_in_for_missing_and_stale_values_and_are_counted(tmp_path: Path) -> None:
    fresh, old = USER_FEATURES[0], USER_FEATURES[-2]
    stored = {fresh.name: NOW - fresh.ttl, old.name: NOW - old.ttl - timedelta(seconds=1)}
    reader = OnlineFeatures(_store(tmp_path / "online.db", stored))

    row, unknown = reader.read(Entity.USER, ["ann", "nobody"], NOW)

    assert row.values[fresh.name] == 5
    assert row.values[old.name] == old.default
    assert row.stale == (old.name,)
    assert len(row.missing) == len(USER_FEATURES) - 2
    assert unknown.values == {feature.name: feature.default for feature in USER_FEATURES}
    assert unknown.age is None
    assert (reader.reads, reader.defaults_stale) == (2, 1)
    assert reader.defaults_missing == 2 * len(USER_FEATURES) - 2
    reader.close()


def test_many_keys_come_back_in_the_order_given(tmp_path: Path) -> None:
    item = features_of(Entity.ITEM)[0]
    reader = OnlineFeatures(_store(tmp_path / "online.db", {item.name: NOW}, key="i1200"))
    keys = [f"i{number}" for number in range(1500)]

    rows = reader.read(Entity.ITEM, keys, NOW)

    assert [row.key for row in rows] == keys
    assert [row.key for row in rows if not row.missing or item.name not in row.missing] == ["i1200"]
    reader.close()


def test_the_store_cannot_be_written_through_the_reader(tmp_path: Path) -> None:
    reader = OnlineFeatures(_store(tmp_path / "online.db", {}))

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM intent_tracking_user_1d")
    reader.close()


def test_a_store_that_is_not_there_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="materialize user_features"):
        OnlineFeatures(tmp_path / "online.db")


def test_the_reader_does_not_import_feast() -> None:
    program = (
        "import sys, intent_tracking.features.online, intent_tracking.features.stream\n"
        "print(sorted({'feast', 'pandas', 'dagster'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
