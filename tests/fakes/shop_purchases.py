"""A small shop whose shoppers have habits: what they buy again, and what they buy together, is known."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from tests.fakes.shop_events import event_row, table

BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAYS = 84
PAIRS = 12
"""Item `left-<n>` goes with item `right-<n>`."""


def item(side: str, number: int, price: float = 10.0) -> dict[str, Any]:
    """An item as events carry it."""
    name = f"{('red', 'blue', 'green', 'white')[number % 4]} {('lamp', 'vase', 'mug')[number % 3]} {side}"
    return {"item_id": f"{side}-{number}", "item_name": name, "item_category": f"room-{number % 3}", "price": price}


def purchases(seed: int = 0, shoppers: int = 60, days: int = DAYS) -> pa.Table:
    """Each shopper comes every week or two, looks at two items, and buys a favourite pair or the pair looked at."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(shoppers):
        shopper, favourite, day = f"shopper-{number}", number % PAIRS, draw.randrange(14)
        while day < days:
            at = BEGIN + timedelta(days=day, minutes=draw.randrange(600))
            pair = favourite if draw.random() < 0.7 else draw.randrange(PAIRS)
            looked = [item("left", pair), item("left", draw.randrange(PAIRS))]
            for place, seen in enumerate(looked):
                minute = at + timedelta(minutes=place)
                rows.append(event_row("view_item", minute, shopper=shopper, number=len(rows), items=[seen]))
            bought = [item("left", pair), item("right", pair)]
            at += timedelta(minutes=5)
            rows.append(event_row("purchase", at, shopper=shopper, number=len(rows), items=bought, value=20.0))
            day += draw.choice([7, 7, 14])
    return table(rows)
