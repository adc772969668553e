import json
from datetime import UTC, datetime

import pytest

from intent_tracking.client.errors import EventError
from intent_tracking.client.events import MAX_BODY_BYTES, MAX_EVENTS, batches, body_of, encode_event

pytestmark = pytest.mark.unit


def test_ids_and_times_of_the_caller_are_kept() -> None:
    line = encode_event({"event_id": "e1", "event_time": datetime(2026, 3, 2, 9, tzinfo=UTC), "params": {"text": "我"}})
    assert json.loads(line) == {"event_id": "e1", "event_time": "2026-03-02T09:00:00+00:00", "params": {"text": "我"}}
    assert b"\n" not in encode_event({"params": {"text": "two\nlines"}})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (datetime(2026, 3, 2, 9), "no offset from UTC"),  # noqa: DTZ001 - the mistake under test
        (float("nan"), "not JSON compliant"),
        ({1, 2}, "a set has no form in JSON"),
        ("\ud800", "surrogates not allowed"),
    ],
)
def test_what_json_cannot_say_is_refused_by_name(value: object, why: str) -> None:
    with pytest.raises(EventError, match=f"event 'e1' is not sent: .*{why}"):
        encode_event({"event_id": "e1", "params": value})


def test_batches_hold_what_one_call_takes() -> None:
    small = [b"{}"] * (2 * MAX_EVENTS + 1)
    assert [len(batch) for batch in batches(small)] == [MAX_EVENTS, MAX_EVENTS, 1]
    large = [b"x" * (MAX_BODY_BYTES // 3)] * 7
    assert [len(batch) for batch in batches(large)] == [2, 2, 2, 1]
    fits = [b"x" * ((MAX_BODY_BYTES - 14) // 2)] * 2
    assert [len(body_of(batch)) <= MAX_BODY_BYTES for batch in batches(fits)] == [True]
    assert [len(batch) for batch in batches([b"x" * (2 * MAX_BODY_BYTES), b"{}"])] == [1, 1]


def test_no_events_are_one_call_for_the_service_to_refuse() -> None:
    assert [list(batch) for batch in batches([])] == [[]]
