"""The intents that simulated shoppers have: one taxonomy for every scene."""

from __future__ import annotations

from typing import Final

EXPLORE: Final = "explore"
FIND_PRODUCT: Final = "find_product"
COMPARE: Final = "compare"
BARGAIN: Final = "bargain"
PURCHASE: Final = "purchase"
PRODUCT_QUESTION: Final = "product_question"
TRACK_ORDER: Final = "track_order"
CANCEL_ORDER: Final = "cancel_order"
RETURN_REFUND: Final = "return_refund"
COMPLAINT: Final = "complaint"
PAYMENT_PROBLEM: Final = "payment_problem"
OUT_OF_SCOPE: Final = "oos"
SUBSCRIBE_AND_SAVE: Final = "subscribe_and_save"

INTENTS: Final = (
    EXPLORE,
    FIND_PRODUCT,
    COMPARE,
    BARGAIN,
    PURCHASE,
    PRODUCT_QUESTION,
    TRACK_ORDER,
    CANCEL_ORDER,
    RETURN_REFUND,
    COMPLAINT,
    PAYMENT_PROBLEM,
    OUT_OF_SCOPE,
)
"""Intents that exist from the first day."""

DRIFT_INTENTS: Final = (SUBSCRIBE_AND_SAVE,)
"""Intents that only appear with drift."""

BEHAVIOUR_INTENTS: Final = frozenset({EXPLORE, FIND_PRODUCT, COMPARE, BARGAIN, PURCHASE})
"""Session intents that show in browsing alone, without a message."""

AFTER_SALES_INTENTS: Final = frozenset({TRACK_ORDER, CANCEL_ORDER, RETURN_REFUND, COMPLAINT})
"""Session intents of a shopper who already has an order."""

SLOTS: Final = ("product", "brand", "colour", "size", "price", "order_id")
"""Key information that is annotated in messages."""

CONFUSED_WITH: Final = {
    EXPLORE: (FIND_PRODUCT, OUT_OF_SCOPE),
    FIND_PRODUCT: (EXPLORE, PRODUCT_QUESTION),
    COMPARE: (PRODUCT_QUESTION, FIND_PRODUCT),
    BARGAIN: (PURCHASE, PAYMENT_PROBLEM),
    PURCHASE: (FIND_PRODUCT, PAYMENT_PROBLEM),
    PRODUCT_QUESTION: (COMPARE, FIND_PRODUCT),
    TRACK_ORDER: (COMPLAINT, CANCEL_ORDER),
    CANCEL_ORDER: (RETURN_REFUND, TRACK_ORDER),
    RETURN_REFUND: (CANCEL_ORDER, COMPLAINT),
    COMPLAINT: (RETURN_REFUND, TRACK_ORDER),
    PAYMENT_PROBLEM: (PURCHASE, COMPLAINT),
    OUT_OF_SCOPE: (EXPLORE, PRODUCT_QUESTION),
    SUBSCRIBE_AND_SAVE: (PURCHASE, BARGAIN),
}
"""What a support desk writes when it errs."""
