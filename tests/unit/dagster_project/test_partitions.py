"""Days, ranges, and the first day that the settings name."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from dagster_project.partitions import DAYS, daily_asset, daily_from, days_of, range_tags

pytestmark = pytest.mark.unit


def test_the_last_partition_is_today_so_that_a_running_day_can_be_made():
    today = datetime.now(UTC).date()
    keys = daily_from(today - timedelta(days=3)).get_partition_keys()
    assert keys == [(today - timedelta(days=back)).isoformat() for back in (3, 2, 1, 0)]


def test_a_range_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="earlier day first"):
        range_tags(date(2026, 1, 2), date(2026, 1, 1))


def test_a_range_of_days_is_one_run_that_sees_every_day():
    seen: list[list[date]] = []

    @daily_asset()
    def days_seen(context: dg.AssetExecutionContext) -> None:
        seen.append(days_of(context))

    result = dg.materialize([days_seen], tags=range_tags(date(2026, 1, 1), date(2026, 1, 3)))

    assert result.success
    assert seen == [[date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)]]
    assert len(result.get_asset_materialization_events()) == 3
    assert days_seen.partitions_def is DAYS
