"""The daily UTC partitions that every day-grained asset shares, and how a day of one asset needs days of another."""

import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from intent_tracking.events.arrival import LOOKBACK_DAYS
from intent_tracking.tables import DayTable

# Assets are declared with this placeholder; `definitions.py` puts the first day of the settings in its place, so that
# nothing is read from the environment when an asset module is imported.
DAYS = dg.DailyPartitionsDefinition(start_date=datetime(2000, 1, 1, tzinfo=UTC), end_offset=1)

# A backfill in the UI has no tags of a job. One step at a time writes day tables, and one writes to Feast's registry,
# whoever started the run: pools hold one step unless the instance says otherwise.
TABLES_POOL = "tables"
FEAST_POOL = "feast"

# A schedule makes up for so many days of downtime in one run; of more it would not end in time.
CATCH_UP_DAYS = 14

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)
    RANGE_IN_ONE_RUN = dg.BackfillPolicy.single_run()
    # A session that starts on a day may have begun before midnight or run past it. The first day has none before it,
    # and the newest has none after it yet.
    DAY_BEFORE_TO_DAY_AFTER = dg.TimeWindowPartitionMapping(
        start_offset=-1, end_offset=1, allow_nonexistent_upstream_partitions=True
    )
    # Feature windows look back; the first days have no history to look at.
    LAST_30_DAYS = dg.TimeWindowPartitionMapping(
        start_offset=-29, end_offset=0, allow_nonexistent_upstream_partitions=True
    )
    DAY_BEFORE = dg.TimeWindowPartitionMapping(
        start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True
    )
    LAST_30_DAYS_TO_DAY_AFTER = dg.TimeWindowPartitionMapping(
        start_offset=-30, end_offset=1, allow_nonexistent_upstream_partitions=True
    )


def daily_asset(**given: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with a partition a UTC day, where a range of days is one run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.asset(partitions_def=DAYS, backfill_policy=RANGE_IN_ONE_RUN, **given)


def daily_from(first_day: date) -> dg.DailyPartitionsDefinition:
    """UTC days from `first_day` up to and including today."""
    start = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC)
    return dg.DailyPartitionsDefinition(start_date=start, end_offset=1)


def days_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[date]:
    """The days that this run is about, oldest first; a range in one run gives them all."""
    return [date.fromisoformat(key) for key in context.partition_keys]


def days_checked(context: dg.AssetCheckExecutionContext, written: Sequence[date]) -> list[date]:
    """The days of the run, or the newest written day where a check is executed by itself without a partition."""
    if context.has_partition_key or context.has_partition_key_range:
        return days_of(context)
    return list(written[-1:])


def missing_days(written: Sequence[date], until: date) -> list[date]:
    """The days up to `until` that are not among `written`, oldest first; none is missed before the first."""
    if not written:
        return []
    first, known = min(written), set(written)
    days = (first + timedelta(days=n) for n in range((until - first).days + 1))
    return [day for day in days if day not in known]


def caught_up_days(context: dg.ScheduleEvaluationContext, table: DayTable, until: date) -> list[date]:
    """The missing days of `table` that a schedule makes up for: those of the `CATCH_UP_DAYS` up to `until`.

    Dagster does not repeat ticks that fell into a downtime. Older days are named in the log of the tick.
    """
    missing = missing_days(table.days(), until)
    oldest = until - timedelta(days=CATCH_UP_DAYS - 1)
    if left := [day for day in missing if day < oldest]:
        context.log.warning(
            f"{table.name} lacks {len(left)} days from {left[0]} to {left[-1]}, before the last {CATCH_UP_DAYS}: "
            "make them by a backfill"
        )
    return [day for day in missing if day >= oldest]


def lookback_start(newest: date) -> date:
    """The first day that is made again with `newest`, for events that came late.

    A session that starts on the day before the oldest of them may run past midnight into it, so that day is made
    again too.
    """
    return newest - timedelta(days=LOOKBACK_DAYS + 1)


def yesterday_of(context: dg.ScheduleEvaluationContext) -> date:
    """The UTC day before the tick."""
    return context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)


def range_tags(first: date, last: date) -> dict[str, str]:
    """Run tags that make one run cover the days `first` to `last`, both included.

    For `dg.materialize(..., tags=...)`, `job.execute_in_process(tags=...)` and `dg.RunRequest(tags=...)`.
    """
    if last < first:
        raise ValueError(f"the range ends on {last}, before its start {first}: give the earlier day first")
    return {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": last.isoformat(),
    }
