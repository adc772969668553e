"""Feature snapshots for a range of days, and their way online."""

import dagster as dg

from dagster_project.partitions import caught_up_days, range_tags, yesterday_of
from dagster_project.resources.tables import Tables

features_job = dg.define_asset_job(
    "features_job",
    selection=dg.AssetSelection.assets("user_features", "item_features", "online_features"),
    description="Feature snapshots for a range of days (`tags=range_tags(first, last)`), then the newest go online.",
    tags={"dagster/max_runtime": "7200", "intent/exclusive": "features"},
)


@dg.schedule(job=features_job, cron_schedule="15 2 * * *", execution_timezone="UTC")
def daily_features(context: dg.ScheduleEvaluationContext, tables: dg.ResourceParam[Tables]) -> dg.RunRequest:
    """Snapshot yesterday and what was missed before it.

    Snapshots hold what was known on their day, so that one that is made later is the same, and late events change none.
    """
    yesterday = yesterday_of(context)
    first = min([yesterday, *caught_up_days(context, tables.user_features, yesterday)])
    return dg.RunRequest(run_key=yesterday.isoformat(), tags=range_tags(first, yesterday))
