"""The service reads each shopper's features from the online store that Feast wrote, without Feast."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from bentos.intent_service.features import ShopperFeatures
from bentos.intent_service.metrics import Metrics
from dagster_project.resources.feature_store import FeastStore
from dagster_project.resources.tables import Tables
from intent_tracking.features.catalogue import USER_FEATURES
from intent_tracking.features.schema import ITEM_FEATURE_SCHEMA, USER_FEATURE_SCHEMA, snapshot_moment

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

DAY = date(2026, 1, 10)


def counted(metrics: Metrics, why: str) -> float:
    text = metrics.render().decode()
    line = next(
        (line for line in text.splitlines() if line.startswith(f'intent_feature_defaults_total{{why="{why}"}}')), "x 0"
    )
    return float(line.split()[-1])


def test_before_the_first_materialization_features_are_unknown(tmp_path: Path) -> None:
    # Cause: it was not counted, so a replica without the shared file predicted without features and nobody knew.
    metrics = Metrics()
    moment = datetime(2026, 1, 11, tzinfo=UTC)
    features = ShopperFeatures(tmp_path / "online.db", metrics)
    assert features.of([("u1", moment), ("u2", moment)]) == [None, None]
    assert counted(metrics, "absent") == 2 * len(USER_FEATURES)


def test_materialized_features_reach_the_model_and_unknown_shoppers_are_counted(tmp_path: Path) -> None:
    moment = snapshot_moment(DAY)
    row = dict.fromkeys(USER_FEATURE_SCHEMA.names, 0)
    row |= {feature.name: feature.default for feature in USER_FEATURES}
    row |= {"shopper_id": "u1", "event_timestamp": moment, "created_timestamp": moment}
    views = next(feature.name for feature in USER_FEATURES if feature.dtype == "int64")
    row[views] = 7
    tables = Tables(tmp_path / "tables")
    tables.user_features.write(DAY, pa.Table.from_pylist([row], schema=USER_FEATURE_SCHEMA))
    tables.item_features.write(DAY, ITEM_FEATURE_SCHEMA.empty_table())
    store = FeastStore(tmp_path)
    store.apply()
    store.materialize(DAY, DAY)

    metrics = Metrics()
    features = ShopperFeatures(store.online_path, metrics)
    try:
        # Cause: the newest moment of a batch was that of all its sessions: one made the others' features stale.
        known, unknown, late = features.of(
            [("u1", moment + timedelta(hours=1)), ("u2", moment), ("u1", moment + timedelta(days=365))]
        )
    finally:
        features.close()
    assert known is not None
    assert known[views] == 7
    assert unknown is not None
    assert late is not None
    default = next(feature.default for feature in USER_FEATURES if feature.name == views)
    assert unknown[views] == late[views] == default
    assert counted(metrics, "missing") == counted(metrics, "stale") == len(USER_FEATURES)
    assert counted(metrics, "absent") == 0
