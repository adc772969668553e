from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intent_tracking.features.batch import features_at
from intent_tracking.features.catalogue import ITEM_FEATURES, USER_FEATURES, features_of
from intent_tracking.features.declaration import Entity
from intent_tracking.features.facts import keys_of_event, microseconds
from intent_tracking.features.schema import TIMESTAMP
from intent_tracking.features.stream import LATENESS, EntityState, exact, update, value, values
from tests.fakes.shop_events import START, event_row, event_rows, moments, table

pytestmark = pytest.mark.unit

ANN = EntityState(Entity.USER, "ann")
MONTH = timedelta(days=30)


def _fed(state: EntityState, rows: list[dict[str, Any]], **bounds: Any) -> EntityState:
    for row in rows:
        state = update(state, row, **bounds)
    return state


@pytest.mark.parametrize("entity", list(Entity))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(event_rows, max_size=25), now=moments, seen=st.integers(0, 25), border=st.data())
def test_stream_equals_batch_to_the_last_bit(
    entity: Entity, rows: list[dict[str, Any]], now: datetime, seen: int, border: st.DataObject
) -> None:
    """At training time (all events, batch) as at serving time (a state that was stored and loaded on the way).

    Half of the moments lie exactly where an event enters or leaves a window.
    """
    if rows and border.draw(st.booleans()):
        spans = [timedelta(0), *sorted({feature.window for feature in features_of(entity)})]
        now = border.draw(st.sampled_from(rows))["event_time"] + border.draw(st.sampled_from(spans))
    newest = max((row["event_time"] for row in rows), default=now)
    now = max(now, newest - LATENESS)
    keys = ["ann", "bob"] if entity is Entity.USER else ["i0", "i1", "i2", "Unnamed"]
    points = pa.table({"entity": keys, "point_time": pa.array([now] * len(keys), TIMESTAMP)})

    batch = features_at(table(rows), points, features_of(entity)).to_pylist()

    for key, expected in zip(keys, batch, strict=True):
        early = _fed(EntityState(entity, key), rows[:seen])
        state = _fed(EntityState.from_json(early.to_json()), rows[seen:])
        assert values(state, now) == {feature.name: expected[feature.name] for feature in features_of(entity)}
        assert exact(state, now, MONTH)


@settings(max_examples=50)
@given(rows=st.lists(event_rows, max_size=12), order=st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(rows: list[dict[str, Any]], order: Any) -> None:
    shuffled = list(rows)
    order.shuffle(shuffled)
    newest = max((row["event_time"] for row in rows), default=START)

    assert values(_fed(ANN, rows), newest) == values(_fed(ANN, shuffled), newest)


def test_the_value_moves_with_time_alone() -> None:
    state = update(ANN, event_row("view_item", START))
    views = next(feature for feature in USER_FEATURES if feature.name == "user_views_1d")
    visit = next(feature for feature in USER_FEATURES if feature.name == "user_days_since_visit_30d")

    assert value(state, START, views) == 1
    assert value(state, START + timedelta(days=1), views) == 0
    assert value(state, START + timedelta(hours=36), visit) == 1.5
    assert value(state, START + MONTH, visit) == 30


def test_the_state_forgets_what_no_window_can_reach() -> None:
    rows = [event_row("search", START + timedelta(days=day)) for day in range(100)]

    state = _fed(ANN, rows)

    assert len(state.facts) == 33  # 30 days of window and 3 of lateness
    assert exact(state, rows[-1]["event_time"], MONTH)


def test_a_shopper_over_the_limit_keeps_the_newest_facts_and_is_marked_as_inexact() -> None:
    rows = [event_row("search", START + timedelta(minutes=minute)) for minute in range(60)]
    now = rows[-1]["event_time"]

    state = _fed(ANN, rows, limit=10)

    assert len(state.facts) == 10
    assert values(state, now)["user_searches_1d"] == 10
    assert not exact(state, now, MONTH)
    assert exact(state, now, timedelta(minutes=10))


def test_a_late_event_that_is_dropped_by_the_limit_marks_the_state_too() -> None:
    rows = [event_row("search", START + timedelta(minutes=minute)) for minute in range(1, 11)]

    state = update(_fed(ANN, rows, limit=10), event_row("search", START), limit=10)

    assert state.complete_since == microseconds(START)


def test_the_state_is_small_json() -> None:
    state = _fed(ANN, [event_row("search", START + timedelta(minutes=minute)) for minute in range(100)])

    held = orjson.loads(state.to_json())

    assert held["key"] == "ann"
    assert len(state.to_json()) < 100 * 100
    assert EntityState.from_json(state.to_json()) == state


def test_a_state_of_another_version_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="rebuild the state"):
        EntityState.from_json(b'{"version": 0}')


def test_events_of_others_leave_the_state_alone() -> None:
    assert update(ANN, event_row("view_item", START, shopper="bob")) == ANN


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        values(ANN, datetime(2025, 3, 1))  # noqa: DTZ001 - the mistake under test


def test_a_feature_of_another_entity_is_refused() -> None:
    with pytest.raises(ValueError, match="describes a item"):
        value(ANN, START, features_of(Entity.ITEM)[0])


def test_the_items_of_an_event_are_the_states_that_it_touches() -> None:
    row = event_row("view_item", START, items=[{"item_id": "b"}, {"item_name": "A"}, {"item_id": "b"}])

    assert keys_of_event(row, ITEM_FEATURES) == ("b", "A")
    assert keys_of_event(row, USER_FEATURES) == ("ann",)
    assert keys_of_event(event_row("search", START), ITEM_FEATURES) == ()


def test_microseconds_are_exact_far_from_1970() -> None:
    moment = datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

    assert microseconds(moment) == 7_258_118_399_999_999
