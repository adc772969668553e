"""Labels from behaviour: each rule says its intent, and keeps silent where behaviour does not tell."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from intent_tracking.events.simulator import intents
from intent_tracking.sessions.labels import BEHAVIOUR_LABELS, behaviour_intent, outcome
from tests.fakes.session_events import NOON

pytestmark = pytest.mark.unit


def session(*steps: str, seconds: float = 20) -> dict[str, Any]:
    """Steps such as `view_item:d1/dresses`, `seconds` apart: the event, the product and its category."""
    events: list[dict[str, Any]] = []
    for step in steps:
        name, _, product = step.partition(":")
        item, _, category = product.partition("/")
        items = [{"item_id": item, "item_name": None, "item_category": category or None}] if product else []
        at = NOON + timedelta(seconds=seconds * len(events))
        events.append({"event_name": name, "event_time": at, "items": items})
    return {"session_id": "s", "events": events}


def test_the_names_are_those_of_the_shop() -> None:
    assert set(BEHAVIOUR_LABELS) <= set(intents.INTENTS)


CART = ["view_item:d1", "add_to_cart:d1"]


@pytest.mark.parametrize(
    ("seen", "later", "intent"),
    [
        (CART, ["begin_checkout", "purchase:d1"], "purchase"),
        (["view_promotion", "select_promotion", "view_item:d1"], [], "bargain"),
        (["view_item:d1/a", "view_item:d2/a", "view_item:d3/a", "view_item:d1/a"], ["view_item:d3/a"], "compare"),
        (["view_item:d1/a", "view_item:d2/a", "view_item:d1/a", "view_item:d2/a"], [], "compare"),
        (["search", "view_search_results"], ["select_item:d1"], "find_product"),
        (["search", "view_search_results", "search", "view_item:d1"], [], "find_product"),
        (["view_item_list", "view_item:d1/a", "view_item:s1/b", "view_item:h1/c"], ["view_item_list"], "explore"),
        # Where behaviour does not tell:
        (["message"], ["message", "refund"], None),
        (["view_item:d1"], ["refund:d1"], None),
        ([*CART, "message", "begin_checkout"], ["purchase:d1"], None),
        (["view_item:d1"], ["add_to_cart:d1", "purchase:d1"], None),
        ([*CART, "view_item:d2"], ["purchase:d1"], None),
        (["select_promotion", *CART, "view_cart"], ["purchase:d1"], None),
        ([*CART, "add_payment_info", "add_payment_info"], ["purchase:d1"], None),
        (["view_promotion", "view_item:d1"], [], None),
        (["view_item_list", "view_promotion", "view_promotion"], [], None),
        (["view_item:d1/a", "view_item:s1/b", "view_item:d1/a", "view_item:h1/c"], [], None),
        (["view_item:d1/a", "view_item:d2/a", "view_item:d1/a"], [], None),
        (["select_item:d1/a", "view_item:d1/a", "view_item:d2/a"], [], None),
        (["search", "view_search_results"], ["message"], None),
        (["search", "view_search_results"], ["select_item:d1", "add_to_cart:d1"], None),
        (["search", *["view_item:d1/a", "view_item:d2/a"] * 3], ["select_item:d1"], "compare"),
        (["view_item_list", "view_item:d1/a", "view_item:s1/b", "view_item:h1/c"], ["search"], None),
        (["view_item_list", "view_item:d1/a"], [], None),
        ([], ["purchase:d1"], None),
    ],
)
def test_behaviour_tells_or_keeps_silent(seen: list[str], later: list[str], intent: str | None) -> None:
    assert behaviour_intent(session(*seen, *later), len(seen)) == intent


def test_a_machine_has_no_intent() -> None:
    steps = ["view_item:d1/a", "view_item:d2/a"] * 6
    assert behaviour_intent(session(*steps), 8) == "compare"
    assert behaviour_intent(session(*steps, seconds=0.8), 8) is None


def test_the_outcome_is_what_comes_after_the_cut() -> None:
    bought = session("view_item:d1", "purchase:d1", "message")
    assert outcome(bought, 1) is True
    assert outcome(bought, 2) is False
