"""Segment, RudderStack and PostHog track calls by the Segment e-commerce v2 and live chat specifications.

https://segment.com/docs/connections/spec/ecommerce/v2/, https://segment.com/docs/connections/spec/live-chat/,
https://posthog.com/docs/data/events
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from intent_tracking.events.adapters import fields as f
from intent_tracking.events.adapters.base import (
    Identity,
    Parsed,
    SourceRecord,
    Times,
    build_event,
    decode,
    identity,
    read_json_records,
    refused,
)
from intent_tracking.events.contract import SCENE_OF_EVENT, EventName
from intent_tracking.events.nesting import TooDeepError, loads
from intent_tracking.events.quarantine import QuarantineReason

# Lower case with blanks: RudderStack and PostHog users write "Order Completed", "order completed", "order_completed".
_NAMES: Final[Mapping[str, EventName]] = {
    "products searched": EventName.SEARCH,
    "product list viewed": EventName.VIEW_ITEM_LIST,
    "product list filtered": EventName.VIEW_ITEM_LIST,
    "product clicked": EventName.SELECT_ITEM,
    "product viewed": EventName.VIEW_ITEM,
    "product added": EventName.ADD_TO_CART,
    "wishlist product added to cart": EventName.ADD_TO_CART,
    "product removed": EventName.REMOVE_FROM_CART,
    "product added to wishlist": EventName.ADD_TO_WISHLIST,
    "cart viewed": EventName.VIEW_CART,
    "checkout started": EventName.BEGIN_CHECKOUT,
    "payment info entered": EventName.ADD_PAYMENT_INFO,
    "order completed": EventName.PURCHASE,
    "order refunded": EventName.REFUND,
    "order cancelled": EventName.REFUND,
    "promotion viewed": EventName.VIEW_PROMOTION,
    "promotion clicked": EventName.SELECT_PROMOTION,
    "product shared": EventName.SHARE,
    "cart shared": EventName.SHARE,
    "product reviewed": EventName.REVIEW,
    "live chat message sent": EventName.MESSAGE,
    **{name.value.replace("_", " "): name for name in EventName},
}
_OUTSIDE: Final = frozenset(
    {
        "checkout step viewed", "order updated", "coupon entered", "coupon applied", "coupon denied", "coupon removed",
        "product removed from wishlist", "live chat conversation started", "live chat conversation ended",
        "live chat message received", "application installed", "application opened", "application updated",
        "application backgrounded", "signed up", "signed in", "signed out",
    }
)  # fmt: skip
_CHECKOUT_STEP: Final = "checkout step completed"
_CALLS_OUTSIDE: Final = frozenset({"identify", "page", "screen", "group", "alias"})
_PRODUCT_FIELDS: Final = (
    "product_id", "sku", "name", "price", "quantity", "brand", "category", "variant", "position", "coupon", "discount",
    "url", "image_url",
)  # fmt: skip
_USED: Final = frozenset(
    {
        *_PRODUCT_FIELDS, "products", "currency", "value", "total", "revenue", "order_id", "query", "list_id",
        "creative", "promotion_id", "review_body", "message_body", "share_message", "text", "message", "rating",
        "share_via", "shipping_method", "payment_method", "shipping", "tax", "search_term", "transaction_id", "items",
        "language",
    }
)  # fmt: skip


def _item(product: Mapping[str, Any]) -> dict[str, Any]:
    return f.present(
        {
            "item_id": f.text(product, "product_id", "sku", "item_id"),
            "item_name": f.text(product, "name", "item_name"),
            "price": f.first(product, "price"),
            "quantity": f.first(product, "quantity"),
            "item_brand": f.text(product, "brand", "item_brand"),
            "item_category": f.text(product, "category", "item_category"),
            "item_variant": f.text(product, "variant", "item_variant"),
            "index": f.first(product, "position", "index"),
            "coupon": f.text(product, "coupon"),
            "discount": f.first(product, "discount"),
        }
    )


def _items(name: EventName, properties: Mapping[str, Any]) -> list[Any]:
    listed = f.items(f.first(properties, "products", "items"), _item)
    is_product = f.first(properties, "product_id", "sku", "item_id") is not None
    # A promotion and a message have a `name` of their own; only an identified product is an item of its event.
    return listed or ([_item(properties)] if is_product and name is not EventName.MESSAGE else [])


def _event_name(document: Mapping[str, Any], properties: Mapping[str, Any]) -> EventName | Parsed:
    call = document.get("type")
    if isinstance(call, str) and call in _CALLS_OUTSIDE:
        return refused(QuarantineReason.OUTSIDE_CONTRACT, f"type: a {call} call is no e-commerce event")
    event = document.get("event")
    if not isinstance(event, str) or not event.strip():
        return refused(QuarantineReason.MISSING_FIELD, "event: a track call needs its name")
    key = event.strip().lower().replace("_", " ")
    if key == _CHECKOUT_STEP:
        if f.first(properties, "payment_method") is not None:
            return EventName.ADD_PAYMENT_INFO
        if f.first(properties, "shipping_method") is not None:
            return EventName.ADD_SHIPPING_INFO
        return refused(QuarantineReason.OUTSIDE_CONTRACT, "event: a checkout step without shipping or payment method")
    if key in _NAMES:
        return _NAMES[key]
    if event.startswith("$") or key in _OUTSIDE:
        return refused(QuarantineReason.OUTSIDE_CONTRACT, f"event: {event} is not used by intent tracking")
    return refused(QuarantineReason.UNKNOWN_EVENT, f"event: {event} is not in the e-commerce v2 specification")


def _properties(document: Mapping[str, Any]) -> Mapping[str, Any]:
    value = document.get("properties")
    if isinstance(value, str):  # PostHog's warehouse export keeps them as JSON text
        try:
            value = loads(value)
        except (orjson.JSONDecodeError, TooDeepError):
            return {}
    return f.mapping(value)


def _identity(document: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    user = f.text(document, "userId", "user_id") or f.text(properties, "$user_id")
    anonymous = f.text(document, "anonymousId", "anonymous_id")
    distinct = f.text(document, "distinct_id") or f.text(properties, "distinct_id")
    if distinct is not None and user is None and properties.get("$is_identified") is True:
        user = distinct
    elif distinct is not None and anonymous is None and distinct != user:
        anonymous = distinct
    return {"user_id": user, "anonymous_id": anonymous}


class SegmentAdapter:
    """JSON lines of track calls."""

    name = "segment"
    free_text = frozenset({"review_body", "message_body", "share_message"})

    def read(self, path: Path) -> Iterator[SourceRecord]:
        return read_json_records(path)

    def times(self, document: object) -> Times:
        source = f.mapping(document)
        return Times(
            f.event_time(f.first(source, "timestamp", "originalTimestamp", "sentAt")),
            f.event_time(f.first(source, "receivedAt", "received_at", "created_at")),
        )

    def identities(self, document: object) -> tuple[Identity, ...]:
        source = f.mapping(document)
        return identity(**_identity(source, _properties(source)))

    def parse(self, raw: str, received_time: datetime) -> Parsed:
        document = decode(raw)
        if isinstance(document, Parsed):
            return document
        properties = _properties(document)
        name = _event_name(document, properties)
        if isinstance(name, Parsed):
            return name
        context = f.mapping(document.get("context"))
        params = f.present(
            {
                "items": _items(name, properties),
                "value": f.first(properties, "total", "revenue", "value"),
                "currency": f.upper(properties, "currency"),
                "transaction_id": f.text(properties, "order_id", "transaction_id"),
                "search_term": f.text(properties, "query", "search_term"),
                "text": f.text(properties, "review_body", "message_body", "share_message", "text", "message"),
                "language": f.text(properties, "language") or f.text(context, "locale"),
                "promotion_id": f.text(properties, "promotion_id"),
                "promotion_name": f.text(properties, "creative") if "promotion_id" in properties else None,
                "coupon": f.text(properties, "coupon"),
                "rating": f.first(properties, "rating"),
                "item_list_id": f.text(properties, "list_id", "item_list_id"),
                "item_list_name": f.text(properties, "category") if name is EventName.VIEW_ITEM_LIST else None,
                "shipping_tier": f.text(properties, "shipping_method"),
                "payment_type": f.text(properties, "payment_method"),
                "method": f.text(properties, "share_via"),
                "shipping": f.first(properties, "shipping"),
                "tax": f.first(properties, "tax"),
                "custom": f.custom({k: v for k, v in properties.items() if not k.startswith("$")}, _USED),
            }
        )
        if name in (EventName.VIEW_PROMOTION, EventName.SELECT_PROMOTION):
            params["promotion_name"] = f.text(properties, "name", "creative")
        times = self.times(document)
        return build_event(
            f.present(
                {
                    "event_id": f.text(document, "messageId", "message_id", "uuid")
                    or f.stable_id("segment", document.get("event"), document.get("timestamp"), properties,
                                   _identity(document, properties)),
                    "event_name": name,
                    # An unreadable time goes on as it is, so that the contract names it.
                    "event_time": times.event_time or f.first(document, "timestamp", "originalTimestamp", "sentAt"),
                    "received_time": received_time,
                    **_identity(document, properties),
                    "session_id": f.text(context, "sessionId", "session_id") or f.text(properties, "$session_id"),
                    "source": self.name,
                    "scene": SCENE_OF_EVENT[name],
                    "params": f.present(f.with_currency(params)),
                }
            )
        )  # fmt: skip
