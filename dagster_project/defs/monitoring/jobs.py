"""The daily drift check."""

from datetime import timedelta

import dagster as dg

from dagster_project.partitions import caught_up_days, range_tags, yesterday_of
from dagster_project.resources.tables import Tables
from intent_tracking.events.arrival import LOOKBACK_DAYS

drift_job = dg.define_asset_job(
    "drift_job",
    selection=dg.AssetSelection.assets("served_predictions", "drift_report"),
    description="What was served on a range of days (`tags=range_tags(first, last)`), and whether it has drifted.",
    tags={"dagster/max_runtime": "3600", "intent/exclusive": "drift"},
)


@dg.schedule(job=drift_job, cron_schedule="15 3 * * *", execution_timezone="UTC")
def daily_drift_check(context: dg.ScheduleEvaluationContext, tables: dg.ResourceParam[Tables]) -> dg.RunRequest:
    """Check yesterday's traffic and what was missed before it, and the days again whose late events came since."""
    yesterday = yesterday_of(context)
    oldest_new = min([yesterday, *caught_up_days(context, tables.served_predictions, yesterday)])
    first = oldest_new - timedelta(days=LOOKBACK_DAYS)
    return dg.RunRequest(run_key=yesterday.isoformat(), tags=range_tags(first, yesterday))
