"""Which days a schedule asks for."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from dagster_project.defs.applications.jobs import daily_applications, daily_risk_lookback
from dagster_project.defs.features.jobs import daily_features
from dagster_project.defs.ingestion.jobs import daily_ingestion
from dagster_project.defs.monitoring.jobs import daily_drift_check
from intent_tracking.features.batch import AVAILABLE_AFTER
from intent_tracking.features.derived import DERIVED_AFTER

pytestmark = pytest.mark.unit

TICK = datetime(2026, 3, 10, 1, 15, tzinfo=UTC)


def range_asked_for(schedule):
    (request,) = schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=TICK)).run_requests
    return request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]


def test_ingestion_makes_yesterday_the_three_days_of_late_events_and_the_sessions_that_reach_into_them():
    # Late events change 6 to 9 March; a session that starts on the 5th may run past midnight into the 6th.
    assert range_asked_for(daily_ingestion) == ("2026-03-05", "2026-03-09")


def test_features_look_at_yesterday():
    assert range_asked_for(daily_features) == ("2026-03-09", "2026-03-09")


def test_drift_looks_at_yesterday_and_at_the_days_whose_late_events_were_answered_since():
    assert range_asked_for(daily_drift_check) == ("2026-03-06", "2026-03-09")


def test_features_are_online_when_the_training_join_takes_them_for_served():
    minute, hour, *_ = daily_features.cron_schedule.split()
    assert timedelta(hours=int(hour), minutes=int(minute)) < AVAILABLE_AFTER


def test_applications_look_at_yesterday_once_its_features_are_there_and_are_online_when_their_rows_say_so():
    assert range_asked_for(daily_applications) == ("2026-03-09", "2026-03-09")
    minute, hour, *_ = daily_applications.cron_schedule.split()
    assert AVAILABLE_AFTER < timedelta(hours=int(hour), minutes=int(minute)) < DERIVED_AFTER


def test_sessions_that_came_late_are_scored_too_on_the_days_that_ingestion_made_again():
    assert range_asked_for(daily_risk_lookback) == ("2026-03-05", "2026-03-08")
    assert range_asked_for(daily_risk_lookback)[0] == range_asked_for(daily_ingestion)[0]


def test_a_tick_that_is_evaluated_twice_asks_for_the_same_run():
    keys = {
        daily_ingestion.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=TICK)).run_requests[0].run_key
        for _ in range(2)
    }
    assert keys == {"2026-03-09"}
