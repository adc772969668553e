"""The daily drift check."""

from datetime import timedelta

import dagster as dg

from dagster_project.nightly import IN_TURN, days_to_make, run_of, written_days
from dagster_project.resources.tables import Tables
from intent_tracking.events.arrival import LOOKBACK_DAYS
from intent_tracking.settings import Settings

drift_job = dg.define_asset_job(
    "drift_job",
    selection=dg.AssetSelection.assets("served_predictions", "drift_report"),
    description="What was served on a range of days (`tags=range_tags(first, last)`), and whether it has drifted.",
    tags={"dagster/max_runtime": "3600", **IN_TURN},
)


@dg.schedule(job=drift_job, cron_schedule="15 3 * * *", execution_timezone="UTC")
def daily_drift_check(
    context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.RunRequest | dg.SkipReason:
    """Check yesterday's traffic and what was missed before it, and the days again whose late events came since."""
    from dagster_project.defs.monitoring.windows import measured_days

    written = {**written_days(tables.served_predictions), "drift_report": measured_days(settings.drift)}
    days = days_to_make(context, settings, written)
    return run_of(context, settings, days[0] - timedelta(days=LOOKBACK_DAYS), days[-1])
