"""What is said of a wrong event: in our words, by field, without its values."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.events.adapters import get_adapter
from intent_tracking.events.adapters.native import parse_document
from intent_tracking.events.contract import Event, Item, Params
from intent_tracking.events.quarantine import QuarantineReason

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 3, 12, tzinfo=UTC)
GOOD = {"event_id": "e1", "event_name": "share", "event_time": "2026-01-03T10:00:00Z", "user_id": "u"}
PYTHON = re.compile(
    r"Input should|valid (tuple|dictionary|string|number|integer)|Field required|permitted|instance of|\{|\["
)
# A name that is not known is quoted: it holds nothing that is looked for, and nothing that parts a detail.
NAME = st.text(st.characters(exclude_characters="{[;", exclude_categories=["Cs"]), max_size=70)
WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2**70), st.floats(), st.just("x" * 9_000), st.sampled_from(["", "\x00"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(NAME, st.lists(st.none()), max_size=2),
)  # fmt: skip


def detail(document: dict[str, Any]) -> str:
    (refusal,) = parse_document(document, NOW).quarantined
    return refusal.detail


@settings(max_examples=150)
@given(
    st.dictionaries(st.sampled_from(sorted(Event.model_fields)), WRONG, max_size=4),
    st.dictionaries(st.sampled_from(sorted(Params.model_fields)), WRONG, max_size=4),
    st.dictionaries(st.sampled_from(sorted(Item.model_fields)), WRONG, max_size=4),
)
def test_no_wording_of_the_checking_library_reaches_a_user(
    fields: dict[str, Any], params: dict[str, Any], item: dict[str, Any]
) -> None:
    # Cause: details spoke of Python, as "Input should be a valid tuple", and listed all event names for a wrong one.
    document = {**GOOD, "params": {"items": [item], **params}, **fields}
    for refusal in parse_document(document, NOW).quarantined:
        # Names in `custom` are the sender's own.
        said = "; ".join(part for part in refusal.detail.split("; ") if not part.startswith("params.custom"))
        assert not PYTHON.search(said), refusal.detail
        assert len(refusal.detail) <= 500


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"params": {"items": 5}}, "params.items: must be a list"),
        ({"event_name": "teleport", "scene": "cart"}, "event_name: is no event name of the contract"),
        ({"event_time": "2026-01-03T10:00:00"}, "event_time: must be a time with an offset"),
        ({"params": {"value": 2e12, "currency": "EUR"}}, "params.value: must be at most 1,000,000,000,000"),
        ({"params": {"currency": "euro"}}, "params.currency: must be three capitals of ISO 4217, such as EUR"),
        ({"user_id": "a\x00"}, "user_id: must not hold control characters"),
        ({"nmae": 1}, "nmae: is no field that is known here"),
        ({"params": {"custom": {"size": [1]}}}, "params.custom.size: must be text of at most 1,000 characters"),
        ({"user_id": None}, "an event needs user_id or anonymous_id"),
    ],
)
def test_each_mistake_is_named_once_with_its_field(change: dict[str, Any], words: str) -> None:
    said = detail({**GOOD, **change})
    assert said.startswith(words)
    assert "; " not in said


@pytest.mark.parametrize("name", ["page_view", "session_start", "scroll"])
def test_what_the_contract_leaves_out_is_called_so_wherever_it_comes_from(name: str) -> None:
    # Cause: the same page_view was outside_contract in a GA4 export and unknown_event at /v1/track.
    exported = f'{{"event_name": "{name}", "event_timestamp": 1767434400000000, "user_pseudo_id": "v"}}'
    refusals = [
        *parse_document({**GOOD, "event_name": name}, NOW).quarantined,
        *get_adapter("ga4").parse(exported, NOW).quarantined,
    ]
    assert [refusal.reason for refusal in refusals] == [QuarantineReason.OUTSIDE_CONTRACT] * 2
    assert refusals[0].detail == refusals[1].detail == f"event_name: {name} is not used by intent tracking"
