"""Feature snapshots for a range of days, and their way online."""

from datetime import UTC, timedelta

import dagster as dg

from dagster_project.partitions import range_tags

features_job = dg.define_asset_job(
    "features_job",
    selection=dg.AssetSelection.assets("user_features", "item_features", "online_features"),
    description="Feature snapshots for a range of days (`tags=range_tags(first, last)`), then the newest go online.",
    tags={"dagster/max_runtime": "7200", "intent/exclusive": "features"},
)


@dg.schedule(job=features_job, cron_schedule="15 2 * * *", execution_timezone="UTC")
def daily_features(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Snapshot yesterday. Older snapshots hold what was known then, so that late events change none of them."""
    yesterday = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
    return dg.RunRequest(run_key=yesterday.isoformat(), tags=range_tags(yesterday, yesterday))
