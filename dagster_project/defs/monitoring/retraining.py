"""The decision to train again: drift summaries and the history of runs in, one run request or a reason why not out."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from dagster_project.defs.training.jobs import DRIFT_WINDOW_TAG, retrain_job
from intent_tracking.settings import Settings

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def is_retraining(instance: dg.DagsterInstance) -> bool:
    """Whether a retraining is queued or runs."""
    return instance.get_runs_count(dg.RunsFilter(job_name=retrain_job.name, statuses=UNFINISHED)) > 0


def last_request(instance: dg.DagsterInstance) -> datetime | None:
    """End of the newest window for which drift asked for a retraining, whatever became of it."""
    runs: Sequence[dg.DagsterRun] = instance.get_runs(dg.RunsFilter(job_name=retrain_job.name), limit=200)
    windows = [datetime.fromisoformat(run.tags[DRIFT_WINDOW_TAG]) for run in runs if DRIFT_WINDOW_TAG in run.tags]
    return max(windows, default=None)


@dg.sensor(job=retrain_job, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.STOPPED)
def drift_sensor(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a retraining when the live model's traffic has drifted for long enough, never while one runs.

    The clock is that of the windows: the newest of them ends now, so that a replay of old days decides as it would have
    then. Only windows of the model that is live now count.
    """
    from dagster_project.defs.monitoring.windows import drift_history
    from dagster_project.versions import live_model_version
    from intent_tracking.evaluation.retraining import should_retrain

    live = live_model_version(settings.release_file)
    history = [s for s in drift_history(settings.drift) if live is None or s.model_version in (None, live)]
    newest = max((summary.window_end for summary in history), default=None)
    decision = should_retrain(
        history,
        running=is_retraining(context.instance),
        last_retraining=last_request(context.instance),
        now=newest or datetime.now().astimezone(),
    )
    if not decision.retrain or newest is None:
        return dg.SkipReason(decision.reason)
    context.log.info(decision.reason)
    return dg.RunRequest(
        run_key=f"drift-{live or 'first'}-{newest.date()}",
        tags={DRIFT_WINDOW_TAG: newest.isoformat(), "intent/reason": decision.reason[:250]},
    )
