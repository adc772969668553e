"""Feature snapshots by day, and the online store that the service reads."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
from pydantic import Field

from dagster_project.metadata import means, sample
from dagster_project.partitions import FEAST_POOL, LAST_30_DAYS, TABLES_POOL, daily_asset, days_of, require_written
from dagster_project.resources.feature_store import FeastStore
from dagster_project.resources.tables import Tables
from intent_tracking.tables import DayTable

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

OWNERS = ["team:data-platform"]
WINDOW_DAYS = 30  # what LAST_30_DAYS spans; a test holds it against the longest window that a feature declares


def _history(day: date) -> list[date]:
    return [day - timedelta(days=back) for back in reversed(range(WINDOW_DAYS))]


def missing_events(events: DayTable, days: Sequence[date]) -> list[date]:
    """The days that the snapshots of `days` count and that are not written; a shop has no day before its first.

    One that is not written would be counted as a day without events, and the snapshot, which says what was known of its
    day, is not made again.
    """
    written = events.days()
    first = min([*written[:1], *days])
    return sorted({past for day in days for past in _history(day) if past >= first} - set(written))


def _snapshots(
    context: dg.AssetExecutionContext,
    events: DayTable,
    features: DayTable,
    snapshot: "Callable[[Dataset, date], pa.Table]",
) -> dg.MaterializeResult:
    """Write the snapshot of each day of the run, from the events of the days that its windows reach back to."""
    rows = 0
    require_written(events, missing_events(events, days_of(context)), "ingest_job")
    for day in days_of(context):
        table = snapshot(events.dataset(_history(day)), day)
        features.write(day, table)
        rows += table.num_rows
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": table.num_rows,
                "sample": sample(table, table.column_names[1:8]),  # the first names the shopper
                **means(table),
            },
            partition_key=day.isoformat(),
        )
    return dg.MaterializeResult(metadata={"rows_in_run": rows})


@daily_asset(
    deps=[dg.AssetDep("validated_events", partition_mapping=LAST_30_DAYS)],
    group_name="features",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def user_features(context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables]) -> dg.MaterializeResult:
    """Feature values of each shopper at the end of the UTC day: one row a shopper seen in the last 30 days.

    From the `validated_events` that had arrived by then, so that a training join on these rows cannot see the future.
    Columns are the features declared in `intent_tracking.features`.
    """
    from intent_tracking.features.batch import user_feature_snapshot

    return _snapshots(context, tables.validated_events, tables.user_features, user_feature_snapshot)


@daily_asset(
    deps=[dg.AssetDep("validated_events", partition_mapping=LAST_30_DAYS)],
    group_name="features",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def item_features(context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables]) -> dg.MaterializeResult:
    """Feature values of each item at the end of the UTC day: one row an item seen in the last 30 days.

    From the `validated_events` that had arrived by then. Columns are the features declared in
    `intent_tracking.features`.
    """
    from intent_tracking.features.batch import item_feature_snapshot

    return _snapshots(context, tables.validated_events, tables.item_features, item_feature_snapshot)


class OnlineConfig(dg.Config):
    """Which snapshots go online."""

    until: str | None = Field(default=None, description="Last day, YYYY-MM-DD; by default the newest snapshot.")
    lookback_days: int = Field(default=3, ge=0, description="Snapshots before the last day that are looked at again.")


@dg.asset(
    deps=[user_features, item_features],
    group_name="features",
    kinds={"feast", "sqlite"},
    owners=OWNERS,
    retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
    pool=FEAST_POOL,
)
def online_features(
    config: OnlineConfig, tables: dg.ResourceParam[Tables], feature_store: dg.ResourceParam[FeastStore]
) -> dg.MaterializeResult:
    """The newest feature values of each shopper and item in the online store that the service reads.

    Registers the declared features with Feast, then brings the snapshots of the last days online; rows that were pushed
    since and are newer stay.
    """
    written = tables.user_features.days()
    if not written:
        raise dg.Failure("no user_features snapshot is written yet: materialize user_features for a day first")
    until = date.fromisoformat(config.until) if config.until else written[-1]
    registered = feature_store.apply()
    feature_store.materialize(until, until, timedelta(days=config.lookback_days))
    rows = tables.user_features.read([until], columns=["shopper_id"]).num_rows
    return dg.MaterializeResult(
        metadata={"until": until.isoformat(), "shoppers_in_newest_snapshot": rows, "registered": registered}
    )
