"""Whom a record is about is read the same by an erasure and by the event that is made of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intent_tracking.events.adapters import Identity, get_adapter
from intent_tracking.events.adapters.columns import lines_of
from intent_tracking.events.erased import erased_by
from intent_tracking.events.ingest import decoded
from intent_tracking.tombstones import Erasures

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
MICROSECONDS = int(NOW.timestamp() * 10**6)
PRODUCT = {"product_id": "p", "name": "Mug"}
ACTION = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
USER = "contexts_com_snowplowanalytics_snowplow_ecommerce_user_1"
SEGMENT = {"type": "track", "event": "Product Viewed", "messageId": "m", "timestamp": NOW.isoformat()}
SNOWPLOW = {"event_id": "s", "derived_tstamp": NOW.isoformat(), ACTION: {"type": "list_view"}}
NATIVE = {"event_id": "n", "event_name": "search", "event_time": NOW.isoformat(), "params": {"search_term": "x"}}
GA4 = {"event_name": "search", "event_timestamp": MICROSECONDS, "event_params": {"search_term": "x"}}


@pytest.mark.parametrize(
    ("adapter", "document"),
    [
        ("native", {**NATIVE, "user_id": " u-1 ", "anonymous_id": "d"}),
        ("native", {**NATIVE, "anonymous_id": "d"}),
        ("segment", {**SEGMENT, "userId": "u-1", "anonymousId": "d", "properties": PRODUCT}),
        ("segment", {**SEGMENT, "userId": 17, "properties": PRODUCT}),
        ("segment", {**SEGMENT, "distinct_id": "u-1", "properties": {**PRODUCT, "$is_identified": True}}),
        ("segment", {**SEGMENT, "properties": json.dumps({**PRODUCT, "distinct_id": "d"})}),
        ("ga4", {**GA4, "user_id": "u-1", "user_pseudo_id": "1.2"}),
        ("ga4", {**GA4, "user_pseudo_id": 1.5}),
        ("snowplow", {**SNOWPLOW, "domain_userid": "d", USER: [{"id": "u-1"}]}),
        ("snowplow", {**SNOWPLOW, "user_id": "u-1", "network_userid": "d"}),
        (
            "columns:otto",
            {"group": [{"line": 4, "row": {"session": 9, "type": "clicks", "ts": 1661724000278, "aid": 1}}]},
        ),
    ],
)
def test_identities_are_those_of_the_event(adapter: str, document: dict[str, Any]) -> None:
    parsed = get_adapter(adapter).parse(json.dumps(document), NOW)
    assert parsed.event is not None, parsed
    expected = Identity(parsed.event.user_id, parsed.event.anonymous_id)
    assert get_adapter(adapter).identities(document) == (expected,)


@pytest.mark.parametrize("adapter", ["native", "segment", "ga4", "snowplow", "columns:otto"])
@pytest.mark.parametrize("document", [None, 3, [], {}, {"user_id": {}}, {"group": [3]}, {"properties": "{"}])
def test_what_names_nobody_has_none_and_nothing_is_raised(adapter: str, document: object) -> None:
    assert get_adapter(adapter).identities(document) == ()


def test_a_group_has_the_identity_and_the_number_of_each_of_its_lines() -> None:
    rows = [{"InvoiceNo": "1", "CustomerID": customer} for customer in ("17850.0", "")]
    document = {"group": [{"line": number, "row": row} for number, row in zip((5, 9), rows, strict=True)]}
    adapter = get_adapter("columns:online_retail")
    assert adapter.identities(document) == (Identity("17850", None), Identity(None, "invoice-1"))
    assert lines_of(document) == (5, 9)
    assert lines_of(NATIVE) == ()


@pytest.mark.parametrize(
    ("raw", "goes"),
    [
        ({**NATIVE, "userId": "u-1"}, True),  # a field that the contract does not know names the person
        ({**NATIVE, "user_id": "u-2", "params": {"search_term": "u-1"}}, False),  # another's event, which mentions it
        ('{"user_id": "u-1", "params": {', True),
        ('{"user_id": "u-12", "params": {', False),
        ("u-1,2026-03-02,view", True),
    ],
)
def test_a_record_that_says_not_whom_it_is_about_goes_where_it_holds_the_id(
    tmp_path: Path, raw: dict[str, Any] | str, goes: bool
) -> None:
    erasures = Erasures(tmp_path)
    request = erasures.request("u-1", NOW).request
    text = raw if isinstance(raw, str) else json.dumps(raw)
    found = erased_by(erasures.tombstones(), get_adapter("native"), text, decoded(text), None, NOW)
    assert found == (request if goes else None)
