"""The daily UTC partitions that every day-grained asset shares, and how a day of one asset needs days of another."""

import warnings
from collections.abc import Callable, Iterable, Sequence
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


def require_written(table: DayTable, days: Iterable[date], job: str) -> None:
    """Each of `days` is written in `table`.

    A day on which nothing happened is written, with no rows. One that is not written reads the same, and what is made
    of it as if nothing had happened is wrong, for good where it is not made again.

    Args:
        job: which writes `table`.

    Raises:
        dg.Failure: a day is missing.
    """
    if missing := sorted(set(days) - set(table.days())):
        names = ", ".join(day.isoformat() for day in missing)
        raise dg.Failure(
            f"{table.name} is not written for {names}, which this run reads: run {job} for these days (one on which "
            "nothing happened is written, too), then this again"
        )


def lookback_start(day: date) -> date:
    """The first day that is made again with `day`, for events that came late.

    A session that starts on the day before the oldest of them may run past midnight into it, so that day is made
    again too.
    """
    return day - timedelta(days=LOOKBACK_DAYS + 1)


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
