"""What the schedules ask for: yesterday, what was missed before it, and the days that late events have changed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Final

import dagster as dg

from dagster_project.partitions import range_tags
from intent_tracking.settings import Settings
from intent_tracking.tables import DayTable

CATCH_UP_DAYS: Final = 14
"""A schedule makes up for so many days of downtime in one run; of more it would not end in time."""

IN_TURN: Final[Mapping[str, str]] = {"intent/exclusive": "tables"}
"""Tags of the jobs of a night. Each reads what those before it wrote, and waits in the queue until they have ended."""


def yesterday_of(context: dg.ScheduleEvaluationContext) -> date:
    """The UTC day before the tick."""
    return context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)


def written_days(*tables: DayTable) -> dict[str, list[date]]:
    """The days that each of `tables` has, by its name."""
    return {table.name: table.days() for table in tables}


def missing_days(written: Collection[Sequence[date]], first_day: date, until: date) -> list[date]:
    """The days up to `until` that one at least of the outputs of a job lacks, oldest first.

    A run that died after its first table has made none of its days. None is missed before `first_day`, nor before the
    first day that any of the outputs has.
    """
    begun = min((day for days in written for day in days), default=None)
    if begun is None:
        return []
    made = set.intersection(*(set(days) for days in written))
    first = max(begun, first_day)
    days = (first + timedelta(days=n) for n in range((until - first).days + 1))
    return [day for day in days if day not in made]


def days_to_make(
    context: dg.ScheduleEvaluationContext, settings: Settings, written: Mapping[str, Sequence[date]]
) -> list[date]:
    """Yesterday, and before it what a job has missed of the last `CATCH_UP_DAYS`; oldest first.

    Dagster does not repeat ticks that fell into a downtime. Older days are named in the log of the tick.

    Args:
        written: the days that each output of the job has, by its name.
    """
    yesterday = yesterday_of(context)
    missing = missing_days(written.values(), settings.first_day, yesterday)
    oldest = yesterday - timedelta(days=CATCH_UP_DAYS - 1)
    if left := [day for day in missing if day < oldest]:
        context.log.warning(
            f"{' or '.join(written)} lacks {len(left)} days from {left[0]} to {left[-1]}, before the last "
            f"{CATCH_UP_DAYS}: make them by a backfill"
        )
    return [*(day for day in missing if oldest <= day < yesterday), yesterday]


def run_of(
    context: dg.ScheduleEvaluationContext,
    settings: Settings,
    first: date,
    last: date,
    *,
    part: str = "",
    only: Sequence[str] = (),
) -> dg.RunRequest | dg.SkipReason:
    """One run of the days `first` to `last`, from the first that is a partition on; a reason for none without any.

    Args:
        part: tells one run of a tick from another.
        only: names of the assets that are made; all of the job where there are none.
    """
    if last < settings.first_day:
        return dg.SkipReason(f"{last} is before the first day, {settings.first_day} (INTENT_FIRST_DAY)")
    return dg.RunRequest(
        run_key=f"{yesterday_of(context)} {part}".strip(),
        tags=range_tags(max(first, settings.first_day), last),
        asset_selection=[dg.AssetKey(name) for name in only] or None,
    )
