"""Which daily partition a record belongs to: one rule, so that each record has exactly one."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from intent_tracking.events.contract import Event
from intent_tracking.events.quarantine import Quarantined, QuarantineReason, refuse

LOOKBACK_DAYS: Final = 3
"""How many days late an event may arrive. Schedules re-materialize this many days; no training set ends younger."""
CLOCK_AHEAD: Final = timedelta(minutes=5)
"""How far the sender's clock may run ahead. A lead is judged as a duration: that of a date begins at any second."""
LATE_ROTATION: Final = timedelta(minutes=5)
"""How long after midnight a log file may still be written to whose name has the date before."""


def partition_day(event_time: datetime | None, received_time: datetime) -> date:
    """The event's UTC date if it arrived 0 to `LOOKBACK_DAYS` days after it, else the date of arrival (both UTC).

    A record filed under its arrival has a clock that was over midnight first (`on_arrival`), or is one that validation
    refuses: too late, from the future, or without a time.
    """
    arrival = received_time.date()
    if event_time is None or arrival_problem(event_time, received_time) is not None:
        return arrival
    return min(event_time.date(), arrival)


def on_arrival(event: Event) -> Event:
    """The event, at the last moment of the UTC day on which it arrived where its clock was over midnight first.

    So its day is that of its partition. Other leads stay: to set them to the arrival would lose the order in a batch.
    """
    end = datetime.combine(event.received_time.date(), time.max, UTC)
    return event if event.event_time <= end else event.model_copy(update={"event_time": end})


def arrival_problem(event_time: datetime, received_time: datetime) -> QuarantineReason | None:
    """Why an event may not enter its day any more, or not yet; `None` where it arrived in time."""
    if event_time - received_time > CLOCK_AHEAD:
        return QuarantineReason.FROM_THE_FUTURE
    days_late = (received_time.date() - event_time.date()).days
    return QuarantineReason.TOO_LATE if days_late > LOOKBACK_DAYS else None


def arrival_refusal(event_time: datetime, received_time: datetime) -> Quarantined | None:
    """The refusal of an event that `arrival_problem` speaks against, at the door as in validation."""
    problem = arrival_problem(event_time, received_time)
    if problem is None:
        return None
    times = f"event_time {event_time.isoformat()}, received {received_time.isoformat()}"
    minutes = CLOCK_AHEAD // timedelta(minutes=1)
    rule = f"on its UTC day or at most {LOOKBACK_DAYS} days later, by a clock that is at most {minutes} minutes ahead"
    return refuse(problem, f"{times}: an event arrives {rule}")


def arrival_of_dated(event_time: datetime | None, file_date: date) -> datetime:
    """When a record arrived of which the date of its file alone is known: by the end of that date.

    What happened in the minutes after it was written before the log rotated, and arrived as it happened.
    """
    end = datetime.combine(file_date, time.max, UTC)
    if event_time is not None and end < event_time <= end + LATE_ROTATION:
        return event_time
    return end


def file_dates(days: list[date]) -> tuple[date, date]:
    """First and last date of files that can hold a record of `days`, where their date tells when it arrived."""
    return min(days) - timedelta(days=1), max(days) + timedelta(days=LOOKBACK_DAYS)
