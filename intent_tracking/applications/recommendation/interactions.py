"""What shoppers did with items, as arrays: the one form that indexes, histories and rankers are learned from.

The unit is the visit: one shopper on one UTC day. A line says how far the shopper went with an item in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.tables import streamed

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Events: TypeAlias = pa.Table | pa.RecordBatchReader

MOST_ITEMS_OF_A_VISIT: Final = 200
"""What counts of a visit: the items that it went furthest with, then the newest. What goes together is learned in time
that grows with the square of it, and who goes through a whole catalogue says nothing of any two items."""
# So few that a new price is soon the price, and enough that one shopper does not make it.
_PRICING_SHOPPERS: Final = 9
_EPOCH: Final = date(1970, 1, 1)
NEVER: Final = 2**31 - 1
"""The place of an event that did not happen: after all others."""
INTERACTION_COLUMNS: Final = ["event_id", "event_name", "event_time", "shopper_id", "items"]
"""The columns of EVENT_SCHEMA that are read."""


class Reach(IntEnum):
    """How far a shopper went with an item: a later step says more."""

    LOOKED = 1
    CARTED = 2
    BOUGHT = 3


REACH_OF_EVENT: Final = {
    "view_item": Reach.LOOKED,
    "select_item": Reach.LOOKED,
    "add_to_wishlist": Reach.LOOKED,
    "add_to_cart": Reach.CARTED,
    "begin_checkout": Reach.CARTED,
    "purchase": Reach.BOUGHT,
}


@dataclass(frozen=True)
class Catalogue:
    """The items that were seen, in the order of their index.

    Attributes:
        ids: texts.
        names, categories, brands: what most shoppers saw; empty where no event tells.
        prices: median of what the newest few shoppers saw last, NaN where no event tells.
        first_days: day number of the first event.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    categories: tuple[str, ...]
    brands: tuple[str, ...]
    prices: Floats
    first_days: Ints

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Interactions:
    """Lines of visits, ordered by visit; visits are ordered by day.

    Attributes:
        catalogue: what the item numbers mean.
        starts: `[visits + 1]`, where the lines of each visit begin; `MOST_ITEMS_OF_A_VISIT` lines at most.
        items, reaches: `[lines]`; within a visit in the order of the first event about the item.
        firsts: `[lines, len(Reach)]`: the place in the order of time of the first event that took the item just so
            far, `NEVER` where none did.
        days, shoppers: `[visits]`: day number since 1970 and a number for each shopper.
        shopper_ids: what the shopper numbers mean; no index keeps them.
    """

    catalogue: Catalogue
    starts: npt.NDArray[np.int64]
    items: Ints
    reaches: npt.NDArray[np.int8]
    firsts: Ints
    days: Ints
    shoppers: Ints
    shopper_ids: tuple[str, ...] = ()

    def lines_of(self, visit: int) -> slice:
        """Where the lines of a visit lie."""
        return slice(int(self.starts[visit]), int(self.starts[visit + 1]))

    def rows_of(self, visits: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The numbers of the lines of `visits`, one visit after the other."""
        ranges = [np.arange(self.starts[visit], self.starts[visit + 1]) for visit in visits]
        return np.concatenate([np.zeros(0, np.int64), *ranges])

    @cached_property
    def visit_of_line(self) -> Ints:
        """`[lines]`: the visit of each line."""
        return np.repeat(np.arange(len(self.days), dtype=np.int32), np.diff(self.starts))

    @cached_property
    def newest_by_item(self) -> npt.NDArray[np.int64]:
        """`[lines]`: the numbers of the lines by item, the newest first."""
        return len(self.items) - 1 - np.argsort(self.items[::-1], kind="stable")

    @cached_property
    def by_shopper_and_item(self) -> npt.NDArray[np.int64]:
        """`[lines]`: the numbers of the lines by shopper, then by item, the oldest first."""
        return np.lexsort((self.items, self.shoppers[self.visit_of_line]))

    def before(self, day: int) -> Interactions:
        """What was known at the beginning of `day`; the catalogue stays, so that item numbers do."""
        visits = int(np.searchsorted(self.days, day))
        lines = int(self.starts[visits])
        return replace(
            self,
            starts=self.starts[: visits + 1],
            items=self.items[:lines],
            reaches=self.reaches[:lines],
            firsts=self.firsts[:lines],
            days=self.days[:visits],
            shoppers=self.shoppers[:visits],
        )


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


def day_of(number: int) -> date:
    """The day of `day_number`."""
    return _EPOCH + timedelta(days=number)


# Of each reach, as `_VISITS` names them.
_FIRSTS: Final = ("looked", "carted", "bought")
# A number in the order of time stands for (time, event, position): comparing one number is much faster.
_LINES = """
    CREATE TEMP TABLE lines AS
    SELECT row_number() OVER (ORDER BY event_time, event_id, position) AS place,
           shopper_id, CAST(event_time AS DATE) - DATE '1970-01-01' AS day, reach,
           coalesce(item.item_id, item.item_name) AS item_id, item.item_name AS name,
           item.item_category AS category, item.item_brand AS brand, item.price AS price
    FROM (
        SELECT events.shopper_id, events.event_id, events.event_time, reaches.reach,
               unnest(events.items) AS item, generate_subscripts(events.items, 1) AS position
        FROM events JOIN reaches ON events.event_name = reaches.event_name
    )
"""
# All of it comes from browsers, and the rules of the shop go by it: an item is called and belongs as most shoppers saw,
# and costs what the middle one of the newest saw, so that one visitor neither writes to the others nor moves an item.
_CATALOGUE = """
    WITH told AS (UNPIVOT (SELECT item_id, shopper_id, place, name, category, brand FROM lines)
                  ON name, category, brand INTO NAME part VALUE word),
         counted AS (SELECT item_id, part, word, count(DISTINCT shopper_id) AS shoppers, max(place) AS newest
                     FROM told WHERE word <> '' GROUP BY item_id, part, word),
         words AS (SELECT item_id, arg_max(word, (shoppers, newest)) FILTER (part = 'name') AS name,
                          arg_max(word, (shoppers, newest)) FILTER (part = 'category') AS category,
                          arg_max(word, (shoppers, newest)) FILTER (part = 'brand') AS brand
                   FROM counted GROUP BY item_id),
         priced AS (SELECT item_id, arg_max(price, place) AS price
                    FROM lines WHERE price IS NOT NULL GROUP BY item_id, shopper_id
                    QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY max(place) DESC) <= ?),
         prices AS (SELECT item_id, quantile_disc(price, 0.5) AS price FROM priced GROUP BY item_id),
         known AS (SELECT item_id, min(day) AS first_day FROM lines GROUP BY item_id)
    SELECT item_id, first_day, coalesce(name, '') AS name, coalesce(category, '') AS category,
           coalesce(brand, '') AS brand, price
    FROM known LEFT JOIN words USING (item_id) LEFT JOIN prices USING (item_id) ORDER BY item_id
