"""The assets of recommendations: from validated events to a live index and the stored past of each shopper."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.defs.applications import recommendation
from dagster_project.resources.service import IntentService
from dagster_project.resources.tables import Tables
from intent_tracking.applications.artifacts import ITEM_INDEX
from intent_tracking.applications.recommendation.history import History
from intent_tracking.release import publish, read_release
from intent_tracking.settings import Settings
from tests.fakes.predictors import fake_artifact
from tests.fakes.shop_purchases import purchases

pytestmark = pytest.mark.integration

FEW = {"training_days": 28, "least_examples": 30, "most_examples": 60}


def test_events_become_a_live_index_and_the_past_of_each_shopper(tmp_path: Path) -> None:
    settings, tables = Settings(home=tmp_path), Tables(tmp_path / "tables")
    events = purchases()
    days = [moment.date() for moment in events["event_time"].to_pylist()]
    for day in sorted(set(days)):
        tables.validated_events.write(day, events.filter([each == day for each in days]))
    publish(settings.release_file, {"intent_model": fake_artifact(tmp_path, "m1")}, "first")

    result = dg.materialize(
        [*dg.load_assets_from_modules([recommendation]), *dg.load_asset_checks_from_modules([recommendation])],
        resources={"settings": settings, "tables": tables, "intent_service": IntentService("http://127.0.0.1:9")},
        run_config={"ops": {"item_index": {"config": FEW}}},
    )

    assert result.success
    assert {check.check_name for check in result.get_asset_check_evaluations() if check.passed} == {
        "item_index_answers", "user_items_readable"
    }  # fmt: skip
    live = read_release(settings.release_file)
    assert live is not None
    assert live.components[ITEM_INDEX].version.startswith(f"item-index-{max(days):%Y%m%d}")
    stored = tables.user_items.read([max(days)]).to_pylist()
    assert len(stored) == len(set(events["shopper_id"].to_pylist()))
    assert all(History.from_json(row["items"]).visits[-1].day <= max(days) for row in stored)


def test_a_young_shop_has_no_index_yet(tmp_path: Path) -> None:
    tables = Tables(tmp_path / "tables")
    tables.validated_events.write(date(2026, 1, 5), purchases(shoppers=0))
    result = dg.materialize(
        [recommendation.item_index, recommendation.item_index_answers],
        resources={
            "settings": Settings(home=tmp_path), "tables": tables,
            "intent_service": IntentService("http://127.0.0.1:9"),
        },
    )  # fmt: skip
    assert result.success
    assert "0 purchases to train on" in str(
        result.asset_materializations_for_node("item_index")[0].metadata["why"].value
    )
