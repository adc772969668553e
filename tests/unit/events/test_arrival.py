"""Every record has one partition, and only a timely event that of its own date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.events.arrival import CLOCK_AHEAD, LOOKBACK_DAYS, arrival_problem, on_arrival, partition_day
from intent_tracking.events.quarantine import QuarantineReason
from tests.fakes.session_events import event as made

pytestmark = pytest.mark.unit

ARRIVAL = datetime(2026, 1, 10, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event_time", "day", "problem"),
    [
        (datetime(2026, 1, 10, 0, 10, tzinfo=UTC), 10, None),
        (datetime(2026, 1, 10, 23, 59, tzinfo=UTC), 10, QuarantineReason.FROM_THE_FUTURE),
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


@given(
    st.timedeltas(timedelta(), timedelta(days=3)).map(lambda gap: ARRIVAL + gap),
    st.timedeltas(timedelta(days=-9), timedelta(days=9)) | st.timedeltas(timedelta(minutes=-9), timedelta(minutes=9)),
)
def test_an_accepted_event_is_on_the_day_of_its_partition_within_the_lookback_of_its_arrival(arrival, lead):
    event = made("share").model_copy(update={"event_time": arrival + lead, "received_time": arrival})
    day = partition_day(event.event_time, arrival)
    assert 0 <= (arrival.date() - day).days <= LOOKBACK_DAYS
    placed = on_arrival(event)
    if arrival_problem(event.event_time, arrival) is None:
        assert placed.event_time.date() == day
        assert lead <= CLOCK_AHEAD
    assert timedelta() <= event.event_time - placed.event_time <= max(timedelta(), lead)
    assert on_arrival(placed) == placed


@given(st.lists(st.timedeltas(timedelta(minutes=-10), CLOCK_AHEAD), min_size=2))
def test_the_order_of_what_arrives_together_is_kept_over_midnight(leads):
    arrival = datetime(2026, 1, 10, 23, 58, tzinfo=UTC)
    sent = [
        made("share").model_copy(update={"event_time": arrival + at, "received_time": arrival}) for at in sorted(leads)
    ]
    placed = [on_arrival(event).event_time for event in sent]
    assert placed == sorted(placed)
