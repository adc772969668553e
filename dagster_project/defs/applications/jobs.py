"""What stands on the tracked intent, once a day."""

from datetime import timedelta

import dagster as dg

from dagster_project.partitions import caught_up_days, lookback_start, range_tags, yesterday_of
from dagster_project.resources.tables import Tables

DESCRIBING = ("user_segments", "insights_report")  # say what a day was; nothing is done because of them

applications_job = dg.define_asset_job(
    "applications_job",
    selection=dg.AssetSelection.groups("applications"),
    description="Everything of the applications for a range of days (`tags=range_tags(first, last)`): what they learn, "
    "what they say of each shopper, and that online.",
    tags={"dagster/max_runtime": "14400", "intent/exclusive": "applications"},
)


@dg.schedule(job=applications_job, cron_schedule="15 4 * * *", execution_timezone="UTC")
def daily_applications(context: dg.ScheduleEvaluationContext, tables: dg.ResourceParam[Tables]) -> list[dg.RunRequest]:
    """Yesterday, after its features and what was served of it; then the days that were missed, without audiences.

    Nobody is written to for a day that is past. Risk scores of missed days are made by the lookback.
    """
    yesterday = yesterday_of(context)
    requests = [dg.RunRequest(run_key=yesterday.isoformat(), tags=range_tags(yesterday, yesterday))]
    missed = caught_up_days(context, tables.user_segments, yesterday - timedelta(days=1))
    if missed:
        # One gap a night: what stands between two is not made again, by segments that were learned since.
        gap = [day for n, day in enumerate(missed) if day == missed[0] + timedelta(days=n)]
        requests.append(
            dg.RunRequest(
                run_key=f"{yesterday} missed",
                tags=range_tags(gap[0], gap[-1]),
                asset_selection=[dg.AssetKey(name) for name in DESCRIBING],
            )
        )
    return requests


risk_lookback_job = dg.define_asset_job(
    "risk_lookback_job",
    selection=dg.AssetSelection.assets("risk_cases", "risk_scores"),
    description="Risk cases and scores of a range of days again, by the live risk model: for sessions that came late.",
    tags={"dagster/max_runtime": "3600", "intent/exclusive": "applications"},
)


@dg.schedule(job=risk_lookback_job, cron_schedule="45 4 * * *", execution_timezone="UTC")
def daily_risk_lookback(context: dg.ScheduleEvaluationContext, tables: dg.ResourceParam[Tables]) -> dg.RunRequest:
    """The days before yesterday that were missed, or whose sessions late events may have added or changed.

    They are risks like any other. Audiences of those days are not drawn again: whoever was written to has been.
    """
    yesterday = yesterday_of(context)
    missed = caught_up_days(context, tables.risk_scores, yesterday - timedelta(days=1))
    first = lookback_start(min([yesterday, *missed]))
    days = range_tags(first, yesterday - timedelta(days=1))
    return dg.RunRequest(run_key=yesterday.isoformat(), tags=days)
