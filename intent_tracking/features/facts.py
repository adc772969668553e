"""Events flattened to facts: the one place where an event becomes something that features count, for batch and stream.

An event gives one fact for itself (`leads`) and one for each of its items, the lines. A user has both kinds, an item
has the lines that name it. Both forms here, the Ibis expression and the plain Python one, follow the same rules; a
property test holds them together.

- key: `shopper_id`, or for items `item_id`, else `item_name`.
- amount: the event's `value`, on the fact of the event itself; without a `value`, price times quantity on each line, at
  most the largest money that the contract knows.
- price and amount are whole ten-thousandths, rounded half up; a quantity that is not given is 1.
- facts that none of the features reads are left out.
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
from intent_tracking.features.declaration import MONEY_SCALE, Aggregation, Entity, Feature, Value, one_entity


@dataclass(frozen=True)
class Fact:
    """An event, or one line of it. `time` in microseconds since 1970 UTC, money in ten-thousandths."""

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


def _events_read(features: Sequence[Feature], *, lines: bool) -> frozenset[str] | None:
    """Names of the events whose lines (or whose own facts) any of the features reads; None means every event."""
    names: set[str] = set()
    for feature in features:
        of_user = feature.entity is Entity.USER
        reads_lines = not of_user or feature.value is not None
        reads_events = of_user and feature.value in (None, Value.AMOUNT)
        if not (reads_lines if lines else reads_events):
            continue
        if not feature.events or (feature.aggregation is Aggregation.RATIO and not feature.of):
            return None
        names.update(feature.events, feature.of)
    return frozenset(names)


def _scaled(number: float | None) -> int | None:
    return None if number is None else math.floor(number * MONEY_SCALE + 0.5)


def facts_of_event(event: Mapping[str, Any], features: Sequence[Feature]) -> Iterator[tuple[str, Fact]]:
    """(key, fact) for an event row (EVENT_SCHEMA columns), as far as the features, all of one entity, read it."""
    of_user = one_entity(features) is Entity.USER
    name, shopper, value = str(event["event_name"]), event["shopper_id"], event["value"]
    time = microseconds(event["event_time"])
    read = _events_read(features, lines=False)
    if of_user and (read is None or name in read):
        yield shopper, Fact(time, name, True, _scaled(value), None, None, None, None, shopper)
    read = _events_read(features, lines=True)
    for line in (event["items"] or ()) if read is None or name in read else ():
        item = line["item_id"] if line.get("item_id") is not None else line["item_name"]
        price = line.get("price")
        quantity = 1 if line.get("quantity") is None else line["quantity"]
        total = _scaled(min(price * quantity, MAX_MONEY)) if price is not None and value is None else None
        brand, category = line.get("item_brand"), line.get("item_category")
        yield (
            shopper if of_user else item,
            Fact(time, name, False, total, _scaled(price), quantity, category, brand, shopper),
        )


def keys_of_event(event: Mapping[str, Any], features: Sequence[Feature]) -> tuple[str, ...]:
    """The entities whose features an event row changes, each once, in order of first mention."""
    return tuple(dict.fromkeys(key for key, _ in facts_of_event(event, features)))


def fact_table(events: ir.Table, features: Sequence[Feature]) -> ir.Table:
    """The same as `facts_of_event` for a whole table: `key, time` (timestamp as in `events`), the columns of `Fact`."""
    of_user = one_entity(features) is Entity.USER
    lines = _named(events, _events_read(features, lines=True))
    lines = lines.select("event_time", "event_name", "shopper_id", "value", line=lines["items"].unnest())
    line, price = lines["line"], lines["line"]["price"]
    quantity = line["quantity"].fill_null(1)
    total = price * quantity.cast("float64")
    # Not `least`: on DuckDB it takes the other argument where one is null.
    total = ibis.ifelse(total > MAX_MONEY, MAX_MONEY, total)
    of_lines = lines.select(
        key=lines["shopper_id"] if of_user else ibis.coalesce(line["item_id"], line["item_name"]),
        time=lines["event_time"],
        event=lines["event_name"],
        leads=ibis.literal(value=False),
        amount=_scaled_column(ibis.ifelse(lines["value"].isnull(), total, ibis.null("float64"))),
        price=_scaled_column(price),
        quantity=quantity,
        category=line["item_category"],
        brand=line["item_brand"],
        shopper=lines["shopper_id"],
    )
    if not of_user:
        return of_lines
    whole = _named(events, _events_read(features, lines=False))
    of_events = whole.select(
        key=whole["shopper_id"],
        time=whole["event_time"],
        event=whole["event_name"],
        leads=ibis.literal(value=True),
        amount=_scaled_column(whole["value"]),
        price=ibis.null("int64"),
        quantity=ibis.null("int64"),
        category=ibis.null("string"),
        brand=ibis.null("string"),
        shopper=whole["shopper_id"],
    )
    return of_events.union(of_lines)


def _named(events: ir.Table, names: frozenset[str] | None) -> ir.Table:
    return events if names is None else events.filter(events["event_name"].isin(sorted(names)))


def _scaled_column(number: Any) -> Any:
    return (number * float(MONEY_SCALE) + 0.5).floor().cast("int64")
