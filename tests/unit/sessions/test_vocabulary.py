"""The special tokens: complete, unique and in a stable order."""

from __future__ import annotations

from datetime import timedelta

import pytest

from intent_tracking.events.contract import EventName, Scene
from intent_tracking.sessions.vocabulary import EVENT_TOKENS, SCENE_TOKENS, SPECIAL_TOKENS, gap_token, price_token

pytestmark = pytest.mark.unit


def test_every_scene_and_event_has_a_token_of_its_own() -> None:
    assert set(SCENE_TOKENS) == set(Scene)
    assert set(EVENT_TOKENS) == set(EventName)
    assert len(set(SPECIAL_TOKENS)) == len(SPECIAL_TOKENS)


def test_the_order_is_that_of_every_artifact() -> None:
    """Token ids follow this order. Only ever append: a change here makes older artifacts unreadable."""
    assert " ".join(SPECIAL_TOKENS) == (
        "<scene:search> <scene:browse> <scene:cart> <scene:customer_service> <scene:marketing> "
        "<view_item_list> <select_item> <view_item> <view_search_results> <search> "
        "<add_to_wishlist> <add_to_cart> <remove_from_cart> <view_cart> <begin_checkout> "
        "<add_shipping_info> <add_payment_info> <purchase> <refund> <view_promotion> "
        "<select_promotion> <share> <message> <review> <gap:1m> <gap:5m> <gap:30m> <price:0-10> "
        "<price:10-30> <price:30-100> <price:100-300> <price:300-1000> <price:1000+> <again> "
        "<phone> <email> <card> <id_number> <address> <ip>"
    )


@pytest.mark.parametrize(
    ("seconds", "token"),
    [
        (0, None),
        (9, None),
        (10, "<gap:1m>"),
        (60, "<gap:1m>"),
        (61, "<gap:5m>"),
        (1800, "<gap:30m>"),
        (9999, "<gap:30m>"),
    ],
)
def test_silences_fall_into_bands(seconds: int, token: str | None) -> None:
    assert gap_token(timedelta(seconds=seconds)) == token


@pytest.mark.parametrize(
    ("price", "token"),
    [
        (None, None),
        (0.0, None),
        (0.01, "<price:0-10>"),
        (10.0, "<price:10-30>"),
        (999.9, "<price:300-1000>"),
        (1e9, "<price:1000+>"),
    ],
)
def test_prices_fall_into_bands(price: float | None, token: str | None) -> None:
    assert price_token(price) == token
