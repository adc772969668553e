"""What becomes an item index: equal events give an equal one, and one that is not better is not written."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from intent_tracking.applications.artifacts import ITEM_INDEX
from intent_tracking.applications.recommendation.building import (
    RECALL,
    RECALL_LIVE,
    RECALL_OWN,
    IndexConfig,
    NotBetterError,
    TooFewPurchasesError,
    build_item_index,
)
from intent_tracking.applications.recommendation.files import LiveIndex
from intent_tracking.applications.recommendation.history import histories
from intent_tracking.applications.recommendation.interactions import Reach, interactions_of
from intent_tracking.release import Component, publish
from intent_tracking.settings import Settings
from tests.fakes.shop_purchases import purchases

pytestmark = pytest.mark.unit

UNTIL = date(2026, 3, 29)
SMALL = IndexConfig(training_days=28, held_out_days=14, least_examples=30, most_examples=60)


def test_equal_events_give_one_artifact_and_the_live_ranker_is_the_one_to_beat(tmp_path: Path) -> None:
    settings, events = Settings(home=tmp_path), purchases()
    built = build_item_index(settings, events, UNTIL, SMALL)
    assert built.written
    assert built.metrics[RECALL] > built.metrics[RECALL_OWN] > 0
    assert LiveIndex(built.folder).manifest.metrics.items() >= built.metrics.items()
    shuffled = events.take(np.random.default_rng(0).permutation(events.num_rows))
    again = build_item_index(settings, shuffled, UNTIL, SMALL)
    assert (again.folder, again.written) == (built.folder, False)

    publish(settings.release_file, {ITEM_INDEX: Component.of(built.folder)}, "first")
    with pytest.raises(NotBetterError, match="falls behind the live ranker") as refused:
        build_item_index(settings, events, UNTIL, replace(SMALL, tolerance=-0.5))
    assert refused.value.metrics[RECALL_LIVE] == built.metrics[RECALL]
    assert list((tmp_path / "applications" / ITEM_INDEX).iterdir()) == [built.folder]


def test_a_young_shop_is_told_how_much_it_takes(tmp_path: Path) -> None:
    with pytest.raises(TooFewPurchasesError, match="takes 30 of either"):
        build_item_index(Settings(home=tmp_path), purchases(shoppers=3), UNTIL, SMALL)


def test_the_past_of_each_shopper_is_what_its_events_say() -> None:
    events = purchases(shoppers=5)
    found = histories(interactions_of(events))
    assert list(found) == sorted({row["shopper_id"] for row in events.to_pylist()})
    bought = {
        (row["shopper_id"], row["event_time"].date(), item["item_id"])
        for row in events.to_pylist()
        if row["event_name"] == "purchase"
        for item in row["items"]
    }
    stored = {
        (shopper, visit.day, item)
        for shopper, history in found.items()
        for visit in history.visits
        for item, reach in visit.items.items()
        if reach is Reach.BOUGHT
    }
    assert stored == bought
