"""Every record has one partition, and only a timely event that of its own date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.events.arrival import LOOKBACK_DAYS, arrival_problem, partition_day
from intent_tracking.events.quarantine import QuarantineReason

pytestmark = pytest.mark.unit

ARRIVAL = datetime(2026, 1, 10, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event_time", "day", "problem"),
    [
        (datetime(2026, 1, 10, 23, 59, tzinfo=UTC), 10, None),
        (datetime(2026, 1, 9, 23, 59, tzinfo=UTC), 9, None),
        (datetime(2026, 1, 7, 0, 0, tzinfo=UTC), 7, None),
        (datetime(2026, 1, 6, 23, 59, tzinfo=UTC), 10, QuarantineReason.TOO_LATE),
        (datetime(2026, 1, 11, 0, 0, tzinfo=UTC), 10, QuarantineReason.FROM_THE_FUTURE),
    ],
)
def test_the_day_of_an_event(event_time: datetime, day: int, problem: QuarantineReason | None) -> None:
    assert partition_day(event_time, ARRIVAL).day == day
    assert arrival_problem(event_time, ARRIVAL) == problem


def test_a_record_without_a_time_stands_under_its_arrival() -> None:
    assert partition_day(None, ARRIVAL) == ARRIVAL.date()


@given(st.timedeltas(timedelta(days=-9), timedelta(days=9)))
def test_an_accepted_event_arrived_within_the_lookback_of_its_partition(gap: timedelta) -> None:
    event_time = ARRIVAL - gap
    day = partition_day(event_time, ARRIVAL)
    assert 0 <= (ARRIVAL.date() - day).days <= LOOKBACK_DAYS
    assert (arrival_problem(event_time, ARRIVAL) is None) == (day == event_time.date() and gap.days < 4)
