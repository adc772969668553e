from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest

from dagster_project.resources.feature_store import FeastStore
from intent_tracking.features.batch import (
    AVAILABLE_AFTER,
    item_feature_snapshot,
    user_feature_snapshot,
)
from intent_tracking.features.catalogue import TTL, USER_FEATURES
from intent_tracking.features.declaration import Entity
from intent_tracking.features.derived import DERIVED_VIEWS
from intent_tracking.features.online import OnlineFeatures, entity_key, table_name
from intent_tracking.features.schema import ITEM_FEATURE_SCHEMA, TIMESTAMP, USER_FEATURE_SCHEMA, snapshot_moment, views
from intent_tracking.tables import DayTable
from tests.fakes.shop_events import START, seeded_rows, table

# Feast and Ibis call what their own dependencies have deprecated.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ROOT = Path(__file__).resolve().parents[2]
FIRST, LAST = START.date() + timedelta(days=5), START.date() + timedelta(days=12)
GAP = START.date() + timedelta(days=9)  # no snapshot was made of this day
DEFAULTS = {feature.name: feature.default for feature in USER_FEATURES}


def _snapshots(home: Path) -> dict[date, pa.Table]:
    events = table(seeded_rows(seed=3, count=500, days=13))
    users = DayTable(home / "tables", "user_features", USER_FEATURE_SCHEMA)
    items = DayTable(home / "tables", "item_features", ITEM_FEATURE_SCHEMA)
    made = {}
    for offset in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(days=offset)
        if day != GAP:
            made[day] = user_feature_snapshot(events, day)
            users.write(day, made[day])
            items.write(day, item_feature_snapshot(events, day))
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def made(home: Path) -> dict[date, pa.Table]:
    return _snapshots(home)


@pytest.fixture(scope="module")
def store(home: Path, made: dict[date, pa.Table]) -> FeastStore:
    store = FeastStore(home)
    store.apply()
    return store


@pytest.fixture
def reader(store: FeastStore) -> Iterator[OnlineFeatures]:
    reader = OnlineFeatures(store.online_path)
    yield reader
    reader.close()


def _points(pairs: list[tuple[str, datetime]]) -> pa.Table:
    return pa.table(
        {
            "label": pa.array(range(len(pairs)), pa.int64()),
            "shopper_id": pa.array([key for key, _ in pairs], pa.string()),
            "event_timestamp": pa.array([at for _, at in pairs], TIMESTAMP),
        }
    )


