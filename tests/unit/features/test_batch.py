from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.features.batch import features_at, item_feature_snapshot, snapshot, user_feature_snapshot
from intent_tracking.features.catalogue import ITEM_FEATURES, USER_FEATURES
from intent_tracking.features.declaration import Aggregation, Entity, Feature
from intent_tracking.features.schema import ITEM_FEATURE_SCHEMA, TIMESTAMP, USER_FEATURE_SCHEMA
from intent_tracking.tables import DayTable
from tests.fakes.shop_events import START, event_row, event_rows, moments, seeded_rows, table

pytestmark = pytest.mark.unit

DAY = timedelta(days=1)


def _points(pairs: Sequence[tuple[str, datetime]]) -> pa.Table:
    return pa.table(
        {
            "entity": pa.array([key for key, _ in pairs], pa.string()),
            "point_time": pa.array([at for _, at in pairs], TIMESTAMP),
        }
    )


def _at(rows: Sequence[Mapping[str, Any]], key: str, at: datetime, entity: Entity = Entity.USER) -> dict[str, Any]:
    features = USER_FEATURES if entity is Entity.USER else ITEM_FEATURES
    found: dict[str, Any] = features_at(table(rows), _points([(key, at)]), features).to_pylist()[0]
    return found


def _lines(row: Mapping[str, Any], key: str, entity: Entity) -> list[tuple[int, dict[str, Any]]]:
    """(position, item) of the lines of an event that are about `key`; an empty item stands for 'no items'."""
    lines = list(enumerate(row["items"] or [{}]))
    if entity is Entity.USER:
        return lines if row["shopper_id"] == key else []
    return [(n, i) for n, i in lines if i and (i["item_id"] if i["item_id"] is not None else i["item_name"]) == key]


def _by_hand(rows: Sequence[Mapping[str, Any]], key: str, at: datetime, feature: Feature) -> float:
    """The as-of value of a feature, computed one row at a time in plain floats."""

    def count(names: Sequence[str]) -> int:
        chosen = [row for row in rows if at - feature.window < row["event_time"] <= at]
        chosen = [row for row in chosen if not names or row["event_name"] in names]
        lines = [len(_lines(row, key, feature.entity)) for row in chosen]
        return sum(n > 0 for n in lines) if feature.entity is Entity.USER else sum(lines)

    if feature.aggregation is Aggregation.COUNT:
        return count(feature.events)
    if feature.aggregation is Aggregation.RATIO:
        return count(feature.events) / count(feature.of) if count(feature.of) else feature.default
    held: list[tuple[datetime, Any]] = []
    for row in rows:
        inside = at - feature.window < row["event_time"] <= at
        if not inside or (feature.events and row["event_name"] not in feature.events):
            continue
        for position, item in _lines(row, key, feature.entity):
            quantity = 1 if item.get("quantity") is None else item["quantity"]
            if feature.value == "amount" and row["value"] is not None:
                found = row["value"] if position == 0 else None
            elif feature.value == "amount":
                found = None if item.get("price") is None else item["price"] * quantity
            elif feature.value == "quantity":
                found = quantity if item else None
            elif feature.value is None:
                found = 0
            else:
                column = {"category": "item_category", "brand": "item_brand"}.get(feature.value, feature.value)
                found = row["shopper_id"] if column == "shopper" else item.get(column)
            if found is not None:
                held.append((row["event_time"], found))
    if not held:
        return 0 if feature.aggregation is Aggregation.DISTINCT else feature.default
    if feature.aggregation is Aggregation.RECENCY:
        return (at - max(moment for moment, _ in held)) / DAY
    values = [value for _, value in held]
    return {
        Aggregation.DISTINCT: lambda: len(set(values)),
        Aggregation.SUM: lambda: sum(values),
        Aggregation.MEAN: lambda: sum(values) / len(values),
        Aggregation.MAX: lambda: max(values),
        Aggregation.LAST: lambda: max(held)[1],
    }[feature.aggregation]()


@pytest.mark.parametrize("entity", list(Entity))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(event_rows, max_size=25), at=st.lists(moments, min_size=1, max_size=3))
def test_batch_equals_a_hand_written_as_of_computation(
    entity: Entity, rows: list[dict[str, Any]], at: list[datetime]
) -> None:
    features = USER_FEATURES if entity is Entity.USER else ITEM_FEATURES
    keys = ["ann", "bob"] if entity is Entity.USER else ["i1", "Unnamed", "i0"]
    pairs = [(key, moment) for key in keys for moment in at]

    found = features_at(table(rows), _points(pairs), features).to_pylist()

    for (key, moment), row in zip(pairs, found, strict=True):
        for feature in features:
            expected = _by_hand(rows, key, moment, feature)
            # Money is kept in ten-thousandths: each of at most 75 lines is off by half of one.
            assert row[feature.name] == pytest.approx(expected, rel=1e-9, abs=75 * 0.5e-4), feature.name


