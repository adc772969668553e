"""Which sessions a day has: who comes, when, with which hidden intent, and about which order.

Purchases are drawn first and from their own stream, so that the orders of a day are known without the rest of it: the
after-sales sessions of the days that follow speak of real orders, and each day can still be generated alone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Final

from intent_tracking.events.simulator.catalogue import Catalogue, CatalogueItem, build_catalogue
from intent_tracking.events.simulator.config import SimulationConfig
from intent_tracking.events.simulator.intents import (
    AFTER_SALES_INTENTS,
    BARGAIN,
    CANCEL_ORDER,
    COMPARE,
    COMPLAINT,
    EXPLORE,
    FIND_PRODUCT,
    PAYMENT_PROBLEM,
    PRODUCT_QUESTION,
    PURCHASE,
    RETURN_REFUND,
    SUBSCRIBE_AND_SAVE,
    TRACK_ORDER,
)
from intent_tracking.events.simulator.shoppers import PERSONAS, Crowd, Shopper

DAY_MS: Final = 86_400_000
COMPLETED_PURCHASES: Final = 0.75
ORDER_MEMORY_DAYS: Final = 6

MIX: Final[Mapping[str, float]] = {
    PURCHASE: 0.17,
    EXPLORE: 0.15,
    FIND_PRODUCT: 0.13,
    COMPARE: 0.10,
    BARGAIN: 0.10,
    PRODUCT_QUESTION: 0.08,
    TRACK_ORDER: 0.08,
    RETURN_REFUND: 0.06,
    COMPLAINT: 0.05,
    PAYMENT_PROBLEM: 0.05,
    CANCEL_ORDER: 0.03,
}
DRIFT_MIX: Final[Mapping[str, float]] = {
    PURCHASE: 0.12,
    EXPLORE: 0.07,
    FIND_PRODUCT: 0.08,
    COMPARE: 0.06,
    BARGAIN: 0.14,
    PRODUCT_QUESTION: 0.07,
    TRACK_ORDER: 0.09,
    RETURN_REFUND: 0.06,
    COMPLAINT: 0.07,
    PAYMENT_PROBLEM: 0.06,
    CANCEL_ORDER: 0.04,
    SUBSCRIBE_AND_SAVE: 0.14,
}

_CONSUMABLES: Final = ("shampoo", "serums", "cat_litter", "pet_food", "protein_bars", "matcha")
_RESOLD: Final = ("phones", "laptops")
_HOURS: Final = tuple(accumulate((3, 2, 1, 1, 1, 2, 3, 5, 7, 8, 9, 9, 10, 9, 8, 8, 8, 9, 11, 13, 14, 13, 9, 5)))
_WEEKDAYS: Final = (0.96, 0.94, 0.95, 0.98, 1.05, 1.10, 1.02)


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody bought."""

    transaction_id: str
    shopper: Shopper
    basket: tuple[tuple[CatalogueItem, int], ...]
    value: float


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """One session before it is acted out. `intent` is None for bots; `buys` says whether `order` gets paid."""

    shopper: Shopper
    intent: str | None
    start_ms: int
    order: Order
    buys: bool
    bot: bool = False
    fraud: bool = False


def order_number(seed: int, day: int, serial: int) -> str:
    """Unique for `serial` < 999,983 of a day; scattered, so that it tells nothing about the intent."""
    return f"SO{day % 1000:03d}{(serial * 48271 + seed) % 999_983:06d}"


