"""Which days a schedule asks for."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from dagster_project.defs.applications.jobs import daily_applications, daily_risk_lookback
from dagster_project.defs.features.jobs import daily_features
from dagster_project.defs.ingestion.jobs import daily_ingestion
from dagster_project.defs.monitoring.jobs import daily_drift_check
from dagster_project.nightly import CATCH_UP_DAYS, missing_days
from dagster_project.partitions import daily_from
from dagster_project.resources.drift_report import SUMMARY_FILE
from dagster_project.resources.tables import Tables
from intent_tracking.features.batch import AVAILABLE_AFTER
from intent_tracking.features.derived import DERIVED_AFTER
from intent_tracking.settings import Settings
from intent_tracking.tables import DayTable, atomic_write_text

pytestmark = pytest.mark.unit

TICK = datetime(2026, 3, 10, 1, 15, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, first_day=date(2026, 1, 1))


@pytest.fixture
def tables(settings):
    return Tables(settings.tables)


def tick(schedule, tables, first_day=date(2026, 1, 1)):
    settings = Settings(home=tables.root.parent, first_day=first_day)
    resources = {"settings": settings, "tables": tables}
    with dg.build_schedule_context(scheduled_execution_time=TICK, resources=resources) as context:
        return schedule.evaluate_tick(context)


def asked_for(schedule, tables, first_day=date(2026, 1, 1)):
    return tick(schedule, tables, first_day).run_requests


def range_of(request):
    return request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]


def range_asked_for(schedule, tables, first_day=date(2026, 1, 1)):
    (request,) = asked_for(schedule, tables, first_day)
    return range_of(request)


def written(table: DayTable, first: int, last: int, month: int = 3) -> None:
    for day in range(first, last + 1):
        table.write(date(2026, month, day), table.schema.empty_table())


def ingested(tables: Tables, first: int, last: int) -> None:
    of_events = (tables.raw_events, tables.validated_events, tables.quarantined_events)
    for table in (*of_events, tables.sessions, tables.session_texts):
        written(table, first, last)


def measured(settings: Settings, first: int, last: int) -> None:
    for day in range(first, last + 1):
        atomic_write_text(settings.drift / date(2026, 3, day).isoformat() / SUMMARY_FILE, "{}")


def test_ingestion_makes_yesterday_the_three_days_of_late_events_and_the_sessions_that_reach_into_them(tables):
    # Late events change 6 to 9 March; a session that starts on the 5th may run past midnight into the 6th.
    assert range_asked_for(daily_ingestion, tables) == ("2026-03-05", "2026-03-09")


def test_features_look_at_yesterday(tables):
    assert range_asked_for(daily_features, tables) == ("2026-03-09", "2026-03-09")


def test_drift_looks_at_yesterday_and_at_the_days_whose_late_events_were_answered_since(tables):
    assert range_asked_for(daily_drift_check, tables) == ("2026-03-06", "2026-03-09")


def test_features_are_online_when_the_training_join_takes_them_for_served():
    minute, hour, *_ = daily_features.cron_schedule.split()
    assert timedelta(hours=int(hour), minutes=int(minute)) < AVAILABLE_AFTER


def test_applications_look_at_yesterday_once_its_features_are_there_and_are_online_when_their_rows_say_so(tables):
    assert range_asked_for(daily_applications, tables) == ("2026-03-09", "2026-03-09")
    minute, hour, *_ = daily_applications.cron_schedule.split()
    assert AVAILABLE_AFTER < timedelta(hours=int(hour), minutes=int(minute)) < DERIVED_AFTER


def test_sessions_that_came_late_are_scored_too_on_the_days_that_ingestion_made_again(tables):
    assert range_asked_for(daily_risk_lookback, tables) == ("2026-03-05", "2026-03-08")
    assert range_asked_for(daily_risk_lookback, tables)[0] == range_asked_for(daily_ingestion, tables)[0]


def test_a_tick_that_is_evaluated_twice_asks_for_the_same_run(tables):
    keys = {request.run_key for _ in range(2) for request in asked_for(daily_ingestion, tables)}
    assert keys == {"2026-03-09"}


def test_nights_that_were_missed_are_made_up_for(settings, tables):
    # Down in the nights to the 6th, 7th, 8th and 9th of March: 5 to 8 March are on no disk. Dagster repeats no tick.
    ingested(tables, 1, 4)
    measured(settings, 1, 4)
    of_features = (tables.user_features, tables.item_features)
    for table in (*of_features, tables.served_predictions, tables.risk_cases, tables.risk_scores):
        written(table, 1, 4)
    # What came late to 2 to 4 March came in those nights, too, and sessions reach from the 1st into them.
    assert range_asked_for(daily_ingestion, tables) == ("2026-03-01", "2026-03-09")
    assert range_asked_for(daily_features, tables) == ("2026-03-05", "2026-03-09")
    assert range_asked_for(daily_drift_check, tables) == ("2026-03-02", "2026-03-09")
    assert range_asked_for(daily_risk_lookback, tables) == ("2026-03-01", "2026-03-08")


def test_a_day_whose_run_died_after_its_first_table_is_missed(settings, tables):
    """It counted as made, and three nights later no run had it any more: holes in sessions, and days without drift."""
    ingested(tables, 1, 2)
    written(tables.raw_events, 3, 8)
    measured(settings, 1, 2)
    written(tables.served_predictions, 1, 8)
    written(tables.user_features, 1, 8)
    written(tables.item_features, 1, 2)
    assert range_asked_for(daily_ingestion, tables, date(2026, 3, 1)) == ("2026-03-01", "2026-03-09")
    assert range_asked_for(daily_drift_check, tables, date(2026, 3, 1)) == ("2026-03-01", "2026-03-09")
    assert range_asked_for(daily_features, tables) == ("2026-03-03", "2026-03-09")


@pytest.mark.parametrize("schedule", [daily_ingestion, daily_features, daily_drift_check, daily_risk_lookback])
def test_no_day_before_the_first_is_asked_for(schedule, tables):
    """Late events reach back three days: in a shop's first nights the run failed, for Dagster knows no such days."""
    written(tables.raw_events, 1, 4)  # before the first day was set
    first_day = date(2026, 3, 8)
    first, last = range_asked_for(schedule, tables, first_day)
    assert first >= "2026-03-08"
    assert daily_from(first_day).get_partition_keys_in_range(dg.PartitionKeyRange(first, last))


