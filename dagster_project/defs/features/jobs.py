"""Feature snapshots for a range of days, and their way online."""

from collections.abc import Iterator

import dagster as dg

from dagster_project.defs.features.assets import missing_events
from dagster_project.nightly import IN_TURN, days_to_make, run_of, written_days, yesterday_of
from dagster_project.resources.tables import Tables
from intent_tracking.settings import Settings

features_job = dg.define_asset_job(
    "features_job",
    selection=dg.AssetSelection.assets("user_features", "item_features", "online_features"),
    description="Feature snapshots for a range of days (`tags=range_tags(first, last)`), then the newest go online.",
    tags={"dagster/max_runtime": "7200", **IN_TURN},
)


@dg.schedule(job=features_job, cron_schedule="15 2 * * *", execution_timezone="UTC")
def daily_features(
    context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Snapshot yesterday and what was missed before it.

    Snapshots hold what was known on their day, so that one that is made later is the same, and late events change none.
    What waits for events, most often yesterday, is a run of its own, so that it keeps back none that can be made.
    """
    days = days_to_make(context, settings, written_days(tables.user_features, tables.item_features))
    waiting = [day for day in days if missing_events(tables.validated_events, [day])]
    ready = [day for day in days if day not in waiting]
    for part in filter(None, (ready, waiting)):
        name = "" if yesterday_of(context) in part else "missed"
        yield run_of(context, settings, part[0], part[-1], part=name)
