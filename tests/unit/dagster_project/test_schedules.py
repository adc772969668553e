"""Which days a schedule asks for."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from dagster_project.defs.applications.jobs import daily_applications, daily_risk_lookback
from dagster_project.defs.features.jobs import daily_features
from dagster_project.defs.ingestion.jobs import daily_ingestion
from dagster_project.defs.monitoring.jobs import daily_drift_check
from dagster_project.partitions import CATCH_UP_DAYS, missing_days
from dagster_project.resources.tables import Tables
from intent_tracking.features.batch import AVAILABLE_AFTER
from intent_tracking.features.derived import DERIVED_AFTER
from intent_tracking.tables import DayTable

pytestmark = pytest.mark.unit

TICK = datetime(2026, 3, 10, 1, 15, tzinfo=UTC)


@pytest.fixture
def tables(tmp_path):
    return Tables(tmp_path)


def asked_for(schedule, tables):
    with dg.build_schedule_context(scheduled_execution_time=TICK, resources={"tables": tables}) as context:
        return schedule.evaluate_tick(context).run_requests


def range_of(request):
    return request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]


def range_asked_for(schedule, tables):
    (request,) = asked_for(schedule, tables)
    return range_of(request)


def written(table: DayTable, first: int, last: int, month: int = 3) -> None:
    for day in range(first, last + 1):
        table.write(date(2026, month, day), table.schema.empty_table())


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


def test_nights_that_were_missed_are_made_up_for(tables):
    # Down in the nights to the 6th, 7th, 8th and 9th of March: 5 to 8 March are on no disk. Dagster repeats no tick.
    for table in (tables.raw_events, tables.user_features, tables.served_predictions, tables.risk_scores):
        written(table, 1, 4)
    # What came late to 2 to 4 March came in those nights, too, and sessions reach from the 1st into them.
    assert range_asked_for(daily_ingestion, tables) == ("2026-03-01", "2026-03-09")
    assert range_asked_for(daily_features, tables) == ("2026-03-05", "2026-03-09")
    assert range_asked_for(daily_drift_check, tables) == ("2026-03-02", "2026-03-09")
    assert range_asked_for(daily_risk_lookback, tables) == ("2026-03-01", "2026-03-08")


def test_of_missed_days_the_applications_say_what_they_were_and_write_to_nobody(tables):
    written(tables.user_segments, 1, 4)
    written(tables.user_segments, 7, 7)
    own, missed = asked_for(daily_applications, tables)
    assert (range_of(own), own.asset_selection) == (("2026-03-09", "2026-03-09"), None)
    assert range_of(missed) == ("2026-03-05", "2026-03-06")
    assert {key.to_user_string() for key in missed.asset_selection} == {"user_segments", "insights_report"}
    assert own.run_key != missed.run_key


def test_what_is_missed_for_longer_is_left_to_a_backfill_and_named(tables, capfd):
    written(tables.user_features, 1, 2, month=2)
    first, last = range_asked_for(daily_features, tables)
    assert (date.fromisoformat(last) - date.fromisoformat(first)).days + 1 == CATCH_UP_DAYS
    assert "lacks 21 days from 2026-02-03 to 2026-02-23" in capfd.readouterr().err


def test_days_before_the_first_are_not_missed():
    assert missing_days([], date(2026, 3, 9)) == []
    assert missing_days([date(2026, 3, 7)], date(2026, 3, 9)) == [date(2026, 3, 8), date(2026, 3, 9)]
