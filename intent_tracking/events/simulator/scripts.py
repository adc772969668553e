"""What a shopper with each hidden intent does: one script an intent, and those of bots and fraud.

Behaviour carries the intent, with noise: a fifth of the sessions begin as something else, and the same events occur
under several intents in different proportions.
"""

from __future__ import annotations

import random
from typing import Final

from intent_tracking.events.simulator import intents
from intent_tracking.events.simulator.behaviour import Act
from intent_tracking.events.simulator.catalogue import CURRENCY
from intent_tracking.events.simulator.plan import SessionPlan, Shop

WANDERING: Final = 0.22
_DROPPED_AFTER: Final = 5
_BEGUN_AND_DROPPED: Final = (intents.EXPLORE, intents.FIND_PRODUCT, intents.COMPARE, intents.BARGAIN, intents.PURCHASE)


def act_out(shop: Shop, plan: SessionPlan, day: int, rng: random.Random) -> Act:
    """The steps of one planned session."""
    act = Act(shop, plan, shop.config.period(day), rng)
    if plan.bot:
        _bot(act, rng)
    elif plan.fraud:
        _fraud(act, plan, rng)
    elif plan.intent is not None:
        if act.chance(WANDERING):
            _wander(act, plan, rng)
        _SCRIPTS[plan.intent](act, plan, rng)
    if not act.steps:
        act.view(plan.order.basket[0][0])
    return act


