"""What stands on the tracked intent, once a day."""

from datetime import UTC, timedelta

import dagster as dg

from dagster_project.partitions import range_tags
from intent_tracking.events.arrival import LOOKBACK_DAYS

applications_job = dg.define_asset_job(
    "applications_job",
    selection=dg.AssetSelection.groups("applications"),
    description="Everything of the applications for a range of days (`tags=range_tags(first, last)`): what they learn, "
    "what they say of each shopper, and that online.",
    tags={"dagster/max_runtime": "14400", "intent/exclusive": "applications"},
)


@dg.schedule(job=applications_job, cron_schedule="15 4 * * *", execution_timezone="UTC")
def daily_applications(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Yesterday, after its features and what was served of it."""
    yesterday = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
    return dg.RunRequest(run_key=yesterday.isoformat(), tags=range_tags(yesterday, yesterday))


risk_lookback_job = dg.define_asset_job(
    "risk_lookback_job",
    selection=dg.AssetSelection.assets("risk_cases", "risk_scores"),
    description="Risk cases and scores of a range of days again, by the live risk model: for sessions that came late.",
    tags={"dagster/max_runtime": "3600", "intent/exclusive": "applications"},
)


@dg.schedule(job=risk_lookback_job, cron_schedule="45 4 * * *", execution_timezone="UTC")
def daily_risk_lookback(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The days before yesterday whose sessions late events may have added or changed: they are risks like any other.

    Audiences of those days are not drawn again: whoever was written to has been.
    """
    yesterday = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
    days = range_tags(yesterday - timedelta(days=LOOKBACK_DAYS + 1), yesterday - timedelta(days=1))
    return dg.RunRequest(run_key=yesterday.isoformat(), tags=days)
