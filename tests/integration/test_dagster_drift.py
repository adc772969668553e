"""From what was served to the word of the drift sensor: the real graph, the real suite, the real report."""

from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
import orjson
import pyarrow as pa
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.defs.monitoring.assets import DriftConfig
from dagster_project.defs.monitoring.measure import measure_day, read_compared
from dagster_project.defs.monitoring.retraining import drift_sensor
from dagster_project.defs.monitoring.windows import held_against_another, reference_of
from dagster_project.partitions import range_tags
from dagster_project.resources.alerts import Alerts
from dagster_project.resources.drift_report import SUMMARY_FILE, read_summary
from dagster_project.resources.tables import Tables
from intent_tracking.evaluation.drift import drift_decision
from intent_tracking.evaluation.report import write_report
from intent_tracking.release import publish
from intent_tracking.settings import Settings
from tests.artifacts import tiny_component
from tests.fakes.prediction_tables import START, served

pytestmark = [
    pytest.mark.integration,
    # great_expectations and evidently import modules that Python 3.11 and pandas deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

FIRST = START.date()
DRIFT_FROM = 3
LAST = 4
# The drift goes on until a retraining can learn from it, and for six more days under the model that came of it.
ASKS_ON = DRIFT_FROM + 7
END = ASKS_ON + 6


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def log(settings: Settings, number: int, answers: pa.Table) -> None:
    """Write `answers` as the service would have."""
    folder = settings.prediction_log / f"day={day(number)}"
    folder.mkdir(parents=True)
    lines = b"".join(orjson.dumps(row) + b"\n" for row in answers.to_pylist())
    (folder / "20260101T000000-1-abcdef-0000.jsonl").write_bytes(lines)


def tick(settings: Settings, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    resources = {"settings": settings, "alerts": Alerts()}
    answer = drift_sensor(dg.build_sensor_context(instance=instance, resources=resources))
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Five days of answers of one model, the last two under drift, and their reports."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), first_day=FIRST)
    for number in range(LAST + 1):
        log(settings, number, served(300, seed=number, day=number, drift=0.5 if number >= DRIFT_FROM else 0.0))
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            build_definitions(settings)
            .resolve_job_def("drift_job")
            .execute_in_process(
                tags=range_tags(day(0), day(LAST)),
                instance=instance,
                run_config=dg.RunConfig(ops={"drift_report": DriftConfig(calibration_draws=1)}),
            )
        )
        yield settings, instance, result


def test_what_was_served_meets_its_suite(checked):
    _, _, result = checked
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "served_predictions_valid"]
    assert check.passed
    assert check.metadata["rows"].value > 300 * (LAST + 1)


def test_the_days_of_the_drift_are_found_and_no_other(checked):
    settings, *_ = checked
    verdicts = {n: read_summary(settings.drift / day(n).isoformat()).drifted for n in range(LAST + 1)}
    assert verdicts == {n: n >= DRIFT_FROM for n in range(LAST + 1)}


def test_the_first_day_of_a_model_has_nothing_to_be_held_against(checked):
    settings, *_ = checked
    assert not read_summary(settings.drift / day(0).isoformat()).enough


def test_drifted_days_do_not_become_the_normal_that_later_days_are_held_against(checked):
    settings, *_ = checked
    reference = reference_of(settings, Tables(settings.tables), day(LAST), reference_days=7)
    found = {moment.date() for moment in reference["event_time"].to_pylist()}
    assert found == {day(number) for number in range(DRIFT_FROM)}


def test_the_normal_of_a_model_is_its_first_days_and_does_not_move_along(checked):
    settings, *_ = checked
    reference = reference_of(settings, Tables(settings.tables), day(2), reference_days=1)
    assert {moment.date() for moment in reference["event_time"].to_pylist()} == {day(0)}


def test_each_compared_day_has_a_page_to_open(checked):
    settings, *_ = checked
    for number in range(1, LAST + 1):
        assert "<html" in (settings.drift / day(number).isoformat() / "report.html").read_text("utf-8")


def test_the_check_warns_and_blocks_nothing(checked):
    _, _, result = checked
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "drift_report_calm"]
    assert result.success
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.metadata["drifted_days"].value == LAST - DRIFT_FROM + 1


def test_two_drifted_days_are_enough_to_ask_and_too_few_to_learn_from(checked):
    settings, instance, _ = checked
    answer = tick(settings, instance)
    assert isinstance(answer, dg.SkipReason)
    assert "2 windows in a row drifted" in answer.skip_message
    assert f"waits for the end of {day(DRIFT_FROM + 7)}" in answer.skip_message


