"""What stands on the tracked intent, once a day."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from dagster_project.nightly import IN_TURN, days_to_make, run_of, written_days
from dagster_project.partitions import lookback_start
from dagster_project.resources.tables import Tables
from intent_tracking.settings import Settings

DESCRIBING = ("user_segments", "insights_report")  # say what a day was; nothing is done because of them

applications_job = dg.define_asset_job(
    "applications_job",
    selection=dg.AssetSelection.groups("applications"),
    description="Everything of the applications for a range of days (`tags=range_tags(first, last)`): what they learn, "
    "what they say of each shopper, and that online.",
    tags={"dagster/max_runtime": "14400", **IN_TURN},
)


@dg.schedule(job=applications_job, cron_schedule="15 4 * * *", execution_timezone="UTC")
def daily_applications(
    context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Yesterday, after its features and what was served of it; then the days that were missed, without audiences.

    Nobody is written to for a day that is past. Risk scores of missed days are made by the lookback. A missed
    day whose features are missing, too, waits for them.
    """
    *missed, yesterday = days_to_make(context, settings, written_days(tables.user_segments))
    yield run_of(context, settings, yesterday, yesterday)
    described = set(tables.user_features.days())
    if missed := [day for day in missed if day in described]:
        # One gap a night: what stands between two is not made again, by segments that were learned since.
        gap = [day for n, day in enumerate(missed) if day == missed[0] + timedelta(days=n)]
        yield run_of(context, settings, gap[0], gap[-1], part="missed", only=DESCRIBING)


risk_lookback_job = dg.define_asset_job(
    "risk_lookback_job",
    selection=dg.AssetSelection.assets("risk_cases", "risk_scores"),
    description="Risk cases and scores of a range of days again, by the live risk model: for sessions that came late.",
    tags={"dagster/max_runtime": "3600", **IN_TURN},
)


@dg.schedule(job=risk_lookback_job, cron_schedule="45 4 * * *", execution_timezone="UTC")
def daily_risk_lookback(
    context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.RunRequest | dg.SkipReason:
    """The days before yesterday that were missed, or whose sessions late events may have added or changed.

    They are risks like any other. Audiences of those days are not drawn again: whoever was written to has been.
    """
    days = days_to_make(context, settings, written_days(tables.risk_cases, tables.risk_scores))
    return run_of(context, settings, lookback_start(days[0]), days[-1] - timedelta(days=1))
