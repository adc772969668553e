"""What the propensity model reads of a shopper at a moment: one SQL expression a feature, over the acts until then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

from intent_tracking.applications.marketing.history import end_of
from intent_tracking.tombstones import ANONYMOUS

Floats = npt.NDArray[np.float64]

OUTCOME_DAYS: Final = 30
"""A purchase within so many days is what is foretold."""
HISTORY_DAYS: Final = 365
BATCH: Final = 50_000
"""Shoppers whose figures are in memory at once where all are scored: 17 MB."""

_ORDER = "name = 'purchase'"


def _within(days: int) -> str:
    return f"age <= {days}"


def _count(name: str, days: int) -> str:
    return f"count(*) FILTER (name = '{name}' AND {_within(days)})"


def _days_with(days: int) -> str:
    return f"count(DISTINCT t::DATE) FILTER ({_within(days)})"


# `age`: days before the moment; `pauses`: days between the shopper's order days.
RFM: Final = {
    "days_since_order": f"coalesce(min(age) FILTER ({_ORDER}), {HISTORY_DAYS})",
    "orders": f"count(*) FILTER ({_ORDER})",
    "spend": f"coalesce(sum(amount) FILTER ({_ORDER}), 0)",
}
"""Recency, frequency, monetary value (Bult and Wansbeek 1995): what the model is held against."""
CADENCE: Final = {
    "days_known": "max(age)",
    "days_since_first_order": f"coalesce(max(age) FILTER ({_ORDER}), 0)",
    "order_days": f"count(DISTINCT t::DATE) FILTER ({_ORDER})",
    "order_rate": f"count(DISTINCT t::DATE) FILTER ({_ORDER}) / greatest(max(age) FILTER ({_ORDER}), 7)",
    "cadence": "any_value(mean_pause)",
    "usual_pause": "any_value(median_pause)",
    "pause_spread": "any_value(pause_spread)",
    "longest_pause": "any_value(longest_pause)",
    "overdue": f"min(age) FILTER ({_ORDER}) / greatest(any_value(mean_pause), 1)",
    "lines_each": f"avg(items) FILTER ({_ORDER})",
    "units_each": f"avg(units) FILTER ({_ORDER})",
    "spend_last": f"arg_min(amount, age) FILTER ({_ORDER})",
    "refunds": "count(*) FILTER (name = 'refund')",
    "refunds_30d": _count("refund", 30),
    **{f"orders_{days}d": _count("purchase", days) for days in (7, 14, 30, 60, 90, 180)},
    **{
        f"spend_{days}d": f"coalesce(sum(amount) FILTER ({_ORDER} AND {_within(days)}), 0)"
        for days in (7, 14, 30, 60, 90, 180)
    },
}
VISITS: Final = {
    "days_since_visit": "min(age)",
    **{f"visits_{days}d": _days_with(days) for days in (7, 30, 90)},
    **{f"views_{days}d": _count("view_item", days) for days in (1, 7, 30)},
    **{f"carts_{days}d": _count("add_to_cart", days) for days in (1, 7, 30)},
    "searches_7d": _count("search", 7),
    "checkouts_7d": _count("begin_checkout", 7),
    "removals_7d": _count("remove_from_cart", 7),
    "messages_7d": _count("message", 7),
}
FEATURES: Final = RFM | CADENCE | VISITS
FAMILIES: Final = {
    "rfm": tuple(RFM),
    "orders": tuple(RFM | CADENCE),
    "orders_and_visits": tuple(FEATURES),
}
"""What a training chooses from."""


@dataclass(frozen=True)
class Snapshot:
    """Shoppers at the end of a day.

    Attributes:
        day: UTC.
        shoppers: known users with an act in the `HISTORY_DAYS` before, in order; visitors without a user are left out,
            nobody can write to them or knows them again.
        values: float64 [shoppers, FEATURES], as they are, to six digits behind the point.
    """

    day: date
    shoppers: tuple[str, ...]
    values: Floats


# Money of several currencies is made comparable by the typical order in each: an order of twice the median yen is worth
# one of twice the median euro, in the currency of most orders. With one currency nothing changes.
# Threads add money up in any order; what that changes is rounded off, so that the same events give the same model.
_SNAPSHOT: Final = f"""
WITH given AS (
    SELECT *, epoch(moment - t) / 86400.0 AS age FROM acts, (SELECT ?::TIMESTAMP AS moment)
    WHERE t < moment AND known <= moment AND t >= moment - INTERVAL {HISTORY_DAYS} DAY
        AND NOT starts_with(shopper_id, '{ANONYMOUS}')
),
typical AS (
    SELECT currency, median(amount) AS amount, count(*) AS orders FROM given WHERE {_ORDER} GROUP BY currency
),
priced AS (
    SELECT given.* REPLACE (given.amount * coalesce(most.amount / nullif(typical.amount, 0), 1) AS amount)
    FROM given LEFT JOIN typical ON given.currency IS NOT DISTINCT FROM typical.currency,
        (SELECT arg_max(amount, (orders, currency)) AS amount FROM typical) AS most
),
order_days AS (SELECT DISTINCT shopper_id, t::DATE AS day FROM given WHERE {_ORDER}),
gaps AS (
    SELECT shopper_id, date_diff('day', lag(day) OVER (PARTITION BY shopper_id ORDER BY day), day) AS gap
    FROM order_days
),
pauses AS (
    SELECT shopper_id, avg(gap) AS mean_pause, median(gap) AS median_pause, max(gap) AS longest_pause,
        stddev_samp(gap) AS pause_spread
    FROM gaps WHERE gap IS NOT NULL GROUP BY shopper_id
)
SELECT shopper_id, {", ".join(f"round(coalesce(({sql})::DOUBLE, 0), 6) AS {name}" for name, sql in FEATURES.items())}
FROM priced LEFT JOIN pauses USING (shopper_id) GROUP BY shopper_id ORDER BY shopper_id
"""  # noqa: S608 - from the constants above


def snapshots(database: duckdb.DuckDBPyConnection, day: date, rows: int = BATCH) -> Iterator[Snapshot]:
    """The features at the end of `day`, from what had happened and arrived by then, `rows` shoppers at a time.

    Nothing else may be asked of `database` (`history.history`) before the last one.
    """
    moment = end_of(day).replace(tzinfo=None)
    for batch in database.execute(_SNAPSHOT, [moment]).to_arrow_reader(rows):
        columns = [batch[name].to_numpy(zero_copy_only=False) for name in FEATURES]
        yield Snapshot(day, tuple(batch["shopper_id"].to_pylist()), np.stack(columns, axis=1))


def snapshot(database: duckdb.DuckDBPyConnection, day: date) -> Snapshot:
    """The features of all shoppers at once (`snapshots`)."""
    parts = list(snapshots(database, day))
    shoppers = tuple(shopper for part in parts for shopper in part.shoppers)
    return Snapshot(day, shoppers, np.concatenate([np.zeros((0, len(FEATURES))), *(part.values for part in parts)]))


def bought_after(
    database: duckdb.DuckDBPyConnection, shoppers: tuple[str, ...], moment: datetime
) -> npt.NDArray[np.bool_]:
    """Who of `shoppers` bought within `OUTCOME_DAYS` after `moment`."""
    begin = moment.replace(tzinfo=None)
    rows = database.execute(
        f"SELECT DISTINCT shopper_id FROM acts WHERE {_ORDER} AND t >= ? AND t < ?",  # noqa: S608 - a constant
        [begin, begin + timedelta(days=OUTCOME_DAYS)],
    ).fetchall()
    buyers = {shopper for (shopper,) in rows}
    return np.array([shopper in buyers for shopper in shoppers], dtype=bool)
