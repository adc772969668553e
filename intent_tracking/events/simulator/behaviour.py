"""The steps that a session is made of: each looks, searches, buys, pays or talks, after a think time."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

from intent_tracking.events.simulator.catalogue import CURRENCY, CatalogueItem
from intent_tracking.events.simulator.intents import (
    BARGAIN,
    CANCEL_ORDER,
    COMPARE,
    COMPLAINT,
    EXPLORE,
    FIND_PRODUCT,
    OUT_OF_SCOPE,
    PAYMENT_PROBLEM,
    PRODUCT_QUESTION,
    PURCHASE,
    RETURN_REFUND,
    SUBSCRIBE_AND_SAVE,
    TRACK_ORDER,
)
from intent_tracking.events.simulator.plan import SessionPlan, Shop
from intent_tracking.events.simulator.wording import Message, Topic, Writer, write_message, write_review, write_search

LONGEST_GAP_MS: Final = 25 * 60_000  # below the 30 minutes that end a session

_FIRST_MESSAGE: Final[Mapping[str, float]] = {
    EXPLORE: 0.22,
    FIND_PRODUCT: 0.40,
    COMPARE: 0.45,
    BARGAIN: 0.60,
    PURCHASE: 0.28,
    PRODUCT_QUESTION: 0.95,
    TRACK_ORDER: 0.95,
    CANCEL_ORDER: 0.97,
    RETURN_REFUND: 0.95,
    COMPLAINT: 0.95,
    PAYMENT_PROBLEM: 0.90,
    SUBSCRIBE_AND_SAVE: 0.85,
}
_NEXT_MESSAGE: Final = 0.38
_TALK: Final[Mapping[str, tuple[str, ...]]] = {
    # What else a shopper with this intent may ask after the first message.
    EXPLORE: (EXPLORE, FIND_PRODUCT),
    FIND_PRODUCT: (FIND_PRODUCT, PRODUCT_QUESTION),
    COMPARE: (COMPARE, COMPARE, PRODUCT_QUESTION),
    BARGAIN: (BARGAIN, BARGAIN, PURCHASE),
    PURCHASE: (PURCHASE, PRODUCT_QUESTION, BARGAIN),
    PRODUCT_QUESTION: (PRODUCT_QUESTION, COMPARE),
    TRACK_ORDER: (TRACK_ORDER, TRACK_ORDER, COMPLAINT, CANCEL_ORDER),
    CANCEL_ORDER: (CANCEL_ORDER, RETURN_REFUND),
    RETURN_REFUND: (RETURN_REFUND, RETURN_REFUND, COMPLAINT),
    COMPLAINT: (COMPLAINT, COMPLAINT, RETURN_REFUND),
    PAYMENT_PROBLEM: (PAYMENT_PROBLEM, COMPLAINT),
    SUBSCRIBE_AND_SAVE: (SUBSCRIBE_AND_SAVE, SUBSCRIBE_AND_SAVE, BARGAIN),
}


def _gaps() -> tuple[int, ...]:
    rng = random.Random("think times")
    return tuple(min(LONGEST_GAP_MS, 900 + int(rng.lognormvariate(9.7, 1.1))) for _ in range(4096))


_GAPS: Final = _gaps()

Step = tuple[str, dict[str, Any], int]
"""Event name, params, and milliseconds since the step before."""


class Act:
    """One session while it is acted out: `steps` in order, and by step the messages in it."""

    def __init__(self, shop: Shop, plan: SessionPlan, period: str, rng: random.Random) -> None:
        self.steps: list[Step] = []
        self.messages: list[tuple[int, str, Message]] = []
        self._crowd = shop.crowd
        self._plan = plan
        self._rng = rng
        self._period = period
        self._shopper = plan.shopper
        self._language = plan.shopper.language
        self._writer = Writer(self._language, period, plan.shopper.code_switching, shop.config.wording)
        self._item = plan.order.basket[0][0]
        self._category = self._item.category
        self._other = self.another(self._category)

    def another(self, category: str | None = None) -> CatalogueItem:
        """An item to this shopper's taste."""
        wanted = category or self._crowd.category(self._shopper, self._period, self._rng)
        return self._crowd.item(self._shopper, wanted, self._period, self._rng)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._rng.random() < probability

    def do(self, name: str, params: dict[str, Any], gap: int | None = None) -> None:
        """Adds a step after a think time, or after `gap` milliseconds."""
        self.steps.append((name, params, _GAPS[int(self._rng.random() * 4096)] if gap is None else gap))

    def on_items(self, name: str, *items: CatalogueItem, **more: Any) -> None:
        """A step on single items."""
        language = self._language
        value = items[0].price if len(items) == 1 else round(sum(item.price for item in items), 2)
        self.do(
            name, {"items": [item.in_event[language] for item in items], "value": value, "currency": CURRENCY, **more}
        )

    def view(self, item: CatalogueItem) -> None:
        """Looks at a product page."""
        self.on_items("view_item", item)

    def to_cart(self, item: CatalogueItem, quantity: int = 1, **more: Any) -> None:
        """Puts an item into the cart."""
        line = {**item.in_event[self._language], "quantity": quantity}
        self.do(
            "add_to_cart", {"items": [line], "value": round(item.price * quantity, 2), "currency": CURRENCY, **more}
        )

    def listing(self, category: str, *, search: bool = False, term: str = "") -> list[CatalogueItem]:
        """Sees a list of items: of a category, or the results of a search."""
        found = [self.another(category) for _ in range(2 + int(self._rng.random() * 3))]
        items = [{**item.in_event[self._language], "index": index} for index, item in enumerate(found)]
        if search:
            self.do("view_search_results", {"items": items, "search_term": term}, 400 + int(self._rng.random() * 900))
        else:
            self.do("view_item_list", {"items": items, "item_list_name": category})
        return found

    def search(self, intent: str) -> list[CatalogueItem]:
        """Types a query and sees the results."""
        topic = Topic(self._item, self._other, self._plan.order.transaction_id)
        term = write_search(intent, topic, self._writer, self._rng)
        self.do("search", {"search_term": term, "language": self._language})
        return self.listing(self._category, search=True, term=term)

    def promotion(self, *, select: bool) -> None:
        """Sees a promotion, and perhaps follows it."""
        number = 1 + int(self._rng.random() * 12)
        params = {
            "promotion_id": f"promo-{self._period}-{number:02d}",
            "promotion_name": f"{self._category} offer {number}",
        }
        self.do("view_promotion", params)
        if select:
            self.do("select_promotion", params)

    def say(self, intent: str) -> None:
        """Writes one message to the desk."""
        topic = Topic(self._item, self._other, self._plan.order.transaction_id)
        message = write_message(intent, topic, self._writer, self._rng)
        self.messages.append((len(self.steps), intent, message))
        self.do("message", {"text": message.text, "language": self._language})

    def talk(self, intent: str) -> None:
        """The chat of a session: mostly about its intent."""
        if not self.chance(_FIRST_MESSAGE[intent]):
            return
        out_of_scope = self._writer.rates.out_of_scope
        self.say(OUT_OF_SCOPE if self.chance(out_of_scope) else intent)
        while self.chance(_NEXT_MESSAGE):
            choices = _TALK[intent]
            wanted = choices[int(self._rng.random() * len(choices))]
            self.say(OUT_OF_SCOPE if self.chance(out_of_scope) else wanted)

    def review(self, rating: int) -> None:
        """Writes a review of the item of the order."""
        topic = Topic(self._item, self._other, self._plan.order.transaction_id)
        text = write_review(rating, topic, self._writer, self._rng)
        item = self._item.in_event[self._language]
        self.do("review", {"items": [item], "text": text, "rating": rating, "language": self._language})

    def order_event(self, name: str, **more: Any) -> None:
        """A step on the whole basket of the order."""
        order = self._plan.order
        items = [{**item.in_event[self._language], "quantity": quantity} for item, quantity in order.basket]
        self.do(name, {"items": items, "value": order.value, "currency": CURRENCY, **more})

    def checkout(self, *, attempts: int = 1, pays: bool) -> None:
        """From the cart to the payment. A payment that fails is tried again."""
        order = self._plan.order
        self.order_event("view_cart")
        self.order_event("begin_checkout")
        if not pays and self.chance(0.4):
            return
        self.order_event("add_shipping_info", shipping_tier="express" if self.chance(0.3) else "standard")
        for _ in range(attempts):
            method = ("card", "paypal", "wallet", "instalments")[int(self._rng.random() * 4)]
            self.order_event("add_payment_info", payment_type=method)
        if pays:
            self.order_event("purchase", transaction_id=order.transaction_id)
