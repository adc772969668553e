"""What a session and an order look like to risk control: computed by the same code in batch and service.

A value that is not known is absent, never a guess: a rule that reads it does not fire, and a model takes the usual
value in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from statistics import fmean, median, pstdev
from typing import Final

from intent_tracking.events.contract import EventName, Item
from intent_tracking.features.catalogue import USER_FEATURES
from intent_tracking.sessions.render import SessionEvent, SessionItem
from intent_tracking.sessions.state import MAX_EVENTS_KEPT, MAX_ITEMS_KEPT

Values = Mapping[str, float]


class Kind(StrEnum):
    """What is judged: a session, an order as it is placed, or, where neither is known, a shopper's last 30 days."""

    SESSION = "session"
    ORDER = "order"
    SHOPPER = "shopper"


class Part(StrEnum):
    """Where the values of a feature come from."""

    SESSION = "session"
    ORDER = "order"
    SHOPPER = "shopper"
    HISTORY = "history"
    SHOP = "shop"


@dataclass(frozen=True)
class RiskFeature:
    """One number of a case.

    Attributes:
        name: column name everywhere; reasons are worded by it (`wording.yaml`).
        part: where it comes from. `history` is known in the daily batch alone, `shop` compares the case with what is
            usual in the shop.
        modelled: whether the models read it; rules may read all.
    """

    name: str
    part: Part
    modelled: bool = True


def _declared(part: Part, *names: str, modelled: bool = True) -> tuple[RiskFeature, ...]:
    return tuple(RiskFeature(name, part, modelled) for name in names)


# Models read money as a multiple of what is usual in its currency, so that they outlive a change of prices and take no
# currency for a large amount.
_MONEY: Final = (
    RiskFeature("session_value", Part.SESSION, False),
    RiskFeature("order_value", Part.ORDER, False),
    RiskFeature("order_mean_price", Part.ORDER, False),
    RiskFeature("shopper_mean_value", Part.SHOPPER, False),
)

FEATURES: Final[tuple[RiskFeature, ...]] = (
    *_declared(
        Part.SESSION,
        *("events", "minutes", "events_per_minute", "median_gap_seconds", "gap_variation", "quick_view_share"),
        *("items_seen", "item_view_share", "event_kinds", "searches", "messages", "carts", "removals", "promotions"),
        *("checkouts", "payment_attempts", "purchases", "refunds", "refunds_after_purchase", "unseen_cart_share"),
        "session_max_quantity",
    ),
    *_declared(
        Part.ORDER,
        *("order_lines", "order_units", "order_max_quantity", "order_categories"),
        *("order_discount_share", "order_coupons", "order_hour"),
    ),
    *_MONEY,
    *_declared(
        Part.SHOPPER,
        *("shopper_views", "shopper_carts", "shopper_purchases", "shopper_refunds", "shopper_refund_share"),
        *("shopper_messages", "shopper_days_since_purchase", "shopper_days_since_visit"),
    ),
    *_declared(Part.HISTORY, "sessions_today", "coupon_uses", "refund_delay_hours", modelled=False),
    *_declared(Part.SHOP, "session_value_over_usual", "order_value_over_usual", "order_value_over_own"),
    *_declared(Part.SHOP, "order_mean_price_over_usual", "shopper_mean_value_over_usual", "item_refund_share"),
    *_declared(Part.SHOP, "order_currency_unseen", modelled=False),
)
BY_NAME: Final[Mapping[str, RiskFeature]] = {feature.name: feature for feature in FEATURES}
OF_ORDERS: Final = frozenset(
    {
        *("order_value_over_usual", "order_value_over_own", "order_mean_price_over_usual", "item_refund_share"),
        "order_currency_unseen",
    }
)
# Known when the day is over: of no use for an order that is being placed.
OF_DAYS: Final = frozenset({"sessions_today", "refund_delay_hours"})


@lru_cache
def features_of(kind: Kind, *, modelled: bool = False) -> tuple[str, ...]:
    """Names of the features that a case of `kind` can have, in their declared order; with `modelled`, of its models."""
    parts = {
        Kind.SESSION: {Part.SESSION, Part.SHOPPER, Part.HISTORY, Part.SHOP},
        Kind.ORDER: set(Part),
        Kind.SHOPPER: {Part.SHOPPER, Part.HISTORY},
    }[kind]
    return tuple(
        feature.name
        for feature in FEATURES
        if feature.part in parts
        and (feature.modelled or not modelled)
        and feature.name not in (OF_DAYS if kind is Kind.ORDER else OF_ORDERS)
    )


