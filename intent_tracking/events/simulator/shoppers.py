"""Who shops: stable tastes, a persona, a language. A shopper depends on the seed and a number alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from intent_tracking.events.simulator.catalogue import Catalogue, CatalogueItem
from intent_tracking.events.simulator.config import SimulationConfig
from intent_tracking.events.simulator.intents import (
    BARGAIN,
    COMPARE,
    EXPLORE,
    FIND_PRODUCT,
    PRODUCT_QUESTION,
    PURCHASE,
    SUBSCRIBE_AND_SAVE,
)

PERSONAS: Final[Mapping[str, Mapping[str, float]]] = {
    "stroller": {EXPLORE: 2.4, FIND_PRODUCT: 0.8, PURCHASE: 0.5},
    "bargain_hunter": {BARGAIN: 3.0, COMPARE: 1.3, PURCHASE: 0.8, EXPLORE: 0.7},
    "researcher": {COMPARE: 2.6, PRODUCT_QUESTION: 1.8, FIND_PRODUCT: 1.2, PURCHASE: 0.7},
    "regular": {PURCHASE: 2.2, FIND_PRODUCT: 1.3, SUBSCRIBE_AND_SAVE: 2.0, EXPLORE: 0.7},
    "gift_giver": {EXPLORE: 1.5, FIND_PRODUCT: 1.6, PURCHASE: 1.2},
}
"""How much more often than average each persona comes with an intent."""

_PERSONA_NAMES: Final = tuple(PERSONAS)
_SOURCES: Final = ("web", "ios", "android", "miniapp")
FAVOURITES: Final = 3
_BRANDS_PER_GROUP: Final = 4
_BRAND_LOYALTY: Final = 0.6


@dataclass(frozen=True, slots=True)
class Shopper:
    """One person, or one browser that never logged in."""

    number: int
    user_id: str | None
    anonymous_id: str | None
    language: str
    code_switching: bool
    persona: str
    favourites: tuple[str, ...]
    brand_rank: float
    price_level: float
    source: str

    @property
    def shopper_id(self) -> str:
        """The key that the event contract derives."""
        return self.user_id if self.user_id is not None else f"anonymous:{self.anonymous_id}"


class Crowd:
    """The shoppers of one shop, made when they first come in."""

    def __init__(self, config: SimulationConfig, catalogue: Catalogue) -> None:
        self._config = config
        self._catalogue = catalogue
        self._known: dict[int, Shopper] = {}

    def __len__(self) -> int:
        return self._config.shoppers

    def __getitem__(self, number: int) -> Shopper:
        """The shopper with this number, 0 to the number of shoppers - 1."""
        shopper = self._known.get(number)
        if shopper is None:
            shopper = self._known[number] = self._make(number)
        return shopper

    def _make(self, number: int) -> Shopper:
        rng = random.Random(f"{self._config.seed}/shopper/{number}")
        languages = self._config.languages
        categories = self._catalogue.old_categories
        registered = rng.random() < 0.75
        return Shopper(
            number=number,
            user_id=f"u{number:06d}" if registered else None,
            anonymous_id=None if registered else f"a{number:06d}",
            language=languages[int(rng.random() * len(languages))],
            code_switching=rng.random() < self._config.wording.code_switching_shopper,
            persona=_PERSONA_NAMES[int(rng.random() * len(_PERSONA_NAMES))],
            favourites=tuple(categories[int(rng.random() * len(categories))] for _ in range(FAVOURITES)),
            brand_rank=rng.random(),
            price_level=rng.random(),
            source=_SOURCES[int(rng.random() * len(_SOURCES))],
        )

    def any(self, rng: random.Random) -> Shopper:
        """A shopper who comes in: a few come often, most rarely."""
        return self[int(rng.random() ** 1.6 * self._config.shoppers)]

    def category(self, shopper: Shopper, period: str, rng: random.Random) -> str:
        """A category the shopper looks into: mostly a favourite; after the drift often a new one."""
        chosen = rng.random()
        if period == "drift" and chosen < 0.5:
            new = self._catalogue.new_categories
            return new[int(chosen * 2 * len(new))]
        chosen = rng.random()
        if chosen < 0.75:
            return shopper.favourites[int((chosen / 0.75) ** 1.5 * FAVOURITES)]
        old = self._catalogue.old_categories
        return old[int((chosen - 0.75) * 4 * len(old))]

    def item(self, shopper: Shopper, category: str, period: str, rng: random.Random) -> CatalogueItem:
        """An item of the category near the price that the shopper likes to pay, of a liked brand where there is one."""
        items = self._catalogue.by_category.get(category)
        fresh = self._catalogue.new_by_category.get(category)
        if items is None or (period == "drift" and fresh is not None and rng.random() < 0.5):
            if fresh is None:
                raise KeyError(f"category {category!r} is not in the catalogue")
            items = fresh
        place = shopper.price_level + (rng.random() - 0.5) * 0.5
        at = min(len(items) - 1, max(0, int(place * len(items))))
        if rng.random() < _BRAND_LOYALTY:
            liked = int(shopper.brand_rank * _BRANDS_PER_GROUP)
            for near in (at, at + 1, at - 1, at + 2, at - 2):
                if 0 <= near < len(items) and items[near].brand_number == liked:
                    return items[near]
        return items[at]