def _wander(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    """Begins as if the shopper wanted something else, and drops it after a few steps, before saying anything."""
    _SCRIPTS[_BEGUN_AND_DROPPED[int(rng.random() * len(_BEGUN_AND_DROPPED))]](act, plan, rng)
    begun = [step for step in act.steps if step[0] not in ("message", "purchase")]
    act.steps[:] = begun[: 1 + int(rng.random() * _DROPPED_AFTER)]
    act.messages.clear()


def _explore(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    if act.chance(0.4):
        act.promotion(select=act.chance(0.35))
    if act.chance(0.3):
        act.search(intents.EXPLORE)
    for _ in range(2 + int(rng.random() * 3)):
        found = act.listing(act.another().category)
        for item in found[: int(rng.random() * 3)]:
            act.on_items("select_item", item)
            act.view(item)
            if act.chance(0.12):
                act.on_items("add_to_wishlist", item)
    act.talk(intents.EXPLORE)
    if act.chance(0.08):
        act.on_items("share", act.another(), method="link")
    _maybe_buy(act, plan)


def _find_product(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    wanted = plan.order.basket[0][0]
    for _ in range(1 + int(rng.random() * 3)):
        found = act.search(intents.FIND_PRODUCT)
        if act.chance(0.6):
            act.on_items("select_item", found[0])
            act.view(found[0])
    act.talk(intents.FIND_PRODUCT)
    for _ in range(1 + int(rng.random() * 3)):
        act.view(wanted if act.chance(0.6) else act.another(wanted.category))
    if plan.buys or act.chance(0.2):
        act.to_cart(wanted)
    _maybe_buy(act, plan)


def _compare(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    wanted = plan.order.basket[0][0]
    rivals = [wanted, act.another(wanted.category), act.another(wanted.category)]
    if act.chance(0.5):
        act.search(intents.COMPARE)
    else:
        act.listing(wanted.category)
    for at in range(4 + int(rng.random() * 4)):
        # Back and forth between the same few products is what comparing looks like.
        act.view(rivals[at % len(rivals)] if act.chance(0.85) else act.another(wanted.category))
        if act.chance(0.06):
            act.on_items("add_to_wishlist", rivals[0])
    act.talk(intents.COMPARE)
    if plan.buys:
        act.to_cart(wanted)
    _maybe_buy(act, plan)


def _bargain(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    wanted = plan.order.basket[0][0]
    if act.chance(0.75):
        act.promotion(select=act.chance(0.7))
    if act.chance(0.55):
        act.search(intents.BARGAIN)
    for _ in range(2 + int(rng.random() * 3)):
        act.view(act.another(wanted.category) if act.chance(0.5) else wanted)
    if act.chance(0.5) or plan.buys:
        coupon = f"SAVE{5 * (1 + int(rng.random() * 5))}"
        act.to_cart(wanted, coupon=coupon)
        if act.chance(0.4):
            act.on_items("remove_from_cart", wanted)
            act.to_cart(wanted, coupon=coupon)
    act.talk(intents.BARGAIN)
    if act.chance(0.3):
        act.promotion(select=act.chance(0.5))
    _maybe_buy(act, plan)


def _purchase(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    if act.chance(0.4):
        act.search(intents.PURCHASE)
    talks_at = rng.random()
    for item, quantity in plan.order.basket:
        act.view(item)
        if act.chance(0.4):
            act.view(act.another(item.category) if act.chance(0.4) else item)
        if act.chance(0.85) or plan.buys:
            act.to_cart(item, quantity)
    if talks_at < 0.6:
        act.talk(intents.PURCHASE)
    if act.chance(0.25) and len(plan.order.basket) > 1 and not plan.buys:
        act.on_items("remove_from_cart", plan.order.basket[-1][0])
    act.checkout(pays=plan.buys)
    if plan.buys and act.chance(0.05):
        act.review(4 + int(rng.random() * 2))


def _product_question(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    wanted = plan.order.basket[0][0]
    if act.chance(0.4):
        act.search(intents.FIND_PRODUCT)
    act.view(wanted)
    act.talk(intents.PRODUCT_QUESTION)
    for _ in range(1 + int(rng.random() * 3)):
        act.view(wanted)
    if plan.buys:
        act.to_cart(wanted)
    _maybe_buy(act, plan)


def _after_sales(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    intent = plan.intent or intents.TRACK_ORDER
    order = plan.order
    if act.chance(0.35):
        act.search("after_sales")
    if act.chance(0.5):
        act.view(order.basket[0][0])
    act.talk(intent)
    if intent == intents.COMPLAINT and act.chance(0.55):
        act.review(1 + int(rng.random() * 2))
    refunded = {intents.CANCEL_ORDER: 0.7, intents.RETURN_REFUND: 0.5, intents.COMPLAINT: 0.15}.get(intent, 0.0)
    if act.chance(refunded):
        act.order_event("refund", transaction_id=order.transaction_id)
    if intent == intents.TRACK_ORDER and act.chance(0.12):
        act.review(3 + int(rng.random() * 3))
    while act.chance(0.4):
        act.listing(act.another().category)


def _payment_problem(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    for item, quantity in plan.order.basket:
        act.to_cart(item, quantity)
    act.checkout(attempts=1 + int(rng.random() * 3), pays=False)
    act.talk(intents.PAYMENT_PROBLEM)
    if act.chance(0.6):
        act.order_event("add_payment_info", payment_type="card")
    if plan.buys:
        act.order_event("purchase", transaction_id=plan.order.transaction_id)


def _subscribe(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    wanted = plan.order.basket[0][0]
    if act.chance(0.6):
        act.search(intents.SUBSCRIBE_AND_SAVE)
    act.view(wanted)
    if act.chance(0.4):
        act.promotion(select=act.chance(0.6))
    if act.chance(0.6) or plan.buys:
        act.to_cart(wanted, 2 + int(rng.random() * 3))
    act.talk(intents.SUBSCRIBE_AND_SAVE)
    _maybe_buy(act, plan)


def _maybe_buy(act: Act, plan: SessionPlan) -> None:
    if plan.buys:
        act.checkout(pays=True)


def _bot(act: Act, rng: random.Random) -> None:
    for _ in range(25 + int(rng.random() * 50)):
        gap = 700 + int(rng.random() * 300)
        item = act.another()
        act.do("view_item", {"items": [item.in_event["en"]], "value": item.price, "currency": CURRENCY}, gap)


def _fraud(act: Act, plan: SessionPlan, rng: random.Random) -> None:
    for item, quantity in plan.order.basket:
        act.to_cart(item, quantity)
    act.checkout(attempts=3 + int(rng.random() * 4), pays=plan.buys)
    if plan.buys and act.chance(0.4):
        act.order_event("refund", transaction_id=plan.order.transaction_id)


_SCRIPTS: Final = {
    intents.EXPLORE: _explore,
    intents.FIND_PRODUCT: _find_product,
    intents.COMPARE: _compare,
    intents.BARGAIN: _bargain,
    intents.PURCHASE: _purchase,
    intents.PRODUCT_QUESTION: _product_question,
    intents.PAYMENT_PROBLEM: _payment_problem,
    intents.SUBSCRIBE_AND_SAVE: _subscribe,
    **dict.fromkeys(sorted(intents.AFTER_SALES_INTENTS), _after_sales),
}
