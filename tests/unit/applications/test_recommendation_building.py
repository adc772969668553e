"""What becomes an item index: equal events give an equal one, and one that is not better is not written."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

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
from intent_tracking.applications.recommendation.history import MOST_LINES, History, Visit, histories, shortened
from intent_tracking.applications.recommendation.interactions import (
    MOST_ITEMS_OF_A_VISIT,
    Interactions,
    Reach,
    day_of,
    interactions_of,
)
from intent_tracking.applications.recommendation.item_index import learn_index
from intent_tracking.applications.recommendation.learning import examples_of
from intent_tracking.applications.recommendation.ranker import Ranker
from intent_tracking.applications.recommendation.ranker_training import as_onnx
from intent_tracking.applications.recommendation.recommender import Question, Recommender
from intent_tracking.release import Component, publish
from intent_tracking.settings import Settings
from tests.fakes.shop_events import event_row, table
from tests.fakes.shop_purchases import BEGIN, purchases

pytestmark = pytest.mark.unit

UNTIL = date(2026, 3, 29)
FLAT = Ranker(as_onnx([{"tree_structure": {"leaf_value": 0.0}}]))
SMALL = IndexConfig(training_days=28, held_out_days=14, least_examples=30, most_examples=60)


def test_equal_events_give_one_artifact_and_the_live_ranker_is_the_one_to_beat(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
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

    # Cause: the ranker of a damaged index was the one to beat, so that no night could replace it.
    (built.folder / "ranker.onnx").unlink()
    with caplog.at_level("WARNING"):
        alone = build_item_index(settings, events, UNTIL, replace(SMALL, tolerance=-0.5))
    assert RECALL_LIVE not in alone.metrics
    assert "judged alone" in caplog.text
    assert "ranker.onnx: missing" in caplog.text


def test_what_is_in_the_session_gets_bought_is_no_index(tmp_path: Path) -> None:
    # Cause: items of the session counted as found, and the strategy that is served leaves them out.
    days, a_day = 40, 8
    single = [{"item_id": f"i{number:03}"} for number in range(days * a_day)]
    bag = {"item_id": "bag"}
    rows = [event_row("view_item", BEGIN - timedelta(days=1), shopper="first", items=[*single, bag])]
    for number, item in enumerate(single):
        at = BEGIN + timedelta(days=number // a_day, minutes=number % a_day)
        rows.append(event_row("view_item", at, shopper=f"s{number}", number=1, items=[item]))
        at += timedelta(seconds=30)
        rows.append(event_row("purchase", at, shopper=f"s{number}", number=2, items=[item, bag], value=1.0))
    how = IndexConfig(training_days=14, held_out_days=7, least_examples=30, most_examples=60)
    with pytest.raises(NotBetterError, match="does not beat popularity"):
        build_item_index(Settings(home=tmp_path), table(rows), (BEGIN + timedelta(days=days - 1)).date(), how)


def test_a_purchase_is_seen_from_a_moment_before_it() -> None:
    # Cause: what was looked at after the purchase could lead to it, and a cart was taken for a look.
    def does(name: str, minute: int, *ids: str) -> dict[str, Any]:
        at, items = BEGIN + timedelta(days=1, minutes=minute), [{"item_id": each} for each in ids]
        return event_row(name, at, shopper="ann", number=minute, items=items, value=1.0 if name == "purchase" else None)

    known = [{"item_id": each} for each in "abcde"]
    shop = interactions_of(
        table(
            [
                event_row("view_item", BEGIN, shopper="bob", items=known), does("view_item", 0, "a"),
                does("view_item", 1, "b"), does("add_to_cart", 2, "a"), does("purchase", 3, "a", "d"),
                does("view_item", 4, "e", "b"), does("purchase", 5, "c"),
            ]
        )
    )  # fmt: skip
    day = int(shop.days[-1])
    sessions = set()
    for seed in range(40):
        (example,) = examples_of(shop, day, day, most=1, seed=seed)
        assert [shop.catalogue.ids[item] for item in example.taken] == ["a", "d", "c"]
        now = example.situation
        pairs = zip(now.session_items, now.session_reaches, strict=True)
        sessions.add(tuple((shop.catalogue.ids[item], Reach(reach)) for item, reach in pairs))
    a, b = ("a", Reach.LOOKED), ("b", Reach.LOOKED)
    assert sessions == {(), (a,), (a, b), (b, ("a", Reach.CARTED))}


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


def crawled(days: int, looks: int) -> Interactions:
    """A shopper who goes through another part of the catalogue every day, buys the first of it, and then buys once."""
    rows = []
    for day in range(days):
        at = BEGIN + timedelta(days=day)
        seen = [{"item_id": f"i{day * looks + number:05}"} for number in range(looks)]
        rows.append(event_row("view_item", at, shopper="crawler", number=2 * day, items=seen))
        rows.append(event_row("purchase", at, shopper="crawler", number=2 * day + 1, items=seen[:1], value=1.0))
    last = [{"item_id": "i00000"}]
    rows.append(
        event_row("purchase", at + timedelta(days=1), shopper="crawler", number=2 * days, items=last, value=1.0)
    )
    return interactions_of(table(rows))


def test_of_a_visit_through_the_whole_catalogue_the_furthest_and_newest_items_count() -> None:
    # Cause: what goes together takes the square of the longest visit, and one crawler's day had no end.
    found = crawled(days=1, looks=500)
    lines = found.lines_of(0)
    kept = [found.catalogue.ids[item] for item in found.items[lines]]
    assert len(found.catalogue) == 500
    assert kept == ["i00000", *(f"i{number:05}" for number in range(500 - MOST_ITEMS_OF_A_VISIT + 1, 500))]
    assert found.reaches[lines].tolist() == [Reach.BOUGHT] + [Reach.LOOKED] * (MOST_ITEMS_OF_A_VISIT - 1)


@pytest.mark.parametrize(("days", "looks"), [(8, 150), (120, 15), (3, 40)])
def test_a_ranker_is_trained_on_the_past_that_is_served(days: int, looks: int) -> None:
    # Cause: a stored past ended with a whole visit, and one that was learned from was cut within it.
    shop = crawled(days, looks)
    (example,) = examples_of(shop, int(shop.days[-1]), int(shop.days[-1]), most=10)
    served = Recommender(learn_index(shop, int(shop.days[-1])), FLAT)
    stored = histories(shop.before(int(shop.days[-1])))["crawler"]
    now = served.situation(Question(stored, (), None, day_of(int(shop.days[-1])), 10))
    for name in ("items", "reaches", "days"):
        assert getattr(now, name).tolist() == getattr(example.situation, name).tolist()
    assert len(now.items) == min(days * looks, 100 * looks, MOST_LINES)


def test_a_session_counts_as_much_as_a_visit_and_what_it_paid_for_stays() -> None:
    shop = crawled(days=1, looks=500)
    served = Recommender(learn_index(shop, int(shop.days[-1]) + 1), FLAT)
    session = [("i00000", Reach.BOUGHT), *((item, Reach.LOOKED) for item in shop.catalogue.ids[1:])]
    now = served.situation(Question(History(), session, None, UNTIL, 10))
    kept = [shop.catalogue.ids[item] for item in now.session_items]
    assert kept == ["i00000", *shop.catalogue.ids[-MOST_ITEMS_OF_A_VISIT + 1 :]]


def test_what_is_stored_of_one_endless_day_is_bounded() -> None:
    (kept,) = shortened([Visit(UNTIL, {str(number): Reach.LOOKED for number in range(20_000)})]).visits
    assert list(kept.items) == [str(number) for number in range(20_000 - MOST_LINES, 20_000)]
