"""The features. This is the only place that names them; everything else reads `FEATURES`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from intent_tracking.events.contract import EventName
from intent_tracking.features.declaration import Aggregation, Bounds, DType, Entity, Feature, Value, window_name

# Snapshots are made daily and the lookback is three days: an older row means that the pipeline stands still or that
# the shopper left the longest window, and in both cases the default is nearer to the truth.
TTL = timedelta(days=3)

DAY, WEEK, MONTH = timedelta(days=1), timedelta(days=7), timedelta(days=30)

VIEWS = (EventName.VIEW_ITEM,)
CARTS = (EventName.ADD_TO_CART,)
REMOVALS = (EventName.REMOVE_FROM_CART,)
PURCHASES = (EventName.PURCHASE,)
REFUNDS = (EventName.REFUND,)
SEARCHES = (EventName.SEARCH,)
MESSAGES = (EventName.MESSAGE,)
EVERY: tuple[EventName, ...] = ()


def _declare(
    entity: Entity,
    stem: str,
    windows: tuple[timedelta, ...],
    events: tuple[EventName, ...],
    aggregation: Aggregation,
    description: str,
    *,
    value: Value | None = None,
    of: tuple[EventName, ...] = (),
    maximum: float | None = None,
) -> Iterator[Feature]:
    """The same feature over several windows: `<entity>_<stem>_<window>`."""
    whole = aggregation in (Aggregation.COUNT, Aggregation.DISTINCT) or value is Value.QUANTITY
    dtype: DType = "int64" if whole else "float64"
    for window in windows:
        days = window / DAY
        recency = aggregation is Aggregation.RECENCY
        yield Feature(
            name=f"{entity}_{stem}_{window_name(window)}",
            dtype=dtype,
            entity=entity,
            events=events,
            aggregation=aggregation,
            value=value,
            window=window,
            # Nothing in the window: it was at least a window ago.
            default=days if recency else 0,
            ttl=TTL,
            description=f"{description} Window: {days:g} days.",
            of=of,
            maximum=days if recency else maximum,
        )


def _user_features() -> Iterator[Feature]:
    user = Entity.USER
    count, distinct, recency = Aggregation.COUNT, Aggregation.DISTINCT, Aggregation.RECENCY
    yield from _declare(user, "views", (DAY, WEEK, MONTH), VIEWS, count, "Product pages viewed.")
    yield from _declare(user, "carts", (DAY, WEEK, MONTH), CARTS, count, "Times something was put into the cart.")
    yield from _declare(user, "purchases", (WEEK, MONTH), PURCHASES, count, "Purchases.")
    yield from _declare(
        user, "spend", (WEEK, MONTH), PURCHASES, Aggregation.SUM,
        "Money spent, in the currency of the logs.", value=Value.AMOUNT,
    )  # fmt: skip
    yield from _declare(
        user, "categories", (WEEK, MONTH), VIEWS, distinct, "Different categories viewed.", value=Value.CATEGORY
    )
    yield from _declare(user, "brands", (MONTH,), VIEWS, distinct, "Different brands viewed.", value=Value.BRAND)
    yield from _declare(user, "searches", (DAY, WEEK), SEARCHES, count, "Searches.")
    yield from _declare(user, "messages", (WEEK, MONTH), MESSAGES, count, "Messages to the service desk.")
    yield from _declare(user, "refunds", (MONTH,), REFUNDS, count, "Refunds.")
    yield from _declare(
        user, "mean_price_viewed", (WEEK, MONTH), VIEWS, Aggregation.MEAN, "Mean price of the items viewed.",
        value=Value.PRICE,
    )  # fmt: skip
    yield from _declare(
        user, "max_price_viewed", (MONTH,), VIEWS, Aggregation.MAX, "Highest price of the items viewed.",
        value=Value.PRICE,
    )  # fmt: skip
    yield from _declare(
        user, "last_price_viewed", (WEEK,), VIEWS, Aggregation.LAST, "Price of the item viewed last.",
        value=Value.PRICE,
    )  # fmt: skip
    yield from _declare(user, "days_since_purchase", (MONTH,), PURCHASES, recency, "Days since the last purchase.")
    yield from _declare(user, "days_since_visit", (MONTH,), EVERY, recency, "Days since the last event of any kind.")
    yield from _declare(
        user, "search_share", (WEEK,), SEARCHES, Aggregation.RATIO, "Share of searches among all events.",
        of=EVERY, maximum=1,
    )  # fmt: skip
    yield from _declare(
        user, "cart_removal_ratio", (MONTH,), REMOVALS, Aggregation.RATIO,
        "Removals from the cart per thing put into it.", of=CARTS,
    )  # fmt: skip


def _item_features() -> Iterator[Feature]:
    item = Entity.ITEM
    yield from _declare(item, "views", (WEEK, MONTH), VIEWS, Aggregation.COUNT, "Views of the product page.")
    yield from _declare(item, "carts", (WEEK,), CARTS, Aggregation.COUNT, "Times put into a cart.")
    yield from _declare(item, "purchases", (WEEK,), PURCHASES, Aggregation.COUNT, "Purchases that hold the item.")
    yield from _declare(item, "units_sold", (MONTH,), PURCHASES, Aggregation.SUM, "Units sold.", value=Value.QUANTITY)
    yield from _declare(
        item, "shoppers", (MONTH,), VIEWS, Aggregation.DISTINCT, "Different shoppers who viewed it.",
        value=Value.SHOPPER,
    )  # fmt: skip
    yield from _declare(
        item, "conversion", (MONTH,), PURCHASES, Aggregation.RATIO, "Purchases per view of the product page.", of=VIEWS
    )
    yield from _declare(
        item, "mean_price", (MONTH,), EVERY, Aggregation.MEAN, "Mean price seen in the logs.", value=Value.PRICE
    )


USER_FEATURES: tuple[Feature, ...] = tuple(_user_features())
ITEM_FEATURES: tuple[Feature, ...] = tuple(_item_features())
FEATURES: tuple[Feature, ...] = USER_FEATURES + ITEM_FEATURES


def features_of(entity: Entity) -> tuple[Feature, ...]:
    """The features that describe `entity`, in their declared order."""
    return tuple(feature for feature in FEATURES if feature.entity is entity)


def feature_bounds(entity: Entity) -> tuple[Bounds, ...]:
    """What holds for every row of a snapshot; expectation suites are compiled from it."""
    return tuple(
        Bounds(feature.name, feature.dtype, feature.minimum, feature.maximum, feature.nullable)
        for feature in features_of(entity)
    )
