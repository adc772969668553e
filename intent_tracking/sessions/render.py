"""One text for a session: behaviour and language in one sequence, the same for stored sessions and for live events.

`<scene:search> <search> red dress <gap:1m> <view_item> Red dress Mango dresses <price:30-100>`, oldest to newest. There
is no end token, because a live session has no end; a lone message is a session of one event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Self

from intent_tracking.events.contract import Event, EventName, Scene
from intent_tracking.sessions.vocabulary import (
    AGAIN_TOKEN,
    EVENT_TOKENS,
    PLACEHOLDER_TOKENS,
    SCENE_TOKENS,
    SPECIAL_TOKENS,
    gap_token,
    price_token,
    scene_token,
)
from intent_tracking.text.cleaning import MAX_CHARACTERS, clean, clean_with_offsets, shortened
from intent_tracking.text.language import Language, detect
from intent_tracking.text.personal_data import scrub
from intent_tracking.text.spans import SpanMap

MAX_EVENTS = 40
MAX_ITEMS_SHOWN = 3
MAX_ITEM_CHARACTERS = 120

_TYPED = re.compile(
    "(?:{}) (.+?)(?= (?:{})(?: |$)|$)".format(
        "|".join(re.escape(EVENT_TOKENS[name]) for name in (EventName.SEARCH, EventName.MESSAGE, EventName.REVIEW)),
        "|".join(re.escape(token) for token in SPECIAL_TOKENS if token not in PLACEHOLDER_TOKENS),
    ),
    re.DOTALL,
)
_TOKEN_SHAPED = re.compile(r"<([A-Za-z_]+(?::[A-Za-z0-9_+-]+)?)>")


@dataclass(frozen=True, slots=True)
class SessionItem:
    """What the text of a session shows of a product; `price` is per unit."""

    item_id: str | None
    item_name: str | None
    item_brand: str | None
    item_category: str | None
    price: float | None
    quantity: int | None


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """What is kept of an event in its session: what the text shows, and the currency of its prices. Times are UTC."""

    event_id: str
    event_name: EventName
    event_time: datetime
    scene: Scene
    search_term: str | None = None
    text: str | None = None
    items: tuple[SessionItem, ...] = ()
    currency: str | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From a nested event of a stored session (`SESSION_SCHEMA.events`) or a row of `EVENT_SCHEMA`."""
        return cls(
            event_id=row["event_id"],
            event_name=EventName(row["event_name"]),
            event_time=row["event_time"].astimezone(UTC),
            scene=Scene(row["scene"]),
            search_term=row["search_term"],
            text=row["text"],
            items=tuple(_item(item) for item in row["items"] or ()),
            # A day of sessions that is older than this field does not tell it.
            currency=row.get("currency"),
        )

    @classmethod
    def from_event(cls, event: Event) -> Self:
        """From an event of the contract, as the service receives it."""
        return cls(
            event_id=event.event_id,
            event_name=event.event_name,
            event_time=event.event_time,
            scene=event.scene,
            search_term=event.params.search_term,
            text=event.params.text,
            items=tuple(_item(item.__dict__) for item in event.params.items),
            currency=event.params.currency,
        )


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What the model reads; [utterance_start, utterance_end) is its newest free text, (0, 0) where there is none."""

    text: str
    utterance_start: int
    utterance_end: int
    scene: str
    language: Language


@dataclass(frozen=True)
class FreeText:
    """Free text as the model reads it, and the map of spans from what was typed (`map_span.inverted()` back)."""

    text: str
    map_span: SpanMap


def free_text(text: str) -> str:
    """`text` clean, without personal data, and unable to pass for a special token. Doing it twice changes nothing."""
    return _disarmed(scrubbed_text(text))


def scrubbed_text(text: str) -> str:
    """`text` clean, of bounded length and without personal data, otherwise as written: to be read by people."""
    text = clean(text)
    while True:
        if (scrubbed := scrub(text)).found:
            # A placeholder may be longer than what it stands for.
            text = clean(scrubbed.text)
        elif len(text) > MAX_CHARACTERS:
            # After scrubbing: half a number that a cut leaves is no number to the rules. It may end in one again.
            text = shortened(text).text
        else:
            return text


def free_text_with_offsets(text: str) -> FreeText:
    """As `free_text`, with the map of spans from `text` into the result."""
    tidy = clean_with_offsets(text)
    mapped = tidy.map_span
    while True:
        if (scrubbed := scrub(tidy.text)).found:
            tidy = clean_with_offsets(scrubbed.text)
            mapped = mapped.then(scrubbed.map_span).then(tidy.map_span)
        elif len(tidy.text) > MAX_CHARACTERS:
            tidy = shortened(tidy.text)
            mapped = mapped.then(tidy.map_span)
        else:
            return FreeText(_disarmed(tidy.text), mapped)


def render_session(
    scene: Scene, events: Sequence[SessionEvent], *, max_events: int = MAX_EVENTS, clean_already: bool = False
) -> ModelInput:
    """The text of the newest `max_events` of `events`, which come oldest to newest, for an answer in `scene`.

    The text depends on the events given and on nothing else: what comes after the observation cut-off is the caller's
    to leave out (`events[:cut]`). `clean_already` says that the words of `events` went through `free_text` before, as
    those of a session store did: doing it again would change nothing.
    """
    parts = [SCENE_TOKENS[scene]]
    length = len(parts[0])
    start = end = 0
    shown: set[str] = set()
    last_words = ""
    previous: SessionEvent | None = None
    for event in events[-max_events:] if max_events > 0 else ():
        if previous is not None and (gap := gap_token(event.event_time - previous.event_time)) is not None:
            parts.append(gap)
            length += 1 + len(gap)
        token = EVENT_TOKENS[event.event_name]
        parts.append(token)
        length += 1 + len(token)
        for typed in (event.search_term, event.text):
            words = (typed if clean_already else free_text(typed)) if typed else ""
            # A results page repeats the search before it: once is enough.
            if not words or (words == last_words and typed is event.search_term):
                continue
            parts.append(words)
            start, end = length + 1, length + 1 + len(words)
            length = end
            last_words = words
        for item in event.items[:MAX_ITEMS_SHOWN]:
            for piece in _item_pieces(item, shown):
                parts.append(piece)
                length += 1 + len(piece)
        previous = event
    text = " ".join(parts)
    language = detect(text[start:end]) if end else detect(_TOKEN_SHAPED.sub("", text))
    return ModelInput(text=text, utterance_start=start, utterance_end=end, scene=scene, language=language)


def render_utterance(text: str, scene: str = Scene.CUSTOMER_SERVICE) -> ModelInput:
    """A lone text as the model reads it: a session of one event, a search in the search scene, else a message.

    `scene` may be one of a shop's own, beyond the contract's.
    """
    name = EventName.SEARCH if scene == Scene.SEARCH else EventName.MESSAGE
    words = free_text(text)
    head = f"{scene_token(scene)} {EVENT_TOKENS[name]}"
    if not words:
        return ModelInput(text=head, utterance_start=0, utterance_end=0, scene=scene, language="en")
    start = len(head) + 1
    return ModelInput(f"{head} {words}", start, start + len(words), scene, detect(words))


def newest_words(text: str) -> str:
    """The newest free text in a rendered `text`: what was searched, written or reviewed last; empty without any.

    Words of an item that the same event shows after it stay in: nothing in the text tells them apart.
    """
    found = ""
    for typed in _TYPED.finditer(text):
        found = typed[1]
    return found


def _item(row: Mapping[str, Any]) -> SessionItem:
    return SessionItem(
        item_id=row["item_id"],
        item_name=row["item_name"],
        item_brand=row["item_brand"],
        item_category=row["item_category"],
        price=row["price"],
        quantity=row["quantity"],
    )


def _item_pieces(item: SessionItem, shown: set[str]) -> list[str]:
    """The words and tokens of one product; `shown` remembers the products of the text so far."""
    key = item.item_id or item.item_name or ""
    if key in shown:
        return [AGAIN_TOKEN, *filter(None, (_item_words(item.item_name, None, None),))]
    shown.add(key)
    words = _item_words(item.item_name, item.item_brand, item.item_category)
    return [piece for piece in (words, price_token(item.price)) if piece]


@lru_cache(maxsize=1 << 16)
def _item_words(name: str | None, brand: str | None, category: str | None) -> str:
    """Name, brand and the last level of the category, each once; an item that is only an id has no words."""
    words = ""
    for part in (name, brand, re.split(r"[/>|]", category)[-1] if category else None):
        cleaned = _disarmed(clean(part)) if part else ""
        if cleaned and cleaned.casefold() not in words.casefold():
            words = f"{words} {cleaned}" if words else cleaned
    return words[:MAX_ITEM_CHARACTERS].rstrip()


def _disarmed(text: str) -> str:
    """`text` with token-shaped pieces in round brackets, so that nobody can type an event; length and offsets stay."""
    return _TOKEN_SHAPED.sub(_brackets, text) if "<" in text else text


def _brackets(found: re.Match[str]) -> str:
    return found.group() if found.group() in PLACEHOLDER_TOKENS else f"({found[1]})"