class Shop:
    """The deterministic state of one simulated shop: catalogue, shoppers, orders of each day.

    Holds at most the orders of the last days; two shops of the same configuration give the same sessions.
    """

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.catalogue: Catalogue = build_catalogue(config.seed)
        self.crowd = Crowd(config, self.catalogue)
        self._purchases = lru_cache(maxsize=ORDER_MEMORY_DAYS + 2)(self._plan_purchases)
        self._persona_mixes: dict[tuple[bool, str], tuple[tuple[str, ...], tuple[float, ...]]] = {}

    def rng(self, purpose: str, day: int) -> random.Random:
        """A stream of its own for each purpose and day. Text seeds are hashed by SHA-512, not by `hash`."""
        return random.Random(f"{self.config.seed}/{purpose}/{day}")

    def sessions_on(self, day: int) -> int:
        """How many sessions start on `day`."""
        weekday = self.config.date_of(day).weekday()
        noise = 0.93 + 0.14 * self.rng("count", day).random()
        return max(1, round(self.config.sessions_per_day * _WEEKDAYS[weekday] * noise))

    def mix(self, day: int) -> Mapping[str, float]:
        """Shares of the hidden intents on `day`."""
        return DRIFT_MIX if self.config.period(day) == "drift" else MIX

    def purchases(self, day: int) -> tuple[SessionPlan, ...]:
        """The sessions of `day` whose intent is to buy."""
        return self._purchases(day)

    def sessions(self, day: int) -> list[SessionPlan]:
        """All sessions that start on `day`, by start time."""
        bought = self.purchases(day)
        rng = self.rng("sessions", day)
        mix = self.mix(day)
        names = tuple(intent for intent in mix if intent != PURCHASE)
        bounds = tuple(accumulate(mix[intent] for intent in names))
        bots, fraud = self.config.bot_sessions, self.config.fraud_sessions
        plans = list(bought)
        for serial in range(self.sessions_on(day) - len(bought)):
            chosen = rng.random()
            if chosen < bots + fraud:
                plans.append(self._outsider(day, serial, rng, fraud=chosen >= bots))
                continue
            intent = _choose(names, bounds, rng)
            if intent in AFTER_SALES_INTENTS:
                order = self._past_order(day, serial, rng)
                plans.append(SessionPlan(order.shopper, intent, _start(rng), order, buys=False))
                continue
            shopper = self.crowd.any(rng)
            if intent not in (PAYMENT_PROBLEM, SUBSCRIBE_AND_SAVE):
                intent = self._of_persona(shopper, intent, names, mix, rng, drift=mix is DRIFT_MIX)
            order = self._order(
                day, 2 * serial + 1, shopper, rng, among=_CONSUMABLES if intent == SUBSCRIBE_AND_SAVE else ()
            )
            buys = rng.random() < _BUYS.get(intent, 0.0)
            plans.append(SessionPlan(shopper, intent, _start(rng), order, buys))
        plans.sort(key=lambda plan: (plan.start_ms, plan.order.transaction_id))
        return plans

    def _of_persona(
        self,
        shopper: Shopper,
        drawn: str,
        names: tuple[str, ...],
        mix: Mapping[str, float],
        rng: random.Random,
        *,
        drift: bool,
    ) -> str:
        """The drawn intent, or half of the time one that the persona is more given to."""
        if rng.random() < 0.5:
            return drawn
        key = (drift, shopper.persona)
        if key not in self._persona_mixes:
            own = tuple(name for name in names if name not in AFTER_SALES_INTENTS)
            weights = PERSONAS[shopper.persona]
            self._persona_mixes[key] = (own, tuple(accumulate(mix[name] * weights.get(name, 1.0) for name in own)))
        return _choose(*self._persona_mixes[key], rng)

    def _plan_purchases(self, day: int) -> tuple[SessionPlan, ...]:
        rng = self.rng("purchases", day)
        plans = []
        for serial in range(round(self.sessions_on(day) * self.mix(day)[PURCHASE])):
            shopper = self.crowd.any(rng)
            for _ in range(3):
                if rng.random() < PERSONAS[shopper.persona].get(PURCHASE, 1.0) / 2:
                    break
                shopper = self.crowd.any(rng)
            order = self._order(day, 2 * serial, shopper, rng)
            plans.append(SessionPlan(shopper, PURCHASE, _start(rng), order, rng.random() < COMPLETED_PURCHASES))
        return tuple(plans)

    def _order(
        self, day: int, serial: int, shopper: Shopper, rng: random.Random, *, among: tuple[str, ...] = ()
    ) -> Order:
        """An order to the shopper's taste; with `among`, of one item of these categories."""
        period = self.config.period(day)
        basket = []
        for _ in range(1 if among else 1 + (rng.random() < 0.35) + (rng.random() < 0.15)):
            category = among[int(rng.random() * len(among))] if among else self.crowd.category(shopper, period, rng)
            basket.append((self.crowd.item(shopper, category, period, rng), 1 if rng.random() < 0.8 else 2))
        value = round(sum(item.price * quantity for item, quantity in basket), 2)
        return Order(order_number(self.config.seed, day, serial), shopper, tuple(basket), value)

    def _past_order(self, day: int, serial: int, rng: random.Random) -> Order:
        for back in (1 + int(rng.random() ** 1.5 * ORDER_MEMORY_DAYS), 1):
            if day - back >= 0:
                paid = [plan.order for plan in self.purchases(day - back) if plan.buys]
                if paid:
                    return paid[int(rng.random() * len(paid))]
        # The shop had customers before its log began.
        return self._order(day, 2 * serial + 1, self.crowd.any(rng), rng)

    def _outsider(self, day: int, serial: int, rng: random.Random, *, fraud: bool) -> SessionPlan:
        number = int(rng.random() * 1_000_000)
        base = self.crowd.any(rng)
        prefix = "f" if fraud else "b"
        guest = Shopper(
            number=number,
            user_id=None,
            anonymous_id=f"a9{(number * 7 + ord(prefix)) % 10_000_000:07d}",
            language=base.language,
            code_switching=False,
            persona="fraud" if fraud else "bot",
            favourites=base.favourites,
            brand_rank=base.brand_rank,
            price_level=0.95 if fraud else base.price_level,
            source="web",
        )
        order = self._order(day, 2 * serial + 1, guest, rng, among=_RESOLD if fraud else ())
        if fraud:
            quantity = 2 + int(rng.random() * 4)
            item = order.basket[0][0]
            order = Order(order.transaction_id, guest, ((item, quantity),), round(item.price * quantity, 2))
        buys = fraud and rng.random() < 0.7
        return SessionPlan(guest, PURCHASE if fraud else None, _start(rng), order, buys, bot=not fraud, fraud=fraud)


_BUYS: Final[Mapping[str, float]] = {
    FIND_PRODUCT: 0.14,
    COMPARE: 0.10,
    BARGAIN: 0.22,
    PAYMENT_PROBLEM: 0.35,
    PRODUCT_QUESTION: 0.12,
    EXPLORE: 0.03,
    SUBSCRIBE_AND_SAVE: 0.4,
}


def _choose(names: tuple[str, ...], bounds: tuple[float, ...], rng: random.Random) -> str:
    drawn = rng.random() * bounds[-1]
    return next((name for name, bound in zip(names, bounds, strict=True) if drawn < bound), names[-1])


def _start(rng: random.Random) -> int:
    drawn = rng.random() * _HOURS[-1]
    hour = next(hour for hour, bound in enumerate(_HOURS) if drawn < bound)
    return hour * 3_600_000 + int(rng.random() * 3_600_000)
