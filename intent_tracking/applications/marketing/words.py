"""Messages and reasons in the shopper's language: templates in a data file, filled in here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from intent_tracking.applications.marketing.rules import MarketingError, MarketingRules
from intent_tracking.applications.shop_file import Declared, ShopFile
from intent_tracking.text.cleaning import clean
from intent_tracking.text.language import Language

WORDS_FILE: Final = "messages.yaml"
NAME_CHARACTERS: Final = 80
_BRACES: Final = re.compile(r"\{(\w+)\}")
_JOINT: Final[Mapping[Language, str]] = {"en": ", ", "zh": "、"}
# Whatever a mail program may turn into a link: no list of endings holds them all. "No.7" and "2.5 l" are none.
_LINK: Final = re.compile(r"//|www\.|[^\W_][\w-]*\.[^\W\d_]{2,}", re.IGNORECASE)
# The ideographic full stop is a dot in a name of the internet (RFC 3490, section 3.1) and the end of a sentence in
# Chinese: between Latin letters, or beside them, it is the first.
_WIDE_LINK: Final = re.compile(r"[a-z][a-z0-9-]*。[^\W\d_]{2,}|\w。[a-z]{2,}", re.IGNORECASE)
_MARKUP: Final = re.compile("[<>]")

Values = Mapping[str, str | int | float | tuple[str, ...]]


class Phrase(Declared):
    """One template in each language."""

    en: Annotated[str, Field(min_length=1, max_length=500)]
    zh: Annotated[str, Field(min_length=1, max_length=500)]

    def in_language(self, language: Language) -> str:
        """The template."""
        return self.zh if language == "zh" else self.en

    @property
    def names(self) -> frozenset[str]:
        """What is filled in."""
        return frozenset(_BRACES.findall(self.en)) | frozenset(_BRACES.findall(self.zh))


@dataclass(frozen=True)
class Reason:
    """Why a shopper is a member: the name of a phrase and what is filled into it."""

    key: str
    values: Values


# What each rule can fill into its messages.
_FILLED: Final[Mapping[str, frozenset[str]]] = {
    "looked_not_bought": frozenset({"item", "brand"}),
    "follows_brand": frozenset({"brand", "items"}),
    "lapsing": frozenset(),
    "ready_to_buy": frozenset(),
    "bargain_hunter": frozenset(),
}
OFFERS: Final[Mapping[str, tuple[str, ...]]] = {
    "looked_not_bought": ("reminder", "coupon"),
    "follows_brand": ("new_items",),
    "lapsing": ("come_back",),
    "ready_to_buy": ("none",),
    "bargain_hunter": ("coupon",),
}
"""What a rule may suggest; each needs a message."""


_REASONS: Final = frozenset(
    {
        "viewed", "carted", "likely_back", "unlikely_back", "brand", "new_items", "lapsed", "propensity",
        "bargain_intent", "coupons", "low_prices",
    }
)  # fmt: skip
TRAITS: Final = frozenset(
    {
        "days_since_order", "orders", "order_days", "order_rate", "cadence", "overdue", "orders_30d",
        "orders_90d", "visits_7d", "visits_30d", "days_since_visit", "views_7d", "carts_7d",
    }
)  # fmt: skip
"""Features of the propensity model that say something for themselves; the others only count."""


class Words(Declared):
    """The content of `messages.yaml`.

    Attributes:
        messages: by words and offer.
        reasons: by name of the reason.
        traits: what speaks for a purchase, by feature of the propensity model.
    """

    messages: dict[str, dict[str, Phrase]]
    reasons: dict[str, Phrase]
    traits: dict[str, Phrase]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for part, needed, given in (("reasons", _REASONS, self.reasons), ("traits", TRAITS, self.traits)):
            if missing := needed - given.keys():
                raise ValueError(f"{part}: {', '.join(sorted(missing))} is missing")
        if twice := self.reasons.keys() & self.traits.keys():
            raise ValueError(f"traits: {', '.join(sorted(twice))} is a reason too; a name stands for one thing")
        return self

    def check(self, rules: MarketingRules) -> None:
        """Every audience has its messages, and nothing stands in braces that its rule cannot fill in.

        Raises:
            MarketingError: one is missing, or a name in braces is unknown.
        """
        for name, audience in rules.audiences.items():
            words = audience.words or audience.rule
            for offer in OFFERS[audience.rule]:
                phrase = self.messages.get(words, {}).get(offer)
                if phrase is None:
                    raise MarketingError(
                        f"{WORDS_FILE}, messages.{words}.{offer}: is missing, audience {name} needs it"
                    )
                unknown = sorted(phrase.names - _FILLED[audience.rule])
                if unknown:
                    known = ", ".join(sorted(_FILLED[audience.rule])) or "nothing"
                    raise MarketingError(
                        f"{WORDS_FILE}, messages.{words}.{offer}: {{{unknown[0]}}} is unknown; {audience.rule} "
                        f"fills in {known}"
                    )

    def message(self, words: str, offer: str, language: Language, values: Values) -> str:
        """What to write."""
        return fill(self.messages[words][offer].in_language(language), language, values)

    def why(self, reason: Reason, language: Language) -> str:
        """A reason in words; a trait stands under `traits`, the others under `reasons`."""
        phrase = self.traits.get(reason.key) or self.reasons[reason.key]
        return fill(phrase.in_language(language), language, reason.values)


def fill(template: str, language: Language, values: Values) -> str:
    """The template with its names in braces replaced; what is filled in is not read again.

    Raises:
        MarketingError: a name has no value.
    """

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in values:
            raise MarketingError(f"{WORDS_FILE}: {{{name}}} has no value in {template!r}")
        given = values[name]
        if isinstance(given, tuple):
            return _JOINT[language].join(given)
        return f"{given:g}" if isinstance(given, float) else str(given)

    return _BRACES.sub(value, template)


def presentable(name: str | None) -> str | None:
    """A name from the logs as it may stand in a message; None where it holds a link, markup, or nothing to read.

    Names come from browsers too, and what one visitor sends must not send others anywhere, nor load anything.
    """
    shown = clean(name or "", NAME_CHARACTERS)
    refused = any(pattern.search(shown) for pattern in (_LINK, _WIDE_LINK, _MARKUP))
    return None if refused or not shown else shown


def read_words(folder: Path) -> Words:
    """The shop's own words in `folder` (`Settings.marketing`), else the shipped ones.

    Raises:
        MarketingError: the file is not YAML or not as described.
    """
    return _FILE.read_instead(folder / WORDS_FILE)


_FILE: Final = ShopFile(Words, Path(__file__).with_name(WORDS_FILE), MarketingError)
