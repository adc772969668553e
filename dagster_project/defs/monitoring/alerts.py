"""What people are told without asking: failed runs, and data that stopped coming."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from dagster_project.resources.alerts import Alerts
from dagster_project.resources.tables import Tables

STALE_AFTER = timedelta(hours=30)  # a day is ingested soon after it ends; six hours of delay are no news


@dg.run_failure_sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def failure_alert(context: dg.RunFailureSensorContext, alerts: dg.ResourceParam[Alerts]) -> None:
    """Tell who is on duty that a run failed, with the step and its error."""
    run = context.dagster_run
    steps = "; ".join(
        f"{event.step_key}: {_cause(event.event_specific_data.error)[:500]}"
        for event in context.get_step_failure_events()
        if event.event_specific_data is not None and event.event_specific_data.error is not None
    )
    alerts.send(
        f"{run.job_name} failed",
        steps or context.failure_event.message or "the run ended without a message",
        {"run_id": run.run_id, "job": run.job_name, **{k: v for k, v in run.tags.items() if "partition" in k}},
    )


def _cause(error: SerializableErrorInfo) -> str:
    """What went wrong at the root: the outer errors only say which step it was."""
    while error.cause is not None:
        error = error.cause
    return str(error.message).strip()


def staleness(newest: date | None, now: datetime) -> timedelta | None:
    """How long ago the newest day ended; None where nothing was ever accepted."""
    if newest is None:
        return None
    return now - datetime(newest.year, newest.month, newest.day, tzinfo=UTC) - timedelta(days=1)


def missed_days(tables: Tables, newest: date, today: date) -> list[date]:
    """The days after `newest`, a week of them at most, that are over and should have events.

    One that was never ingested counts; one that was, and has none, where its weekday usually has some.
    """
    from intent_tracking.events.volume import SILENT_DAYS, is_expected, records_in, weeks_before

    written = set(tables.validated_events.days())
    empty = [day for n in range(1, SILENT_DAYS + 1) if (day := newest + timedelta(days=n)) < today]
    history = sorted(written.intersection(before for day in empty for before in weeks_before(day)))
    accepted = {day: records_in(tables.validated_events, day) for day in history}
    return [day for day in empty if day not in written or is_expected(day, accepted)]


@dg.sensor(minimum_interval_seconds=900, default_status=dg.DefaultSensorStatus.STOPPED)
def freshness_alert(
    context: dg.SensorEvaluationContext, tables: dg.ResourceParam[Tables], alerts: dg.ResourceParam[Alerts]
) -> dg.SkipReason:
    """Alert once a day while the newest day of `validated_events` that has events is too old."""
    events = tables.validated_events
    newest = next((day for day in reversed(events.days()) if events.row_count(day)), None)
    now = datetime.now(UTC)
    age = staleness(newest, now)
    if newest is None or age is None:
        return dg.SkipReason("no event was ever accepted")
    if age <= STALE_AFTER:
        return dg.SkipReason(f"validated_events is fresh: the newest day with events, {newest}, ended {age} ago")
    missed = missed_days(tables, newest, now.date())
    if not missed:
        return dg.SkipReason(f"no event since {newest}, on days on which this shop usually has none")
    told = f"{newest} {now.date()}"
    if context.cursor != told:
        alerts.send(
            "validated_events is stale",
            f"The newest day with events is {newest}; it ended {age} ago, and {missed[0]} should have some. Look at "
            "the runs of ingest_job, at the sources and at quarantined_events.",
            {"asset": "validated_events"},
        )
        context.update_cursor(told)
    return dg.SkipReason(f"validated_events is stale since {newest}; alerted once today")