@pytest.mark.parametrize(
    "schedule", [daily_ingestion, daily_features, daily_drift_check, daily_applications, daily_risk_lookback]
)
def test_a_shop_whose_first_day_is_not_over_is_told_why_nothing_runs(schedule, tables):
    ticked = tick(schedule, tables, first_day=TICK.date())
    assert not ticked.run_requests
    assert "INTENT_FIRST_DAY" in ticked.skip_message


def test_a_yesterday_without_events_keeps_no_missed_snapshot_back(tables):
    written(tables.validated_events, 1, 8)
    for table in (tables.user_features, tables.item_features):
        written(table, 1, 4)
    ready, waiting = asked_for(daily_features, tables)
    assert range_of(ready) == ("2026-03-05", "2026-03-08")
    assert range_of(waiting) == ("2026-03-09", "2026-03-09")
    assert ready.run_key != waiting.run_key == "2026-03-09"
    written(tables.validated_events, 9, 9)
    assert range_asked_for(daily_features, tables) == ("2026-03-05", "2026-03-09")


def test_a_hole_that_nobody_filled_keeps_no_later_snapshot_back(tables):
    written(tables.validated_events, 3, 3, month=2)
    written(tables.validated_events, 5, 28, month=2)  # the snapshots up to 5 March count the 4th
    written(tables.validated_events, 1, 9)
    for table in (tables.user_features, tables.item_features):
        written(table, 3, 3, month=2)
    asked = {request.run_key: range_of(request) for request in asked_for(daily_features, tables)}
    assert asked == {
        "2026-03-09": ("2026-03-06", "2026-03-09"),
        "2026-03-09 missed": ("2026-02-24", "2026-03-05"),
    }


def test_of_missed_days_the_applications_say_what_they_were_and_write_to_nobody(tables):
    written(tables.user_features, 1, 9)
    written(tables.user_segments, 1, 4)
    written(tables.user_segments, 7, 7)
    own, missed = asked_for(daily_applications, tables)
    assert (range_of(own), own.asset_selection) == (("2026-03-09", "2026-03-09"), None)
    assert range_of(missed) == ("2026-03-05", "2026-03-06")
    assert {key.to_user_string() for key in missed.asset_selection} == {"user_segments", "insights_report"}
    assert own.run_key != missed.run_key


def test_a_missed_day_without_features_waits_for_them_and_keeps_no_other_back(tables):
    written(tables.user_segments, 1, 4)
    written(tables.user_features, 1, 5)
    written(tables.user_features, 7, 9)
    _, missed = asked_for(daily_applications, tables)
    assert range_of(missed) == ("2026-03-05", "2026-03-05")
    written(tables.user_segments, 5, 5)
    _, missed = asked_for(daily_applications, tables)
    assert range_of(missed) == ("2026-03-07", "2026-03-08")


def test_what_is_missed_for_longer_is_left_to_a_backfill_and_named(tables, capfd):
    for table in (tables.user_features, tables.item_features):
        written(table, 1, 2, month=2)
    first, last = range_asked_for(daily_features, tables)
    assert (date.fromisoformat(last) - date.fromisoformat(first)).days + 1 == CATCH_UP_DAYS
    assert "lacks 21 days from 2026-02-03 to 2026-02-23" in capfd.readouterr().err


def test_days_before_the_first_are_not_missed():
    long_ago, until = date(2026, 1, 1), date(2026, 3, 9)
    assert missing_days([[], []], long_ago, until) == []
    assert missing_days([[date(2026, 3, 7)]], long_ago, until) == [date(2026, 3, 8), until]
    assert missing_days([[date(2026, 3, 7)]], until, until) == [until]
    assert missing_days([[date(2026, 3, 7)]], until + timedelta(days=1), until) == []
