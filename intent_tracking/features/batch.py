"""Point-in-time correct features as one set-based expression: DuckDB by default, PySpark through the same Ibis."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.features.catalogue import ITEM_FEATURES, USER_FEATURES
from intent_tracking.features.declaration import Aggregation, Entity, Feature, longest_window, one_entity
from intent_tracking.features.facts import fact_table
from intent_tracking.features.schema import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    TIMESTAMP,
    arrow_type,
    snapshot_moment,
    snapshot_schema,
)

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

    Events: TypeAlias = pa.Table | Dataset

AVAILABLE_AFTER = timedelta(hours=3)
"""How long after its moment a snapshot is online at the latest: the daily features job starts at 02:15 UTC. Until then
the service answers with the snapshot of the day before, and training must learn from the same."""

_DAY_MICROSECONDS = 86_400_000_000.0

# Times enter the query as UTC without a zone: DuckDB does arithmetic with zones by the calendar, some ten times slower.
_UTC_TIME = pa.timestamp("us")

# What the query reads of an event, and where it is asked.
_EVENT_FIELDS: list[pa.Field[Any]] = [
    pa.field("event_time", _UTC_TIME),
    *(EVENT_SCHEMA.field(name) for name in ("event_name", "shopper_id", "value", "items")),
]
_EVENTS: pa.Schema = pa.schema(_EVENT_FIELDS)
_EVENT_COLUMNS = ", ".join(["make_timestamp(epoch_us(event_time)) AS event_time", *_EVENTS.names[1:]])
_POINT_FIELDS: list[pa.Field[Any]] = [
    pa.field("point", pa.int64()),
    pa.field("entity", pa.string()),
    pa.field("point_time", _UTC_TIME),
]
_POINTS: pa.Schema = pa.schema(_POINT_FIELDS)


def feature_expression(events: ir.Table, points: ir.Table, features: Sequence[Feature]) -> ir.Table:
    """The value of each feature at each point.

    Args:
        events: `event_time` (timestamp, UTC without a zone) and `event_name, shopper_id, value, items` of EVENT_SCHEMA.
        points: `point` (int64, unique), `entity` (the key), `point_time` (timestamp, UTC without a zone).
        features: of one entity.

    Returns:
        An expression with `point` and one column a feature, defaults filled in. A fact counts for a window of length w
        when its time is in (point_time - w, point_time].
    """
    facts = fact_table(events, features)
    longest = ibis.interval(seconds=int(longest_window(features).total_seconds()))
    joined = points.inner_join(
        facts,
        [
            points["entity"] == facts["key"],
            facts["time"] <= points["point_time"],
            facts["time"] > points["point_time"] - longest,
        ],
    )
    joined = joined.mutate(age=joined["point_time"].delta(joined["time"], unit="microsecond"))
    found = joined.group_by("point").aggregate(**{feature.name: _aggregate(joined, feature) for feature in features})
    result = points.select("point").left_join(found, "point")
    return result.select(
        "point", **{f.name: result[f.name].cast(f.dtype).fill_null(_default(f)) for f in features}
    )  # fmt: skip


def _default(feature: Feature) -> int | float:
    return int(feature.default) if feature.dtype == "int64" else float(feature.default)


def _aggregate(facts: ir.Table, feature: Feature) -> Any:
    inside = facts["age"] < feature.window // timedelta(microseconds=1)
    counted = inside & _named(facts, feature.events)
    # A user's events are counted by their own facts, an item's by its lines.
    one_each = facts["leads"] if feature.entity is Entity.USER else ibis.literal(value=True)
    kind = feature.aggregation
    if kind is Aggregation.COUNT:
        return facts.count(where=counted & one_each)
    if kind is Aggregation.RATIO:
        below = facts.count(where=inside & _named(facts, feature.of) & one_each)
        return facts.count(where=counted & one_each).cast("float64") / below.cast("float64").nullif(0.0)
    if kind is Aggregation.RECENCY:
        return facts["age"].min(where=counted).cast("float64") / _DAY_MICROSECONDS
    assert feature.value is not None  # noqa: S101 - the declaration's own check
    column = facts[feature.value.value]
    if kind is Aggregation.DISTINCT:
        return column.nunique(where=counted)
    present = counted & column.notnull()
    if kind is Aggregation.LAST:
        newest = ibis.struct({"time": facts["time"], "value": column})
        return _unscaled(column.argmax(newest, where=present), feature)
    if kind is Aggregation.MAX:
        return _unscaled(column.max(where=present), feature)
    total = column.sum(where=present)
    if kind is Aggregation.SUM:
        return _unscaled(total, feature)
    return _unscaled(total.cast("float64") / column.count(where=present).cast("float64").nullif(0.0), feature)


def _unscaled(number: Any, feature: Feature) -> Any:
    assert feature.value is not None  # noqa: S101 - the declaration's own check
    if feature.dtype == "int64":
        return number.cast("int64")
    return number.cast("float64") / float(feature.value.scale)


def _named(facts: ir.Table, names: Sequence[str]) -> Any:
    return facts["event"].isin(sorted(str(name) for name in names)) if names else ibis.literal(value=True)


def _unbound(name: str, schema: pa.Schema) -> ir.Table:
    return ibis.table(ibis.Schema.from_pyarrow(schema), name=name)


# Compiling takes ten times as long as running the query over a day of a small shop.
@lru_cache(maxsize=32)
def _values_sql(features: tuple[Feature, ...]) -> str:
    expression = feature_expression(_unbound("events", _EVENTS), _unbound("points", _POINTS), features)
    return str(ibis.to_sql(expression.order_by("point"), dialect="duckdb"))


@lru_cache(maxsize=32)
def _keys_sql(features: tuple[Feature, ...]) -> str:
    facts = fact_table(_unbound("events", _EVENTS), features)
    return str(ibis.to_sql(facts.select("key").distinct().order_by("key"), dialect="duckdb"))


def _run(sql: str, events: Events, known: str, points: pa.Table | None = None) -> pa.Table:
    with duckdb.connect() as connection:
        connection.register("given", events)
        connection.execute(f"CREATE TEMP VIEW events AS SELECT {_EVENT_COLUMNS} FROM given WHERE {known}")  # noqa: S608 - ours
        if points is not None:
            connection.register("points", points)
        return connection.execute(sql).to_arrow_table()


def features_at(events: Events, points: pa.Table, features: Sequence[Feature], *, known: str = "true") -> pa.Table:
    """The value of each feature at each point, computed in DuckDB.

    Args:
        events: rows of EVENT_SCHEMA; order and extra columns do not matter. Of a dataset only the columns and the row
            groups that count are read, a batch at a time.
        points: `entity` (string), `point_time` (timestamp, UTC), and any other columns.
        features: of one entity.
        known: which events count, as SQL over their columns.

    Returns:
        The rows of `points`, in their order, with one column a feature appended; no nulls.

    Raises:
        ValueError: a column is missing, or the features are not of one entity.
    """
    _require(events, _EVENTS.names, "events")
    _require(points, ["entity", "point_time"], "points")
    numbered = points.select(["entity", "point_time"]).cast(pa.schema(_POINT_FIELDS[1:]))
    numbered = numbered.add_column(0, _POINTS.field("point"), pa.array(range(points.num_rows), pa.int64()))
    values = _run(_values_sql(tuple(features)), events, known, numbered)
    for feature in features:
        points = points.append_column(
            pa.field(feature.name, arrow_type(feature), nullable=feature.nullable),
            values[feature.name].cast(arrow_type(feature)),
        )
    return points


def _require(rows: Events, columns: Sequence[str], name: str) -> None:
    found = rows.schema.names
    missing = [column for column in columns if column not in found]
    if missing:
        raise ValueError(f"{name}: columns {missing} are missing; found {found}")


def snapshot(events: Events, day: date, features: Sequence[Feature]) -> pa.Table:
    """Feature rows at the end of `day` for every entity with a fact in the longest window.

    Only what was known at that moment counts: an event that arrived later (`received_time`) first counts in the
    snapshot after its arrival. The creation time says when the service has the row, `AVAILABLE_AFTER` its moment, not
    when this ran: a training join on it sees what was served, and making the snapshot again gives the same bytes.

    Args:
        events: rows of EVENT_SCHEMA, as `features_at` takes them; those outside (end of day - longest window, end of
            day) are ignored.
        day: UTC date.
        features: of one entity.

    Returns:
        `snapshot_schema(features)`, ordered by the key.
    """
    _require(events, [*_EVENTS.names, "received_time"], "events")
    entity, moment = one_entity(features), snapshot_moment(day)
    schema = snapshot_schema(features)
    known = _known(moment, moment - longest_window(features))
    keys = _run(_keys_sql(tuple(features)), events, known)["key"]
    if len(keys) == 0:
        return schema.empty_table()
    moments = pa.array([moment] * len(keys), TIMESTAMP)
    valued = features_at(events, pa.table({"entity": keys, "point_time": moments}), features, known=known)
    created = pa.array([moment + AVAILABLE_AFTER] * len(keys), TIMESTAMP)
    columns = {entity.key: keys, EVENT_TIMESTAMP: moments, CREATED_TIMESTAMP: created}
    columns.update({feature.name: valued[feature.name] for feature in features})
    return pa.table(columns, schema=schema)


def _known(moment: datetime, since: datetime) -> str:
    end, start = (f"TIMESTAMPTZ '{time.isoformat()}'" for time in (moment, since))
    return f"event_time > {start} AND event_time < {end} AND coalesce(received_time, event_time) <= {end}"


def user_feature_snapshot(events: Events, day: date) -> pa.Table:
    """USER_FEATURE_SCHEMA rows at the end of `day`; give it the events of the 30 days up to `day`."""
    return snapshot(events, day, USER_FEATURES)


def item_feature_snapshot(events: Events, day: date) -> pa.Table:
    """ITEM_FEATURE_SCHEMA rows at the end of `day`; give it the events of the 30 days up to `day`."""
    return snapshot(events, day, ITEM_FEATURES)