def test_the_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    rows = [event_row("view_item", START), event_row("view_item", START + DAY)]

    assert _at(rows, "ann", START + DAY)["user_views_1d"] == 1
    assert _at(rows, "ann", START + DAY - timedelta(microseconds=1))["user_views_1d"] == 1
    assert _at(rows, "ann", START + DAY)["user_views_7d"] == 2


def test_nothing_after_the_point_counts() -> None:
    rows = [event_row("purchase", START + timedelta(microseconds=1), value=10)]

    before = _at(rows, "ann", START)

    assert before["user_purchases_30d"] == 0
    assert before["user_spend_30d"] == 0
    assert before["user_days_since_purchase_30d"] == 30


def test_an_unknown_shopper_gets_the_defaults_and_keeps_the_row() -> None:
    found = _at([event_row("view_item", START)], "nobody", START)

    assert {f.name: found[f.name] for f in USER_FEATURES} == {f.name: f.default for f in USER_FEATURES}


def test_points_keep_their_order_their_duplicates_and_their_other_columns() -> None:
    points = _points([("bob", START + DAY), ("ann", START), ("bob", START + DAY)]).append_column(
        "label", pa.array([3, 1, 2])
    )

    found = features_at(table([event_row("view_item", START, shopper="bob")]), points, USER_FEATURES)

    assert found["label"].to_pylist() == [3, 1, 2]
    assert found["user_views_7d"].to_pylist() == [1, 0, 1]
    assert all(found[feature.name].null_count == 0 for feature in USER_FEATURES)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="point_time"):
        features_at(table([]), pa.table({"entity": ["ann"]}), USER_FEATURES)
    with pytest.raises(ValueError, match="items"):
        features_at(table([]).drop(["items"]), _points([("ann", START)]), USER_FEATURES)


def test_a_snapshot_has_the_declared_schema_and_one_row_for_each_active_entity() -> None:
    rows = seeded_rows(seed=1, count=300, days=20)
    day = date(2025, 3, 15)
    for made, schema in (
        (user_feature_snapshot(table(rows), day), USER_FEATURE_SCHEMA),
        (item_feature_snapshot(table(rows), day), ITEM_FEATURE_SCHEMA),
    ):
        keys = made[schema.names[0]].to_pylist()
        assert made.schema == schema
        assert keys == sorted(set(keys))
        assert len(keys) > 5
        assert set(made["event_timestamp"].to_pylist()) == {datetime(2025, 3, 16, tzinfo=UTC)}
        assert set(made["created_timestamp"].to_pylist()) == {datetime(2025, 3, 16, 3, tzinfo=UTC)}


def test_a_snapshot_does_not_depend_on_the_order_of_the_events_nor_on_what_came_later() -> None:
    rows = seeded_rows(seed=2, count=300, days=20)
    day = date(2025, 3, 10)
    then = [row for row in rows if row["received_time"] <= datetime(2025, 3, 11, tzinfo=UTC)]

    made = snapshot(table(rows), day, USER_FEATURES)

    assert made.equals(snapshot(table(rows[::-1]), day, USER_FEATURES))
    assert made.equals(snapshot(table(then), day, USER_FEATURES))


def test_an_event_that_arrives_late_first_counts_in_the_snapshot_after_its_arrival() -> None:
    rows = [
        event_row("view_item", START),
        event_row("view_item", START + timedelta(hours=1), received=START + 2 * DAY),
    ]

    assert snapshot(table(rows), date(2025, 3, 1), USER_FEATURES)["user_views_7d"].to_pylist() == [1]
    assert snapshot(table(rows), date(2025, 3, 2), USER_FEATURES)["user_views_7d"].to_pylist() == [2]


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(event_rows, max_size=25), day=st.integers(0, 40))
def test_a_snapshot_of_tables_on_disk_is_that_of_the_rows_in_memory(rows: list[dict[str, Any]], day: int) -> None:
    """Thirty days of events were held in memory for each snapshot."""
    on = START.date() + timedelta(days=day)
    with TemporaryDirectory() as folder:
        stored = DayTable(Path(folder), "validated_events", EVENT_SCHEMA)
        for written in {row["event_time"].date() for row in rows}:
            stored.write(written, table([row for row in rows if row["event_time"].date() == written]))
        for features in (USER_FEATURES, ITEM_FEATURES):
            found = snapshot(stored.dataset(stored.days()), on, features)
            assert found.equals(snapshot(table(rows), on, features))


def test_a_shopper_leaves_the_snapshot_after_the_longest_window() -> None:
    rows = table([event_row("view_item", START)])

    assert snapshot(rows, START.date() + timedelta(days=29), USER_FEATURES).num_rows == 0
    assert snapshot(rows, START.date() + timedelta(days=28), USER_FEATURES).num_rows == 1


def test_no_events_give_an_empty_snapshot_with_the_schema() -> None:
    assert user_feature_snapshot(table([]), date(2025, 3, 1)).schema == USER_FEATURE_SCHEMA
