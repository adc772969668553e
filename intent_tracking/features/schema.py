"""Table schemas of the feature snapshots and the grouping of features into views, built from the declarations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa

from intent_tracking.features.catalogue import FEATURES, ITEM_FEATURES, USER_FEATURES
from intent_tracking.features.declaration import Feature, one_entity

# Feast's names: when the values hold, and when the service has them.
EVENT_TIMESTAMP = "event_timestamp"
CREATED_TIMESTAMP = "created_timestamp"

# Microseconds: Feast's materialization fails on nanosecond timestamps with recent DuckDB releases.
TIMESTAMP = pa.timestamp("us", tz="UTC")

_TYPES: dict[str, pa.DataType] = {"int64": pa.int64(), "float64": pa.float64()}


def arrow_type(feature: Feature) -> pa.DataType:
    """The column type of a feature."""
    return _TYPES[feature.dtype]


def snapshot_moment(day: date) -> datetime:
    """When what is said of `day` holds: the first moment of the next day, UTC. It is served some hours later."""
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=UTC)


def snapshot_schema(features: Sequence[Feature]) -> pa.Schema:
    """Join key, `event_timestamp`, `created_timestamp`, then one column a feature.

    Raises:
        ValueError: features of several entities.
    """
    fields: list[pa.Field[Any]] = [
        pa.field(one_entity(features).key, pa.string(), nullable=False),
        pa.field(EVENT_TIMESTAMP, TIMESTAMP, nullable=False),
        pa.field(CREATED_TIMESTAMP, TIMESTAMP, nullable=False),
    ]
    fields += [pa.field(feature.name, arrow_type(feature), nullable=feature.nullable) for feature in features]
    return pa.schema(fields)


def views(features: Sequence[Feature] = FEATURES) -> dict[str, tuple[Feature, ...]]:
    """Features by view name (`user_1d`, `user_7d` ...), in declared order."""
    grouped: dict[str, tuple[Feature, ...]] = {}
    for feature in features:
        grouped[feature.view] = (*grouped.get(feature.view, ()), feature)
    return grouped


def view_ttl(features: Sequence[Feature]) -> timedelta:
    """The one time to live of a view.

    Raises:
        ValueError: the features of the view disagree; a store keeps one time to live a view.
    """
    found = {feature.ttl for feature in features}
    if len(found) != 1:
        names = ", ".join(feature.name for feature in features)
        raise ValueError(f"features of one view need one ttl, found {sorted(found)} in {names}")
    return found.pop()


USER_FEATURE_SCHEMA: pa.Schema = snapshot_schema(USER_FEATURES)
ITEM_FEATURE_SCHEMA: pa.Schema = snapshot_schema(ITEM_FEATURES)
