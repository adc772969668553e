"""Labels that behaviour gives for nothing: did the session buy, and which intent does what was done make plain.

The rules are weak labels and lean to silence: a wrong label costs more than a missing one, because people label some
sessions and their labels win. A rule may look past the cut-off (that is where the answer is); the model never does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from intent_tracking.events.contract import EventName

EXPLORE: Final = "explore"
FIND_PRODUCT: Final = "find_product"
COMPARE: Final = "compare"
BARGAIN: Final = "bargain"
PURCHASE: Final = "purchase"
RETURN_REFUND: Final = "return_refund"
BEHAVIOUR_LABELS: Final = (EXPLORE, FIND_PRODUCT, COMPARE, BARGAIN, PURCHASE, RETURN_REFUND)
"""The intents that behaviour can tell. Every other intent comes from people."""

RECENT_EVENTS: Final = 6
"""How far back from the cut-off a search still says what the shopper is after."""

_CHECKOUT = frozenset({EventName.BEGIN_CHECKOUT, EventName.ADD_SHIPPING_INFO, EventName.ADD_PAYMENT_INFO})
_CART = _CHECKOUT | {EventName.ADD_TO_CART, EventName.VIEW_CART}
_PROMOTION = frozenset({EventName.VIEW_PROMOTION, EventName.SELECT_PROMOTION})
_LOOKING = frozenset({EventName.VIEW_ITEM, EventName.SELECT_ITEM})
_LISTS = frozenset({EventName.VIEW_ITEM_LIST})
_SEARCH = frozenset({EventName.SEARCH, EventName.VIEW_SEARCH_RESULTS})

_Events = Sequence[Mapping[str, Any]]


def outcome(session: Mapping[str, Any], cut: int) -> bool:
    """Whether the session buys after its first `cut` events."""
    return any(event["event_name"] == EventName.PURCHASE for event in session["events"][cut:])


def behaviour_intent(session: Mapping[str, Any], cut: int) -> str | None:
    """The intent at the cut-off that the session's behaviour makes plain, or `None` where it does not tell.

    In this order; the first rule that holds decides:

    - `return_refund`: a refund follows.
    - none, where the newest visible event is a message: words say more than clicks, and people label those.
    - `purchase`: a purchase follows, and the cart or the checkout is already in use.
    - `bargain`: at least two promotions looked at, or one chosen, and they are a third of what is visible or more.
    - `compare`: two or more products of one category looked at, one of them again later, no checkout begun.
    - `find_product`: a search among the newest six visible events, and a product is opened, wished for or put into
      the cart within the next four events.
    - `explore`: four or more visible events, all of them lists and products, of at least two categories and none looked
      at twice, and nothing searched for, carted or bought in the whole session.

    Args:
        session: a row of SESSION_SCHEMA.
        cut: the number of visible events.
    """
    before: _Events = session["events"][:cut]
    after: _Events = session["events"][cut:]
    if not before:
        return None
    following = _names(after)
    if following[EventName.REFUND]:
        return RETURN_REFUND
    if before[-1]["event_name"] == EventName.MESSAGE:
        return None
    visible = _names(before)
    if following[EventName.PURCHASE] and _any(visible, _CART):
        return PURCHASE
    if _bargains(visible, len(before)):
        return BARGAIN
    if _compares(before) and not _any(visible, _CHECKOUT):
        return COMPARE
    if _any(_names(before[-RECENT_EVENTS:]), _SEARCH) and _any(
        _names(after[:4]), _LOOKING | {EventName.ADD_TO_CART, EventName.ADD_TO_WISHLIST}
    ):
        return FIND_PRODUCT
    if _explores(before) and not _any(following, _SEARCH | _CART | {EventName.PURCHASE}):
        return EXPLORE
    return None


def _names(events: _Events) -> Counter[str]:
    return Counter(event["event_name"] for event in events)


def _any(names: Counter[str], wanted: frozenset[EventName]) -> bool:
    return any(names[name] for name in wanted)


def _bargains(visible: Counter[str], count: int) -> bool:
    promotions = sum(visible[name] for name in _PROMOTION)
    return (promotions >= 2 or visible[EventName.SELECT_PROMOTION] > 0) and promotions * 3 >= count


def _looked_at(events: _Events) -> list[tuple[str, str]]:
    """(item, category) of each product page opened, in order; opening one from a list counts once with its page."""
    seen: list[tuple[str, str]] = []
    for event in events:
        if event["event_name"] in _LOOKING and event["items"]:
            item = event["items"][0]
            viewed = (item["item_id"] or item["item_name"] or "", item["item_category"] or "")
            if not seen or seen[-1] != viewed:
                seen.append(viewed)
    return seen


def _compares(before: _Events) -> bool:
    looks = _looked_at(before)
    returned = {item for item, times in Counter(looks).items() if times >= 2}
    return any(other != item and other[1] == item[1] for item in returned if item[1] for other in looks)


def _explores(before: _Events) -> bool:
    if len(before) < 4 or any(event["event_name"] not in _LOOKING | _LISTS for event in before):
        return False
    looks = _looked_at(before)
    categories = {category for _, category in looks if category}
    return len(categories) >= 2 and len(set(looks)) == len(looks)
