"""The decision to train again: drift summaries and the history of runs in, one run request or a reason why not out."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from dagster_project.defs.training.assets import ExamplesConfig
from dagster_project.defs.training.jobs import DRIFT_WINDOW_TAG, retrain_job
from intent_tracking.events.arrival import LOOKBACK_DAYS
from intent_tracking.settings import Settings

if TYPE_CHECKING:
    from intent_tracking.evaluation.drift import DriftSummary

# Fewer drifted days than this teach a model little of what is new.
LEARN_DAYS = 3

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


def drifting_since(history: "Sequence[DriftSummary]") -> date:
    """First day of the unbroken row of drifted windows that ends with the newest one; windows without a verdict count
    for neither side.
    """
    row: list[DriftSummary] = []
    for summary in sorted((s for s in history if s.enough), key=lambda s: s.window_end, reverse=True):
        if not summary.drifted:
            break
        row.append(summary)
    return row[-1].window_start.date()


def learnable_on(first_drifted: date) -> date:
    """First day after which a training set holds `LEARN_DAYS` drifted days to learn from.

    Late events settle after the lookback, and the last settled days are kept for the test. A retraining before would
    learn from days without the drift: it would cost a training, change nothing and start the cool-down.
    """
    return first_drifted + timedelta(days=LOOKBACK_DAYS + ExamplesConfig().test_days + LEARN_DAYS - 1)


@dg.sensor(job=retrain_job, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.STOPPED)
def drift_sensor(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a retraining when the live model's traffic has drifted for long enough, never while one runs.

    The clock is that of the windows: the newest of them ends now, so that a replay of old days decides as it would have
    then. Only windows of the model that is live now count, held against its own normal.
    """
    from dagster_project.defs.monitoring.windows import drift_history, held_against_another
    from dagster_project.versions import live_model_version
    from intent_tracking.evaluation.retraining import should_retrain

    live = live_model_version(settings.release_file)
    history = [
        summary
        for summary in drift_history(settings.drift)
        if live is None or (summary.model_version in (None, live) and not held_against_another(summary))
    ]
    newest = max((summary.window_end for summary in history), default=None)
    decision = should_retrain(
        history,
        running=is_retraining(context.instance),
        last_retraining=last_request(context.instance),
        now=newest or datetime.now().astimezone(),
    )
    if not decision.retrain or newest is None:
        return dg.SkipReason(decision.reason)
    last_day = (newest - timedelta(days=1)).date()
    since = drifting_since(history)
    if last_day < learnable_on(since):
        return dg.SkipReason(
            f"{decision.reason}; the retraining waits for the end of {learnable_on(since)}: before, fewer "
            f"than {LEARN_DAYS} drifted days are settled and outside the days kept for the test"
        )
    context.log.info(decision.reason)
    return dg.RunRequest(
        run_key=f"drift-{live or 'first'}-{newest.date()}",
        tags={DRIFT_WINDOW_TAG: newest.isoformat(), "intent/reason": decision.reason[:250]},
    )
