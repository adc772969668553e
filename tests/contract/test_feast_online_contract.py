"""Our reader of the online store and Feast's own must give the same answers, whatever Feast changes below."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from dagster_project.resources.feature_store import FeastStore
from intent_tracking.features.catalogue import features_of
from intent_tracking.features.declaration import Entity
from intent_tracking.features.online import OnlineFeatures, entity_key
from intent_tracking.features.schema import TIMESTAMP, snapshot_schema

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


def test_our_keys_are_feasts_keys() -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    for entity in Entity:
        for key in KEYS:
            theirs = EntityKey(join_keys=[entity.key], entity_values=[Value(string_val=key)])
            assert entity_key(entity, key) == serialize_entity_key(theirs, entity_key_serialization_version=3)
