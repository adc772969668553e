"""Random but valid events for feature tests, as rows of EVENT_SCHEMA."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from intent_tracking.events.contract import (
    EVENT_SCHEMA,
    NEEDS_ITEMS,
    REQUIRED_PARAM,
    Event,
    EventName,
    Item,
    Params,
    event_to_row,
)

START = datetime(2025, 3, 1, tzinfo=UTC)


def event_row(
    name: EventName | str,
    at: datetime,
    *,
    shopper: str = "ann",
    number: int = 0,
    items: Sequence[Mapping[str, Any]] = (),
    value: float | None = None,
    currency: str = "EUR",
    received: datetime | None = None,
) -> dict[str, Any]:
    """One row; what the contract asks of `name` is filled in where it is not given."""
    name = EventName(name)
    params: dict[str, Any] = {"items": tuple(Item(**item) for item in items)}
    if name in NEEDS_ITEMS and not items:
        params["items"] = (Item(item_id="i0"),)
    if required := REQUIRED_PARAM.get(name):
        params[required] = "some text"
    if value is not None:
        params |= {"value": value, "currency": currency}
    return event_to_row(
        Event(
            event_id=f"{shopper}-{number}-{at.isoformat()}",
            event_name=name,
            event_time=at,
            received_time=received or at,
            user_id=shopper,
            source="test",
            scene="browse",
            params=Params(**params),
        )
    )


def table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table."""
    return pa.Table.from_pylist(list(rows), schema=EVENT_SCHEMA)


_items = st.fixed_dictionaries(
    {},
    optional={
        "item_id": st.sampled_from(["i1", "i2"]),
        "price": st.floats(0, 1e6) | st.sampled_from([0.1, 0.00005, 19.99]),
        "quantity": st.integers(0, 50),
        "item_brand": st.sampled_from(["Acme", "山野"]),
        "item_category": st.sampled_from(["shoes", "鞋", "hats"]),
    },
).map(lambda item: item if "item_id" in item else item | {"item_name": "Unnamed"})

# Microseconds around the borders of the windows, and anywhere.
moments = st.builds(
    lambda days, offset: START + timedelta(days=days, microseconds=offset),
    st.sampled_from([0, 1, 7, 8, 23, 30, 31]),
    st.sampled_from([-1, 0, 1]) | st.integers(-(10**11), 10**11),
)

event_rows = st.builds(
    event_row,
    st.sampled_from(list(EventName)),
    moments,
    shopper=st.sampled_from(["ann", "bob"]),
    number=st.integers(0, 10**6),
    items=st.lists(_items, max_size=3),
    value=st.none() | st.floats(0, 1e6),
)


def seeded_rows(seed: int, count: int, days: int, shoppers: int = 20, items: int = 15) -> list[dict[str, Any]]:
    """`count` events of a plausible mix over `days` from `START`."""
    draw = random.Random(seed)
    mix = (
        ["view_item"] * 6 + ["search"] * 3 + ["add_to_cart"] * 2 + ["purchase", "message", "remove_from_cart", "refund"]
    )
    rows = []
    for number in range(count):
        name = draw.choice(mix)
        lines = [
            {
                "item_id": f"i{draw.randrange(items)}",
                "price": draw.choice([None, round(draw.uniform(1, 300), 2)]),
                "quantity": draw.choice([None, 1, 3]),
                "item_brand": draw.choice([None, "Acme", "Orbit"]),
                "item_category": draw.choice(["shoes", "hats", "鞋"]),
            }
            for _ in range(draw.randrange(1, 4))
        ]
        at = START + timedelta(microseconds=draw.randrange(days * 86_400_000_000))
        late = draw.choice([timedelta(0)] * 9 + [timedelta(days=1)])
        rows.append(
            event_row(
                name, at, shopper=f"s{draw.randrange(shoppers)}", number=number, received=at + late,
                items=lines if name in NEEDS_ITEMS else (), value=draw.choice([None, 12.5]),
            )
        )  # fmt: skip
    return rows
