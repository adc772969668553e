"""The decision to train again: drift summaries and the history of runs in, one run request or a reason why not out."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from dagster_project.defs.training.assets import ExamplesConfig
from dagster_project.defs.training.jobs import DRIFT_WINDOW_TAG, retrain_job
from dagster_project.resources.alerts import Alerts
from intent_tracking.events.arrival import LOOKBACK_DAYS
from intent_tracking.settings import Settings

if TYPE_CHECKING:
    from intent_tracking.evaluation.drift import DriftSummary

# Fewer drifted days than this teach a model little of what is new.
LEARN_DAYS = 3
# So many calm windows in a row end a drift: a drift of some weekdays alone shows on none of them in between.
CALM_WEEK = 7

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def is_retraining(instance: dg.DagsterInstance) -> bool:
    """Whether a run that trains a model is queued or runs: the retraining, or the model alone, started by a person."""
    model = dg.AssetKey("intent_model")
    return any(
        run.job_name == retrain_job.name or model in (run.asset_selection or ())
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    )


def last_request(instance: dg.DagsterInstance) -> datetime | None:
    """End of the newest window for which drift asked for a retraining, whatever became of it."""
    runs: Sequence[dg.DagsterRun] = instance.get_runs(dg.RunsFilter(job_name=retrain_job.name), limit=200)
    windows = [datetime.fromisoformat(run.tags[DRIFT_WINDOW_TAG]) for run in runs if DRIFT_WINDOW_TAG in run.tags]
    return max(windows, default=None)


def drifted_days(history: "Sequence[DriftSummary]", since: date) -> list[date]:
    """Days from `since` on that belong to the drift that goes on, oldest first.

    They need not be a row: what drifts on six days of seven is there to be learned from. Windows without a verdict
    count for neither side, and `CALM_WEEK` calm ones in a row end what was before.
    """
    days: list[date] = []
    calm = 0
    for summary in sorted((s for s in history if s.enough), key=lambda s: s.window_end, reverse=True):
        calm = 0 if summary.drifted else calm + 1
        if calm == CALM_WEEK or summary.window_start.date() < since:
            break
        if summary.drifted:
            days.append(summary.window_start.date())
    return days[::-1]


def settled_days() -> timedelta:
    """How old a day is when a training learns from it: late events have come, and younger days are the test's.

    A retraining before would learn from days without the drift: it would cost a training, change nothing and start the
    cool-down.
    """
    return timedelta(days=LOOKBACK_DAYS + ExamplesConfig().test_days)


def learnable_on(days: Sequence[date]) -> date:
    """The day at whose end `LEARN_DAYS` of `days`, one or more, can be learned from; of too few, later ones drift."""
    missing = max(LEARN_DAYS - len(days), 0)
    return (days[-1] + timedelta(days=missing) if missing else days[LEARN_DAYS - 1]) + settled_days()


def answering_model(history: "Sequence[DriftSummary]", release_file: Path) -> str | None:
    """The model whose windows count: the released one, unless another gave the answers of a later window.

    A service that does not come over to a release, or refuses it, goes on with the model before; its traffic drifts all
    the same. The window must have begun after the release, so that the days before a switch prove nothing.
    """
    from dagster_project.versions import live_model_since, live_model_version

    live = live_model_version(release_file)
    newest = max((s for s in history if s.model_version is not None), key=lambda s: s.window_end, default=None)
    if newest is None or live in (None, newest.model_version):
        return live
    since = live_model_since(release_file)
    return newest.model_version if since is not None and since <= newest.window_start else live


@dg.sensor(job=retrain_job, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.STOPPED)
def drift_sensor(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], alerts: dg.ResourceParam[Alerts]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a retraining when the live model's traffic has drifted for long enough, never while one runs.

    The clock is that of the windows: the newest of them ends now, so that a replay of old days decides as it would have
    then. Only windows of the model that answers count, held against its own normal. Where that is not the model of the
    release, an alert says so, once.
    """
    from dagster_project.defs.monitoring.windows import drift_history, held_against_another
    from dagster_project.versions import live_model_version
    from intent_tracking.evaluation.retraining import should_retrain

    measured = drift_history(settings.drift)
    live = live_model_version(settings.release_file)
    answers = answering_model(measured, settings.release_file)
    told = ""
    if answers != live:
        told = (
            f"; the release names model {live}, but {answers} answers: the log of the service says why it does not "
            "switch. Mend that, or run rollback_job"
        )
        if context.cursor != f"{live} {answers}":
            alerts.send("The service does not serve the released model", told.removeprefix("; "), {"model": str(live)})
            context.update_cursor(f"{live} {answers}")
    history = [
        summary
        for summary in measured
        if answers is None or (summary.model_version in (None, answers) and not held_against_another(summary))
    ]
    if measured and not history:
        told += f"; {len(measured)} windows are of another model than {answers}, or held against another's answers"
    newest = max((summary.window_end for summary in history), default=None)
    decision = should_retrain(
        history,
        running=is_retraining(context.instance),
        last_retraining=last_request(context.instance),
        now=newest or datetime.now().astimezone(),
    )
    if not decision.retrain or newest is None:
        return dg.SkipReason(decision.reason + told)
    last_day = (newest - timedelta(days=1)).date()
    window = timedelta(days=LOOKBACK_DAYS + ExamplesConfig().window_days - 1)
    days = drifted_days(history, since=last_day - window)
    if not days:
        return dg.SkipReason(
            f"{decision.reason}; no window since {last_day - window} has a verdict, and a retraining learns from no "
            "older day" + told
        )
    if last_day < learnable_on(days):
        old_enough = sum(day + settled_days() <= last_day for day in days)
        return dg.SkipReason(
            f"{decision.reason}; the retraining waits for the end of {learnable_on(days)}: {old_enough} of {len(days)} "
            f"drifted days since {days[0]} are settled and outside the days kept for the test, {LEARN_DAYS} needed"
            + told
        )
    context.log.info(decision.reason + told)
    return dg.RunRequest(
        run_key=f"drift-{answers or 'first'}-{newest.date()}",
        tags={DRIFT_WINDOW_TAG: newest.isoformat(), "intent/reason": decision.reason[:250]},
    )