@dataclass(frozen=True)
class OrderItem:
    """A line of an order; `price` is per unit, in the order's currency."""

    item: str
    price: float | None
    quantity: int
    category: str | None = None
    coupon: str | None = None
    discount: float | None = None


@dataclass(frozen=True)
class Order:
    """An order as it is placed: nothing of what came after."""

    value: float | None
    currency: str | None
    placed_at: datetime
    items: tuple[OrderItem, ...] = ()
    coupon: str | None = None

    @classmethod
    def of(
        cls,
        lines: Iterable[Item],
        *,
        value: float | None,
        currency: str | None,
        coupon: str | None,
        placed_at: datetime,
    ) -> Order:
        """From the lines of a purchase as events carry them; one without a quantity is of one piece."""
        items = tuple(
            OrderItem(
                item=line.item_id or line.item_name or "",
                price=line.price,
                quantity=1 if line.quantity is None else line.quantity,
                category=line.item_category,
                coupon=line.coupon,
                discount=line.discount,
            )
            for line in lines
        )
        return cls(value, currency, placed_at, items, coupon)

    @property
    def total(self) -> float | None:
        """The value, or where it is not given that of the lines; None where their prices are not given either."""
        if self.value is not None:
            return self.value
        priced = [line.price * line.quantity for line in self.items if line.price is not None]
        return sum(priced) if priced else None


# A page that is left within two seconds is not read: eye-tracking studies of product pages begin above that.
QUICK_SECONDS: Final = 2.0
_LEAST_GAPS: Final = 5
_VIEWS: Final = frozenset({EventName.VIEW_ITEM})
_SHOWS: Final = frozenset(
    {
        *(EventName.VIEW_ITEM, EventName.VIEW_ITEM_LIST, EventName.SELECT_ITEM, EventName.VIEW_SEARCH_RESULTS),
        *(EventName.ADD_TO_WISHLIST, EventName.VIEW_PROMOTION, EventName.SELECT_PROMOTION),
    }
)
_PRICED: Final = frozenset({EventName.ADD_TO_CART, EventName.BEGIN_CHECKOUT, EventName.VIEW_CART, EventName.PURCHASE})


def session_values(events: Sequence[SessionEvent], event_count: int, started_at: datetime) -> dict[str, float]:
    """The session part of a case.

    Args:
        events: oldest first; of many the newest are looked at, as many as the live service keeps, so that batch and
            service see the same.
        event_count: all events of the session so far.
        started_at: of the session's first event.

    Raises:
        ValueError: no events.
    """
    if not events:
        raise ValueError("a session has at least one event")
    seen = events[-MAX_EVENTS_KEPT:]
    names = [event.event_name for event in seen]
    minutes = max((seen[-1].event_time - started_at) / timedelta(minutes=1), 0.0)
    gaps = [max((after.event_time - before.event_time).total_seconds(), 0.0) for before, after in pairwise(seen)]
    views = [at for at, name in enumerate(names) if name in _VIEWS]
    dwelt = [gaps[at] for at in views if at < len(gaps)]
    shown: set[str] = set()
    items_seen: set[str] = set()
    carted = unseen = 0
    value, quantity, purchased, refunded = 0.0, 0, False, 0
    for event in seen:
        items = event.items[:MAX_ITEMS_KEPT]
        keys = {_key(item) for item in items}
        if event.event_name in _SHOWS:
            shown |= keys
        if event.event_name in _VIEWS:
            items_seen |= keys
        if event.event_name is EventName.ADD_TO_CART:
            carted += len(keys)
            unseen += len(keys - shown)
        if event.event_name in _PRICED:
            value = max(value, sum((item.price or 0.0) * _quantity(item) for item in items))
            quantity = max([quantity, *(_quantity(item) for item in items)])
        purchased = purchased or event.event_name is EventName.PURCHASE
        refunded += event.event_name is EventName.REFUND and purchased
    found: dict[str, float] = {
        "events": event_count,
        "minutes": minutes,
        # Half a minute more keeps two quick events from being a rate of thousands.
        "events_per_minute": event_count / (minutes + 0.5),
        "items_seen": len(items_seen),
        "item_view_share": len(views) / len(seen),
        "event_kinds": len(set(names)),
        "searches": names.count(EventName.SEARCH),
        "messages": names.count(EventName.MESSAGE),
        "carts": names.count(EventName.ADD_TO_CART),
        "removals": names.count(EventName.REMOVE_FROM_CART),
        "promotions": names.count(EventName.SELECT_PROMOTION),
        "checkouts": names.count(EventName.BEGIN_CHECKOUT),
        "payment_attempts": names.count(EventName.ADD_PAYMENT_INFO),
        "purchases": names.count(EventName.PURCHASE),
        "refunds": names.count(EventName.REFUND),
        "refunds_after_purchase": refunded,
        "session_max_quantity": quantity,
    }
    if gaps:
        found["median_gap_seconds"] = median(gaps)
    if len(gaps) >= _LEAST_GAPS and (mean := fmean(gaps)) > 0:
        found["gap_variation"] = pstdev(gaps) / mean
    if dwelt:
        found["quick_view_share"] = sum(gap < QUICK_SECONDS for gap in dwelt) / len(dwelt)
    if carted:
        found["unseen_cart_share"] = unseen / carted
    if value > 0:
        found["session_value"] = value
    return found


