"""Ingestion by hand for any range, and daily with a lookback for late events."""

import dagster as dg

from dagster_project.partitions import caught_up_days, lookback_start, range_tags, yesterday_of
from dagster_project.resources.tables import Tables

ingest_job = dg.define_asset_job(
    "ingest_job",
    selection=dg.AssetSelection.groups("ingestion", "sessions"),
    description="Logs to session texts for a range of days: `tags=range_tags(first, last)`, or a backfill in the UI.",
    tags={"dagster/max_runtime": str(2 * 3600), "intent/exclusive": "tables"},
)


@dg.schedule(
    job=ingest_job,
    cron_schedule="15 1 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def daily_ingestion(context: dg.ScheduleEvaluationContext, tables: dg.ResourceParam[Tables]) -> dg.RunRequest:
    """Ingest yesterday and what was missed before it, and make the days again that late events may have changed."""
    yesterday = yesterday_of(context)
    oldest_new = min([yesterday, *caught_up_days(context, tables.raw_events, yesterday)])
    return dg.RunRequest(run_key=yesterday.isoformat(), tags=range_tags(lookback_start(oldest_new), yesterday))
