"""From what was served to the word of the drift sensor: the real graph, the real suite, the real report."""

from datetime import date, timedelta

import dagster as dg
import orjson
import pyarrow as pa
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.defs.monitoring.assets import DriftConfig
from dagster_project.defs.monitoring.retraining import drift_sensor
from dagster_project.defs.monitoring.windows import reference_of
from dagster_project.partitions import range_tags
from dagster_project.resources.drift_report import read_summary
from dagster_project.resources.tables import Tables
from intent_tracking.settings import Settings
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


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def log(settings: Settings, number: int, answers: pa.Table) -> None:
    """Write `answers` as the service would have."""
    folder = settings.prediction_log / f"day={day(number)}"
    folder.mkdir(parents=True)
    lines = b"".join(orjson.dumps(row) + b"\n" for row in answers.to_pylist())
    (folder / "20260101T000000-1-abcdef-0000.jsonl").write_bytes(lines)


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
    answer = drift_sensor(dg.build_sensor_context(instance=instance, resources={"settings": settings}))
    assert isinstance(answer, dg.SkipReason)
    assert "2 windows in a row drifted" in answer.skip_message
    assert f"waits for the end of {day(DRIFT_FROM + 6)}" in answer.skip_message
