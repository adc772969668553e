"""When the sensor asks for a retraining, and the reason that it gives when it does not."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from dagster_project.defs.monitoring.retraining import drift_sensor
from dagster_project.defs.training.jobs import DRIFT_WINDOW_TAG
from dagster_project.resources.alerts import Alerts
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
    context = dg.build_sensor_context(instance=instance, resources={"settings": settings, "alerts": Alerts()})
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


def test_a_calm_day_in_between_neither_ends_the_drift_nor_is_learned_from_as_one(settings, instance):
    drifting(settings, 0, 1)
    measured(settings, 2, drifted=False)
    drifting(settings, 3, LEARNABLE)
    said = why_not(settings, instance)
    assert f"waits for the end of {day(LEARNABLE + 1)}" in said
    assert f"2 of 7 drifted days since {day(0)} are settled and outside the days kept for the test, 3 needed" in said

    drifting(settings, LEARNABLE + 1, LEARNABLE + 1)

    asked(settings, instance)


def test_drift_on_six_days_of_seven_asks_as_soon_as_it_can_be_learned_from(settings, instance):
    """No row of drifted windows is ever as long as the wait for settled days."""
    answers = []
    for number in range(14):
        measured(settings, number, drifted=number % 7 != 6)
        answers.append(isinstance(tick(settings, instance), dg.RunRequest))
    assert answers.index(True) == LEARNABLE + 1  # on the day before, a single window has drifted after the calm one


def test_a_drift_of_weekends_alone_asks_once_two_of_them_can_be_learned_from(settings, instance):
    for number in range(21):
        measured(settings, number, drifted=number % 7 in (5, 6))
        answer = tick(settings, instance)
    assert isinstance(answer, dg.RunRequest)


def test_a_calm_week_ends_a_drift(settings, instance):
    drifting(settings, 0, 5)
    for number in range(6, 13):
        measured(settings, number, drifted=False)
    drifting(settings, 13, 14)
    said = why_not(settings, instance)
    assert f"0 of 2 drifted days since {day(13)}" in said
    assert f"waits for the end of {day(13 + LEARNABLE)}" in said


def test_a_day_with_too_few_sessions_does_not_end_the_row_and_is_not_one_to_learn_from(settings, instance):
    drifting(settings, 0, LEARNABLE)
    measured(settings, 2, drifted=False, sessions=30)
    said = why_not(settings, instance)
    assert f"{LEARNABLE} windows in a row" in said
    assert f"waits for the end of {day(LEARNABLE + 1)}" in said


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


def released(settings: Settings, versions: dict[str, datetime]) -> None:
    """Publish each version, as it was done at its time."""
    from intent_tracking.release import publish, read_release
    from tests.artifacts import tiny_component

    for version, moment in versions.items():
        release = publish(settings.release_file, {"intent_model": tiny_component(settings.home, version)}, "retrained")
        at_its_time = release.model_copy(update={"created_at": moment}).model_dump_json(exclude_none=True)
        settings.release_file.write_text(at_its_time)
        (settings.release_file.parent / "releases" / f"{release.number}.json").write_text(at_its_time)
        assert read_release(settings.release_file).created_at == moment


def morning(number: int) -> datetime:
    return datetime.combine(day(number), datetime.min.time(), tzinfo=UTC) + timedelta(hours=5)


def test_a_service_that_stays_with_the_model_before_its_release_is_told_of_and_its_drift_counts(
    settings, instance, caplog
):
    """A release that timed out stands, and a service that refuses it later goes on with the model before."""
    released(settings, {"v1": morning(-9), "v2": morning(-1)})
    for number in range(LEARNABLE):
        measured(settings, number, drifted=True, model="v1")
    with caplog.at_level("WARNING", logger="dagster_project.alerts"):
        said = why_not(settings, instance)
    assert "windows in a row drifted" in said
    assert "the release names model v2, but v1 answers" in said
    assert "The service does not serve the released model" in caplog.text

    measured(settings, LEARNABLE, drifted=True, model="v1")

    assert "v1" in str(asked(settings, instance).run_key)


def test_the_alert_of_a_model_that_does_not_come_is_sent_once(settings, instance, caplog):
    released(settings, {"v1": morning(-9), "v2": morning(-1)})
    measured(settings, 0, drifted=False, model="v1")
    resources = {"settings": settings, "alerts": Alerts()}
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        drift_sensor(context)
        assert len(caplog.records) == 1
        drift_sensor(context)
    assert len(caplog.records) == 1


def test_the_windows_before_a_switch_do_not_say_that_the_service_did_not_switch(settings, instance, caplog):
    released(settings, {"v1": morning(-9), "v2": morning(1)})
    drifting_of_v1 = range(2)
    for number in drifting_of_v1:
        measured(settings, number, drifted=True, model="v1")
    said = why_not(settings, instance)
    assert "no drift has been measured" in said
    assert "2 windows are of another model than v2" in said
    assert not caplog.records


def test_a_release_of_an_application_does_not_make_the_model_younger(settings, instance):
    from intent_tracking.release import read_release

    released(settings, {"v1": morning(-9), "v2": morning(-1)})
    model = read_release(settings.release_file)
    again = model.model_copy(update={"number": 3, "created_at": morning(1), "reason": "a new index"})
    for path in (settings.release_file, settings.release_file.parent / "releases" / "3.json"):
        path.write_text(again.model_dump_json(exclude_none=True))
    measured(settings, 0, drifted=True, model="v1")
    assert "but v1 answers" in why_not(settings, instance)


def test_a_drift_that_no_verdict_has_followed_for_as_long_as_a_training_looks_back_asks_for_nothing(settings, instance):
    # Cause: windows with a verdict were all older than the days that a training learns from, and the tick failed.
    drifting(settings, 0, 3)
    measured(settings, 70, drifted=False, sessions=10)
    answer = tick(settings, instance)
    assert isinstance(answer, dg.SkipReason)
    assert "has a verdict" in answer.skip_message