def currencies_of(events: Sequence[SessionEvent]) -> frozenset[str]:
    """The currencies in which a session, seen as by `session_values`, tells the prices that make its value."""
    priced = (event for event in events[-MAX_EVENTS_KEPT:] if event.event_name in _PRICED)
    return frozenset(event.currency for event in priced if event.currency is not None)


def order_values(order: Order) -> dict[str, float]:
    """The order part of a case: what is on the order itself."""
    found: dict[str, float] = {"order_hour": order.placed_at.hour}
    total = order.total
    if total is not None:
        found["order_value"] = total
    coupons = {order.coupon, *(line.coupon for line in order.items)} - {None}
    found["order_coupons"] = len(coupons)
    if not order.items:
        return found
    units = sum(line.quantity for line in order.items)
    prices = [line.price for line in order.items if line.price is not None]
    found |= {
        "order_lines": len(order.items),
        "order_units": units,
        "order_max_quantity": max(line.quantity for line in order.items),
        "order_categories": len({line.category for line in order.items}),
    }
    if prices:
        found["order_mean_price"] = fmean(prices)
    listed = sum((line.price or 0.0) * line.quantity for line in order.items)
    off = sum((line.discount or 0.0) * line.quantity for line in order.items)
    if listed + off > 0:
        found["order_discount_share"] = off / (listed + off)
    return found


_SHOPPER_COLUMNS: Final[Mapping[str, str]] = {
    "shopper_views": "user_views_30d",
    "shopper_carts": "user_carts_30d",
    "shopper_purchases": "user_purchases_30d",
    "shopper_refunds": "user_refunds_30d",
    "shopper_messages": "user_messages_30d",
    "shopper_days_since_purchase": "user_days_since_purchase_30d",
    "shopper_days_since_visit": "user_days_since_visit_30d",
}
_SPEND: Final = "user_spend_30d"
USER_COLUMNS: Final = (*_SHOPPER_COLUMNS.values(), _SPEND)
USER_DEFAULTS: Final[Values] = {each.name: each.default for each in USER_FEATURES if each.name in USER_COLUMNS}
"""What the online store answers for a shopper whom it does not know, and so what a day without a row stands for."""


def shopper_values(features: Values | None) -> dict[str, float]:
    """The shopper part, of the features of `intent_tracking.features` as they stood before; empty without a store."""
    if features is None:
        return {}
    found = {name: float(features[column]) for name, column in _SHOPPER_COLUMNS.items()}
    purchases = found["shopper_purchases"]
    # One more purchase than there was: a single refund of a single purchase is not yet the habit of refunding all.
    found["shopper_refund_share"] = found["shopper_refunds"] / (purchases + 1)
    if purchases > 0:
        found["shopper_mean_value"] = float(features[_SPEND]) / purchases
    return found


def _key(item: SessionItem) -> str:
    return item.item_id or item.item_name or ""


def _quantity(item: SessionItem) -> int:
    return 1 if item.quantity is None else item.quantity
