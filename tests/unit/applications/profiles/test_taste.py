"""What shoppers deal with, counted from the files of a month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from intent_tracking.applications.profiles.daily import SegmentTables
from intent_tracking.applications.profiles.taste import TOKEN_SCHEMA, taste_tokens
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.features.derived import USER_SEGMENT
from intent_tracking.features.schema import USER_FEATURE_SCHEMA
from intent_tracking.prediction_log import PREDICTION_SCHEMA
from intent_tracking.tables import DayTable

pytestmark = pytest.mark.unit

DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(30)]


@pytest.fixture
def pool() -> Iterator[pa.MemoryPool]:
    """The pool that Arrow takes its memory from, counted from here on."""
    before = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(before)
    pa.set_memory_pool(counted)
    yield counted
    pa.set_memory_pool(before)


def stored(root: Path, name: str, schema: pa.Schema, rows: list[dict[str, object]], days: list[date]) -> list[Path]:
    table = DayTable(root, name, schema)
    for day in days:
        table.write(day, pa.Table.from_pylist(rows, schema=schema))
    return table.paths(days)


def event(shopper: str | None, name: str, **item: str) -> dict[str, object]:
    return {"shopper_id": shopper, "event_name": name, "items": [item]}


def test_items_categories_brands_and_intents_are_counted_by_shopper(tmp_path: Path) -> None:
    events = [
        event("ann", "view_item", item_id="i1", item_name=" Red Mug ", item_category="cups", item_brand="Acme"),
        event("ann", "purchase", item_id="i1", item_category="cups"),
        event("ann", "refund", item_id="i2", item_category="hats"),
        event("bob", "remove_from_cart", item_id="i2"),
        event("bob", "add_to_cart", item_name="Hat"),
        event(None, "view_item", item_id="i3"),
    ]
    served = [
        {"shopper_id": "bob", "intent": "bargain", "out_of_scope": None},
        {"shopper_id": "bob", "intent": "greeting", "out_of_scope": True},
        {"shopper_id": None, "intent": "bargain", "out_of_scope": False},
    ]
    paths = stored(tmp_path, "validated_events", EVENT_SCHEMA, events, DAYS[:2])
    predictions = stored(tmp_path, "served_predictions", PREDICTION_SCHEMA, served, DAYS[:1])
    found = taste_tokens(paths, predictions)
    assert found.schema == TOKEN_SCHEMA
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("ann", "brand:Acme", "Acme", 2),
        ("ann", "category:cups", "cups", 4),
        ("ann", "item:i1", "i1", 4),
        ("bob", "intent:bargain", "bargain", 1),
        ("bob", "item:Hat", "Hat", 2),
    ]
    assert taste_tokens([]).num_rows == 0


def test_a_month_of_events_is_not_in_memory_at_once(tmp_path: Path, pool: pa.MemoryPool) -> None:
    # Cause: the rows of thirty days lay in one table, and of the last day twice.
    item = {"item_category": "cups", "item_brand": "Acme"}
    rows = [event(f"u{n % 50}", "view_item", item_id=f"i{n % 7}", item_name=f"mug {n}", **item) for n in range(500)]
    tables = SegmentTables(
        user_features=DayTable(tmp_path, "user_features", USER_FEATURE_SCHEMA),
        validated_events=DayTable(tmp_path, "validated_events", EVENT_SCHEMA),
        served_predictions=DayTable(tmp_path, "served_predictions", PREDICTION_SCHEMA),
        user_segments=DayTable(tmp_path, USER_SEGMENT.table, USER_SEGMENT.schema),
    )
    stored(tmp_path, "validated_events", EVENT_SCHEMA, rows, DAYS)
    of_a_day = pool.max_memory()
    _, found = tables.known(DAYS[-1])
    assert sum(found["times"].to_pylist()) == 3 * 500 * len(DAYS)
    assert pool.max_memory() == of_a_day
