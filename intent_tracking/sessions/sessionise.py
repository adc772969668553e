"""Sessions out of events: a shopper's events with no silence of more than 30 minutes between them.

What a visitor did before logging in belongs to the session that the login goes on with, and so to the user. The login
is the first event of a user's session, and must name the visitor's device (anonymous id) and session id: who knows a
session id alone cannot make somebody's visit their own. It also ends the visit: what the device does later without a
user is another's, as far as anybody can tell.

One Ibis expression, run by DuckDB here and by PySpark on a cluster. It uses no order-sensitive aggregate and no hash of
an engine's own, so both give the same rows.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

from intent_tracking.events.contract import EVENT_SCHEMA, EventName
from intent_tracking.sessions.vocabulary import SESSION_GAP

_TIMESTAMP = pa.timestamp("us", tz="UTC")
_ITEM_FIELDS = ("item_id", "item_name", "item_brand", "item_category", "price", "quantity")
_EVENT_FIELDS = ("event_id", "event_name", "event_time", "scene", "search_term", "text", "currency")

SESSION_ITEM_TYPE = pa.struct([EVENT_SCHEMA.field("items").type.value_type.field(name) for name in _ITEM_FIELDS])
SESSION_EVENT_TYPE = pa.struct(
    [
        *(EVENT_SCHEMA.field(name) for name in _EVENT_FIELDS),
        pa.field("visitor_id", pa.string()),
        pa.field("items", pa.list_(SESSION_ITEM_TYPE)),
    ]
)
"""`visitor_id`: whom the event names, where that is not the session's shopper because it came before the login."""
_FIELDS: list[tuple[str, pa.DataType]] = [
    ("session_id", pa.string()),
    ("shopper_id", pa.string()),
    ("user_id", pa.string()),
    ("started_at", _TIMESTAMP),
    ("ended_at", _TIMESTAMP),
    ("event_count", pa.int64()),
    ("scene", pa.string()),
    ("language", pa.string()),
    ("purchased", pa.bool_()),
    ("events", pa.list_(SESSION_EVENT_TYPE)),
]
SESSION_SCHEMA = pa.schema(_FIELDS)
_READ = ("shopper_id", "user_id", "anonymous_id", "session_id", "language", *_EVENT_FIELDS, "items")
_READ_SCHEMA = pa.schema([EVENT_SCHEMA.field(name) for name in _READ])
_BOUNDS = pa.schema([pa.field("begins", _TIMESTAMP), pa.field("ends", _TIMESTAMP)])


def sessionise(events: pa.Table, day: date) -> pa.Table:
    """The sessions that start on `day` (UTC), ordered by (started_at, session_id); equal input gives equal bytes.

    Args:
        events: rows of EVENT_SCHEMA of the day before, the day and the day after, in any order. The day before tells
            whether the first events of `day` continue a session, the day after brings the end of one over midnight.
        day: UTC date.

    Returns:
        SESSION_SCHEMA. What goes on without a pause over two midnights (only robots do) ends where the three days end.

    Raises:
        ValueError: a column is missing.
    """
    missing = [name for name in _READ if name not in events.column_names]
    if missing:
        raise ValueError(f"events: columns {missing} are missing; sessionise reads rows of EVENT_SCHEMA")
    begins = datetime.combine(day, time.min, tzinfo=UTC)
    bounds = pa.table({"begins": [begins], "ends": [begins + timedelta(days=1)]}, schema=_BOUNDS)
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.register("events", events.select(_READ).cast(_READ_SCHEMA))
        database.register("bounds", bounds)
        sessions: pa.Table = database.execute(_duckdb_sql()).to_arrow_table()
    return sessions.cast(SESSION_SCHEMA).combine_chunks()


@lru_cache(maxsize=1)
def _duckdb_sql() -> str:
    """The expression for DuckDB; compiling it takes longer than running it on a day of a small shop."""
    events = ibis.table(ibis.Schema.from_pyarrow(_READ_SCHEMA), name="events")
    bounds = ibis.table(ibis.Schema.from_pyarrow(_BOUNDS), name="bounds")
    return str(ibis.to_sql(session_expression(events, bounds).order_by("started_at", "session_id"), dialect="duckdb"))


def session_expression(events: ir.Table, bounds: ir.Table) -> ir.Table:
    """SESSION_SCHEMA rows, unordered: the sessions of `events` that start in [begins, ends), the one row of `bounds`.

    A session is told by shopper and, where the source gives one, session id; a login goes on with the visit before it.
    A given id is kept; where it was used before in the three days (by the same shopper before a longer silence, or by
    somebody else), `#` and a hash make it unique. A derived id is a hash of the first event and its shopper.
    """
    numbered = _numbered(events)
    heads = numbered.filter(numbered["starts"])
    by_id = ibis.window(group_by="given_id", order_by=["event_time", "event_id"])
    heads = heads.mutate(uses=ibis.row_number().over(by_id), first_event=heads["event_id"])
    digest = (heads["shopper_id"] + "\x1f" + heads["first_event"]).hexdigest("sha256")
    heads = heads.inner_join(
        bounds, [heads["event_time"] >= bounds["begins"], heads["event_time"] < bounds["ends"]]
    ).select(
        head_owner="owner",
        head_given="given_key",
        head_number="number",
        new_id=ibis.cases(
            (heads["given_id"].isnull(), ibis.literal("s-") + digest.substr(0, 24)),
            (heads["uses"] == 0, heads["given_id"]),
            else_=heads["given_id"] + "#" + digest.substr(0, 8),
        ),
    )
    members = numbered.inner_join(
        heads,
        [
            numbered["owner"] == heads["head_owner"],
            numbered["given_key"] == heads["head_given"],
            numbered["number"] == heads["head_number"],
        ],
    )
    sessions: ir.Table = _gathered(members)
    return sessions


