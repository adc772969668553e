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
    """How long ago the newest day ended; None where nothing was ever written."""
    if newest is None:
        return None
    return now - datetime(newest.year, newest.month, newest.day, tzinfo=UTC) - timedelta(days=1)


@dg.sensor(minimum_interval_seconds=900, default_status=dg.DefaultSensorStatus.STOPPED)
def freshness_alert(
    context: dg.SensorEvaluationContext, tables: dg.ResourceParam[Tables], alerts: dg.ResourceParam[Alerts]
) -> dg.SkipReason:
    """Alert once a day while the newest day of `validated_events` is too old."""
    days = tables.validated_events.days()
    age = staleness(days[-1] if days else None, datetime.now(UTC))
    if age is None:
        return dg.SkipReason("no day was ever ingested")
    if age <= STALE_AFTER:
        return dg.SkipReason(f"validated_events is fresh: its newest day, {days[-1]}, ended {age} ago")
    told = f"{days[-1]} {datetime.now(UTC).date()}"
    if context.cursor != told:
        alerts.send(
            "validated_events is stale",
            f"The newest day is {days[-1]}; it ended {age} ago. Look at the runs of ingest_job and at the sources.",
            {"asset": "validated_events"},
        )
        context.update_cursor(told)
    return dg.SkipReason(f"validated_events is stale since {days[-1]}; alerted once today")
