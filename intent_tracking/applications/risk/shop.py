"""What is usual in a shop: the amounts of its orders, and how often each item comes back."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final, Self

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from intent_tracking.applications.risk.features import Order, Values
from intent_tracking.events.contract import EVENT_SCHEMA, EventName

READ: Final = ("event_name", "value", "currency", "items")
LEAST_ORDERS: Final = 20
# A currency of so many of the orders is what an amount is in that tells none.
_NEARLY_ALL: Final = 0.99
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
        main_currency: that of nearly all orders, in which amounts are taken to be that tell none; None where there is
            no such, and they are compared with nothing. It is "" where nearly all orders tell none: then a currency
            that none of them has told is taken for theirs.
        refund_share: lines refunded per line sold.
        item_refund_share: the same of the items that were refunded or sold often, drawn towards `refund_share`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    usual_amount: dict[str, float] = {}
    rare_currencies: tuple[str, ...] = ()
    main_currency: str | None = None
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
        usual = {currency: float(median) for currency, median, orders in amounts if orders >= LEAST_ORDERS}
        nearly_all = _NEARLY_ALL * sum(orders for _, _, orders in amounts)
        return cls(
            usual_amount=usual,
            rare_currencies=tuple(currency for currency, _, orders in amounts if orders < LEAST_ORDERS),
            main_currency=next((each for each, _, orders in amounts if each in usual and orders >= nearly_all), None),
            refund_share=share,
            item_refund_share={
                item: min(1.0, (returned + _PRIOR_LINES * share) / (count + _PRIOR_LINES))
                for item, count, returned in lines
                if returned or count >= _PRIOR_LINES
            },
        )

    def values(self, known: Values, order: Order | None = None, currencies: Set[str] = frozenset()) -> dict[str, float]:
        """The shop part of a case whose other values are `known`.

        An amount is compared with what is usual in its own currency, and with nothing where that is not known: a
        session in the one that it tells (`currencies`), else in that of its order; what tells none, such as all that a
        shopper spent, in the main one. Whether the shop has ever had an order in a currency is a value of its own, once
        it knows what is usual in any.
        """
        found: dict[str, float] = {}
        told = self._taken(order.currency) if order is not None else None
        spent = known.get("shopper_mean_value", 0.0)
        if len(currencies) < 2 and "session_value" in known:
            usual = self._usual(self._taken(next(iter(currencies), told)))
            found |= _times("session_value_over_usual", known["session_value"], usual)
        if spent > 0:
            found |= _times("shopper_mean_value_over_usual", spent, self._usual(None))
        if order is None:
            return found
        total, usual = order.total, self._usual(told)
        found |= _times("order_value_over_usual", total, usual)
        found |= _times("order_mean_price_over_usual", known.get("order_mean_price"), usual)
        if spent > 0 and self.main_currency is not None and told in (None, self.main_currency):
            found |= _times("order_value_over_own", total, spent)
        if told is not None and self.usual_amount:
            found["order_currency_unseen"] = float(told not in self.usual_amount and told not in self.rare_currencies)
        if order.items:
            shares = [self.item_refund_share.get(line.item, self.refund_share) for line in order.items]
            found["item_refund_share"] = sum(shares) / len(shares)
        return found

    def _taken(self, currency: str | None) -> str | None:
        """The currency that one which is told stands for."""
        if not currency or self.main_currency != "" or currency in (*self.usual_amount, *self.rare_currencies):
            return currency
        return self.main_currency

    def _usual(self, currency: str | None) -> float | None:
        """The median order in `currency`, in the main one where none is told; None where it is not known."""
        key = self.main_currency if currency is None else currency
        return self.usual_amount.get(key) if key is not None else None


def _times(name: str, amount: float | None, usual: float | None) -> dict[str, float]:
    return {} if amount is None or usual is None else {name: amount / usual}


def complete(
    shop: Shop, parts: Mapping[str, float], order: Order | None = None, currencies: Set[str] = frozenset()
) -> dict[str, float]:
    """All values of a case: `parts` and what they are beside the usual of the shop, of prices in `currencies`."""
    return {**parts, **shop.values(parts, order, currencies)}