def _stored(path: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    rows = []
    for view in views():
        columns = "entity_key, feature_name, value, event_ts, created_ts"
        query = f'SELECT {columns} FROM "{table_name(view)}" ORDER BY 1, 2'  # noqa: S608 - a declared name
        rows += [(view, *row) for row in connection.execute(query)]
    connection.close()
    return rows


def test_apply_registers_what_is_declared_and_can_be_repeated(store: FeastStore) -> None:
    derived = [view.name for view in DERIVED_VIEWS]
    assert store.apply() == [*views(), *derived, "intent_model", "item_features", *derived]


def test_the_training_join_equals_a_hand_written_as_of_join(store: FeastStore, made: dict[date, pa.Table]) -> None:
    """Random shoppers and moments, among them the moments of the snapshots themselves and both ends of the ttl."""
    draw = random.Random(4)
    edges = [
        snapshot_moment(day) + after + shift
        for day in (*made, GAP)
        for after in (timedelta(0), AVAILABLE_AFTER)
        for shift in (timedelta(0), -timedelta(microseconds=1))
    ]
    edges += [snapshot_moment(LAST) + TTL, snapshot_moment(LAST) + TTL + timedelta(microseconds=1)]
    pairs = [(f"s{draw.randrange(23)}", draw.choice(edges)) for _ in range(200)]
    pairs += [
        (f"s{draw.randrange(23)}", START + timedelta(microseconds=draw.randrange(20 * 86_400_000_000)))
        for _ in range(200)
    ]
    by_key = {day: {row["shopper_id"]: row for row in rows.to_pylist()} for day, rows in made.items()}

    found = store.point_in_time(_points(pairs)).to_pylist()

    assert [row["label"] for row in found] == list(range(400))
    some = 0
    for (key, at), row in zip(pairs, found, strict=True):
        known = [
            rows[key] for rows in by_key.values() if key in rows
            and rows[key]["event_timestamp"] + AVAILABLE_AFTER <= at <= rows[key]["event_timestamp"] + TTL
        ]  # fmt: skip
        newest = max(known, key=lambda held: held["event_timestamp"], default=DEFAULTS)
        assert {name: row[name] for name in DEFAULTS} == {name: newest[name] for name in DEFAULTS}
        some += bool(known)
    assert 100 < some < 400  # both kinds of rows were there: with a snapshot, and with defaults


def test_a_session_before_the_nightly_job_gets_the_features_that_were_served_then(
    store: FeastStore, made: dict[date, pa.Table]
) -> None:
    """At one in the morning the snapshot of yesterday is not online yet; at four it is."""
    before, after = made[LAST - timedelta(days=1)].to_pylist(), made[LAST].to_pylist()
    old, new = ({row["shopper_id"]: row["user_views_7d"] for row in rows} for rows in (before, after))
    changed = next(key for key in sorted(old) if key in new and old[key] != new[key])
    midnight = snapshot_moment(LAST)

    found = store.point_in_time(_points([(changed, midnight + timedelta(hours=hour)) for hour in (1, 4)]))

    assert found["user_views_7d"].to_pylist() == [old[changed], new[changed]]


def test_label_rows_outside_the_time_to_live_are_kept_with_defaults(store: FeastStore) -> None:
    found = store.point_in_time(_points([("s1", START - timedelta(days=99)), ("s1", START + timedelta(days=99))]))

    assert found.num_rows == 2
    assert all(found[name].to_pylist() == [default, default] for name, default in DEFAULTS.items())


def test_a_value_created_after_the_label_time_is_not_used(store: FeastStore, home: Path) -> None:
    """A snapshot that holds for noon but was first known in the evening is no feature of the afternoon."""
    day = START.date() - timedelta(days=30)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    row = {"shopper_id": "backfilled", "event_timestamp": noon, "created_timestamp": noon + timedelta(hours=8)}
    written = DayTable(home / "tables", "user_features", USER_FEATURE_SCHEMA)
    written.write(day, pa.Table.from_pylist([row | dict.fromkeys(DEFAULTS, 7)], schema=USER_FEATURE_SCHEMA))

    afternoon, night = noon + timedelta(hours=3), noon + timedelta(hours=9)
    found = store.point_in_time(_points([("backfilled", afternoon), ("backfilled", night)]))

    assert found["user_views_7d"].to_pylist() == [0, 7]
    written.path(day).unlink()


def test_a_join_reads_no_day_that_cannot_matter_to_its_points(store: FeastStore, home: Path) -> None:
    """Each day of the platform made every join longer: all days were joined, then those too old dropped."""
    points = _points([(f"s{number}", snapshot_moment(LAST) + AVAILABLE_AFTER) for number in range(5)])
    expected = store.point_in_time(points)
    users = DayTable(home / "tables", "user_features", USER_FEATURE_SCHEMA)
    for day in (LAST - TTL - timedelta(days=1), LAST + timedelta(days=1)):
        path, written = users.path(day), users.path(day).read_bytes() if users.path(day).exists() else None
        path.parent.mkdir(exist_ok=True)
        path.write_text("no Parquet")
        try:
            assert store.point_in_time(points).equals(expected)
        finally:
            path.unlink() if written is None else path.write_bytes(written)


def test_the_service_of_a_model_version_gives_the_same_features(store: FeastStore) -> None:
    name = store.feature_service("20250301-1")

    points = _points([("s1", snapshot_moment(LAST))])
    assert name == "intent_model_v20250301-1"
    assert store.point_in_time(points, name).equals(store.point_in_time(points))
    assert name not in store.apply()
    assert store.point_in_time(points, name).num_columns == 3 + len(USER_FEATURES)


def test_no_points_give_no_rows_and_a_missing_column_is_named(store: FeastStore) -> None:
    empty = store.point_in_time(_points([]))

    assert empty.num_rows == 0
    assert empty.column_names[3:] == list(DEFAULTS)
    with pytest.raises(ValueError, match="event_timestamp"):
        store.point_in_time(pa.table({"shopper_id": ["s1"]}))


def test_materialized_values_are_those_of_the_last_snapshot(
    store: FeastStore, made: dict[date, pa.Table], reader: OnlineFeatures
) -> None:
    store.materialize(LAST, LAST)
    expected = {row["shopper_id"]: row for row in made[LAST].to_pylist()}

    rows = reader.read(Entity.USER, list(expected), snapshot_moment(LAST))

    for row in rows:
        assert row.values == {name: expected[row.key][name] for name in DEFAULTS}
        assert row.age == timedelta(0)


@pytest.mark.parametrize("entity", list(Entity))
def test_online_equals_offline_after_a_materialization(store: FeastStore, entity: Entity) -> None:
    store.materialize(LAST, LAST)

    report = store.parity_check(10, entity)

    assert report.passed
    assert report.sampled == 10
    assert report.compared == 10 * len([f for fs in views().values() for f in fs if f.entity is entity])


def test_a_pushed_row_is_served_at_once_and_an_older_one_never_replaces_it(
    store: FeastStore, made: dict[date, pa.Table], reader: OnlineFeatures
) -> None:
    """Feast's SQLite store is last-write-wins: the nightly snapshot would replace what was pushed since."""
    store.materialize(LAST, LAST)
    row = made[LAST].to_pylist()[0]
    noon = snapshot_moment(LAST) + timedelta(hours=12)
    fresh = row | {"event_timestamp": noon, "created_timestamp": noon, "user_views_1d": 99}

    store.push(pa.Table.from_pylist([fresh], schema=USER_FEATURE_SCHEMA))
    store.push(pa.Table.from_pylist([row], schema=USER_FEATURE_SCHEMA))
    store.materialize(FIRST, LAST)

    (served,) = reader.read(Entity.USER, [row["shopper_id"]], noon)
    assert served.values["user_views_1d"] == 99
    assert served.age == timedelta(0)
    report = store.parity_check(100)
    assert report.passed
    assert report.fresher == 1


def test_a_removed_shopper_is_served_no_more_and_the_others_are(store: FeastStore, home: Path) -> None:
    with TemporaryDirectory(dir=home) as folder:
        other = FeastStore(Path(folder))
        shutil.copytree(home / "tables", other.home / "tables")
        other.apply()
        other.materialize(LAST, LAST)
        assert other.remove(["s3"]) > 0
        gone, stays = other.online(["s3", "s4"])
        assert {value for name, value in gone.items() if name != Entity.USER.key} == {None}
        assert None not in stays.values()
        assert other.remove(["s3"]) == 0


def test_who_left_the_longest_window_is_not_kept_online(tmp_path: Path, made: dict[date, pa.Table]) -> None:
    """Feast deletes nothing: each shopper who ever came stayed in the store that the service reads."""
    store, later = FeastStore(tmp_path), FIRST + TTL + timedelta(days=1)
    users = DayTable(tmp_path / "tables", "user_features", USER_FEATURE_SCHEMA)
    first, row = made[FIRST], made[FIRST].to_pylist()[0]
    then = {"event_timestamp": snapshot_moment(later), "created_timestamp": snapshot_moment(later) + AVAILABLE_AFTER}
    users.write(FIRST, first)
    users.write(later, pa.Table.from_pylist([row | then], schema=USER_FEATURE_SCHEMA))
    store.apply()

    def kept() -> set[bytes]:
        return {entity for _, entity, *_ in _stored(store.online_path)}

    store.materialize(FIRST, later - timedelta(days=1))
    assert len(kept()) == first.num_rows > 1
    store.materialize(FIRST, later)
    assert kept() == {entity_key(Entity.USER, row["shopper_id"])}


def test_parity_finds_a_value_that_was_changed_and_one_that_is_not_served(store: FeastStore) -> None:
    store.materialize(LAST, LAST)
    connection = sqlite3.connect(store.online_path)
    with connection:
        changed = connection.execute(
            "UPDATE intent_tracking_user_7d SET value = x'2063' WHERE feature_name = 'user_carts_7d'"
        )
        connection.execute("DELETE FROM intent_tracking_user_1d WHERE feature_name = 'user_views_1d'")
    connection.close()

    report = store.parity_check(100)

    assert not report.passed
    assert len(report.missing) == report.sampled
    assert 0 < report.mismatched <= changed.rowcount
    assert {name for _, name, _, _ in report.mismatches} == {"user_carts_7d"}
    store.materialize(LAST, LAST)
    assert store.parity_check(100).passed


def test_a_push_with_other_columns_is_refused(store: FeastStore, made: dict[date, pa.Table]) -> None:
    with pytest.raises(ValueError, match="user_views_1d"):
        store.push(made[LAST].drop(["user_views_1d"]))


def test_a_reader_sees_values_while_a_writer_holds_the_store(store: FeastStore, reader: OnlineFeatures) -> None:
    store.materialize(LAST, LAST)
    writer = sqlite3.connect(store.online_path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE intent_tracking_user_1d SET value = x'2063'")

    (row,) = reader.read(Entity.USER, ["s1"], snapshot_moment(LAST))

    assert row.missing == ()
    assert row.values["user_views_1d"] != 99
    writer.execute("ROLLBACK")
    writer.close()


KILLED_PROGRAM = """
import sys, time
from datetime import date
from pathlib import Path
from dagster_project.resources.feature_store import FeastStore
from intent_tracking.features.schema import views
store, day = FeastStore(Path(sys.argv[1])), date.fromisoformat(sys.argv[2])
store.apply()
print("applied", flush=True)
for view in views():
    store.materialize(day, day, only=[view])
    time.sleep(2)  # whoever kills it is not too late, however busy the machine
"""


def test_a_materialization_that_is_killed_and_run_again_gives_the_same_rows(
    tmp_path: Path, home: Path, made: dict[date, pa.Table]
) -> None:
    """Killed with -9 after the first views are online and before the last one is; in another time zone, too."""
    undisturbed, killed = FeastStore(tmp_path / "one"), tmp_path / "two"
    for other in (undisturbed.home, killed):
        shutil.copytree(home / "tables", other / "tables")
    undisturbed.apply()
    undisturbed.materialize(LAST, LAST)
    expected = _stored(undisturbed.online_path)

    environment = os.environ | {"PYTHONPATH": str(ROOT), "TZ": "Asia/Shanghai"}
    command = [sys.executable, "-W", "ignore", "-c", KILLED_PROGRAM, str(killed), LAST.isoformat()]
    online = killed / "feast" / "online.db"
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "applied\n"
            while process.poll() is None and not _stored(online):
                time.sleep(0.001)
        finally:
            process.kill()
    half = _stored(online)

    again = FeastStore(killed)
    again.materialize(LAST, LAST)

    assert process.returncode == -signal.SIGKILL
    assert 0 < len(half) < len(expected)
    assert set(half) <= set(expected)
    assert _stored(online) == expected
    assert again.parity_check(100).passed
