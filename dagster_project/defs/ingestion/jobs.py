"""Ingestion by hand for any range, and daily with a lookback for late events."""

import dagster as dg

from dagster_project.nightly import IN_TURN, days_to_make, run_of, written_days
from dagster_project.partitions import lookback_start
from dagster_project.resources.tables import Tables
from intent_tracking.settings import Settings

ingest_job = dg.define_asset_job(
    "ingest_job",
    selection=dg.AssetSelection.groups("ingestion", "sessions"),
    description="Logs to session texts for a range of days: `tags=range_tags(first, last)`, or a backfill in the UI.",
    tags={"dagster/max_runtime": str(2 * 3600), **IN_TURN},
)


@dg.schedule(
    job=ingest_job,
    cron_schedule="15 1 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def daily_ingestion(
    context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.RunRequest | dg.SkipReason:
    """Ingest yesterday and what was missed before it, and make the days again that late events may have changed."""
    of_events = (tables.raw_events, tables.validated_events, tables.quarantined_events)
    written = written_days(*of_events, tables.sessions, tables.session_texts)
    days = days_to_make(context, settings, written)
    return run_of(context, settings, lookback_start(days[0]), days[-1])