def test_a_day_is_measured_again_only_when_what_it_stands_on_has_changed(checked):
    settings, *_ = checked
    config, tables = DriftConfig(calibration_draws=1), Tables(settings.tables)
    report = settings.drift / day(LAST).isoformat() / "report.html"
    kept, made = read_summary(report.parent), report.stat().st_mtime_ns
    assert measure_day(settings, tables, day(LAST), config)[0] == kept
    assert report.stat().st_mtime_ns == made
    measure_day(settings, tables, day(LAST), DriftConfig(calibration_draws=1, min_columns=3))
    assert report.stat().st_mtime_ns > made
    measure_day(settings, tables, day(LAST), config)
    assert read_summary(report.parent) == kept


def check_drift(settings: Settings, instance: dg.DagsterInstance, first: int, last: int) -> None:
    build_definitions(settings).resolve_job_def("drift_job").execute_in_process(
        tags=range_tags(day(first), day(last)),
        instance=instance,
        run_config=dg.RunConfig(ops={"drift_report": DriftConfig(calibration_draws=0)}),
    )


def go_live(settings: Settings, version: str) -> None:
    publish(settings.release_file, {"intent_model": tiny_component(settings.home, version)}, "the gate accepted it")


def requests(settings: Settings, instance: dg.DagsterInstance) -> list[str | None]:
    """What a tick of the sensor asks for."""
    answer = tick(settings, instance)
    if isinstance(answer, dg.SkipReason):
        return []

    @dg.op
    def step() -> None: ...

    @dg.job
    def retrain_job() -> None:
        step()

    instance.create_run_for_job(retrain_job, status=dg.DagsterRunStatus.SUCCESS, tags=dict(answer.tags))
    return [answer.run_key]


def test_one_drift_asks_for_one_retraining_and_is_over_under_the_model_that_came_of_it(tmp_path):
    settings = Settings(home=tmp_path, first_day=FIRST)
    for number in range(END + 1):
        drift = 0.5 if number >= DRIFT_FROM else 0.0
        version = "v1" if number <= ASKS_ON else "v2"
        log(settings, number, served(250, seed=number, day=number, drift=drift, version=version))
    with dg.DagsterInstance.ephemeral() as instance:
        go_live(settings, "v1")
        check_drift(settings, instance, 0, ASKS_ON)
        asked = requests(settings, instance)
        assert len(asked) == 1

        go_live(settings, "v2")
        for number in range(ASKS_ON + 1, END + 1):
            check_drift(settings, instance, number, number)
            asked += requests(settings, instance)

    assert len(asked) == 1
    verdicts = {n: read_summary(settings.drift / day(n).isoformat()) for n in range(ASKS_ON + 1, END + 1)}
    # Its first day is held against the traffic before the drift; from then on the new traffic is its normal.
    assert held_against_another(verdicts[ASKS_ON + 1])
    assert [n for n, summary in verdicts.items() if summary.drifted] == [ASKS_ON + 1]
    assert not any(held_against_another(verdicts[n]) for n in range(ASKS_ON + 2, END + 1))
    reference = reference_of(settings, Tables(settings.tables), day(END), reference_days=2)
    assert {moment.date() for moment in reference["event_time"].to_pylist()} == {day(ASKS_ON + 1), day(ASKS_ON + 2)}


def test_a_lasting_drift_is_not_forgotten_when_many_days_have_passed(tmp_path):
    settings = Settings(home=tmp_path, first_day=FIRST)
    tables = Tables(settings.tables)
    for number in range(36):
        tables.served_predictions.write(day(number), served(5, seed=number, day=number))
        summary = drift_decision(served(5, seed=90), served(5, seed=number, day=number), day(number))
        write_report(
            settings.drift / day(number).isoformat() / SUMMARY_FILE,
            replace(summary, model_version="v1", enough=True, drifted=1 <= number <= 9).to_dict(),
        )
    reference = reference_of(settings, tables, day(35), reference_days=2)
    assert {moment.date() for moment in reference["event_time"].to_pylist()} == {day(0), day(10)}


def test_a_window_whose_rows_go_while_it_is_measured_is_not_measured(tmp_path):
    settings = Settings(home=tmp_path, first_day=FIRST)
    tables = Tables(settings.tables)
    answers = served(5, seed=1)
    tables.served_predictions.write(day(0), answers.slice(1))
    with pytest.raises(LookupError, match="served_predictions has lost 1 rows"):
        read_compared(tables.served_predictions, [answers])


def test_a_new_model_is_measured_against_days_of_two_others_that_are_too_small_to_calibrate(tmp_path):
    """Enough sessions of the two together were taken for enough of one, and the run failed."""
    settings = Settings(home=tmp_path, first_day=FIRST)
    tables = Tables(settings.tables)
    for number, version in enumerate(("v1", "v2", "v3")):
        tables.served_predictions.write(day(number), served(60, seed=number, day=number, version=version))
    summary, _ = measure_day(settings, tables, day(2), DriftConfig(calibration_draws=1, min_samples=50))
    assert summary.enough
    assert held_against_another(summary)
    assert summary.false_alarm_rate is None
