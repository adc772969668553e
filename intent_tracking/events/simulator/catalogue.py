"""What the shop sells: items in both languages, grown from the language data and a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from intent_tracking.events.simulator.language_data import read_language_file

CURRENCY: Final = "USD"
ITEMS_PER_CATEGORY: Final = 24
NEW_ITEMS_PER_OLD_CATEGORY: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueItem:
    """One product. `in_event` holds, by language, the item as an event carries it."""

    item_id: str
    name: Mapping[str, str]
    brand: Mapping[str, str]
    brand_number: int
    category: str
    group: str
    category_name: Mapping[str, str]
    nouns: Mapping[str, tuple[str, ...]]
    line: str
    colour: Mapping[str, str]
    size: Mapping[str, str]
    price: float
    is_new: bool
    in_event: Mapping[str, dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """One line of catalogue.jsonl."""
        return {
            "item_id": self.item_id,
            "name_en": self.name["en"],
            "name_zh": self.name["zh"],
            "brand": self.brand["en"],
            "brand_zh": self.brand["zh"],
            "category": self.category,
            "category_zh": self.category_name["zh"],
            "colour": self.colour["en"],
            "colour_zh": self.colour["zh"],
            "size": self.size["en"],
            "size_zh": self.size["zh"],
            "price": self.price,
            "currency": CURRENCY,
            "only_with_drift": self.is_new,
        }


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Items by category, each list from cheap to dear."""

    items: tuple[CatalogueItem, ...]
    by_category: Mapping[str, tuple[CatalogueItem, ...]]
    old_categories: tuple[str, ...]
    new_categories: tuple[str, ...]
    new_by_category: Mapping[str, tuple[CatalogueItem, ...]]


def _chinese_size(size: str, group: str, translated: Mapping[str, str]) -> str:
    if size in translated:
        return translated[size]
    return f"{size}码" if group in ("sport", "fashion") and (size.isdigit() or size.isupper()) else size


def _price(rng: random.Random, low: float, high: float) -> float:
    # Skewed to the cheap end, as shop ranges are; priced at .90 or whole.
    value = low * (high / low) ** (rng.random() ** 1.3)
    return float(round(value)) if rng.random() < 0.5 else round(value) - 0.1


def build_catalogue(seed: int) -> Catalogue:
    """The items of the shop with this seed, those that only drift brings included (`is_new`)."""
    data = read_language_file("catalogue")
    rng = random.Random(f"{seed}/catalogue")
    items: list[CatalogueItem] = []

    def grow(category: str, spec: dict[str, Any], brands: dict[str, str], *, count: int, is_new: bool) -> None:
        colours = list(data["drift_colours" if is_new else "colours"].items())
        if is_new:
            colours += list(data["colours"].items())[:3]
        lines = data["drift_lines"] if is_new else data["lines"]
        nouns = {language: tuple(spec["nouns"][language]) for language in ("en", "zh")}
        category_name = {"en": category.replace("_", " "), "zh": spec["name_zh"]}
        for number in range(count):
            brand_en, brand_zh = list(brands.items())[number % len(brands)]
            colour_en, colour_zh = colours[int(rng.random() * len(colours))]
            size = str(spec["sizes"][int(rng.random() * len(spec["sizes"]))])
            line = lines[int(rng.random() * len(lines))]
            price = _price(rng, *spec["price"])
            item_id = f"P{len(items) + 1:05d}"
            name = {"en": f"{brand_en} {line} {nouns['en'][0]}", "zh": f"{brand_zh} {line} {nouns['zh'][0]}"}
            brand = {"en": brand_en, "zh": brand_zh}
            colour = {"en": colour_en, "zh": colour_zh}
            sizes = {"en": size, "zh": _chinese_size(size, spec["group"], data["sizes_zh"])}
            in_event = {
                language: {
                    "item_id": item_id,
                    "item_name": name[language],
                    "price": price,
                    "item_brand": brand["en"],
                    "item_category": category,
                    "item_variant": f"{colour[language]} / {sizes[language]}",
                }
                for language in ("en", "zh")
            }
            items.append(
                CatalogueItem(
                    item_id,
                    name,
                    brand,
                    number % len(brands),
                    category,
                    spec["group"],
                    category_name,
                    nouns,
                    line,
                    colour,
                    sizes,
                    price,
                    is_new,
                    in_event,
                )
            )

    for category, spec in data["categories"].items():
        grow(category, spec, data["brands"][spec["group"]], count=ITEMS_PER_CATEGORY, is_new=False)
    for category, spec in data["drift_categories"].items():
        grow(category, spec, data["drift_brands"][spec["group"]], count=ITEMS_PER_CATEGORY, is_new=True)
    for category, spec in data["categories"].items():
        if spec["group"] in data["drift_brands"]:
            brands = data["drift_brands"][spec["group"]]
            grow(category, spec, brands, count=NEW_ITEMS_PER_OLD_CATEGORY, is_new=True)

    def grouped(*, new: bool) -> dict[str, tuple[CatalogueItem, ...]]:
        categories = dict.fromkeys(item.category for item in items if item.is_new == new)
        return {
            category: tuple(
                sorted(
                    (item for item in items if item.category == category and item.is_new == new),
                    key=lambda item: (item.price, item.item_id),
                )
            )
            for category in categories
        }

    return Catalogue(
        items=tuple(items),
        by_category=grouped(new=False),
        old_categories=tuple(data["categories"]),
        new_categories=tuple(data["drift_categories"]),
        new_by_category=grouped(new=True),
    )
