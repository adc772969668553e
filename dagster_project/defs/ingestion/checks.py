"""The suites of the event tables, and whether their days are as usual."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from dagster_project.metadata import rows_as_markdown
from dagster_project.partitions import days_checked, lookback_start
from dagster_project.resources.tables import Tables
from dagster_project.suite_checks import day_table_check
from intent_tracking.settings import Settings

MAX_FILES_NAMED = 20

raw_events_valid = day_table_check("raw_events", lambda tables: tables.raw_events)
validated_events_valid = day_table_check("validated_events", lambda tables: tables.validated_events)


@dg.asset_check(asset="raw_events")
def raw_events_in_time(settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]) -> dg.AssetCheckResult:
    """No log file has records of days that no schedule makes any more, and that no run has taken in.

    A warning, whatever days the run has: a file is named until they are ingested again.
    """
    from intent_tracking.events.ingest import overlooked

    written = tables.raw_events.days()
    settled = lookback_start(written[-1]) - settings.first_day if written else timedelta(0)
    days = [settings.first_day + timedelta(days=number) for number in range(settled.days)]
    late = overlooked(settings.home, tables.raw_events, days)
    rows: list[dict[str, object]] = [
        {"file": name, "days": ", ".join(day.isoformat() for day in missed)} for name, missed in sorted(late.items())
    ]
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(rows)} files have days that no run has taken in: ingest these days again" if rows else None,
        metadata={"files": len(rows), **({"unread": rows_as_markdown(rows[:MAX_FILES_NAMED])} if rows else {})},
    )


@dg.asset_check(asset="validated_events")
def validated_events_usual(
    context: dg.AssetCheckExecutionContext, tables: dg.ResourceParam[Tables]
) -> dg.AssetCheckResult:
    """Each day has events where its weekday usually has some, and no more than usual is in quarantine.

    A warning; an error where a day is wholly in quarantine. It blocks nothing: the other days are as good as ever.
    """
    from intent_tracking.events.volume import DayVolume, Remark, records_in, remark_on, weeks_before

    days = days_checked(context, tables.validated_events.days())
    written = set(tables.validated_events.days())
    volumes = {
        day: DayVolume(records_in(tables.validated_events, day), records_in(tables.quarantined_events, day))
        for day in sorted({*days, *(before for day in days for before in weeks_before(day))} & written)
    }
    today = datetime.now(UTC).date()
    found = [
        (day, remark)
        for day in days
        if day in volumes and (remark := remark_on(day, volumes, is_over=day < today)) is not None
    ]
    rows: list[dict[str, object]] = [
        {
            "day": day,
            "accepted": volumes[day].accepted,
            "quarantined": volumes[day].quarantined,
            "share": f"{volumes[day].quarantined_share:.2%}",
            "why": remark.value,
        }
        for day, remark in found
    ]
    is_error = any(remark is Remark.WHOLLY_QUARANTINED for _, remark in found)
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{day}: {remark.value}" for day, remark in found[:5]) or None,
        metadata={
            "accepted": sum(volumes[day].accepted for day in days if day in volumes),
            "quarantined": sum(volumes[day].quarantined for day in days if day in volumes),
            "unusual_days": len(found),
            **({"unusual": rows_as_markdown(rows)} if rows else {}),
        },
    )
