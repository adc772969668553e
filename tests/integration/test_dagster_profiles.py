"""The segments of two weeks by Dagster: learned when due, given to every shopper, held by checks, brought online."""

from __future__ import annotations

from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_project.defs.applications import online, profiles
from dagster_project.partitions import range_tags
from dagster_project.resources.feature_store import FeastStore
from dagster_project.resources.service import IntentService
from dagster_project.resources.tables import Tables
from intent_tracking.applications.artifacts import USER_SEGMENTS, newest_artifact
from intent_tracking.features.derived import USER_SEGMENT
from intent_tracking.features.online import OnlineViews
from intent_tracking.features.schema import snapshot_moment
from intent_tracking.settings import Settings
from tests.fakes.shopper_groups import DAY, LOOKERS, SHOP, shop

# Feast and Ibis call what their own dependencies have deprecated.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

CHECKS = ("user_segments_conserved", "user_segments_stable", "user_segments_large")
RULES = "fewest: 2\nmost: 4\nresamples: 5\n"


def run(
    settings: Settings, first: date, last: date, *, and_online: bool = False, **config: Any
) -> dg.ExecuteInProcessResult:
    """One run of the asset and its checks over a range of days; `and_online` with the way into the online store."""
    modules = [profiles, online] if and_online else [profiles]
    return dg.materialize(
        [*dg.load_assets_from_modules(modules), *dg.load_asset_checks_from_modules(modules)],
        resources={
            "settings": settings,
            "tables": Tables(settings.tables),
            "feature_store": FeastStore(settings.home),
            "intent_service": IntentService(settings.service_url, None),
        },
        tags=range_tags(first, last),
        run_config={"ops": {"user_segments": {"config": config}}} if config else None,
        raise_on_error=False,
    )


def outcomes(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}


def test_segments_are_learned_by_the_week_and_given_by_the_day(tmp_path: Path) -> None:
    settings, tables = Settings(home=tmp_path), Tables(tmp_path / "tables")
    settings.segment_rules.write_text(RULES)
    yesterday, next_week = DAY - timedelta(days=1), DAY + timedelta(days=7)
    for day, groups in ((yesterday, SHOP), (DAY, SHOP), (next_week, {"looker": LOOKERS})):
        tables.user_features.write(day, shop(groups, day=day)[0])
        tables.validated_events.write(day, tables.validated_events.schema.empty_table())

    first = run(settings, yesterday, DAY, and_online=True)
    assert first.success
    assert set(outcomes(first)) == {*CHECKS, "online_derived_views_match"}
    assert all(outcomes(first).values())
    with closing(OnlineViews(settings.feast / "online.db")) as reader:
        row = reader.read(USER_SEGMENT, "buyer-003", snapshot_moment(DAY) + timedelta(hours=8))
    assert row is not None
    assert (row.age, row.stale) == (timedelta(hours=8), False)
    assert "spenders" in str(row.values["segment"])
    learned = newest_artifact(settings.applications, USER_SEGMENTS)
    assert learned is not None
    for day in (yesterday, DAY):
        rows = tables.user_segments.read([day])
        assert rows["shopper_id"].to_pylist() == shop()[0]["shopper_id"].to_pylist()
        assert set(rows["segment_version"].to_pylist()) == {learned.name}
        assert (settings.applications / "profiles" / day.isoformat() / "drift.json").is_file()

    # One crowd has no groups: what is learned of it is refused, and the day gets the segments that hold.
    settings.segment_rules.write_text(f"{RULES}least_stability: 1.0\n")
    second = run(settings, next_week, next_week)
    (made,) = second.asset_materializations_for_node("user_segments")[-1:]
    assert "refused: stability" in str(made.metadata["learned"].value)
    assert newest_artifact(settings.applications, USER_SEGMENTS) == learned
    assert set(tables.user_segments.read([next_week])["segment_version"].to_pylist()) == {learned.name}

    # A shopper without a segment is found.
    tables.user_segments.write(next_week, tables.user_segments.read([next_week]).slice(1))
    found = profiles.user_segments_conserved(dg.build_asset_check_context(), settings=settings, tables=tables)
    assert isinstance(found, dg.AssetCheckResult)
    assert not found.passed
    assert found.metadata["shoppers_without_one_segment"].value == 1


def test_a_shop_with_too_few_shoppers_has_empty_days_and_is_told_why(tmp_path: Path) -> None:
    settings, tables = Settings(home=tmp_path), Tables(tmp_path / "tables")
    tables.user_features.write(DAY, shop()[0].slice(0, 20))
    tables.validated_events.write(DAY, tables.validated_events.schema.empty_table())
    result = run(settings, DAY, DAY)
    assert result.success
    (made,) = result.asset_materializations_for_node("user_segments")[-1:]
    assert "20 shoppers on 2026-03-08; 10 segments need 100" in made.metadata["learned"].value
    assert tables.user_segments.read([DAY]).num_rows == 0
    assert all(outcomes(result).values())


def test_a_day_without_features_has_no_segments(tmp_path: Path) -> None:
    """It was written empty, which passed the checks and counted as made: no later night gave it its segments."""
    settings, tables = Settings(home=tmp_path), Tables(tmp_path / "tables")
    next_day = DAY + timedelta(days=1)
    tables.user_features.write(DAY, shop()[0].slice(0, 20))
    for day in (DAY, next_day):
        tables.validated_events.write(day, tables.validated_events.schema.empty_table())
    result = run(settings, DAY, next_day)
    assert not result.success
    said = str(result.failure_data_for_node("user_segments"))
    assert f"user_features is not written for {next_day}, which this run reads: run features_job" in said
    assert tables.user_segments.days() == []
