"""The event contract: GA4 e-commerce names in a CloudEvents-like envelope, and its one row form.

Names and required fields follow the GA4 e-commerce reference
(https://developers.google.com/analytics/devguides/collection/ga4/reference/events); `message` and `review` are ours.
Every limit on an event is typed here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, Final, Literal, Self

import orjson
import pyarrow as pa
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

SCHEMA_VERSION: Final = "1"

MAX_ID_LENGTH: Final = 200
MAX_NAME_LENGTH: Final = 1_000
MAX_TEXT_LENGTH: Final = 8_000
MAX_ITEMS: Final = 2_000  # the largest invoice of Online Retail has 1,114 lines
MAX_CUSTOM: Final = 64
MAX_MONEY: Final = 1e12
MAX_QUANTITY: Final = 10**9
EARLIEST_TIME: Final = datetime(1990, 1, 1, tzinfo=UTC)
_CHUNK_ROWS: Final = 8_192
LATEST_TIME: Final = datetime(2200, 1, 1, tzinfo=UTC)


class EventName(StrEnum):
    """What a shopper can do."""

    VIEW_ITEM_LIST = "view_item_list"
    SELECT_ITEM = "select_item"
    VIEW_ITEM = "view_item"
    VIEW_SEARCH_RESULTS = "view_search_results"
    SEARCH = "search"
    ADD_TO_WISHLIST = "add_to_wishlist"
    ADD_TO_CART = "add_to_cart"
    REMOVE_FROM_CART = "remove_from_cart"
    VIEW_CART = "view_cart"
    BEGIN_CHECKOUT = "begin_checkout"
    ADD_SHIPPING_INFO = "add_shipping_info"
    ADD_PAYMENT_INFO = "add_payment_info"
    PURCHASE = "purchase"
    REFUND = "refund"
    VIEW_PROMOTION = "view_promotion"
    SELECT_PROMOTION = "select_promotion"
    SHARE = "share"
    MESSAGE = "message"
    REVIEW = "review"


class Scene(StrEnum):
    """Where the shopper is when we must answer."""

    SEARCH = "search"
    BROWSE = "browse"
    CART = "cart"
    CUSTOMER_SERVICE = "customer_service"
    MARKETING = "marketing"


SCENE_OF_EVENT: Final[Mapping[EventName, Scene]] = {
    EventName.VIEW_ITEM_LIST: Scene.BROWSE,
    EventName.SELECT_ITEM: Scene.BROWSE,
    EventName.VIEW_ITEM: Scene.BROWSE,
    EventName.VIEW_SEARCH_RESULTS: Scene.SEARCH,
    EventName.SEARCH: Scene.SEARCH,
    EventName.ADD_TO_WISHLIST: Scene.BROWSE,
    EventName.ADD_TO_CART: Scene.CART,
    EventName.REMOVE_FROM_CART: Scene.CART,
    EventName.VIEW_CART: Scene.CART,
    EventName.BEGIN_CHECKOUT: Scene.CART,
    EventName.ADD_SHIPPING_INFO: Scene.CART,
    EventName.ADD_PAYMENT_INFO: Scene.CART,
    EventName.PURCHASE: Scene.CART,
    EventName.REFUND: Scene.CUSTOMER_SERVICE,
    EventName.VIEW_PROMOTION: Scene.MARKETING,
    EventName.SELECT_PROMOTION: Scene.MARKETING,
    EventName.SHARE: Scene.BROWSE,
    EventName.MESSAGE: Scene.CUSTOMER_SERVICE,
    EventName.REVIEW: Scene.BROWSE,
}

# GA4 names, collected by itself or recommended for other trades: known, and no part of shopping intent.
NAMES_OUTSIDE: Final = frozenset(
    {
        "page_view", "screen_view", "session_start", "first_visit", "first_open", "user_engagement", "scroll", "click",
        "file_download", "form_start", "form_submit", "video_start", "video_progress", "video_complete", "login",
        "sign_up",
        "app_update", "app_remove", "app_exception", "os_update", "notification_receive", "notification_open",
        "generate_lead", "join_group", "select_content", "tutorial_begin", "tutorial_complete",
    }
)  # fmt: skip
# Events that say nothing without a product. A list, a cart or a whole-order refund may come without its items.
NEEDS_ITEMS: Final = frozenset(
    {
        EventName.SELECT_ITEM,
        EventName.VIEW_ITEM,
        EventName.ADD_TO_WISHLIST,
        EventName.ADD_TO_CART,
        EventName.REMOVE_FROM_CART,
        EventName.PURCHASE,
    }
)
REQUIRED_PARAM: Final[Mapping[EventName, str]] = {
    EventName.PURCHASE: "transaction_id",
    EventName.REFUND: "transaction_id",
    EventName.SEARCH: "search_term",
    EventName.MESSAGE: "text",
    EventName.REVIEW: "text",
}


def _to_utc(value: datetime) -> datetime:
    if not EARLIEST_TIME <= value <= LATEST_TIME:
        raise PydanticCustomError("time_range", "lies outside 1990-01-01 to 2200-01-01; give ISO 8601 with an offset")
    return value if value.tzinfo is UTC else value.astimezone(UTC)


# Control characters in an identifier are a broken export, and NUL ends strings in half of the stores behind us.
Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$")]
Label = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
FreeText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_LENGTH)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", max_length=35, description="BCP 47")]
Money = Annotated[float, Field(ge=0, le=MAX_MONEY, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=MAX_QUANTITY)]
UtcTime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
CustomKey = Annotated[str, Field(min_length=1, max_length=64)]
CustomValue = (
    bool
    | Annotated[int, Field(ge=-(2**53), le=2**53)]  # what every JSON reader keeps exactly
    | Annotated[float, Field(allow_inf_nan=False)]
    | Annotated[str, Field(max_length=MAX_NAME_LENGTH)]
    | None
)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Item(_Record):
    """One product in an event; prices are per unit, in the currency of the event."""

    item_id: Identifier | None = None
    item_name: Label | None = None
    price: Money | None = None
    quantity: Count | None = None
    item_brand: Label | None = None
    item_category: Label | None = None
    item_variant: Label | None = None
    index: Count | None = None
    coupon: Label | None = None
    discount: Money | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.item_id is None and self.item_name is None:
            raise PydanticCustomError("missing_field", "an item needs item_id or item_name")
        return self


class Params(_Record):
    """What happened. Parameters that a source knows and the contract does not stand in `custom`."""

    items: Annotated[tuple[Item, ...], Field(max_length=MAX_ITEMS)] = ()
    value: Money | None = None
    currency: Currency | None = None
    transaction_id: Identifier | None = None
    search_term: FreeText | None = None
    text: FreeText | None = None
    language: Language | None = None
    promotion_id: Identifier | None = None
    promotion_name: Label | None = None
    coupon: Label | None = None
    rating: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    item_list_id: Identifier | None = None
    item_list_name: Label | None = None
    shipping_tier: Label | None = None
    payment_type: Label | None = None
    method: Label | None = None
    shipping: Money | None = None
    tax: Money | None = None
    custom: dict[CustomKey, CustomValue] = Field(default_factory=dict, max_length=MAX_CUSTOM)

    @field_validator("custom")
    @classmethod
    def _own_names(cls, custom: dict[str, CustomValue]) -> dict[str, CustomValue]:
        if custom and (taken := PARAM_NAMES & custom.keys()):
            raise PydanticCustomError(
                "custom_shadows",
                "{names} belong to the contract: put them in params",
                {"names": ", ".join(sorted(taken))},
            )
        return custom

    @model_validator(mode="after")
    def _value_has_currency(self) -> Self:
        if self.value is not None and self.currency is None:
            raise PydanticCustomError("missing_field", "value needs currency")
        return self


PARAM_NAMES: Final = frozenset(Params.model_fields)


class Event(_Record):
    """One thing that one shopper did, at one time, in one scene.

    Raises:
        pydantic.ValidationError: a field is missing, unknown, or over a limit; `quarantine.from_validation_error`
            turns it into a reason.
    """

    event_id: Identifier
    event_name: EventName
    event_time: UtcTime
    received_time: UtcTime
    user_id: Identifier | None = None
    anonymous_id: Identifier | None = None
    session_id: Identifier | None = None
    source: Identifier
    scene: Scene
    schema_version: Literal["1"] = SCHEMA_VERSION
    params: Params = Params()

    @model_validator(mode="after")
    def _requirements(self) -> Self:
        if self.user_id is None and self.anonymous_id is None:
            raise PydanticCustomError("missing_identity", "an event needs user_id or anonymous_id")
        if self.event_name in NEEDS_ITEMS and not self.params.items:
            raise PydanticCustomError("missing_field", "params.items: {name} needs an item", {"name": self.event_name})
        required = REQUIRED_PARAM.get(self.event_name)
        if required is not None and getattr(self.params, required) is None:
            raise PydanticCustomError(
                "missing_field", "params.{field}: {name} needs it", {"field": required, "name": self.event_name}
            )
        return self


def shopper_id(event: Event) -> str:
    """The key of sessions and features: the user where known, else the anonymous visitor, marked as such."""
    return event.user_id if event.user_id is not None else f"anonymous:{event.anonymous_id}"


def visitor_id(event: Event) -> str | None:
    """What `shopper_id` is of events of the same device before its user logs in; None without an anonymous id."""
    return f"anonymous:{event.anonymous_id}" if event.anonymous_id is not None else None


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Where an event came from: file (relative to its source), first line (from 1), number of log lines in it."""

    source_file: str = ""
    source_line: int = 0
    record_count: int = 1


_UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
_ITEM_TYPES: Final[Mapping[str, pa.DataType]] = {
    "item_id": pa.string(),
    "item_name": pa.string(),
    "price": pa.float64(),
    "quantity": pa.int64(),
    "item_brand": pa.string(),
    "item_category": pa.string(),
    "item_variant": pa.string(),
    "index": pa.int64(),
    "coupon": pa.string(),
    "discount": pa.float64(),
}
ITEM_TYPE: Final = pa.struct(list(_ITEM_TYPES.items()))
_COLUMN_TYPES: Final[Mapping[str, pa.DataType]] = {
    "event_id": pa.string(),
    "event_name": pa.string(),
    "event_time": _UTC_MICROSECONDS,
    "received_time": _UTC_MICROSECONDS,
    "user_id": pa.string(),
    "anonymous_id": pa.string(),
    "shopper_id": pa.string(),
    "session_id": pa.string(),
    "source": pa.string(),
    "scene": pa.string(),
    "schema_version": pa.string(),
    "search_term": pa.string(),
    "text": pa.string(),
    "language": pa.string(),
    "transaction_id": pa.string(),
    "value": pa.float64(),
    "currency": pa.string(),
    "promotion_id": pa.string(),
    "rating": pa.float64(),
    "items": pa.list_(ITEM_TYPE),
    "custom": pa.string(),
    "source_file": pa.string(),
    "source_line": pa.int64(),
    "record_count": pa.int64(),
}
EVENT_SCHEMA: Final = pa.schema(list(_COLUMN_TYPES.items()))
_PARAM_COLUMNS: Final = tuple(
    name for name in EVENT_SCHEMA.names if name in PARAM_NAMES and name not in ("items", "custom")
)
_FOLDED_PARAMS: Final = tuple(sorted(PARAM_NAMES - {*_PARAM_COLUMNS, "items", "custom"}))
_ENVELOPE: Final = tuple(name for name in Event.model_fields if name != "params")


