"""Adapters on samples written from the public specifications of each format."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tracking.events.adapters import get_adapter
from intent_tracking.events.adapters.base import MAX_LINE_BYTES, Parsed
from intent_tracking.events.contract import Event, EventName, Scene
from intent_tracking.events.quarantine import QuarantineReason

pytestmark = pytest.mark.unit

ARRIVAL = datetime(2026, 1, 3, 23, 0, tzinfo=UTC)


def parse(spec: str, document: Any) -> Parsed:
    return get_adapter(spec).parse(json.dumps(document), ARRIVAL)


def event_of(spec: str, document: Any) -> Event:
    parsed = parse(spec, document)
    assert parsed.event is not None, parsed.quarantined
    assert get_adapter(spec).times(document).event_time == parsed.event.event_time
    return parsed.event


def refusal_of(spec: str, document: Any) -> tuple[str, str]:
    parsed = parse(spec, document)
    assert parsed.event is None
    (refusal,) = parsed.quarantined
    return refusal.reason, refusal.detail


def native(**changes: Any) -> dict[str, Any]:
    return {"event_id": "e1", "event_name": "search", "event_time": "2026-01-03T10:00:00Z", "user_id": "u1",
            "params": {"search_term": "red shoes"}} | changes  # fmt: skip


def segment(event: str, properties: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "type": "track", "event": event, "messageId": "m1", "anonymousId": "a1", "userId": "u1",
        "timestamp": "2026-01-03T10:00:00.250Z", "receivedAt": "2026-01-03T10:00:02.000Z",
        "context": {"locale": "en-US"}, "properties": properties,
    } | changes  # fmt: skip


MONOPOLY = {
    "product_id": "507f1f77bcf86cd799439011", "sku": "45790-32", "name": "Monopoly: 3rd Edition", "price": 19,
    "quantity": 1, "category": "Games", "brand": "Hasbro", "variant": "200 pieces", "position": 3,
    "url": "https://www.example.com/product/path",
}  # fmt: skip


def test_native_fills_what_the_arrival_and_the_name_tell() -> None:
    event = event_of("native", native())
    assert (event.received_time, event.source, event.scene) == (ARRIVAL, "native", Scene.SEARCH)


def test_native_keeps_what_is_given_but_the_arrival_decides_the_received_time() -> None:
    event = event_of("native", native(source="app", scene="browse", received_time="2026-01-03T10:00:01Z"))
    assert (event.source, event.scene, event.received_time) == ("app", Scene.BROWSE, ARRIVAL)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event_id": None}, QuarantineReason.INVALID_VALUE),
        ({"event_name": "teleport"}, QuarantineReason.UNKNOWN_EVENT),
        ({"received_time": "yesterday"}, QuarantineReason.INVALID_VALUE),
        ({"params": {}}, QuarantineReason.MISSING_FIELD),
    ],
)
def test_native_refuses_with_a_reason(change: dict[str, Any], reason: str) -> None:
    assert refusal_of("native", native(**change))[0] == reason


@pytest.mark.parametrize("raw", ["", "{", "nonsense", "[1]", "null", '{"a": NaN}', '{"a": "\\ud800"}', "\ud800"])
def test_what_is_no_json_object_is_unreadable(raw: str) -> None:
    for spec in ("native", "segment", "ga4", "snowplow", "columns:otto"):
        (refusal,) = get_adapter(spec).parse(raw, ARRIVAL).quarantined
        assert refusal.reason == QuarantineReason.UNREADABLE


def test_segment_order_completed() -> None:
    event = event_of(
        "segment",
        segment(
            "Order Completed",
            {
                "checkout_id": "c1", "order_id": "50314b8e9bcf000000000000", "affiliation": "Google Store",
                "total": 27.5, "revenue": 25.0, "shipping": 3, "tax": 2, "discount": 2.5, "coupon": "hasbros",
                "currency": "usd",
                "products": [MONOPOLY, {"product_id": 505, "name": "Uno Card Game", "price": "3", "quantity": 2}],
            },
        ),
    )  # fmt: skip
    assert (event.event_id, event.event_name, event.source) == ("m1", EventName.PURCHASE, "segment")
    assert (event.user_id, event.anonymous_id) == ("u1", "a1")
    params = event.params
    assert (params.value, params.currency, params.transaction_id) == (27.5, "USD", "50314b8e9bcf000000000000")
    assert (params.shipping, params.tax, params.coupon, params.language) == (3, 2, "hasbros", "en-US")
    first, second = params.items
    assert (first.item_id, first.item_brand, first.index) == ("507f1f77bcf86cd799439011", "Hasbro", 3)
    assert (second.item_id, second.price, second.quantity) == ("505", 3.0, 2)
    assert params.custom == {"checkout_id": "c1", "affiliation": "Google Store"}


@pytest.mark.parametrize(
    ("name", "properties", "expected"),
    [
        ("Products Searched", {"query": "blue roses"}, EventName.SEARCH),
        ("products_searched", {"query": "blue roses"}, EventName.SEARCH),
        (
            "Product List Viewed",
            {"list_id": "hot", "category": "Deals", "products": [MONOPOLY]},
            EventName.VIEW_ITEM_LIST,
        ),
        ("Product Clicked", MONOPOLY, EventName.SELECT_ITEM),
        ("Product Viewed", MONOPOLY, EventName.VIEW_ITEM),
        ("Product Added", {**MONOPOLY, "cart_id": "c"}, EventName.ADD_TO_CART),
        ("Product Removed", MONOPOLY, EventName.REMOVE_FROM_CART),
        ("Product Added to Wishlist", {"wishlist_id": "w", **MONOPOLY}, EventName.ADD_TO_WISHLIST),
        ("Cart Viewed", {"cart_id": "c", "products": [MONOPOLY]}, EventName.VIEW_CART),
        ("Checkout Started", {"order_id": "o", "products": [MONOPOLY]}, EventName.BEGIN_CHECKOUT),
        ("Checkout Step Completed", {"step": 2, "shipping_method": "Fedex"}, EventName.ADD_SHIPPING_INFO),
        ("Checkout Step Completed", {"step": 3, "payment_method": "Visa"}, EventName.ADD_PAYMENT_INFO),
        ("Payment Info Entered", {"payment_method": "Visa"}, EventName.ADD_PAYMENT_INFO),
        ("Order Refunded", {"order_id": "o"}, EventName.REFUND),
        ("Promotion Viewed", {"promotion_id": "p", "name": "75% off", "creative": "top"}, EventName.VIEW_PROMOTION),
        ("Promotion Clicked", {"promotion_id": "p"}, EventName.SELECT_PROMOTION),
        ("Product Shared", {"share_via": "email", "share_message": "look", **MONOPOLY}, EventName.SHARE),
        ("Product Reviewed", {"product_id": "1", "review_body": "great", "rating": "5"}, EventName.REVIEW),
        ("Live Chat Message Sent", {"conversation_id": "c", "message_body": "where is it"}, EventName.MESSAGE),
    ],
)
def test_segment_names(name: str, properties: dict[str, Any], expected: EventName) -> None:
    assert event_of("segment", segment(name, properties)).event_name == expected


def test_segment_promotion_review_and_a_value_without_currency() -> None:
    promotion = event_of("segment", segment("Promotion Viewed", {"promotion_id": "p", "name": "75% off"})).params
    assert (promotion.promotion_id, promotion.promotion_name) == ("p", "75% off")
    review = event_of(
        "segment", segment("Product Reviewed", {"product_id": 1, "review_body": "ok", "rating": 4})
    ).params
    assert (review.text, review.rating, review.items[0].item_id) == ("ok", 4.0, "1")
    added = event_of("segment", segment("Product Added", {**MONOPOLY, "value": 19}))
    assert added.params.value is None
    assert added.params.custom["value_without_currency"] == 19


def test_posthog_shape() -> None:
    document = {
        "uuid": "018f-1", "event": "Product Viewed", "distinct_id": "visitor", "timestamp": "2026-01-03 10:00:00.123",
        "properties": json.dumps({"product_id": "p1", "name": "Shoe", "$session_id": "s9", "$lib": "js", "hue": "red"}),
    }  # fmt: skip
    event = event_of("segment", document)
    assert (event.event_id, event.user_id, event.anonymous_id, event.session_id) == ("018f-1", None, "visitor", "s9")
    assert event.params.custom == {"hue": "red"}
    known = event_of("segment", document | {"properties": {"product_id": "p1", "$is_identified": True}})
    assert (known.user_id, known.anonymous_id) == ("visitor", None)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"type": "identify", "traits": {}}, QuarantineReason.OUTSIDE_CONTRACT),
        ({"event": "$pageview", "distinct_id": "d"}, QuarantineReason.OUTSIDE_CONTRACT),
        (segment("Coupon Applied", {}), QuarantineReason.OUTSIDE_CONTRACT),
        (segment("Rocket Launched", {}), QuarantineReason.UNKNOWN_EVENT),
        ({"type": "track"}, QuarantineReason.MISSING_FIELD),
        (segment("Product Viewed", {}), QuarantineReason.MISSING_FIELD),
        (segment("Order Refunded", {}), QuarantineReason.MISSING_FIELD),
        (segment("Product Viewed", MONOPOLY, userId=None, anonymousId=""), QuarantineReason.MISSING_IDENTITY),
        (segment("Product Viewed", MONOPOLY, timestamp="soon"), QuarantineReason.INVALID_VALUE),
        (segment("Product Viewed", {**MONOPOLY, "price": "free"}), QuarantineReason.INVALID_VALUE),
        (segment("Cart Viewed", {"products": ["p1"]}), QuarantineReason.INVALID_VALUE),
    ],
)
def test_segment_refusals(document: dict[str, Any], reason: str) -> None:
    assert refusal_of("segment", document)[0] == reason


def ga4(name: str, params: dict[str, Any], **changes: Any) -> dict[str, Any]:
    def value(of: Any) -> dict[str, Any]:
        kind = {str: "string_value", int: "int_value", float: "double_value"}[type(of)]
        return {kind: str(of) if isinstance(of, int) else of}

    return {
        "event_date": "20260103", "event_timestamp": "1767434400123456", "event_name": name,
        "event_params": [{"key": key, "value": value(of)} for key, of in params.items()],
        "event_bundle_sequence_id": "7", "batch_event_index": "2", "user_pseudo_id": "12.34", "user_id": None,
        "items": [],
    } | changes  # fmt: skip


GA4_ITEM = {
    "item_id": "SKU_1", "item_name": "Stan and Friends Tee", "item_brand": "(not set)", "item_category": "Apparel",
    "price": 9.99, "quantity": "3", "coupon": "", "item_list_id": "related", "item_list_index": "5",
}  # fmt: skip


def test_ga4_purchase() -> None:
    row = ga4(
        "purchase",
        {"ga_session_id": 1767434000, "currency": "EUR", "page_location": "https://example.com/x"},
        ecommerce={"purchase_revenue": 29.97, "shipping_value": 5.0, "tax_value": 1.5, "transaction_id": "T_1"},
        items=[GA4_ITEM],
    )
    event = event_of("ga4", row)
    assert event.event_time == datetime(2026, 1, 3, 10, 0, 0, 123456, tzinfo=UTC)
    assert (event.anonymous_id, event.session_id) == ("12.34", "12.34.1767434000")
    params = event.params
    assert (params.value, params.currency, params.transaction_id, params.shipping) == (29.97, "EUR", "T_1", 5.0)
    item = params.items[0]
    assert (item.item_id, item.item_brand, item.quantity, item.coupon, item.index) == ("SKU_1", None, 3, None, 5)
    assert params.item_list_id == "related"
    assert params.custom == {"page_location": "https://example.com/x"}


def test_ga4_ids_are_stable_and_tell_events_apart() -> None:
    row = ga4("view_item", {"ga_session_id": 1}, items=[GA4_ITEM])
    reordered = dict(reversed(row.items())) | {"user_ltv": {"revenue": 3.0}}
    other = row | {"batch_event_index": "3"}
    assert event_of("ga4", row).event_id == event_of("ga4", reordered).event_id
    assert event_of("ga4", row).event_id != event_of("ga4", other).event_id


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ga4("page_view", {}), QuarantineReason.OUTSIDE_CONTRACT),
        (ga4("level_up", {}), QuarantineReason.UNKNOWN_EVENT),
        (ga4("view_item", {}), QuarantineReason.MISSING_FIELD),
        (ga4("search", {"search_term": "(not set)"}), QuarantineReason.MISSING_FIELD),
        (ga4("share", {}, event_timestamp="1767434400"), QuarantineReason.INVALID_VALUE),
        (ga4("share", {}, user_pseudo_id=None), QuarantineReason.MISSING_IDENTITY),
    ],
)
def test_ga4_refusals(row: dict[str, Any], reason: str) -> None:
    assert refusal_of("ga4", row)[0] == reason


def test_ga4_reads_parquet(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-03.parquet"
    row = ga4("view_item", {"ga_session_id": 1}, items=[GA4_ITEM], event_timestamp=1767434400123456)
    pq.write_table(pa.Table.from_pylist([row, row]), path)
    records = list(get_adapter("ga4").read(path))
    assert [record.source_line for record in records] == [1, 2]
    assert get_adapter("ga4").parse(records[0].raw, ARRIVAL).event is not None


def snowplow(kind: str, **changes: Any) -> dict[str, Any]:
    action = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
    return {
        "app_id": "shop", "platform": "web", "event": "unstruct", "event_name": "snowplow_ecommerce_action",
        "event_id": "c6ef3124-b53a-4b13-a233-0088f79dcbcb", "collector_tstamp": "2026-01-03 10:00:05.000",
        "derived_tstamp": "2026-01-03 10:00:00.123", "domain_userid": "d1", "domain_sessionid": "s1",
        action: {"type": kind},
    } | changes  # fmt: skip


ENTITY = "contexts_com_snowplowanalytics_snowplow_ecommerce_"
PRODUCT = {
    "id": "P125", "name": "Baseball T", "category": "Mens/Apparel", "price": 200, "list_price": 230, "quantity": 2,
    "size": "M", "brand": "Snowplow", "position": 1, "currency": "EUR",
}  # fmt: skip


def test_snowplow_transaction() -> None:
    order = {"transaction_id": "T12345", "revenue": 400, "currency": "EUR", "payment_method": "credit_card", "tax": 20}
    row = snowplow("transaction", **{f"{ENTITY}product_1": [PRODUCT], f"{ENTITY}transaction_1": [order]})
    event = event_of("snowplow", row)
    assert (event.event_name, event.session_id, event.anonymous_id) == (EventName.PURCHASE, "s1", "d1")
    assert event.event_time == datetime(2026, 1, 3, 10, 0, 0, 123000, tzinfo=UTC)
    params = event.params
    assert (params.value, params.currency, params.transaction_id, params.payment_type) == (
        400,
        "EUR",
        "T12345",
        "credit_card",
    )
    assert (params.items[0].item_id, params.items[0].item_variant, params.items[0].quantity) == ("P125", "M", 2)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (snowplow("product_view", **{f"{ENTITY}product_1": [PRODUCT]}), EventName.VIEW_ITEM),
        (snowplow("list_view", **{f"{ENTITY}product_1_0_0": [PRODUCT]}), EventName.VIEW_ITEM_LIST),
        (snowplow("list_click", **{f"{ENTITY}product_1": [PRODUCT]}), EventName.SELECT_ITEM),
        (snowplow("add_to_cart", **{f"{ENTITY}product_1": [PRODUCT], f"{ENTITY}cart_1": [{"total_value": 9}]}),
         EventName.ADD_TO_CART),
        (snowplow("remove_from_cart", **{f"{ENTITY}product_1": [PRODUCT]}), EventName.REMOVE_FROM_CART),
        (snowplow("checkout_step", **{f"{ENTITY}checkout_step_1": [{"step": 1}]}), EventName.BEGIN_CHECKOUT),
        (snowplow("checkout_step", **{f"{ENTITY}checkout_step_1": [{"step": 2, "delivery_method": "standard"}]}),
         EventName.ADD_SHIPPING_INFO),
        (snowplow("checkout_step", **{f"{ENTITY}checkout_step_1": [{"step": 3, "payment_method": "card"}]}),
         EventName.ADD_PAYMENT_INFO),
        (snowplow("promo_view", **{f"{ENTITY}promotion_1": [{"id": "pr1", "name": "sale"}]}), EventName.VIEW_PROMOTION),
        (snowplow("promo_click", **{f"{ENTITY}promotion_1": [{"id": "pr1"}]}), EventName.SELECT_PROMOTION),
        (snowplow("refund", **{f"{ENTITY}refund_1": [{"transaction_id": "T1", "refund_amount": 5, "currency": "EUR"}]}),
         EventName.REFUND),
        ({"event": "unstruct", "event_id": "x", "derived_tstamp": "2026-01-03 10:00:00", "user_id": "u",
          "unstruct_event_com_snowplowanalytics_snowplow_site_search_1": {"terms": ["red", "shoes"]}},
         EventName.SEARCH),
    ],
)  # fmt: skip
def test_snowplow_actions(row: dict[str, Any], expected: EventName) -> None:
    event = event_of("snowplow", row)
    assert event.event_name == expected
    if expected is EventName.SEARCH:
        assert event.params.search_term == "red shoes"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"event": "page_view", "event_id": "x"}, QuarantineReason.OUTSIDE_CONTRACT),
        (snowplow("trns_error"), QuarantineReason.OUTSIDE_CONTRACT),
        (snowplow("warp"), QuarantineReason.UNKNOWN_EVENT),
        (snowplow("product_view"), QuarantineReason.MISSING_FIELD),
        (snowplow("list_view", derived_tstamp="soon", collector_tstamp=None), QuarantineReason.INVALID_VALUE),
        ({}, QuarantineReason.MISSING_FIELD),
    ],
)
def test_snowplow_refusals(row: dict[str, Any], reason: str) -> None:
    assert refusal_of("snowplow", row)[0] == reason


def test_lines_are_read_with_their_numbers_whatever_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-03.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\n{"b":"\xff"}\n' + b"x" * (MAX_LINE_BYTES + 10) + b"\n{}")
    records = list(get_adapter("native").read(path))
    assert [(record.source_line, len(record.raw)) for record in records] == [
        (1, 7),
        (3, 12),
        (4, MAX_LINE_BYTES),
        (5, 2),
    ]
    assert records[1].raw == '{"b":"\\xff"}'


@pytest.mark.parametrize("spec", ["nativ", "columns", "columns:", "segment:x", "columns:no_such_mapping"])
def test_an_unknown_adapter_is_named_with_the_remedy(spec: str) -> None:
    with pytest.raises(ValueError, match=r"take one of|give a YAML file"):
        get_adapter(spec)
