"""What shoppers did up to a moment, as DuckDB reads it from the partitions of `validated_events`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

import duckdb

from intent_tracking.events.contract import EVENT_SCHEMA, MAX_MONEY
from intent_tracking.tombstones import ANONYMOUS

_READ: Final = (
    "event_name", "event_time", "received_time", "shopper_id", "value", "currency", "items", "custom", "language",
    "event_id",
)  # fmt: skip


def end_of(day: date) -> datetime:
    """The first moment after `day`, UTC: what is said of a day holds then."""
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=UTC)


def days_up_to(until: date, days: int) -> list[date]:
    """The `days` days up to `until`, oldest first."""
    return [until - timedelta(days=back) for back in reversed(range(days))]


@contextmanager
def history(
    events: Sequence[Path],
    moment: datetime | None = None,
    *,
    lines: bool = False,
    most_shoppers: int | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the events that had happened and arrived by `moment` (None: all of them).

    `acts`: shopper_id, name, t, known (when it had arrived), amount (of purchases, in its currency), currency (null
    where the event has none), items, units, language.
    `lines`: shopper_id, name, t, item, item_name, brand, price, units, on_offer (coupon or discount) of product pages,
    carts (what is taken out too) and purchases. Times are UTC without a zone.

    Args:
        events: partitions of `validated_events`.
        moment: UTC.
        lines: whether the table `lines` is made too.
        most_shoppers: of known users; where there are more, everything is of that many of them, drawn by a hash of the
            id: the same ones each time, and each as likely as another, so that shares stay what they are.
    """
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        if events:
            columns = ", ".join(_READ)
            database.read_parquet([str(path) for path in events], hive_partitioning=False).project(columns).create_view(
                "stored"
            )
        else:
            database.register("stored", EVENT_SCHEMA.empty_table().select(_READ))
        until = (moment or datetime.max.replace(tzinfo=UTC)).replace(tzinfo=None)
        database.execute(
            "CREATE TEMP TABLE bound AS SELECT ?::TIMESTAMP AS moment, ?::DOUBLE AS most", [until, MAX_MONEY]
        )
        database.execute(_KNOWN)
        if most_shoppers is not None:
            database.execute(_SAMPLE, [most_shoppers])
            database.execute(_OF_THE_SAMPLE)
        database.execute(_ACTS)
        if lines:
            database.execute(_LINES)
        yield database


_KNOWN: Final = """
CREATE TEMP VIEW known AS
SELECT * EXCLUDE (event_time, received_time), event_time::TIMESTAMP AS t,
    greatest(event_time, coalesce(received_time, event_time))::TIMESTAMP AS known
FROM stored, bound
WHERE event_time::TIMESTAMP < moment AND coalesce(received_time, event_time)::TIMESTAMP <= moment
"""
_SAMPLE: Final = f"""
CREATE TEMP TABLE sampled AS
SELECT shopper_id FROM (SELECT DISTINCT shopper_id FROM known WHERE NOT starts_with(shopper_id, '{ANONYMOUS}'))
ORDER BY md5(shopper_id), shopper_id LIMIT ?
"""  # noqa: S608 - a constant
_OF_THE_SAMPLE: Final = """
ALTER VIEW known RENAME TO known_of_all;
CREATE TEMP VIEW known AS SELECT * FROM known_of_all WHERE shopper_id IN (FROM sampled)
"""
_ACTS: Final = """
CREATE TEMP TABLE acts AS
SELECT shopper_id, event_name AS name, t, known, event_id,
    CASE WHEN event_name = 'purchase' THEN least(most, coalesce(value, list_sum(list_transform(items,
        lambda x: coalesce(x.price, 0) * coalesce(x.quantity, 1))), 0)) END AS amount,
    currency,
    len(items) AS items,
    list_sum(list_transform(items, lambda x: coalesce(x.quantity, 1)))::BIGINT AS units,
    language
FROM known
"""
_LINES: Final = """
CREATE TEMP TABLE lines AS
SELECT shopper_id, name, t, coalesce(line.item_id, line.item_name) AS item, line.item_name AS item_name,
    line.item_brand AS brand, line.price AS price, coalesce(line.quantity, 1) AS units,
    (line.coupon IS NOT NULL OR coalesce(line.discount, 0) > 0 OR used IS NOT NULL) AS on_offer
FROM (
    SELECT shopper_id, event_name AS name, t, unnest(items) AS line, json_extract_string(custom, '$.coupon') AS used
    FROM known WHERE event_name IN ('view_item', 'add_to_cart', 'remove_from_cart', 'purchase')
)
"""