def _row_values(event: Event, position: SourcePosition) -> tuple[Any, ...]:
    """The values of one row in the order of `EVENT_SCHEMA`. Read from `__dict__`: this runs once for every event."""
    envelope, params = event.__dict__, event.params.__dict__
    # Parameters without a column of their own, as one sorted JSON object.
    folded = {name: params[name] for name in _FOLDED_PARAMS if params[name] is not None}
    if params["custom"]:
        folded.update(params["custom"])
    return (
        envelope["event_id"],
        event.event_name.value,
        envelope["event_time"],
        envelope["received_time"],
        envelope["user_id"],
        envelope["anonymous_id"],
        shopper_id(event),
        envelope["session_id"],
        envelope["source"],
        event.scene.value,
        envelope["schema_version"],
        params["search_term"],
        params["text"],
        params["language"],
        params["transaction_id"],
        params["value"],
        params["currency"],
        params["promotion_id"],
        params["rating"],
        [item.__dict__ for item in params["items"]],
        orjson.dumps(folded, option=orjson.OPT_SORT_KEYS).decode() if folded else None,
        position.source_file,
        position.source_line,
        position.record_count,
    )


def event_to_row(event: Event, source: SourcePosition = SourcePosition()) -> dict[str, Any]:
    """One row of `EVENT_SCHEMA`. Parameters without a column stand in the JSON of `custom`."""
    return dict(zip(EVENT_SCHEMA.names, _row_values(event, source), strict=True))


def event_from_row(row: Mapping[str, Any]) -> Event:
    """The event of one row of `EVENT_SCHEMA`: the inverse of `event_to_row`.

    Raises:
        pydantic.ValidationError: the row was not written by `event_to_row`.
    """
    params: dict[str, Any] = {name: row[name] for name in _PARAM_COLUMNS}
    custom: dict[str, Any] = orjson.loads(row["custom"]) if row["custom"] else {}
    params.update({name: custom.pop(name) for name in _FOLDED_PARAMS if name in custom})
    envelope = {name: row[name] for name in _ENVELOPE}
    return Event(**envelope, params=Params(**params, items=tuple(row["items"] or ()), custom=custom))


def events_to_table(events: Iterable[tuple[Event, SourcePosition]]) -> pa.Table:
    """Rows of `EVENT_SCHEMA` in the order given. Consumes `events` in chunks, so a generator needs little memory."""
    rows = (_row_values(event, position) for event, position in events)
    batches: list[pa.RecordBatch] = []
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        arrays = [
            pa.array(values, type=field.type)
            for values, field in zip(zip(*chunk, strict=True), EVENT_SCHEMA, strict=True)
        ]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA))
    return pa.Table.from_batches(batches, schema=EVENT_SCHEMA)
