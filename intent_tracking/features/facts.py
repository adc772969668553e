"""Events flattened to facts: the one place where an event becomes something that features count, for batch and stream.

A fact is a line of an event: an event with three items gives three facts, an event without items one. Both forms here,
the Ibis expression and the plain Python one, follow the same rules; a property test holds them together.

- key: `shopper_id`, or for items `item_id`, else `item_name`; a line without key is no fact of that entity.
- leads: the first line of its event, so that events can be counted.
- amount: the event's `value` on its first line; without a `value`, price times quantity on each line, at
  most the largest money that the contract knows.
- price and amount are whole ten-thousandths, rounded half up; a quantity that is not given is 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir

from intent_tracking.events.contract import MAX_MONEY
from intent_tracking.features.declaration import MONEY_SCALE, Aggregation, Entity, Feature, Value


@dataclass(frozen=True)
class Fact:
    """One line of one event. `time` in microseconds since 1970 UTC, money in ten-thousandths."""

    time: int
    event: str
    leads: bool
    amount: int | None
    price: int | None
    quantity: int | None
    category: str | None
    brand: str | None
    shopper: str | None

    def value(self, value: Value) -> int | str | None:
        """The stored value of a column that features aggregate."""
        found: int | str | None = getattr(self, value.value)
        return found


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly.

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"time {moment.isoformat()} has no time zone: pass it in UTC")
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + moment.microsecond


def events_that_count(features: Sequence[Feature]) -> frozenset[str] | None:
    """Names of the events that any of the features reads; None where one of them reads every event."""
    names: set[str] = set()
    for feature in features:
        ratio = feature.aggregation is Aggregation.RATIO
        if not feature.events or (ratio and not feature.of):
            return None
        names.update(feature.events, feature.of)
    return frozenset(names)


def _scaled(number: float | None) -> int | None:
    return None if number is None else math.floor(number * MONEY_SCALE + 0.5)


def facts_of_event(event: Mapping[str, Any], entity: Entity) -> Iterator[tuple[str, Fact]]:
    """(key, fact) for each line of an event row (EVENT_SCHEMA columns)."""
    lines: list[Mapping[str, Any]] = list(event["items"] or ()) or [{}]
    for index, line in enumerate(lines):
        item = line.get("item_id") if line.get("item_id") is not None else line.get("item_name")
        key = event["shopper_id"] if entity is Entity.USER else item
        if key is None:
            continue
        price = line.get("price")
        quantity = (1 if line.get("quantity") is None else line["quantity"]) if line else None
        if event["value"] is not None:
            amount = _scaled(event["value"]) if index == 0 else None
        else:
            amount = None if price is None or quantity is None else _scaled(min(price * quantity, MAX_MONEY))
        yield (
            key,
            Fact(
                time=microseconds(event["event_time"]),
                event=str(event["event_name"]),
                leads=index == 0,
                amount=amount,
                price=_scaled(price),
                quantity=quantity,
                category=line.get("item_category"),
                brand=line.get("item_brand"),
                shopper=event["shopper_id"],
            ),
        )


def keys_of_event(event: Mapping[str, Any], entity: Entity) -> tuple[str, ...]:
    """The entities whose state an event row changes, each once, in order of first mention."""
    return tuple(dict.fromkeys(key for key, _ in facts_of_event(event, entity)))


def fact_table(events: ir.Table, entity: Entity) -> ir.Table:
    """The same as `facts_of_event` for a whole table: `key, time` (timestamp) and the columns of `Fact`."""
    lines = events.select(
        "event_time", "event_name", "shopper_id", "value", line=events["items"]
    ).unnest("line", offset="position", keep_empty=True)  # fmt: skip
    line = lines["line"]
    item = ibis.coalesce(line["item_id"], line["item_name"])
    leads = lines["position"].fill_null(0) == 0
    price = line["price"]
    # An event without items has a null line, whose fields are all null; a line always has an id or a name.
    quantity = ibis.ifelse(item.isnull(), ibis.null("int64"), line["quantity"].fill_null(1).cast("int64"))
    own = ibis.ifelse(leads, lines["value"], ibis.null("float64"))
    total = price * quantity.cast("float64")
    # Not `least`: on DuckDB it takes the other argument where one is null.
    total = ibis.ifelse(total > MAX_MONEY, MAX_MONEY, total)
    amount = ibis.ifelse(lines["value"].notnull(), own, total)
    facts = lines.select(
        key=lines["shopper_id"] if entity is Entity.USER else item,
        time=lines["event_time"],
        event=lines["event_name"],
        leads=leads,
        amount=_scaled_column(amount),
        price=_scaled_column(price),
        quantity=quantity,
        category=line["item_category"],
        brand=line["item_brand"],
        shopper=lines["shopper_id"],
    )
    return facts.filter(facts["key"].notnull())


def _scaled_column(number: Any) -> Any:
    return (number * float(MONEY_SCALE) + 0.5).floor().cast("int64")