"""
_VISITS = """
    WITH numbered AS (SELECT item_id, row_number() OVER (ORDER BY item_id) - 1 AS item FROM
                      (SELECT DISTINCT item_id FROM lines)),
         people AS (SELECT shopper_id, row_number() OVER (ORDER BY shopper_id) - 1 AS shopper FROM
                    (SELECT DISTINCT shopper_id FROM lines))
    SELECT day, shopper, item, max(reach) AS reach, min(place) FILTER (reach = 1) AS looked,
           min(place) FILTER (reach = 2) AS carted, min(place) FILTER (reach = 3) AS bought
    FROM lines JOIN numbered USING (item_id) JOIN people USING (shopper_id)
    GROUP BY day, shopper, item
    QUALIFY row_number() OVER (PARTITION BY day, shopper ORDER BY max(reach) DESC, max(place) DESC) <= ?
    ORDER BY day, shopper, min(place)
"""


def interaction_events(events: Dataset) -> pa.RecordBatchReader:
    """Of rows of EVENT_SCHEMA those that visits are made of, `INTERACTION_COLUMNS` a batch at a time."""
    schema = pa.schema([events.schema.field(name) for name in INTERACTION_COLUMNS])
    chosen = pc.field("event_name").isin(list(REACH_OF_EVENT))
    return pa.RecordBatchReader.from_batches(schema, streamed(events, INTERACTION_COLUMNS, chosen))


def interactions_of(events: Events) -> Interactions:
    """The visits in `events`; equal events give equal arrays, in whatever order they come.

    Args:
        events: rows of EVENT_SCHEMA, `INTERACTION_COLUMNS` of them at least.
    """
    reaches = pa.table(
        {"event_name": list(REACH_OF_EVENT), "reach": pa.array([int(r) for r in REACH_OF_EVENT.values()], pa.int8())}
    )
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.register("events", events)
        database.register("reaches", reaches)
        database.execute(_LINES)
        described = database.execute(_CATALOGUE, [_PRICING_SHOPPERS]).to_arrow_table()
        people = database.execute("SELECT DISTINCT shopper_id FROM lines ORDER BY shopper_id").to_arrow_table()
        lines = database.execute(_VISITS, [MOST_ITEMS_OF_A_VISIT]).to_arrow_table()
    days, shoppers = _numbers(lines["day"], np.int32), _numbers(lines["shopper"], np.int32)
    begins = np.flatnonzero(np.r_[True, (np.diff(days) != 0) | (np.diff(shoppers) != 0)]) if len(days) else days
    return Interactions(
        catalogue=_catalogue(described),
        starts=np.r_[begins, len(days)].astype(np.int64),
        items=_numbers(lines["item"], np.int32),
        reaches=_numbers(lines["reach"], np.int8),
        firsts=np.stack([_numbers(lines[name].fill_null(NEVER), np.int32) for name in _FIRSTS], axis=1),
        days=days[begins],
        shoppers=shoppers[begins],
        shopper_ids=tuple(people["shopper_id"].to_pylist()),
    )


def _catalogue(described: pa.Table) -> Catalogue:
    texts = {name: tuple(described[name].to_pylist()) for name in ("item_id", "name", "category", "brand")}
    return Catalogue(
        ids=texts["item_id"],
        names=texts["name"],
        categories=texts["category"],
        brands=texts["brand"],
        prices=described["price"].cast(pa.float32()).to_numpy(zero_copy_only=False).astype(np.float32),
        first_days=_numbers(described["first_day"], np.int32),
    )


def _numbers(column: pa.ChunkedArray, kind: Any) -> npt.NDArray[Any]:
    numbers: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False).astype(kind)
    return numbers
