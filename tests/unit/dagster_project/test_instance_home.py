"""The Dagster home: no telemetry, slots freed, limits set; a file that a person adapted is left alone."""

import dagster as dg
import pytest

from dagster_project.instance import prepare_dagster_home
from intent_tracking.settings import Settings

pytestmark = pytest.mark.unit


def test_the_instance_takes_the_configuration(tmp_path):
    home = prepare_dagster_home(Settings(home=tmp_path))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.telemetry_enabled is False
        assert instance.run_monitoring_enabled
        assert instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] == 60
        assert instance.get_settings("run_monitoring")["max_runtime_seconds"] > 0
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1


def test_a_file_that_is_there_stays(tmp_path):
    home = prepare_dagster_home(Settings(home=tmp_path))
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    prepare_dagster_home(Settings(home=tmp_path))
    assert (home / "dagster.yaml").read_text() == "telemetry:\n  enabled: false\n"
