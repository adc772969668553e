"""`POST /v1/risk`: how risky a session, a shopper or an order is at this moment, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bentos.intent_service.openapi import Operation
from bentos.intent_service.request_context import preferred_language
from bentos.intent_service.runtime import Runtime
from bentos.intent_service.schemas import Probability, Record
from bentos.intent_service.shopper import Shopper
from intent_tracking.access.keys import Scope
from intent_tracking.applications.artifacts import RISK_MODEL
from intent_tracking.applications.risk.assessing import Asked, assess
from intent_tracking.applications.risk.features import Order
from intent_tracking.applications.risk.model import Decision, RiskModel
from intent_tracking.applications.risk.wording import DEFAULT_LANGUAGE, in_words, languages
from intent_tracking.events.contract import MAX_ITEMS, Currency, Identifier, Item, Label, Money


class OrderLine(Item):
    """An item of an event, checked as strictly as the rest of the request: 12 is a price, and "12" is none."""

    model_config = ConfigDict(strict=True)


class Transaction(Record):
    """An order that is about to be placed, in the words of the `params` of a `purchase`."""

    transaction_id: Identifier | None = None
    value: Money | None = None
    currency: Currency | None = None
    items: Annotated[list[OrderLine], Field(max_length=MAX_ITEMS, default_factory=list)]
    coupon: Label | None = None
    payment_type: Label | None = None
    shipping_tier: Label | None = None
    shipping: Money | None = None
    tax: Money | None = None

    @model_validator(mode="after")
    def _tells(self) -> Self:
        if self.value is None and not self.items:
            raise PydanticCustomError("missing_field", "a transaction needs value or items")
        if self.value is not None and self.currency is None:
            raise PydanticCustomError("missing_field", "value needs currency")
        return self

    def order(self, now: datetime) -> Order:
        """As risk control sees it."""
        return Order.of(self.items, value=self.value, currency=self.currency, coupon=self.coupon, placed_at=now)


class RiskRequest(Record):
    """Whom or what to judge; at least one of the three."""

    user_id: Identifier | None = None
    session_id: Identifier | None = None
    transaction: Transaction | None = None

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.user_id is None and self.session_id is None and self.transaction is None:
            raise PydanticCustomError("missing_field", "give user_id, session_id or transaction")
        return self


class RiskAnswer(Record):
    """The score (0 to 1), what to do, and why: the weightiest reason first, none where nothing speaks for risk."""

    score: Probability
    decision: Decision
    reasons: list[str]


async def answer(runtime: Runtime, request: RiskRequest) -> RiskAnswer:
    """Judge what is asked about, and give the worst that is found.

    Raises:
        RequestError: nothing is released yet, or no risk model is.
        OSError: the session state cannot be read.
    """
    model = runtime.application(RISK_MODEL, RiskModel)
    shopper = Shopper(None, None, None, None)
    if request.user_id is not None or request.session_id is not None:
        shopper = await runtime.shoppers.now(request.session_id, request.user_id)
    asked = Asked(
        session=shopper.session,
        shopper=shopper.features,
        order=request.transaction.order(datetime.now(UTC)) if request.transaction is not None else None,
    )
    found = await runtime.in_thread(assess, model, asked)
    words = in_words(found.reasons, preferred_language(languages(), DEFAULT_LANGUAGE))
    return RiskAnswer(score=found.score, decision=found.decision, reasons=words)


OPERATION: Final = Operation(
    path="/v1/risk",
    method="post",
    name="risk",
    summary="Judge a session, a shopper or an order.",
    description=(
        "At least one of the three. The live session and the shopper's last 30 days are looked up; a transaction is "
        "judged as an order about to be placed, and the worst of order and session is answered. What is not known "
        "speaks neither for nor against. `decision` follows the thresholds of the shop's risk policy; `reasons` are "
        "in the language that Accept-Language prefers of en and zh, English by default."
    ),
    request=RiskRequest,
    answer=RiskAnswer,
    scope=Scope.READ,
    example={
        "session_id": "s-1",
        "transaction": {
            "transaction_id": "t-1",
            "value": 129.0,
            "currency": "EUR",
            "items": [{"item_id": "sku-1", "price": 129.0, "quantity": 1}],
        },
    },
    errors=(400, 408, 413, 415, 422, 503),
)
