"""From what a shopper wants to what the shop can do about it now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bentos.intent_service.limits import MAX_ACTIONS
from intent_tracking.events.contract import Scene
from intent_tracking.inference import IntentScore

# Below this a guess is not worth an interruption of the shopper.
ACTION_PROBABILITY: Final = 0.25

_OF_INTENT: Final[Mapping[str, tuple[str, ...]]] = {
    "explore": ("show_new_arrivals", "recommend_items"),
    "find_product": ("recommend_items", "offer_search_filters"),
    "compare": ("show_comparison", "show_reviews"),
    "bargain": ("show_promotions", "offer_price_alert"),
    "purchase": ("shorten_checkout", "show_delivery_date"),
    "product_question": ("answer_question", "connect_to_agent"),
    "track_order": ("show_order_status", "notify_on_delivery"),
    "cancel_order": ("start_cancellation", "connect_to_agent"),
    "return_refund": ("start_return", "show_return_policy"),
    "complaint": ("connect_to_agent", "open_ticket"),
    "payment_problem": ("offer_other_payment", "connect_to_agent"),
    "subscribe_and_save": ("offer_subscription",),
}
_OF_SCENE: Final[Mapping[Scene, tuple[str, ...]]] = {
    Scene.SEARCH: ("offer_search_filters",),
    Scene.BROWSE: ("recommend_items",),
    Scene.CART: ("shorten_checkout",),
    Scene.CUSTOMER_SERVICE: ("connect_to_agent",),
    Scene.MARKETING: ("show_promotions",),
}


def recommended_actions(intents: Sequence[IntentScore], *, out_of_scope: bool, scene: Scene) -> list[str]:
    """At most MAX_ACTIONS actions, most fitting first.

    Where nothing is sure, or the label set of the model names no intent that has actions, the scene alone decides: at
    the desk a person takes over, elsewhere the page helps along.
    """
    sure = [] if out_of_scope else [score.name for score in intents if score.probability >= ACTION_PROBABILITY]
    chosen = [action for name in sure for action in _OF_INTENT.get(name, ())]
    return list(dict.fromkeys(chosen or _OF_SCENE[scene]))[:MAX_ACTIONS]
