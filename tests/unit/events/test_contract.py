"""What an event must hold, and that its row form loses nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from intent_tracking.events.contract import (
    EVENT_SCHEMA,
    MAX_ITEMS,
    MAX_TEXT_LENGTH,
    NEEDS_ITEMS,
    REQUIRED_PARAM,
    SCENE_OF_EVENT,
    Event,
    EventName,
    Item,
    Params,
    Scene,
    SourcePosition,
    event_from_row,
    event_to_row,
    events_to_table,
    shopper_id,
)
from intent_tracking.events.quarantine import QuarantineReason, from_validation_error

pytestmark = pytest.mark.unit

MOMENT = datetime(2026, 1, 3, 10, 0, tzinfo=UTC)


def fields(**changes: Any) -> dict[str, Any]:
    """A smallest valid event: a share, which needs nothing but a shopper."""
    base: dict[str, Any] = {
        "event_id": "e1",
        "event_name": "share",
        "event_time": "2026-01-03T10:00:00Z",
        "received_time": "2026-01-03T10:00:01Z",
        "user_id": "u1",
        "source": "web",
        "scene": "browse",
    }
    return base | changes


def reason_of(document: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        Event.model_validate(document)
    refusal = from_validation_error(caught.value)
    return refusal.reason, refusal.detail


def test_every_event_name_has_a_scene() -> None:
    assert set(SCENE_OF_EVENT) == set(EventName)


def test_times_become_utc() -> None:
    event = Event.model_validate(fields(event_time="2026-01-03T12:30:00+02:00"))
    assert event.event_time == datetime(2026, 1, 3, 10, 30, tzinfo=UTC)
    assert event.event_time.utcoffset() == timedelta(0)


@pytest.mark.parametrize("name", sorted(REQUIRED_PARAM))
def test_the_parameter_that_an_event_needs_is_named(name: EventName) -> None:
    items = [{"item_id": "i"}] if name in NEEDS_ITEMS else []
    reason, detail = reason_of(fields(event_name=name.value, params={"items": items}))
    assert reason == QuarantineReason.MISSING_FIELD
    assert f"params.{REQUIRED_PARAM[name]}" in detail


@pytest.mark.parametrize("name", sorted(NEEDS_ITEMS))
def test_item_events_need_an_item(name: EventName) -> None:
    reason, detail = reason_of(fields(event_name=name.value, params={"transaction_id": "t"}))
    assert (reason, "params.items" in detail) == (QuarantineReason.MISSING_FIELD, True)


@pytest.mark.parametrize(
    ("change", "reason", "place"),
    [
        ({"user_id": None}, QuarantineReason.MISSING_IDENTITY, "user_id or anonymous_id"),
        ({"event_name": "add_to_basket"}, QuarantineReason.UNKNOWN_EVENT, "event_name"),
        ({"schema_version": "2"}, QuarantineReason.UNSUPPORTED_VERSION, "schema_version"),
        ({"shop": "north"}, QuarantineReason.UNEXPECTED_FIELD, "shop"),
        ({"event_time": "2026-01-03 10:00:00"}, QuarantineReason.INVALID_VALUE, "event_time"),
        ({"event_time": "9999-12-31T23:59:59-23:00"}, QuarantineReason.INVALID_VALUE, "event_time"),
        ({"event_time": float("nan")}, QuarantineReason.INVALID_VALUE, "event_time"),
        ({"event_id": "a\ud800"}, QuarantineReason.INVALID_VALUE, "event_id"),
        ({"event_id": "a\x00b"}, QuarantineReason.INVALID_VALUE, "event_id"),
        ({"user_id": "   "}, QuarantineReason.INVALID_VALUE, "user_id"),
        ({"params": {"value": 3.0}}, QuarantineReason.MISSING_FIELD, "currency"),
        ({"params": {"value": -1, "currency": "EUR"}}, QuarantineReason.INVALID_VALUE, "value"),
        ({"params": {"value": float("inf"), "currency": "EUR"}}, QuarantineReason.INVALID_VALUE, "value"),
        ({"params": {"items": [{"price": 3.0}]}}, QuarantineReason.MISSING_FIELD, "items.0"),
        ({"params": {"items": [{"item_id": "i", "quantity": 10**40}]}}, QuarantineReason.INVALID_VALUE, "quantity"),
        ({"params": {"items": [{"item_id": "i"}] * (MAX_ITEMS + 1)}}, QuarantineReason.INVALID_VALUE, "items"),
        ({"params": {"text": "x" * (MAX_TEXT_LENGTH + 1)}}, QuarantineReason.INVALID_VALUE, "text"),
        ({"params": {"colour": "red"}}, QuarantineReason.UNEXPECTED_FIELD, "params.colour"),
        ({"params": {"custom": {"coupon": "X"}}}, QuarantineReason.INVALID_VALUE, "coupon"),
        ({"params": {"custom": {"a": 10**5000}}}, QuarantineReason.INVALID_VALUE, "custom.a"),
        ({"params": {"custom": {"a": [1]}}}, QuarantineReason.INVALID_VALUE, "custom.a"),
    ],
)
def test_a_broken_contract_names_reason_and_field(change: dict[str, Any], reason: str, place: str) -> None:
    found, detail = reason_of(fields(**change))
    assert found == reason
    assert place in detail


def test_the_detail_of_a_refusal_does_not_repeat_the_value() -> None:
    _, detail = reason_of(fields(params={"language": "call +49 170 1234567"}))
    assert "1234567" not in detail


def test_the_shopper_is_the_user_and_else_the_marked_visitor() -> None:
    assert shopper_id(Event.model_validate(fields(anonymous_id="a"))) == "u1"
    assert shopper_id(Event.model_validate(fields(user_id=None, anonymous_id="a"))) == "anonymous:a"


ids = st.text(st.characters(min_codepoint=33, exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: text.strip() != ""
)
money = st.floats(0, 1e6)
items = st.builds(
    Item, item_id=ids, item_name=st.none() | texts, price=st.none() | money, quantity=st.none() | st.integers(0, 10**6)
)
scalars = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts
params = st.builds(
    Params,
    items=st.lists(items, min_size=1, max_size=3).map(tuple),
    value=st.none() | money,
    currency=st.just("EUR"),
    transaction_id=ids,
    search_term=texts,
    text=texts,
    coupon=st.none() | texts,
    shipping=st.none() | money,
    payment_type=st.none() | texts,
    custom=st.dictionaries(texts.map(lambda key: f"x-{key}".strip()), scalars | st.none(), max_size=3),
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
events = st.builds(
    Event,
    event_id=ids,
    event_name=st.sampled_from(EventName),
    event_time=moments,
    received_time=moments,
    user_id=ids,
    anonymous_id=st.none() | ids,
    session_id=st.none() | ids,
    source=ids,
    scene=st.sampled_from(Scene),
    params=params,
)


@given(st.lists(events, min_size=1, max_size=4))
@settings(max_examples=60)
def test_an_event_comes_back_from_its_row_unchanged(found: list[Event]) -> None:
    table = events_to_table((event, SourcePosition("web/2026-01-03.jsonl", 7)) for event in found)
    assert table.schema == EVENT_SCHEMA
    assert [event_from_row(row) for row in table.to_pylist()] == found


def test_a_row_has_the_columns_of_the_schema_and_says_where_it_came_from() -> None:
    row = event_to_row(Event.model_validate(fields()), SourcePosition("web/a.jsonl", 3, 2))
    assert list(row) == EVENT_SCHEMA.names
    assert (row["source_file"], row["source_line"], row["record_count"]) == ("web/a.jsonl", 3, 2)
    assert row["event_time"] == MOMENT


def test_a_time_in_another_zone_is_equal_after_the_round_trip() -> None:
    zone = timezone(timedelta(hours=8))
    event = Event.model_validate(fields(event_time=datetime(2026, 1, 3, 18, 0, tzinfo=zone)))
    assert event_from_row(event_to_row(event)).event_time == MOMENT
