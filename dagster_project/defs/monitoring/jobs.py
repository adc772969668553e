"""The daily drift check."""

from datetime import UTC, timedelta

import dagster as dg

from dagster_project.partitions import range_tags
from intent_tracking.events.arrival import LOOKBACK_DAYS

drift_job = dg.define_asset_job(
    "drift_job",
    selection=dg.AssetSelection.assets("served_predictions", "drift_report"),
    description="What was served on a range of days (`tags=range_tags(first, last)`), and whether it has drifted.",
    tags={"dagster/max_runtime": "3600", "intent/exclusive": "drift"},
)


@dg.schedule(job=drift_job, cron_schedule="15 3 * * *", execution_timezone="UTC")
def daily_drift_check(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Check yesterday's traffic, and the days again whose late events were answered since."""
    yesterday = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
    first = yesterday - timedelta(days=LOOKBACK_DAYS)
    return dg.RunRequest(run_key=yesterday.isoformat(), tags=range_tags(first, yesterday))
