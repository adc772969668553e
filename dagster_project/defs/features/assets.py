"""Feature snapshots by day, and the online store that the service reads."""

from collections.abc import Callable
from datetime import date, timedelta

import dagster as dg
import pyarrow as pa

from dagster_project.metadata import means, sample
from dagster_project.partitions import DAYS, LAST_30_DAYS, RANGE_IN_ONE_RUN, days_of
from dagster_project.resources.tables import Tables
from intent_tracking.tables import DayTable

OWNERS = ["team:data-platform"]
WINDOW_DAYS = 30  # what LAST_30_DAYS spans; a test holds it against the longest window that a feature declares


def _snapshots(
    context: dg.AssetExecutionContext,
    events: DayTable,
    features: DayTable,
    snapshot: Callable[[pa.Table, date], pa.Table],
    columns: list[str],
) -> dg.MaterializeResult:
    """Write the snapshot of each day of the run, from the events of the days that its windows reach back to."""
    rows = 0
    for day in days_of(context):
        history = [day - timedelta(days=back) for back in reversed(range(WINDOW_DAYS))]
        table = snapshot(events.read(history, columns=columns), day)
        features.write(day, table)
        rows += table.num_rows
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": table.num_rows,
                "sample": sample(table, table.column_names[:8]),
                **means(table),
            },
            partition_key=day.isoformat(),
        )
    return dg.MaterializeResult(metadata={"rows_in_run": rows})


SNAPSHOT_COLUMNS = ["event_time", "event_name", "shopper_id", "value", "items", "received_time"]


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=RANGE_IN_ONE_RUN,
    deps=[dg.AssetDep("validated_events", partition_mapping=LAST_30_DAYS)],
    group_name="features",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
)
def user_features(context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables]) -> dg.MaterializeResult:
    """Feature values of each shopper at the end of the UTC day: one row a shopper seen in the last 30 days.

    From the `validated_events` that had arrived by then, so that a training join on these rows cannot see the future.
    Columns are the features declared in `intent_tracking.features`.
    """
    from intent_tracking.features.batch import user_feature_snapshot

    return _snapshots(context, tables.validated_events, tables.user_features, user_feature_snapshot, SNAPSHOT_COLUMNS)


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=RANGE_IN_ONE_RUN,
    deps=[dg.AssetDep("validated_events", partition_mapping=LAST_30_DAYS)],
    group_name="features",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
)
def item_features(context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables]) -> dg.MaterializeResult:
    """Feature values of each item at the end of the UTC day: one row an item seen in the last 30 days.

    From the `validated_events` that had arrived by then. Columns are the features declared in
    `intent_tracking.features`.
    """
    from intent_tracking.features.batch import item_feature_snapshot

    return _snapshots(context, tables.validated_events, tables.item_features, item_feature_snapshot, SNAPSHOT_COLUMNS)
