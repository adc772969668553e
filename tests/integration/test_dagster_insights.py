"""The report of a day through the real graph, and its check."""

import dagster as dg
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.defs.applications.insights import insights_report, insights_report_names_nobody, report_folder
from dagster_project.defs.applications.profiles import user_segments
from dagster_project.partitions import range_tags
from intent_tracking.settings import Settings
from tests.fakes.shop_weeks import DAY, shop_with_news

pytestmark = pytest.mark.integration


def test_the_segments_of_a_run_come_before_its_report_and_their_failure_keeps_none_back(tmp_path):
    settings = Settings(home=tmp_path, first_day=DAY)
    shop_with_news().sources(tmp_path)
    settings.segment_rules.write_text("most: none\n")
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            asset_selection=[insights_report.key, user_segments.key],
            tags=range_tags(DAY, DAY),
            instance=instance,
            raise_on_error=False,
        )
    started = [each.node_name for each in result.all_events if each.is_step_start]
    assert started[:2] == ["user_segments", "insights_report"]
    assert not result.success
    assert report_folder(settings, DAY).is_dir()


def test_a_day_gives_its_report_and_the_check_finds_a_name_that_somebody_put_there(tmp_path):
    settings = Settings(home=tmp_path, first_day=DAY)
    shop_with_news().sources(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            asset_selection=[insights_report.key], tags=range_tags(DAY, DAY), instance=instance
        )
        (check,) = result.get_asset_check_evaluations()
        assert check.passed
        (made,) = result.asset_materializations_for_node("insights_report")
        page = report_folder(settings, DAY) / "report.html"
        assert made.metadata["report"].path == str(page)
        assert "Rising words" in made.metadata["summary"].value
        assert "![" not in made.metadata["summary"].value

        with page.open("a", encoding="utf-8") as text:
            text.write("zoe-4711")
        alone = job.get_subset(
            asset_selection=set(), asset_check_selection=set(insights_report_names_nobody.check_keys)
        )
        again = alone.execute_in_process(tags=range_tags(DAY, DAY), instance=instance, raise_on_error=False)
        (spoiled,) = again.get_asset_check_evaluations()
        assert not spoiled.passed
        assert spoiled.metadata["named"].value == 1
