"""Events as a caller writes them, and as lines of JSON that may be sent more than once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Required, TypedDict

from intent_tracking.client.errors import EventError

# The service's own limits; a contract test holds them equal.
MAX_EVENTS: Final = 500
MAX_BODY_BYTES: Final = 4 << 20
_OPEN, _CLOSE = b'{"events":[', b"]}"


class Item(TypedDict, total=False):
    """One product in an event: `item_id` or `item_name` is needed."""

    item_id: str
    item_name: str
    price: float
    quantity: int
    item_brand: str
    item_category: str
    item_variant: str
    index: int
    coupon: str
    discount: float


class Params(TypedDict, total=False):
    """What happened; which fields an event needs is in docs/event-schema.md."""

    items: Sequence[Item]
    value: float
    currency: str
    transaction_id: str
    search_term: str
    text: str
    language: str
    promotion_id: str
    promotion_name: str
    coupon: str
    rating: float
    item_list_id: str
    item_list_name: str
    shipping_tier: str
    payment_type: str
    method: str
    shipping: float
    tax: float
    custom: Mapping[str, bool | int | float | str | None]


class Event(TypedDict, total=False):
    """One thing that one shopper did; `user_id` or `anonymous_id` is needed.

    A missing `event_id` is made, and a missing `event_time` is now, before the first try to send it.
    """

    event_name: Required[str]
    event_id: str
    event_time: datetime | str
    received_time: datetime | str
    user_id: str
    anonymous_id: str
    session_id: str
    source: str
    scene: str
    schema_version: str
    params: Params


def encode_event(event: Mapping[str, Any]) -> bytes:
    """One line of JSON, without its line end, that says the same however often it is sent.

    Raises:
        EventError: a value has no form in JSON, or a time has no offset.
    """
    fields = dict(event)
    if fields.get("event_id") is None:
        fields["event_id"] = uuid.uuid4().hex
    if fields.get("event_time") is None:
        fields["event_time"] = datetime.now(UTC)
    try:
        line = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_text)
        return line.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise EventError(f"event {fields['event_id']!r} is not sent: {error}") from error


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{value.isoformat()} has no offset from UTC: use datetime.now(UTC)")
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def body_of(lines: Sequence[bytes]) -> bytes:
    """The body of one `/v1/track` call."""
    return _OPEN + b",".join(lines) + _CLOSE


def fitting(lines: Sequence[bytes], most_events: int = MAX_EVENTS, most_bytes: int = MAX_BODY_BYTES) -> int:
    """How many of the first `lines` fit one call; at least one, so that the service can say no to it."""
    size = len(_OPEN) + len(_CLOSE) - 1
    for count, line in enumerate(lines[:most_events]):
        size += len(line) + 1
        if size > most_bytes and count:
            return count
    return min(len(lines), most_events)


def batches(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """`lines` in their order, as calls that the service takes. No lines are one empty call, which it refuses."""
    begin = 0
    while begin < len(lines) or not begin:
        count = fitting(lines[begin : begin + MAX_EVENTS])
        yield lines[begin : begin + count]
        begin += max(count, 1)
