"""Personal data leaves the raw record; what machines wrote stays to the letter."""

from __future__ import annotations

import json

import pytest

from intent_tracking.events.nesting import MAX_NESTING
from intent_tracking.events.scrubbing import scrub_record

pytestmark = pytest.mark.unit

MAIL = "ann.lee@example.com"


@pytest.mark.parametrize(
    "document",
    [
        {"params": {"text": f"write to {MAIL}"}},
        {"properties": {"review_body": MAIL}, "messageId": "m"},
        {"context": {"traits": {"email": MAIL}}},
        {"Message": {"parts": [f"a {MAIL}"]}},
        {"event_params": [{"key": "search_term", "value": {"string_value": MAIL}}]},
        {"group": [{"line": 1, "row": {"comment": MAIL}}]},
        {"text": "ann.lee\u200b@example.com"},
    ],
)
def test_free_text_fields_are_scrubbed_wherever_they_stand(document: dict[str, object]) -> None:
    raw, decoded = scrub_record(json.dumps(document))
    assert "example.com" not in raw
    assert "<email>" in raw
    assert json.loads(raw) == decoded


def test_a_phone_written_as_a_number_and_a_named_column_of_the_mapping() -> None:
    assert "13800138000" not in scrub_record('{"phone": 13800138000}')[0]
    assert "example" not in scrub_record(json.dumps({"words": MAIL}), frozenset({"words"}))[0]


def test_a_hidden_number_is_found_wherever_a_long_letter_has_it() -> None:
    # Cause: what cleaning lays open was looked for in the first 2,000 characters alone, and of a letter that hid
    # something there the rest was not stored.
    hidden = "1\u200b3\u200b8\u200b00138000"
    text = json.loads(
        scrub_record(json.dumps({"text": f"call {hidden} {'or so ' * 500} {MAIL} or {hidden} today"}))[0]
    )["text"]
    assert text.startswith("call <phone> or so")
    assert text.endswith("<email> or <phone> today")


def test_an_earlier_value_of_a_repeated_field_does_not_survive_in_the_text() -> None:
    raw, _ = scrub_record(f'{{"text": "{MAIL}", "text": "hello"}}')
    assert "example" not in raw


def test_a_record_without_free_text_stays_as_it_is() -> None:
    raw = '{ "event_id": "13800138000",  "event_time":"2026-01-03T10:00:00Z", "user_id": "ann.lee@example.com" }'
    assert scrub_record(raw)[0] == raw


def test_identifiers_beside_free_text_stay() -> None:
    document = {
        "event_id": "4111111111111111",
        "event_time": "2026-01-03T10:00:00Z",
        "text": "hi",
        "price": 13800138000,
    }
    assert scrub_record(json.dumps(document))[1] == document


@pytest.mark.parametrize("depth", [MAX_NESTING, 300, 980])
@pytest.mark.parametrize("field", ["text", "other"])
def test_a_record_nested_too_deep_is_scrubbed_as_text_and_is_unreadable(depth: int, field: str) -> None:
    raw, decoded = scrub_record(f'{{"{field}": {"[" * depth}"{MAIL}"{"]" * depth}}}')
    assert "example" not in raw
    assert decoded is None


def test_the_deepest_record_that_is_allowed_is_read() -> None:
    inner = MAX_NESTING - 1
    raw, decoded = scrub_record(f'{{"text": {"[" * inner}"{MAIL}"{"]" * inner}}}')
    assert "<email>" in raw
    assert json.loads(raw) == decoded


def test_what_is_no_json_is_scrubbed_whole() -> None:
    raw, decoded = scrub_record(f'{{"text": "{MAIL}", broken')
    assert "example" not in raw
    assert decoded is None
