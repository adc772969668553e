"""Sessions: the expression agrees with a sessioniser written by hand, and with itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.events.contract import EVENT_SCHEMA, Event, SourcePosition, events_to_table, shopper_id, visitor_id
from intent_tracking.sessions.cutoff import shopper_seen
from intent_tracking.sessions.sessionise import SESSION_SCHEMA, sessionise
from intent_tracking.sessions.state import new_session_id
from intent_tracking.sessions.vocabulary import SESSION_GAP
from intent_tracking.tables import DayTable
from tests.fakes.session_events import NOON, event, event_lists

pytestmark = pytest.mark.unit

DAY = NOON.date()


def table(events: Sequence[Event]) -> pa.Table:
    return events_to_table((each, SourcePosition()) for each in events)


def by_hand(events: Sequence[Event], day: date) -> list[dict[str, Any]]:
    """What `sessionise` should give, as a loop over one event after the other."""
    open_ones: dict[tuple[str, str | None], tuple[str, list[Event]]] = {}
    begun: list[tuple[str, list[Event]]] = []
    owner: dict[str, str] = {}

    def under_way(shopper: str | None, each: Event) -> tuple[str, list[Event]] | None:
        found = None if shopper is None else open_ones.get((shopper, each.session_id))
        return found if found and each.event_time - found[1][-1].event_time <= SESSION_GAP else None

    for each in sorted(events, key=lambda each: (each.event_time, each.event_id)):
        shopper = shopper_id(each)
        session = under_way(shopper, each)
        if session is None and each.user_id and (session := under_way(visitor_id(each), each)):
            del open_ones[visitor_id(each) or "", each.session_id]
        if session is None:
            session = (shopper, [])
            begun.append(session)
        session[1].append(each)
        open_ones[shopper, each.session_id] = session
        owner[session[1][0].event_id] = shopper
    used: set[str | None] = set()
    sessions = []
    for first_shopper, members in begun:
        given_id = members[0].session_id
        session_id = new_session_id(first_shopper, given_id, members[0].event_id, taken=given_id in used)
        used.add(given_id)
        if members[0].event_time.date() == day:
            sessions.append(
                {
                    "session_id": session_id,
                    "shopper_id": owner[members[0].event_id],
                    "user_id": members[-1].user_id,
                    "started_at": members[0].event_time,
                    "ended_at": members[-1].event_time,
                    "event_count": len(members),
                    "scene": members[-1].scene.value,
                    "purchased": any(each.event_name == "purchase" for each in members),
                    "events": [each.event_id for each in members],
                }
            )
    return sorted(sessions, key=lambda each: (each["started_at"], each["session_id"]))


@settings(max_examples=40)
@given(event_lists(span=timedelta(hours=40)), st.sampled_from([DAY, DAY + timedelta(days=1)]))
def test_agrees_with_a_sessioniser_written_by_hand(events: list[Event], day: date) -> None:
    sessions = [
        {**row, "events": [each["event_id"] for each in row["events"]]}
        for row in sessionise(table(events), day).drop_columns(["language"]).to_pylist()
    ]
    assert sessions == by_hand(events, day)


def test_no_events_make_no_sessions() -> None:
    assert sessionise(EVENT_SCHEMA.empty_table(), DAY).schema == SESSION_SCHEMA


def test_a_session_over_midnight_belongs_to_the_day_it_began() -> None:
    midnight = datetime(2026, 3, 3, tzinfo=UTC)
    events = [event("view_item", midnight + timedelta(minutes=minutes)) for minutes in (-20, -1, 10)]
    assert sessionise(table(events), DAY)["event_count"].to_pylist() == [3]
    assert sessionise(table(events), DAY + timedelta(days=1)).num_rows == 0


def test_each_event_is_in_exactly_one_session_of_one_day() -> None:
    midnight = datetime(2026, 3, 3, tzinfo=UTC)
    events = [event("view_item", midnight + timedelta(minutes=25 * step)) for step in range(-40, 40, 1) if step % 7]
    days = [DAY + timedelta(days=offset) for offset in range(-1, 3)]
    held = [
        each["event_id"]
        for day in days
        for row in sessionise(
            table([one for one in events if abs((one.event_time.date() - day).days) <= 1]), day
        ).to_pylist()
        for each in row["events"]
    ]
    assert sorted(held) == sorted(each.event_id for each in events)


def test_a_given_id_is_kept_and_a_later_use_of_it_told_apart() -> None:
    events = [event("view_item", NOON + timedelta(minutes=minutes), session_id="web-7") for minutes in (0, 20, 80)]
    first, second = sessionise(table(events), DAY)["session_id"].to_pylist()
    assert first == "web-7"
    assert second.startswith("web-7#")


@pytest.mark.parametrize("session_id", ["web-7", None])
def test_a_login_goes_on_with_the_visit_before_it(session_id: str | None) -> None:
    # Cause: shops ask for the login at the checkout, and what came before it was a session that does not buy.
    at = {"device": "phone-1", "session_id": session_id}
    events = [
        event("search", NOON, user=None, **at),
        event("add_to_cart", NOON + timedelta(minutes=20), user=None, **at),
        event("begin_checkout", NOON + timedelta(minutes=40), **at),
        event("purchase", NOON + timedelta(minutes=41), **at),
    ]
    (row,) = sessionise(table(events), DAY).to_pylist()
    assert (row["shopper_id"], row["user_id"], row["purchased"], row["event_count"]) == ("ann", "ann", True, 4)
    assert row["session_id"] == new_session_id("anonymous:phone-1", session_id, events[0].event_id, taken=False)
    seen = [shopper_seen(row, each) for each in row["events"]]
    assert seen == ["anonymous:phone-1", "anonymous:phone-1", "ann", "ann"]


@pytest.mark.parametrize(
    "login",
    [
        {"device": "phone-2", "session_id": "web-7"},
        {"device": None, "session_id": "web-7"},
        {"device": "phone-1", "session_id": "web-8"},
        {"device": "phone-1", "session_id": None},
    ],
)
def test_a_visit_is_nobody_s_who_does_not_know_both_its_ids(login: dict[str, str | None]) -> None:
    visit = event("view_item", user=None, device="phone-1", session_id="web-7")
    claim = event("view_item", NOON + timedelta(minutes=1), user="eve", **login)
    rows = sessionise(table([visit, claim]), DAY).to_pylist()
    assert [(row["shopper_id"], row["user_id"]) for row in rows] == [("anonymous:phone-1", None), ("eve", "eve")]


def test_a_login_ends_the_visit_and_two_users_of_a_device_stay_apart() -> None:
    users = [None, "ann", None, "ann", "bob", None, "bob"]
    events = [
        event("view_item", NOON + timedelta(minutes=minute), user=user, device="phone-1", session_id="web-7")
        for minute, user in enumerate(users)
    ]
    rows = sessionise(table(events), DAY).to_pylist()
    minutes = [[each["event_time"].minute for each in row["events"]] for row in rows]
    assert [row["shopper_id"] for row in rows] == ["ann", "bob", "anonymous:phone-1"]
    assert minutes == [[0, 1, 3], [2, 4, 6], [5]]
    assert len({row["session_id"] for row in rows}) == 3


def test_the_items_of_an_event_come_along_in_order() -> None:
    (row,) = sessionise(table([event("purchase")]), DAY).to_pylist()
    assert row["purchased"] is True
    assert row["events"][0]["items"] == [
        {
            "item_id": "d1",
            "item_name": "Red Dress",
            "item_brand": "Mango",
            "item_category": "Women/Dresses",
            "price": 49.9,
            "quantity": 1,
        }
    ]


@pytest.mark.parametrize(
    ("texts", "declared", "language"),
    [
        (["你好", "订单在哪"], None, "zh"),
        (["hello", "where is it", "你好"], None, "en"),
        ([], "zh-CN", "zh"),
        ([], None, "en"),
    ],
)
def test_the_language_is_that_of_most_of_what_was_written(
    texts: list[str], declared: str | None, language: str
) -> None:
    events = [event("message", NOON + timedelta(seconds=second), text=text) for second, text in enumerate(texts)]
    events.append(event("view_item", NOON + timedelta(minutes=1), language=declared))
    assert sessionise(table(events), DAY)["language"].to_pylist() == [language]


def test_making_it_again_gives_the_same_bytes(tmp_path: Any) -> None:
    picker = random.Random(5)
    events = [
        event("view_item", NOON + timedelta(seconds=picker.randrange(20_000)), event_id=f"e{n}", user=f"u{n % 90}")
        for n in range(3000)
    ]
    written = []
    for name in ("once", "again"):
        picker.shuffle(events)
        store = DayTable(tmp_path, name, SESSION_SCHEMA)
        store.write(DAY, sessionise(table(events), DAY))
        written.append(store.path(DAY).read_bytes())
    assert written[0] == written[1]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match=r"\['shopper_id'\] are missing"):
        sessionise(EVENT_SCHEMA.empty_table().drop_columns(["shopper_id"]), DAY)
