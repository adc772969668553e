"""When the sensor asks for a retraining, and the reason that it gives when it does not."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from dagster_project.defs.monitoring.retraining import drift_sensor
from dagster_project.defs.training.jobs import DRIFT_WINDOW_TAG
from dagster_project.resources.drift_report import SUMMARY_FILE
from intent_tracking.evaluation.drift import DriftSummary
from intent_tracking.evaluation.report import write_report
from intent_tracking.settings import Settings

pytestmark = pytest.mark.unit

MONDAY = date(2026, 3, 2)
# Of a drift that begins on day 0, three days can be learned from on day 2; two more are kept for the test, and all of
# them are settled three days later.
LEARNABLE = 7


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def measured(
    settings: Settings,
    number: int,
    *,
    drifted: bool,
    sessions: int = 500,
    model: str | None = None,
    left_out: dict[str, str] | None = None,
) -> None:
    start = datetime.combine(day(number), datetime.min.time(), tzinfo=UTC)
    summary = DriftSummary(
        window_start=start,
        window_end=start + timedelta(days=1),
        model_version=model,
        enough=sessions >= 200,
        drifted=drifted,
        reason="6 of 15 columns drifted" if drifted else "0 of 15 columns drifted",
        share=0.4 if drifted else 0.0,
        reference_size=500,
        current_size=sessions,
        columns=(),
        left_out=left_out or {},
    )
    write_report(settings.drift / day(number).isoformat() / SUMMARY_FILE, summary.to_dict())


def drifting(settings: Settings, first: int, last: int) -> None:
    for number in range(first, last + 1):
        measured(settings, number, drifted=True)


def tick(settings: Settings, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_sensor_context(instance=instance, resources={"settings": settings})
    answer = drift_sensor(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def asked(settings: Settings, instance: dg.DagsterInstance) -> dg.RunRequest:
    answer = tick(settings, instance)
    assert isinstance(answer, dg.RunRequest), answer
    return answer


def why_not(settings: Settings, instance: dg.DagsterInstance) -> str:
    answer = tick(settings, instance)
    assert isinstance(answer, dg.SkipReason), answer
    return str(answer.skip_message)


def retraining(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str]) -> None:
    @dg.op
    def step() -> None: ...

    @dg.job
    def retrain_job() -> None:
        step()

    instance.create_run_for_job(retrain_job, status=status, tags=tags)


def test_nothing_was_measured_yet(settings, instance):
    assert "no drift has been measured" in why_not(settings, instance)


def test_calm_days_ask_for_nothing(settings, instance):
    for number in range(4):
        measured(settings, number, drifted=False)
    assert "no drift in the newest window" in why_not(settings, instance)


def test_one_drifted_day_is_not_enough(settings, instance):
    measured(settings, 0, drifted=False)
    measured(settings, 1, drifted=True)
    assert "1 drifted in a row, 2 needed" in why_not(settings, instance)


def test_days_with_too_few_sessions_decide_nothing(settings, instance):
    for number in range(3):
        measured(settings, number, drifted=True, sessions=30)
    assert "too few samples" in why_not(settings, instance)


def test_drift_that_no_training_set_could_hold_yet_waits_and_says_until_when(settings, instance):
    drifting(settings, 0, LEARNABLE - 1)
    said = why_not(settings, instance)
    assert f"waits for the end of {day(LEARNABLE)}" in said
    assert "windows in a row drifted" in said


def test_drift_that_can_be_learned_from_asks_for_one_retraining_named_after_the_window(settings, instance):
    drifting(settings, 0, LEARNABLE)

    request = asked(settings, instance)

    assert day(LEARNABLE + 1).isoformat() in request.run_key
    assert datetime.fromisoformat(request.tags[DRIFT_WINDOW_TAG]).date() == day(LEARNABLE + 1)
    assert asked(settings, instance).run_key == request.run_key


def test_a_calm_day_ends_the_row(settings, instance):
    drifting(settings, 0, 3)
    measured(settings, 4, drifted=False)
    drifting(settings, 5, 6)
    assert f"waits for the end of {day(5 + LEARNABLE)}" in why_not(settings, instance)


def test_a_day_with_too_few_sessions_does_not_end_the_row(settings, instance):
    drifting(settings, 0, LEARNABLE)
    measured(settings, 2, drifted=False, sessions=30)
    asked(settings, instance)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_never_while_a_retraining_waits_or_runs(settings, instance, status):
    drifting(settings, 0, LEARNABLE)
    retraining(instance, status, {})
    assert "a retraining is running" in why_not(settings, instance)


@pytest.mark.parametrize(("selected", "trains"), [("intent_model", True), ("user_features", False)])
def test_a_model_that_a_person_trains_alone_is_a_retraining_too(settings, instance, selected, trains):
    @dg.asset(name=selected)
    def made_alone() -> None: ...

    drifting(settings, 0, LEARNABLE)
    job = dg.Definitions(assets=[made_alone]).resolve_implicit_global_asset_job_def()
    instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset({dg.AssetKey(selected)})
    )
    assert isinstance(tick(settings, instance), dg.SkipReason) is trains


def test_drift_that_was_asked_for_is_not_asked_for_again_whatever_became_of_the_run(settings, instance):
    drifting(settings, 0, LEARNABLE)
    retraining(instance, dg.DagsterRunStatus.FAILURE, dict(asked(settings, instance).tags))
    assert "no window has begun since" in why_not(settings, instance)


def test_drift_that_goes_on_waits_for_the_cool_down_and_then_asks_again(settings, instance):
    drifting(settings, 0, LEARNABLE)
    first = asked(settings, instance)
    retraining(instance, dg.DagsterRunStatus.SUCCESS, dict(first.tags))
    drifting(settings, LEARNABLE + 1, LEARNABLE + 2)
    assert "cool-down" in why_not(settings, instance)

    drifting(settings, LEARNABLE + 3, LEARNABLE + 3)

    assert asked(settings, instance).run_key != first.run_key


def test_what_was_measured_of_a_model_that_is_no_longer_live_does_not_count(settings, instance):
    from intent_tracking.release import Component, publish
    from tests.artifacts import tiny_artifact

    tiny_artifact(settings.models / "v2", "v2")
    publish(settings.release_file, {"intent_model": Component.of(settings.models / "v2")}, "retrained by hand")
    measured(settings, 0, drifted=True, model="v1")
    measured(settings, 1, drifted=True, model="v1")
    assert "no drift has been measured" in why_not(settings, instance)


def test_what_was_held_against_the_answers_of_another_model_does_not_count(settings, instance):
    from intent_tracking.release import Component, publish
    from tests.artifacts import tiny_artifact

    tiny_artifact(settings.models / "v2", "v2")
    publish(settings.release_file, {"intent_model": Component.of(settings.models / "v2")}, "retrained")
    for number in range(LEARNABLE + 1):
        measured(settings, number, drifted=True, model="v2", left_out={"intent": "answered by another model version"})
    assert "no drift has been measured" in why_not(settings, instance)
