"""Sessions: the expression agrees with a sessioniser written by hand, and with itself."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.events.contract import EVENT_SCHEMA, Event, SourcePosition, events_to_table, shopper_id
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
    """What `sessionise` should give, as a loop over one shopper after the other."""
    threads: dict[tuple[str, str | None], list[Event]] = defaultdict(list)
    for each in sorted(events, key=lambda each: (each.event_time, each.event_id)):
        threads[shopper_id(each), each.session_id].append(each)
    found: list[tuple[str, str | None, list[Event]]] = []
    for (shopper, given_id), thread in threads.items():
        start = 0
        for place in range(1, len(thread) + 1):
            if place == len(thread) or thread[place].event_time - thread[place - 1].event_time > SESSION_GAP:
                found.append((shopper, given_id, thread[start:place]))
                start = place
    found.sort(key=lambda each: (each[2][0].event_time, each[2][0].event_id))
    used: set[str | None] = set()
    sessions = []
    for shopper, given_id, members in found:
        session_id = new_session_id(shopper, given_id, members[0].event_id, taken=given_id in used)
        used.add(given_id)
        if members[0].event_time.date() == day:
            sessions.append(
                {
                    "session_id": session_id,
                    "shopper_id": shopper,
                    "user_id": members[0].user_id,
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