def _numbered(events: ir.Table) -> ir.Table:
    """The events, each with its session (`owner`, `given_key`, `number`) and whether it `starts` it."""
    events = events.rename(given_id="session_id")
    # A join and a window treat nulls differently from engine to engine: one key without nulls serves both.
    events = events.mutate(
        given_key=ibis.ifelse(events["given_id"].isnull(), "-", ibis.literal("+") + events["given_id"])
    )
    silence = ibis.interval(seconds=int(SESSION_GAP.total_seconds()))
    order = {"group_by": ["shopper_id", "given_key"], "order_by": ["event_time", "event_id"]}
    before = events["event_time"].lag().over(ibis.window(**order))
    events = events.mutate(begins=before.isnull() | (events["event_time"] > before + silence))
    running = ibis.window(**order, preceding=None, following=0)
    events = events.mutate(
        number=events["begins"].cast("int64").sum().over(running),
        is_login=events["begins"] & events["user_id"].notnull() & events["anonymous_id"].notnull(),
    )
    return _joined(events, silence)


def _joined(events: ir.Table, silence: ir.IntervalScalar) -> ir.Table:
    """The numbered events, where each visit without a user that a login goes on with is part of the user's session.

    A visit is what a device does, with one session id, up to a silence or a login, which is its last event.
    """
    is_anonymous = events["user_id"].isnull()
    on_device = is_anonymous | events["is_login"]
    # The other events take no part; by their shopper they lie in small windows.
    events = events.mutate(
        on_device=on_device, device=ibis.ifelse(on_device, events["anonymous_id"], events["shopper_id"])
    )
    place = ["on_device", "device", "given_key"]
    order = {"group_by": place, "order_by": ["event_time", "event_id"]}
    before = events["event_time"].lag().over(ibis.window(**order))
    follows_login = events["is_login"].lag().over(ibis.window(**order))
    events = events.mutate(opens=before.isnull() | follows_login | (events["event_time"] > before + silence))
    running = ibis.window(**order, preceding=None, following=0)
    events = events.mutate(visit=events["opens"].cast("int64").sum().over(running))
    of_visit = ibis.window(group_by=[*place, "visit"])
    login = events["is_login"]
    events = events.mutate(
        user=ibis.ifelse(login, events["shopper_id"], ibis.null("string")).max().over(of_visit),
        of_user=ibis.ifelse(login, events["number"], ibis.null("int64")).max().over(of_visit),
    )
    is_anonymous = events["user_id"].isnull()
    joins = is_anonymous & events["user"].notnull()
    return events.mutate(
        owner=ibis.ifelse(joins, events["user"], events["shopper_id"]),
        visitor_id=ibis.ifelse(joins, events["shopper_id"], ibis.null("string")),
        number=ibis.cases((joins, events["of_user"]), (is_anonymous, events["visit"]), else_=events["number"]),
        starts=ibis.ifelse(events["on_device"], events["opens"], events["begins"]),
    )


def _gathered(members: ir.Table) -> ir.Table:
    """One row a session, its events nested in the order of (event_time, event_id)."""
    words = ibis.coalesce(members["text"], members["search_term"])
    declared = members["language"].lower().substr(0, 2)
    chinese = ibis.ifelse(words.notnull(), words.re_search("[\u4e00-\u9fff]"), declared == "zh")
    nested = {name: members[name] for name in (*_EVENT_FIELDS, "visitor_id")}
    items = members["items"].map(lambda item: ibis.struct({name: item[name] for name in _ITEM_FIELDS}))
    # The sort key comes first: comparing structs compares their fields from left to right, and event ids are unique.
    sortable = ibis.struct(
        {"at": nested["event_time"], "id": nested["event_id"], "event": ibis.struct(nested | {"items": items})}
    )
    speaks = words.notnull() | declared.isin(["en", "zh"])
    gathered = members.group_by("new_id", shopper_id=members["owner"]).aggregate(
        user_id=members["user_id"].max(),
        started_at=members["event_time"].min(),
        ended_at=members["event_time"].max(),
        event_count=members.count(),
        purchased=members.count(where=members["event_name"] == EventName.PURCHASE.value) > 0,
        chinese=members.count(where=speaks & chinese),
        spoken=members.count(where=speaks),
        sorted_events=sortable.collect(),
    )
    gathered = gathered.mutate(events=gathered["sorted_events"].sort().map(lambda each: each["event"]))
    return gathered.select(
        "shopper_id",
        "user_id",
        "started_at",
        "ended_at",
        "event_count",
        "purchased",
        "events",
        session_id="new_id",
        # Not [-1]: Ibis 12 adds one to any index for Spark, which counts from 1 and takes 32-bit indices alone.
        scene=gathered["events"][(gathered["event_count"] - 1).cast("int32")]["scene"],
        language=ibis.ifelse((gathered["spoken"] > 0) & (gathered["chinese"] * 2 >= gathered["spoken"]), "zh", "en"),
    ).select(*SESSION_SCHEMA.names)
