"""Turns an intent into what a shopper writes: messages with key information, searches and reviews."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from intent_tracking.events.simulator.catalogue import CatalogueItem
from intent_tracking.events.simulator.config import LanguageRates
from intent_tracking.events.simulator.intents import (
    AFTER_SALES_INTENTS,
    OUT_OF_SCOPE,
    PAYMENT_PROBLEM,
    SLOTS,
)
from intent_tracking.events.simulator.language_data import Part, Parts, frame, read_language_file, utterances
from intent_tracking.events.simulator.personal import KINDS, personal_value

OLD_WORDS_AFTER_DRIFT: Final = 0.12
_OPENING, _CLOSING, _CONTEXT = 0.3, 0.2, 0.14
_SLOT_NAMES: Final = frozenset(SLOTS)


@dataclass(frozen=True, slots=True)
class Writer:
    """How one shopper writes in one period."""

    language: str
    period: str
    code_switching: bool
    rates: LanguageRates


@dataclass(frozen=True, slots=True)
class Message:
    """A written message. `slots` are (name, start, end) in characters of `text`."""

    text: str
    slots: tuple[tuple[str, int, int], ...]
    personal: tuple[str, ...]
    ambiguous: bool
    wording: str


@dataclass(frozen=True, slots=True)
class Topic:
    """What a message is about."""

    item: CatalogueItem
    other: CatalogueItem
    order_id: str


def _pick(rng: random.Random, choices: Sequence[Parts]) -> Parts:
    return choices[int(rng.random() * len(choices))]


def _pick_template(rng: random.Random, templates: Sequence[Sequence[Parts]]) -> Parts:
    return _pick(rng, templates[int(rng.random() * len(templates))])


def _price_text(price: float, language: str, rng: random.Random) -> str:
    # People round, and speak of a bit less or more than the tag says.
    amount = price * (0.7 + 0.5 * rng.random())
    number = str(max(1, round(amount / 5) * 5) if amount > 20 else max(1, round(amount)))
    forms = (
        ("${}", "{} dollars", "${}", "{} bucks", "{} usd")
        if language == "en"
        else ("{}块", "{}元", "{}美元", "${}", "{}刀")
    )
    return forms[int(rng.random() * len(forms))].format(number)


def value_text(name: str, topic: Topic, writer: Writer, rng: random.Random) -> str:
    """What the writer puts for `{name}` in a template."""
    item, language = topic.item, writer.language
    if writer.code_switching and name in ("product", "brand", "colour") and rng.random() < 0.4:
        language = "zh" if language == "en" else "en"
    match name:
        case "product":
            nouns = item.nouns[language]
            # The later period knows more names for the same thing.
            known = nouns[: max(1, len(nouns) // 2)] if writer.period == "early" else nouns
            noun = known[int(rng.random() * len(known))]
            if rng.random() < 0.22:
                return f"{item.line} {noun}" if language == "en" else f"{item.line}{noun}"
            return noun
        case "brand":
            return item.brand["en"] if rng.random() < 0.3 else item.brand[language]
        case "colour":
            colour = item.colour[language]
            return colour.removesuffix("色") if language == "zh" and len(colour) > 2 and rng.random() < 0.3 else colour
        case "size":
            return item.size[language]
        case "price":
            return _price_text(item.price, language, rng)
        case "order_id":
            return topic.order_id
        case "line":
            return item.line
        case "other_brand":
            return topic.other.brand[language]
    raise KeyError(f"a template asks for {{{name}}}, which no topic has; use one of {SLOTS}, line or other_brand")


def _typo(text: str, language: str, rng: random.Random) -> str:
    if language == "zh":
        swaps = [(right, wrong) for right, wrong in read_language_file("frame")["typos"]["zh"].items() if right in text]
        if not swaps:
            return text.replace("，", " ")
        right, wrong = swaps[int(rng.random() * len(swaps))]
        return text.replace(right, wrong, 1)
    letters = [at for at in range(len(text) - 1) if text[at].isalpha() and text[at + 1].isalpha()]
    if len(letters) < 3:
        return text
    at = letters[int(rng.random() * len(letters))]
    kind = rng.random()
    if kind < 0.4:
        return f"{text[:at]}{text[at + 1]}{text[at]}{text[at + 2 :]}"
    return f"{text[:at]}{text[at + 1 :]}" if kind < 0.75 else f"{text[: at + 1]}{text[at:]}"


def _switch_code(text: str, language: str) -> str:
    for own, other in read_language_file("frame")["code_switch"][language].items():
        if own in text:
            return text.replace(own, other, 1)
    return text


def _assemble(
    parts: Sequence[Part], topic: Topic, writer: Writer, rng: random.Random
) -> tuple[str, list[tuple[str, int, int]]]:
    text = ""
    slots: list[tuple[str, int, int]] = []
    for literal, name in parts:
        if name is None:
            text += literal
            continue
        value = value_text(name, topic, writer, rng)
        if name in _SLOT_NAMES:
            slots.append((name, len(text), len(text) + len(value)))
        text += value
    return text, slots


def _roughen(parts: list[Part], writer: Writer, rng: random.Random) -> list[Part]:
    """Code-switching and typing mistakes, in the literal parts only, so that values keep their offsets."""
    if writer.code_switching and rng.random() < 0.6:
        parts = [(_switch_code(text, writer.language), name) for text, name in parts]
    if rng.random() < writer.rates.typo:
        longest = max(range(len(parts)), key=lambda at: len(parts[at][0]))
        parts[longest] = (_typo(parts[longest][0], writer.language, rng), parts[longest][1])
    return parts


def write_message(intent: str, topic: Topic, writer: Writer, rng: random.Random) -> Message:
    """One message to the desk that wants `intent`."""
    language = writer.language
    wording = writer.period
    if wording == "drift" and rng.random() < OLD_WORDS_AFTER_DRIFT and intent in read_language_file("later"):
        wording = "later"
    after = intent in AFTER_SALES_INTENTS or (intent == PAYMENT_PROBLEM and rng.random() < 0.5)
    about = "after" if after else "before"
    ambiguous = intent != OUT_OF_SCOPE and rng.random() < writer.rates.ambiguous
    parts: list[Part] = []
    if rng.random() < _OPENING:
        parts += _pick_template(rng, frame("openings", wording, language))
    if ambiguous:
        parts += _pick_template(rng, frame("ambiguous", about, language))
    else:
        if intent != OUT_OF_SCOPE and rng.random() < _CONTEXT:
            parts += _pick_template(rng, frame("contexts", wording, about, language))
        parts += _pick_template(rng, utterances(wording, intent, language, topic.item.group))
    if rng.random() < _CLOSING:
        parts += _pick_template(rng, frame("closings", wording, language))
    parts = _roughen(parts, writer, rng)
    if language == "en" and parts[0][1] is None and rng.random() < 0.3:
        parts[0] = (parts[0][0][:1].upper() + parts[0][0][1:], None)
    if parts[-1][1] is None and parts[-1][0][-1:] in "?？" and rng.random() < 0.4:
        parts[-1] = (parts[-1][0][:-1], None)
    personal: tuple[str, ...] = ()
    if intent != OUT_OF_SCOPE and rng.random() < writer.rates.personal_data:
        kind = KINDS[int(rng.random() * len(KINDS))]
        value = personal_value(kind, language, rng)
        sentence = _pick_template(rng, frame("personal", language, kind))
        ended = parts[-1][0][-1:] in ("?", "!", ".", "？")
        parts += [(" " if ended else ". " if language == "en" else "，", None)]
        parts += [(value if name else text, None) for text, name in sentence]
        personal = (kind,)
    text, slots = _assemble(parts, topic, writer, rng)
    return Message(text, tuple(slots), personal, ambiguous, wording)


def write_search(intent: str, topic: Topic, writer: Writer, rng: random.Random) -> str:
    """One query in the search box."""
    wanted = intent if intent in read_language_file("frame")["searches"] else "after_sales"
    parts = _roughen(list(_pick_template(rng, frame("searches", wanted, writer.language))), writer, rng)
    text = _assemble(parts, topic, writer, rng)[0]
    return text.lower() if rng.random() < 0.5 else text


def write_review(rating: int, topic: Topic, writer: Writer, rng: random.Random) -> str:
    """A review that goes with its stars, 1 to 5."""
    mood = "good" if rating >= 4 else "bad" if rating <= 2 else "mixed"
    if writer.period == "drift" and rng.random() < 0.7:
        mood = "drift"
    parts = _roughen(list(_pick_template(rng, frame("reviews", mood, writer.language))), writer, rng)
    return _assemble(parts, topic, writer, rng)[0]
