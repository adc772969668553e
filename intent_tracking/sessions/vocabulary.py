"""The tokens that stand for behaviour in the text of a session, typed once for rendering, tokenization and the service.

Order matters: it fixes the ids of the added tokens in every artifact. Append, never reorder.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from typing import Final

from intent_tracking.events.contract import EventName, Scene
from intent_tracking.text.personal_data import PLACEHOLDERS

SCENE_NAME: Final = "[a-z0-9_]+"
"""What a scene may be called: one of the contract or one of a shop's own."""


@lru_cache(maxsize=256)
def scene_token(scene: str) -> str:
    """The token of a scene, of the contract or of a shop's own.

    Raises:
        ValueError: the name is not made of small letters, digits and underscores.
    """
    if not re.fullmatch(SCENE_NAME, scene):
        raise ValueError(f"scene {scene!r}: name it in small letters, digits and underscores")
    return f"<scene:{scene}>"


SCENE_TOKENS: Final[dict[Scene, str]] = {scene: scene_token(scene) for scene in Scene}
EVENT_TOKENS: Final[dict[EventName, str]] = {name: f"<{name.value}>" for name in EventName}

SESSION_GAP: Final = timedelta(minutes=30)
"""A longer silence than this ends a session."""

GAP_BANDS: Final[tuple[tuple[timedelta, str], ...]] = (
    (timedelta(minutes=1), "<gap:1m>"),
    (timedelta(minutes=5), "<gap:5m>"),
    (SESSION_GAP, "<gap:30m>"),
)
"""Silence up to the bound, over the bound before it. Under `GAP_FLOOR` there is no token."""
GAP_FLOOR: Final = timedelta(seconds=10)
GAP_TOKENS: Final = tuple(token for _, token in GAP_BANDS)

PRICE_BANDS: Final[tuple[tuple[float, str], ...]] = (
    (10.0, "<price:0-10>"),
    (30.0, "<price:10-30>"),
    (100.0, "<price:30-100>"),
    (300.0, "<price:100-300>"),
    (1000.0, "<price:300-1000>"),
    (float("inf"), "<price:1000+>"),
)
"""Price of one unit below the bound, in the currency of the event; half a decade a band."""
PRICE_TOKENS: Final = tuple(token for _, token in PRICE_BANDS)

AGAIN_TOKEN: Final = "<again>"  # noqa: S105
"""In front of an item that the visible part of the session has shown before."""

PLACEHOLDER_TOKENS: Final = tuple(PLACEHOLDERS.values())

SPECIAL_TOKENS: Final[tuple[str, ...]] = (
    *SCENE_TOKENS.values(),
    *EVENT_TOKENS.values(),
    *GAP_TOKENS,
    *PRICE_TOKENS,
    AGAIN_TOKEN,
    *PLACEHOLDER_TOKENS,
)


def gap_token(gap: timedelta) -> str | None:
    """The token of a silence between two events; `None` under ten seconds, the last band for all that is longer."""
    if gap < GAP_FLOOR:
        return None
    return next((token for bound, token in GAP_BANDS if gap <= bound), GAP_TOKENS[-1])


def price_token(price: float | None) -> str | None:
    """The token of a price band; `None` where there is no price, or it is zero (archives mean "unknown" by that)."""
    if price is None or not price > 0:
        return None
    return next(token for bound, token in PRICE_BANDS if price < bound or bound == float("inf"))
