"""Whatever stands in a log, an adapter answers with an event or a reason, and files it under one day."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.events.adapters import get_adapter
from intent_tracking.events.adapters.base import Parsed
from intent_tracking.events.nesting import MAX_NESTING
from intent_tracking.events.quarantine import QuarantineReason
from intent_tracking.events.scrubbing import scrub_record

pytestmark = pytest.mark.unit

ARRIVAL = datetime(2026, 1, 3, 23, 0, tzinfo=UTC)
SPECS = ["native", "segment", "ga4", "snowplow", "columns:online_retail", "columns:otto"]
KEYS = {
    "native": ["event_id", "event_name", "event_time", "received_time", "user_id", "source", "scene", "params"],
    "segment": ["type", "event", "messageId", "timestamp", "userId", "properties", "context", "distinct_id", "uuid"],
    "ga4": ["event_name", "event_timestamp", "event_params", "items", "ecommerce", "user_pseudo_id", "key",
            "value", "device"],
    "snowplow": [
        "event", "event_id", "derived_tstamp", "domain_userid",
        "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1",
        "unstruct_event_com_snowplowanalytics_snowplow_site_search_1", "terms", "type",
        "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1",
        "contexts_com_snowplowanalytics_snowplow_ecommerce_transaction_1",
    ],
    "columns:online_retail": ["group", "line", "row", "InvoiceNo", "InvoiceDate", "Quantity", "UnitPrice", "StockCode",
                              "Description", "CustomerID", "unreadable_line"],
    "columns:otto": ["group", "line", "row", "session", "type", "ts", "aid"],
}  # fmt: skip
VALUES = [
    "view_item", "purchase", "search", "Product Viewed", "Order Completed", "track", "$pageview", "transaction",
    "C536379",
    "2026-01-03T10:00:00Z", "2010-12-01 08:26:00", "1767434400123456", "clicks", "orders", "u1", "search_term", "text",
    1767434400123456, 1659304800025, 10**30, -(10**30), 1e308, -0.0, "nan", "inf", "-5", "٣", "\x00", "products",
    "items",
]  # fmt: skip


def documents(spec: str) -> st.SearchStrategy[object]:
    keys = st.sampled_from([*KEYS[spec], "items", "products", "product_id", "item_id", "price", "currency", "text"])
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(VALUES)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=4), inner, max_size=6),
        max_leaves=14,
    )


def check(spec: str, raw: str) -> None:
    adapter = get_adapter(spec)
    scrubbed, document = scrub_record(raw, adapter.free_text)
    times = adapter.times(document)
    parsed = adapter.parse(scrubbed, ARRIVAL)
    assert isinstance(parsed, Parsed)
    assert adapter.parse(scrubbed, ARRIVAL) == parsed
    if parsed.event is None:
        assert parsed.quarantined
        for refusal in parsed.quarantined:
            assert refusal.reason
            (refusal.detail + (refusal.raw or "")).encode("utf-8")
    else:
        assert parsed.event.event_time == times.event_time


@pytest.mark.parametrize("spec", SPECS)
def test_arbitrary_json(spec: str) -> None:
    @given(st.dictionaries(st.sampled_from(KEYS[spec]), documents(spec), max_size=8) | documents(spec))
    @settings(max_examples=150)
    def holds(document: object) -> None:
        check(spec, json.dumps(document))

    holds()


@pytest.mark.parametrize("spec", SPECS)
@given(raw=st.text(max_size=60) | st.text('{}[]":,\\ud80eE+-019 nulltrue', max_size=40))
@settings(max_examples=100)
def test_arbitrary_text(spec: str, raw: str) -> None:
    check(spec, raw.encode("utf-8", "backslashreplace").decode())


VALID: dict[str, dict[str, object]] = {
    "native": {"event_id": "e", "event_name": "view_item", "event_time": "2026-01-03T10:00:00Z", "user_id": "u",
               "params": {"items": [{"item_id": "i", "price": 2.5}], "currency": "EUR", "value": 2.5}},
    "segment": {"type": "track", "event": "Product Added", "messageId": "m", "timestamp": "2026-01-03T10:00:00Z",
                "userId": "u", "properties": {"product_id": "p", "price": 3, "currency": "EUR"}},
    "ga4": {"event_name": "purchase", "event_timestamp": "1767434400123456", "user_pseudo_id": "v", "event_params": [
            {"key": "transaction_id", "value": {"string_value": "t"}}], "items": [{"item_id": "i"}]},
    "snowplow": {"event_id": "e", "derived_tstamp": "2026-01-03 10:00:00", "domain_userid": "d",
                 "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1":
                     {"type": "list_view"},
                 "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1": [{"id": "p", "name": "n"}]},
    "columns:online_retail": {"InvoiceNo": "5", "StockCode": "1", "Description": "CUP", "Quantity": "2",
                              "UnitPrice": "1", "InvoiceDate": "2010-12-01 08:26:00", "CustomerID": "17850.0",
                              "Country": "UK"},
    "columns:otto": {"session": 1, "type": "clicks", "ts": 1659304800025, "aid": 3},
}  # fmt: skip


def paths(value: object, prefix: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [prefix, *(path for key, each in inner for path in paths(each, (*prefix, key)))]


def replaced(value: object, path: tuple[object, ...], new: object) -> object:
    if not path:
        return new
    if isinstance(value, dict):
        return {key: replaced(each, path[1:], new) if key == path[0] else each for key, each in value.items()}
    assert isinstance(value, list)
    return [replaced(each, path[1:], new) if at == path[0] else each for at, each in enumerate(value)]


@pytest.mark.parametrize("spec", SPECS)
def test_a_valid_record_with_one_part_replaced_by_anything(spec: str) -> None:
    assert get_adapter(spec).parse(json.dumps(VALID[spec]), ARRIVAL).event is not None

    @given(st.sampled_from(paths(VALID[spec])), documents(spec))
    @settings(max_examples=150)
    def holds(path: tuple[object, ...], new: object) -> None:
        check(spec, json.dumps(replaced(VALID[spec], path, new)))

    holds()


@pytest.mark.parametrize("spec", SPECS)
def test_a_valid_record_with_one_part_nested_deep(spec: str) -> None:
    @given(
        path=st.sampled_from(paths(VALID[spec])),
        depth=st.integers(MAX_NESTING - 3, MAX_NESTING + 3) | st.integers(200, 1100),
        key=st.sampled_from(["", *KEYS[spec]]),
    )
    @settings(max_examples=40)
    def holds(path: tuple[object, ...], depth: int, key: str) -> None:
        opened, closed = (f'{{"{key}":', "}") if key else ("[", "]")
        raw = json.dumps(replaced(VALID[spec], path, "HERE")).replace('"HERE"', opened * depth + "1" + closed * depth)
        check(spec, raw)
        if depth > MAX_NESTING:
            [refusal] = get_adapter(spec).parse(raw, ARRIVAL).quarantined
            assert refusal.reason == QuarantineReason.UNREADABLE

    holds()


@pytest.mark.parametrize("raw", ["[" * 5000, '{"a":' * 5000, '{"event_time":' + "9" * 5000 + "}", '{"a":1e999}'])
def test_hostile_json(raw: str) -> None:
    for spec in SPECS:
        check(spec, raw)
