"""What is usual in a shop: the amounts of its orders, and how often each item comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from intent_tracking.applications.risk.features import Order, Values
from intent_tracking.events.contract import EVENT_SCHEMA, EventName

READ: Final = ("event_name", "value", "currency", "items")
LEAST_ORDERS: Final = 20
# An item counts as the shop does on average until some 20 of it were sold.
_PRIOR_LINES: Final = 20.0

_AMOUNTS: Final = """
WITH orders AS (
  SELECT currency, coalesce(value, list_sum(list_transform(items, line -> line.price * coalesce(line.quantity, 1))))
    AS amount FROM events WHERE event_name = $purchase)
SELECT coalesce(currency, '') AS currency, median(amount) AS usual, count(*) AS orders
FROM orders WHERE amount > 0 GROUP BY ALL ORDER BY orders DESC, currency
"""
_LINES: Final = """
WITH lines AS (
  SELECT event_name, unnest(items) AS line FROM events WHERE event_name IN ($purchase, $refund))
SELECT coalesce(line.item_id, line.item_name) AS item, count(*) FILTER (WHERE event_name = $purchase) AS sold,
  count(*) FILTER (WHERE event_name = $refund) AS returned
FROM lines GROUP BY ALL ORDER BY item
"""


class Shop(BaseModel):
    """What was learned of a stretch of days. It names no shopper.

    Attributes:
        usual_amount: median order by currency, the currency with most orders first.
        rare_currencies: those with too few orders to know what is usual.
        refund_share: lines refunded per line sold.
        item_refund_share: the same of the items that were refunded or sold often, drawn towards `refund_share`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    usual_amount: dict[str, float] = {}
    rare_currencies: tuple[str, ...] = ()
    refund_share: float = 0.0
    item_refund_share: dict[str, float] = {}

    @classmethod
    def learned(cls, events: pa.Table) -> Self:
        """From rows of EVENT_SCHEMA (the columns `READ`)."""
        names = {"purchase": EventName.PURCHASE.value, "refund": EventName.REFUND.value}
        schema = pa.schema([EVENT_SCHEMA.field(name) for name in READ])
        with duckdb.connect() as database:
            database.register("events", events.select(READ).cast(schema))
            amounts = database.execute(_AMOUNTS, {"purchase": names["purchase"]}).fetchall()
            lines = database.execute(_LINES, names).fetchall()
        sold = sum(each[1] for each in lines)
        share = min(1.0, sum(each[2] for each in lines) / sold) if sold else 0.0
        return cls(
            usual_amount={currency: float(usual) for currency, usual, orders in amounts if orders >= LEAST_ORDERS},
            rare_currencies=tuple(currency for currency, _, orders in amounts if orders < LEAST_ORDERS),
            refund_share=share,
            item_refund_share={
                item: min(1.0, (returned + _PRIOR_LINES * share) / (count + _PRIOR_LINES))
                for item, count, returned in lines
                if returned or count >= _PRIOR_LINES
            },
        )

    def values(self, known: Values, order: Order | None = None) -> dict[str, float]:
        """The shop part of a case whose other values are `known`.

        A session says no currency: its prices are taken to be in that of most orders. An order in a currency of which
        too little is known has no usual amount; whether the shop has ever had one in it is a value of its own, once it
        knows what is usual in any.
        """
        found: dict[str, float] = {}
        usual = next(iter(self.usual_amount.values()), None)
        if usual is not None and "session_value" in known:
            found["session_value_over_usual"] = known["session_value"] / usual
        if order is None:
            return found
        total = order.total
        of_currency = self.usual_amount.get(order.currency or "")
        if total is not None and of_currency is not None:
            found["order_value_over_usual"] = total / of_currency
        if order.currency is not None and self.usual_amount:
            found["order_currency_unseen"] = float(
                order.currency not in self.usual_amount and order.currency not in self.rare_currencies
            )
        if total is not None and known.get("shopper_mean_value", 0.0) > 0:
            found["order_value_over_own"] = total / known["shopper_mean_value"]
        if order.items:
            shares = [self.item_refund_share.get(line.item, self.refund_share) for line in order.items]
            found["item_refund_share"] = sum(shares) / len(shares)
        return found


def complete(shop: Shop, parts: Mapping[str, float], order: Order | None = None) -> dict[str, float]:
    """All values of a case: `parts` and what they are beside the usual of the shop."""
    return {**parts, **shop.values(parts, order)}
