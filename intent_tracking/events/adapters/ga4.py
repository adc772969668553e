"""Rows of the Google Analytics 4 export to BigQuery, as JSON lines or Parquet.

https://support.google.com/analytics/answer/7029846. The export has no event id: a stable hash stands in for it.
Times are microseconds in UTC; BigQuery writes INT64 as text in JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

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
from intent_tracking.events.contract import NAMES_OUTSIDE, SCENE_OF_EVENT, EventName
from intent_tracking.events.quarantine import QuarantineReason

_NAMES: Final[Mapping[str, EventName]] = {name.value: name for name in EventName}
_VALUES: Final = ("string_value", "int_value", "double_value", "float_value")
_USED: Final = frozenset(
    {
        "value", "currency", "transaction_id", "search_term", "text", "message", "review_body", "language",
        "promotion_id", "promotion_name", "coupon", "rating", "item_list_id", "item_list_name", "shipping_tier",
        "payment_type", "method", "shipping", "tax", "ga_session_id", "items",
    }
)  # fmt: skip
_IDENTITY: Final = (
    "user_pseudo_id", "user_id", "event_timestamp", "event_name", "event_bundle_sequence_id", "batch_event_index",
    "batch_ordering_id", "batch_page_id", "event_params", "items",
)  # fmt: skip


def _params(records: object) -> dict[str, Any]:
    """`event_params` as a mapping: each key has one typed value. An object of plain values is taken as it is."""
    if isinstance(records, Mapping):
        return dict(records)
    found: dict[str, Any] = {}
    for record in records if isinstance(records, list) else []:
        key = f.mapping(record).get("key")
        if isinstance(key, str):
            found[key] = f.first(f.mapping(record["value"]), *_VALUES) if "value" in record else None
    return found


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    return f.present(
        {
            "item_id": f.text(item, "item_id"),
            "item_name": f.text(item, "item_name"),
            "price": f.first(item, "price", "price_in_usd"),
            "quantity": f.first(item, "quantity"),
            "item_brand": f.text(item, "item_brand"),
            "item_category": f.text(item, "item_category"),
            "item_variant": f.text(item, "item_variant"),
            "index": f.first(item, "item_list_index", "index"),
            "coupon": f.text(item, "coupon"),
            "discount": f.first(item, "discount"),
        }
    )


def _session_id(document: Mapping[str, Any], params: Mapping[str, Any]) -> str | None:
    """`ga_session_id` is the second at which a session began: only with the visitor is it unique."""
    session = f.text(params, "ga_session_id")
    return f"{f.text(document, 'user_pseudo_id', 'user_id')}.{session}" if session is not None else None


class Ga4Adapter:
    """JSON lines or Parquet rows of `events_YYYYMMDD`."""

    name = "ga4"
    free_text: frozenset[str] = frozenset()

    def read(self, path: Path) -> Iterator[SourceRecord]:
        return read_json_records(path)

    def times(self, document: object) -> Times:
        return Times(event_time=f.microseconds(f.mapping(document).get("event_timestamp")))

    def identities(self, document: object) -> tuple[Identity, ...]:
        source = f.mapping(document)
        return identity(f.text(source, "user_id"), f.text(source, "user_pseudo_id"))

    def parse(self, raw: str, received_time: datetime) -> Parsed:
        document = decode(raw)
        if isinstance(document, Parsed):
            return document
        event = f.first(document, "event_name")
        if not isinstance(event, str):
            return refused(QuarantineReason.MISSING_FIELD, "event_name: an export row needs it")
        if event not in _NAMES:
            if event in NAMES_OUTSIDE:
                return refused(QuarantineReason.OUTSIDE_CONTRACT, f"event_name: {event} is not used by intent tracking")
            return refused(QuarantineReason.UNKNOWN_EVENT, f"event_name: {event} is no GA4 e-commerce event")
        event_time = self.times(document).event_time
        if event_time is None:
            return refused(QuarantineReason.INVALID_VALUE, "event_timestamp: must be microseconds since 1970 (UTC)")
        name = _NAMES[event]
        own = _params(document.get("event_params"))
        commerce = f.mapping(document.get("ecommerce"))
        items = document.get("items")
        params = f.present(
            {
                "items": f.items(items, _item),
                "value": f.first(own, "value") if f.first(own, "value") is not None else _revenue(name, commerce),
                "currency": f.upper(own, "currency") or f.upper(commerce, "currency"),
                "transaction_id": f.text(own, "transaction_id") or f.text(commerce, "transaction_id"),
                "search_term": f.text(own, "search_term"),
                "text": f.text(own, "text", "message", "review_body"),
                "language": f.text(own, "language") or f.text(f.mapping(document.get("device")), "language"),
                "promotion_id": f.text(own, "promotion_id") or _of_first(items, "promotion_id"),
                "promotion_name": f.text(own, "promotion_name") or _of_first(items, "promotion_name"),
                "coupon": f.text(own, "coupon"),
                "rating": f.first(own, "rating"),
                "item_list_id": f.text(own, "item_list_id") or _of_first(items, "item_list_id"),
                "item_list_name": f.text(own, "item_list_name") or _of_first(items, "item_list_name"),
                "shipping_tier": f.text(own, "shipping_tier"),
                "payment_type": f.text(own, "payment_type"),
                "method": f.text(own, "method"),
                "shipping": _either(own, "shipping", commerce, "shipping_value"),
                "tax": _either(own, "tax", commerce, "tax_value"),
                "custom": f.custom(own, _USED),
            }
        )
        return build_event(
            f.present(
                {
                    "event_id": f.stable_id(self.name, *(document.get(part) for part in _IDENTITY)),
                    "event_name": name,
                    "event_time": event_time,
                    "received_time": received_time,
                    "user_id": f.text(document, "user_id"),
                    "anonymous_id": f.text(document, "user_pseudo_id"),
                    "session_id": _session_id(document, own),
                    "source": self.name,
                    "scene": SCENE_OF_EVENT[name],
                    "params": f.with_currency(params),
                }
            )
        )


def _either(own: Mapping[str, Any], name: str, commerce: Mapping[str, Any], fallback: str) -> Any:
    value = f.first(own, name)
    return value if value is not None else f.first(commerce, fallback)


def _revenue(name: EventName, commerce: Mapping[str, Any]) -> Any:
    return f.first(commerce, "refund_value" if name is EventName.REFUND else "purchase_revenue")


def _of_first(items: object, field: str) -> Any:
    """What GA4 repeats on every item: the list or promotion that showed them."""
    return f.text(f.mapping(items[0]), field) if isinstance(items, list) and items else None
