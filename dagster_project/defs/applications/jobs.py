"""What stands on the tracked intent, once a day."""

from datetime import UTC, timedelta

import dagster as dg

from dagster_project.partitions import range_tags

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
