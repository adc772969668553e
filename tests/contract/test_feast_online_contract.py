"""Our reader of the online store and Feast's own must give the same answers, whatever Feast changes below."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from dagster_project.resources.feature_store import FeastStore
from intent_tracking.features.catalogue import features_of
from intent_tracking.features.declaration import Entity
from intent_tracking.features.derived import USER_ITEMS, USER_SEGMENT
from intent_tracking.features.online import OnlineFeatures, OnlineViews, entity_key
from intent_tracking.features.schema import TIMESTAMP, snapshot_moment, snapshot_schema
from intent_tracking.tables import DayTable

# Feast and Ibis call what their own dependencies have deprecated.
pytestmark = [pytest.mark.contract, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

MOMENT = datetime(2025, 7, 10, 3, tzinfo=UTC)
KEYS = ["u1", "anonymous:9f", "顾客", "x" * 200]
EXTREMES = [0, 1, 127, 128, 2**31, 2**53 + 1, 2**63 - 1]


def _rows(entity: Entity) -> pa.Table:
    columns: dict[str, object] = {
        entity.key: KEYS,
        "event_timestamp": pa.array([MOMENT] * len(KEYS), TIMESTAMP),
        "created_timestamp": pa.array([MOMENT] * len(KEYS), TIMESTAMP),
    }
    for number, feature in enumerate(features_of(entity)):
        values = [EXTREMES[(number + row) % len(EXTREMES)] for row in range(len(KEYS))]
        columns[feature.name] = values if feature.dtype == "int64" else [value / 7 for value in values]
    return pa.table(columns, schema=snapshot_schema(features_of(entity)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeastStore:
    store = FeastStore(tmp_path_factory.mktemp("home"))
    store.apply()
    for entity in Entity:
        store.push(_rows(entity), entity)
    return store


@pytest.mark.parametrize(("entity", "service"), [(Entity.USER, "intent_model"), (Entity.ITEM, "item_features")])
def test_our_reader_gives_what_feast_gives(store: FeastStore, entity: Entity, service: str) -> None:
    asked = [*KEYS, "nobody"]
    reader = OnlineFeatures(store.online_path)

    ours = reader.read(entity, asked, MOMENT + timedelta(hours=1))
    theirs = store.online(asked, service)

    for key, row, answer in zip(asked, ours, theirs, strict=True):
        assert answer.pop(entity.key) == row.key == key
        served = {name: None if name in row.missing else value for name, value in row.values.items()}
        assert served == answer
    assert [row.age for row in ours] == [timedelta(hours=1)] * len(KEYS) + [None]
    reader.close()


def test_derived_views_come_online_from_their_days_and_our_reader_gives_what_feast_gives(store: FeastStore) -> None:
    """`user_items` has no day yet, which holds up nothing."""
    keys, day = [f"derived-{key}" for key in KEYS], MOMENT.date()
    texts = ["s3", "", '{"spend": [1, "高"]}', "x" * 300]
    columns: dict[str, list[Any]] = {
        field.name: texts if field.dtype == "string" else [0.0, -1.5, 1e300, 2 / 7] for field in USER_SEGMENT.fields
    }
    days = DayTable(store.home / "tables", USER_SEGMENT.table, USER_SEGMENT.schema)
    earlier, later = ({name: values[part] for name, values in columns.items()} for part in (slice(1), slice(1, None)))
    days.write(day - timedelta(days=1), USER_SEGMENT.rows(day - timedelta(days=1), keys[:1], earlier))
    days.write(day, USER_SEGMENT.rows(day, keys[1:], later))
    assert store.materialize(day, day) == ["user_segment"]

    with closing(OnlineViews(store.online_path)) as reader:
        now = snapshot_moment(day) + timedelta(hours=6)
        ours = {key: reader.read(USER_SEGMENT, key, now) for key in [*keys, "nobody"]}
        theirs = {answer.pop("shopper_id"): answer for answer in store.online([*keys, "nobody"], "user_segment")}
        assert {key: dict(row.values) for key, row in ours.items() if row} == {key: theirs[key] for key in keys}
        assert ours["nobody"] is None
        assert set(theirs["nobody"].values()) == {None}
        assert [row.age for row in ours.values() if row] == [timedelta(hours=30)] + [timedelta(hours=6)] * 3
        assert reader.read(USER_ITEMS, keys[0], now) is None
        at_its_end = snapshot_moment(day) + USER_SEGMENT.ttl
        fresh, stale = (reader.read(USER_SEGMENT, keys[1], at_its_end + timedelta(seconds=late)) for late in (0, 1))
        assert (fresh and fresh.stale, stale and stale.stale) == (False, True)

    assert store.derived_parity(USER_SEGMENT, 10).passed
    assert store.remove([keys[1]]) == len(USER_SEGMENT.fields)
    assert store.derived_parity(USER_SEGMENT, 10).missing == (keys[1],)


def test_our_keys_are_feasts_keys() -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    for entity in Entity:
        for key in KEYS:
            theirs = EntityKey(join_keys=[entity.key], entity_values=[Value(string_val=key)])
            assert entity_key(entity, key) == serialize_entity_key(theirs, entity_key_serialization_version=3)
