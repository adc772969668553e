"""Snowplow enriched events as JSON (Analytics SDK form): the e-commerce plug-in, site search and sharing.

https://docs.snowplow.io/docs/events/ootb-data/ecommerce-events/. The action type stands in the self-describing
event, all else in entities: `contexts_com_snowplowanalytics_snowplow_ecommerce_<entity>_<version>`. Time stamps
carry no offset and are UTC.
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
from intent_tracking.events.contract import SCENE_OF_EVENT, EventName
from intent_tracking.events.quarantine import QuarantineReason

_ENTITY: Final = "contexts_com_snowplowanalytics_snowplow_ecommerce_"
_ACTION: Final = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_"
_SEARCH: Final = "unstruct_event_com_snowplowanalytics_snowplow_site_search_"
_SOCIAL: Final = "unstruct_event_com_snowplowanalytics_snowplow_social_interaction_"
_NAMES: Final[Mapping[str, EventName]] = {
    "product_view": EventName.VIEW_ITEM,
    "list_view": EventName.VIEW_ITEM_LIST,
    "list_click": EventName.SELECT_ITEM,
    "add_to_cart": EventName.ADD_TO_CART,
    "remove_from_cart": EventName.REMOVE_FROM_CART,
    "promo_view": EventName.VIEW_PROMOTION,
    "promo_click": EventName.SELECT_PROMOTION,
    "transaction": EventName.PURCHASE,
    "refund": EventName.REFUND,
}


def _latest(document: Mapping[str, Any], prefix: str) -> Any:
    """The value of the newest schema version under `prefix`: keys end in `_1`, in BigQuery in `_1_0_2`."""
    versions = sorted(
        key for key in document if key.startswith(prefix) and key[len(prefix) :].replace("_", "").isdigit()
    )
    return document[versions[-1]] if versions else None


def _entities(document: Mapping[str, Any], name: str) -> object:
    return _latest(document, f"{_ENTITY}{name}_")


def _entity(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = _entities(document, name)
    return f.mapping(found[0] if isinstance(found, list) and found else found)


def _item(product: Mapping[str, Any]) -> dict[str, Any]:
    return f.present(
        {
            "item_id": f.text(product, "id"),
            "item_name": f.text(product, "name"),
            "price": f.first(product, "price"),
            "quantity": f.first(product, "quantity"),
            "item_brand": f.text(product, "brand"),
            "item_category": f.text(product, "category"),
            "item_variant": f.text(product, "variant", "size"),
            "index": f.first(product, "position"),
        }
    )


def _event_name(document: Mapping[str, Any], action: Mapping[str, Any]) -> EventName | Parsed:
    kind = f.first(action, "type")
    if isinstance(kind, str):
        if kind in _NAMES:
            return _NAMES[kind]
        if kind == "checkout_step":
            return _checkout_event(_entity(document, "checkout_step"))
        if kind == "trns_error":
            return refused(
                QuarantineReason.OUTSIDE_CONTRACT, "type: a failed transaction is not used by intent tracking"
            )
        return refused(QuarantineReason.UNKNOWN_EVENT, f"type: {kind} is no Snowplow e-commerce action")
    if _latest(document, _SEARCH) is not None:
        return EventName.SEARCH
    if _latest(document, _SOCIAL) is not None:
        return EventName.SHARE
    if f.first(document, "event", "event_name") is None:
        return refused(QuarantineReason.MISSING_FIELD, "event: an enriched event needs it")
    return refused(QuarantineReason.OUTSIDE_CONTRACT, "event: neither an e-commerce action, a site search nor a share")


def _checkout_event(step: Mapping[str, Any]) -> EventName:
    """What the shopper gave in this step; the first step gives nothing yet."""
    if f.first(step, "payment_method", "proof_of_payment") is not None:
        return EventName.ADD_PAYMENT_INFO
    if f.first(step, "delivery_method", "delivery_provider", "shipping_postcode", "shipping_full_address") is not None:
        return EventName.ADD_SHIPPING_INFO
    return EventName.BEGIN_CHECKOUT


def _search_term(document: Mapping[str, Any]) -> Any:
    terms = f.mapping(_latest(document, _SEARCH)).get("terms")
    return " ".join(terms) if isinstance(terms, list) and all(isinstance(term, str) for term in terms) else terms


class SnowplowAdapter:
    """JSON lines or Parquet rows of enriched events."""

    name = "snowplow"
    free_text = frozenset({"terms", "shipping_full_address", "billing_full_address", "refund_reason", "user_ipaddress"})

    def read(self, path: Path) -> Iterator[SourceRecord]:
        return read_json_records(path)

    def times(self, document: object) -> Times:
        source = f.mapping(document)
        return Times(
            f.event_time(f.first(source, "derived_tstamp", "dvce_created_tstamp", "collector_tstamp")),
            f.event_time(f.first(source, "collector_tstamp", "etl_tstamp")),
        )

    def identities(self, document: object) -> tuple[Identity, ...]:
        source = f.mapping(document)
        user = f.text(source, "user_id") or f.text(_entity(source, "user"), "id")
        return identity(user, f.text(source, "domain_userid", "network_userid"))

    def parse(self, raw: str, received_time: datetime) -> Parsed:
        document = decode(raw)
        if isinstance(document, Parsed):
            return document
        action = f.mapping(_latest(document, _ACTION))
        name = _event_name(document, action)
        if isinstance(name, Parsed):
            return name
        event_time = self.times(document).event_time
        if event_time is None:
            return refused(QuarantineReason.INVALID_VALUE, "derived_tstamp: must be a time; collector_tstamp stands in")
        return build_event(
            f.present(
                {
                    "event_id": f.text(document, "event_id")
                    or f.stable_id(self.name, event_time, f.text(document, "domain_userid"), document),
                    "event_name": name,
                    "event_time": event_time,
                    "received_time": received_time,
                    "user_id": f.text(document, "user_id") or f.text(_entity(document, "user"), "id"),
                    "anonymous_id": f.text(document, "domain_userid", "network_userid"),
                    "session_id": f.text(document, "domain_sessionid"),
                    "source": self.name,
                    "scene": SCENE_OF_EVENT[name],
                    "params": f.with_currency(_params(document, name, action)),
                }
            )
        )


def _params(document: Mapping[str, Any], name: EventName, action: Mapping[str, Any]) -> dict[str, Any]:
    products = _entities(document, "product")
    first_product = f.mapping(products[0] if isinstance(products, list) and products else products)
    promotion = _entity(document, "promotion")
    step = _entity(document, "checkout_step")
    cart = _entity(document, "cart")
    order = _entity(document, "refund") if name is EventName.REFUND else _entity(document, "transaction")
    value = f.first(order, "revenue", "refund_amount")
    return f.present(
        {
            "items": f.items(products, _item),
            "value": value if value is not None else f.first(cart, "total_value"),
            "currency": f.upper(order, "currency") or f.upper(cart, "currency") or f.upper(first_product, "currency"),
            "transaction_id": f.text(order, "transaction_id"),
            "search_term": _search_term(document),
            "language": f.text(_entity(document, "page"), "language", "locale") or f.text(document, "br_lang"),
            "promotion_id": f.text(promotion, "id"),
            "promotion_name": f.text(promotion, "name"),
            "coupon": f.text(order, "discount_code") or f.text(step, "coupon_code"),
            "item_list_name": f.text(action, "name"),
            "shipping_tier": f.text(step, "delivery_method"),
            "payment_type": f.text(order, "payment_method") or f.text(step, "payment_method"),
            "method": f.text(f.mapping(_latest(document, _SOCIAL)), "network"),
            "shipping": f.first(order, "shipping"),
            "tax": f.first(order, "tax"),
            "custom": f.custom({"step": step.get("step"), "refund_reason": order.get("refund_reason"),
                                "app_id": document.get("app_id"), "platform": document.get("platform")}, ()),
        }
    )  # fmt: skip
