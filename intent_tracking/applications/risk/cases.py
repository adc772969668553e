"""The cases of a day: each session that starts on it, and each order that is placed in one of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from intent_tracking.applications.risk.features import (
    FEATURES,
    OF_DAYS,
    USER_COLUMNS,
    USER_DEFAULTS,
    Kind,
    Order,
    Values,
    currencies_of,
    order_values,
    session_values,
    shopper_values,
)
from intent_tracking.applications.risk.shop import Shop, complete
from intent_tracking.events.contract import EVENT_SCHEMA, EventName, event_from_row
from intent_tracking.sessions.render import SessionEvent
from intent_tracking.sessions.sessionise import SESSION_SCHEMA
from intent_tracking.tables import DayTable

_UTC: Final = pa.timestamp("us", tz="UTC")
_TICK: Final = timedelta(microseconds=1)
_IDS: Final[list[tuple[str, pa.DataType]]] = [
    ("case_id", pa.string()),
    ("kind", pa.string()),
    ("shopper_id", pa.string()),
    ("session_id", pa.string()),
    ("event_id", pa.string()),
    ("transaction_id", pa.string()),
    ("started_at", _UTC),
]
RISK_CASE_SCHEMA: Final = pa.schema([*_IDS, *((feature.name, pa.float64()) for feature in FEATURES)])
"""One row a session and an order; a value that is not known is null. `event_id` is that of the purchase, else null."""

_DELAYS: Final = """
SELECT refund.shopper_id, min(epoch(refund.event_time - purchase.event_time)) / 3600 AS hours
FROM events AS refund JOIN events AS purchase
  ON refund.transaction_id = purchase.transaction_id AND refund.shopper_id = purchase.shopper_id
WHERE refund.event_name = $refund AND purchase.event_name = $purchase
  AND refund.event_time >= purchase.event_time AND refund.event_time >= $begin AND refund.event_time < $end
GROUP BY ALL
"""
_COUPONS: Final = """
SELECT shopper_id, list(used ORDER BY used) FROM (
  SELECT shopper_id, coupon, transaction_id, min(event_time)::TIMESTAMP AS used FROM (
    SELECT shopper_id, transaction_id, event_time, unnest(list_distinct(list_append(
      list_transform(items, line -> line.coupon), custom::JSON ->> 'coupon'))) AS coupon
    FROM events WHERE event_name = $purchase)
  WHERE coupon IS NOT NULL AND transaction_id IS NOT NULL GROUP BY ALL)
