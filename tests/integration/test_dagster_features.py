"""Feature snapshots by Dagster: made of days that are written, or not at all."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.defs.features.assets import item_features, user_features
from dagster_project.partitions import range_tags
from dagster_project.resources.tables import Tables
from tests.fakes.shop_events import event_row, table

# Ibis calls what its own dependencies have deprecated.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

FIRST = date(2025, 3, 1)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def ingest(tables: Tables, number: int, spent: float | None) -> None:
    """The day's one purchase; a day without any event is written, too."""
    noon = datetime.combine(day(number), time(12), tzinfo=UTC)
    rows = [] if spent is None else [event_row("purchase", noon, value=spent)]
    tables.validated_events.write(day(number), table(rows))


def snapshots(tables: Tables, first: int, last: int) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [user_features, item_features],
        resources={"tables": tables},
        tags=range_tags(day(first), day(last)),
        raise_on_error=False,
    )


def spent_in_a_week(tables: Tables, number: int) -> list[float]:
    found: list[float] = tables.user_features.read([day(number)])["user_spend_7d"].to_pylist()
    return found


def test_a_snapshot_waits_for_the_days_that_its_windows_count(tmp_path: Path) -> None:
    """An unwritten day read as a day without events: its snapshot went online with a part of the spend, for good."""
    tables = Tables(tmp_path)
    for number, spent in enumerate((10.0, None, None)):  # the shop's first days
        ingest(tables, number, spent)
    assert snapshots(tables, 0, 2).success
    assert spent_in_a_week(tables, 2) == [10.0]

    ingest(tables, 4, 20.0)  # the third day was never ingested
    for first, last in ((3, 3), (4, 4)):
        failed = snapshots(tables, first, last)
        assert not failed.success
        said = str(failed.failure_data_for_node("user_features"))
        assert f"validated_events is not written for {day(3)}, " in said
        assert "run ingest_job" in said
    assert tables.user_features.days() == [day(0), day(1), day(2)]

    ingest(tables, 3, 5.0)
    assert snapshots(tables, 3, 4).success
    assert spent_in_a_week(tables, 4) == [35.0]


def test_a_day_before_the_first_that_was_ingested_has_no_snapshot(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    assert not snapshots(tables, 0, 0).success
    ingest(tables, 1, 10.0)
    assert not snapshots(tables, 0, 1).success
    assert snapshots(tables, 1, 1).success