GROUP BY shopper_id, coupon ORDER BY shopper_id, coupon
"""
_HISTORY_READ: Final = ("event_name", "event_time", "shopper_id", "transaction_id", "items", "custom")


def risk_cases(sessions: pa.Table, events: pa.Table, features: pa.Table, day: date) -> pa.Table:
    """RISK_CASE_SCHEMA rows of the sessions that start on `day`, in their order; each is followed by its orders.

    Args:
        sessions: SESSION_SCHEMA of `day`.
        events: EVENT_SCHEMA of `day`, the day after (for what runs over midnight) and the 30 days before; of them
            purchases and refunds suffice (`orders_of`).
        features: USER_FEATURE_SCHEMA rows of the day before, as they stood online on `day`. A shopper without a row has
            the defaults that the online store answers; without any row there was no store, and nobody is known.

    An order is seen as it was placed: its session up to then, the shopper and the shop as they were the day before.
    """
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        shop = Shop.learned(_before(events, day))
        delays, coupons = _history(database, events, day)
    bought = _purchases(events, day)
    known = {row["shopper_id"]: row for row in features.select(["shopper_id", *USER_COLUMNS]).to_pylist()}
    rows = sessions.select(SESSION_SCHEMA.names).to_pylist()
    today: dict[str, int] = {}
    for row in rows:
        today[row["shopper_id"]] = today.get(row["shopper_id"], 0) + 1
    found: list[dict[str, Any]] = []
    for row in rows:
        shopper = row["shopper_id"]
        stood = known.get(shopper, USER_DEFAULTS) if known else None
        about = shopper_values(stood) | {"sessions_today": today[shopper]}
        if shopper in delays:
            about["refund_delay_hours"] = delays[shopper]
        found.extend(_of_session(row, about, coupons.get(shopper, []), shop, bought))
    return pa.Table.from_pylist(found, schema=RISK_CASE_SCHEMA)


def read_cases(cases: DayTable, days: Sequence[date]) -> pa.Table:
    """RISK_CASE_SCHEMA rows of `days`; a feature that is newer than what is written of a day is not known of it."""
    written = [pq.ParquetFile(path).read() for path in cases.paths(days)]
    return pa.concat_tables([RISK_CASE_SCHEMA.empty_table(), *written], promote_options="default")


def orders_of(events: DayTable, days: Sequence[date], columns: Sequence[str] = EVENT_SCHEMA.names) -> pa.Table:
    """The purchases and refunds of `days`, read day by day: what else happened is much more."""
    wanted = pa.array([EventName.PURCHASE.value, EventName.REFUND.value])
    read = (events.read([day], columns=list(columns)) for day in days)
    nothing = pa.schema([EVENT_SCHEMA.field(name) for name in columns]).empty_table()
    return pa.concat_tables([nothing, *(table.filter(pc.is_in(table["event_name"], wanted)) for table in read)])


def _of_session(
    row: Mapping[str, Any],
    about: Values,
    coupons: Sequence[Sequence[datetime]],
    shop: Shop,
    bought: Mapping[str, Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    events = [SessionEvent.from_row(event) for event in row["events"]]
    ids = {name: row[name] for name in ("shopper_id", "session_id", "started_at")}
    end = _moment(row["started_at"].date() + timedelta(days=1))
    seen = {**session_values(events, row["event_count"], row["started_at"]), **about, **_uses(coupons, end)}
    values = complete(shop, seen, currencies=currencies_of(events))
    yield {"case_id": f"session:{row['session_id']}", "kind": Kind.SESSION.value, **ids, **values}
    # What else happened on the day may have come after the order.
    earlier = {name: value for name, value in about.items() if name not in OF_DAYS}
    for at, event in enumerate(events):
        purchase = bought.get(event.event_id)
        if event.event_name is not EventName.PURCHASE or purchase is None:
            continue
        order = order_of(purchase)
        before = session_values(events[:at], at, row["started_at"]) if at else {}
        uses = _uses(coupons, event.event_time + _TICK)
        seen = {**before, **order_values(order), **earlier, **uses}
        values = complete(shop, seen, order, currencies_of(events[:at]))
        yield {
            "case_id": f"order:{event.event_id}",
            "kind": Kind.ORDER.value,
            **ids,
            "event_id": event.event_id,
            "transaction_id": purchase["transaction_id"],
            **values,
        }


def order_of(row: Mapping[str, Any]) -> Order:
    """The order of a purchase, a row of EVENT_SCHEMA."""
    params = event_from_row(row).params
    return Order.of(
        params.items,
        value=params.value,
        currency=params.currency,
        coupon=params.coupon,
        placed_at=row["event_time"],
    )


def values_of(rows: pa.Table, names: Sequence[str]) -> list[dict[str, float]]:
    """The known values among `names` of each row of RISK_CASE_SCHEMA."""
    columns = [rows[name].to_pylist() for name in names]
    return (
        [
            {name: value for name, value in zip(names, row, strict=True) if value is not None}
            for row in zip(*columns, strict=True)
        ]
        if rows.num_rows
        else []
    )


def _purchases(events: pa.Table, day: date) -> dict[str, Mapping[str, Any]]:
    """By event id the purchases of the sessions that start on `day`: of the day, or of the next one."""
    is_purchase = pc.equal(events["event_name"], EventName.PURCHASE.value)
    is_late = pc.greater_equal(events["event_time"], pa.scalar(_moment(day), _UTC))
    return {row["event_id"]: row for row in events.filter(pc.and_(is_purchase, is_late)).to_pylist()}


def _before(events: pa.Table, day: date) -> pa.Table:
    return events.filter(pc.less(events["event_time"], pa.scalar(_moment(day), _UTC)))


def _moment(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _uses(coupons: Sequence[Sequence[datetime]], end: datetime) -> dict[str, float]:
    """Most orders with one coupon before `end`, of the times of each coupon in order; nothing where there are none."""
    most = max((bisect_left(times, end) for times in coupons), default=0)
    return {"coupon_uses": float(most)} if most else {}


def _history(
    database: duckdb.DuckDBPyConnection, events: pa.Table, day: date
) -> tuple[dict[str, float], dict[str, list[list[datetime]]]]:
    """By shopper the fastest refund of `day` in hours, and of each coupon when orders used it."""
    schema = pa.schema([EVENT_SCHEMA.field(name) for name in _HISTORY_READ])
    database.register("events", events.select(_HISTORY_READ).cast(schema))
    begin = _moment(day)
    given = {
        "purchase": EventName.PURCHASE.value,
        "refund": EventName.REFUND.value,
        "begin": begin,
        "end": begin + timedelta(days=1),
    }
    delays = {shopper: float(hours) for shopper, hours in database.execute(_DELAYS, given).fetchall()}
    coupons: dict[str, list[list[datetime]]] = {}
    for shopper, times in database.execute(_COUPONS, {"purchase": EventName.PURCHASE.value}).fetchall():
        coupons.setdefault(shopper, []).append([moment.replace(tzinfo=UTC) for moment in times])
    return delays, coupons
