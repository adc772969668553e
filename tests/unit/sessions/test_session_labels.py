"""Labels from behaviour: each rule says its intent, and keeps silent where behaviour does not tell."""

from __future__ import annotations

from typing import Any

import pytest

from intent_tracking.events.simulator import intents
from intent_tracking.sessions.labels import BEHAVIOUR_LABELS, behaviour_intent, outcome

pytestmark = pytest.mark.unit


def session(*steps: str) -> dict[str, Any]:
    """Steps such as `view_item:d1/dresses`: the event, the product and its category."""
    events = []
    for step in steps:
        name, _, product = step.partition(":")
        item, _, category = product.partition("/")
        items = [{"item_id": item, "item_name": None, "item_category": category or None}] if product else []
        events.append({"event_name": name, "items": items})
    return {"session_id": "s", "events": events}


def test_the_names_are_those_of_the_shop() -> None:
    assert set(BEHAVIOUR_LABELS) <= set(intents.INTENTS)


@pytest.mark.parametrize(
    ("seen", "later", "intent"),
    [
        (["message"], ["message", "refund"], "return_refund"),
        (["view_item:d1", "add_to_cart:d1"], ["begin_checkout", "purchase:d1"], "purchase"),
        (["view_promotion", "select_promotion", "view_item:d1"], [], "bargain"),
        (["view_item:d1/a", "view_item:d2/a", "view_item:d1/a"], ["view_item:d3/a"], "compare"),
        (["search", "view_search_results"], ["select_item:d1"], "find_product"),
        (["view_item_list", "view_item:d1/a", "view_item:s1/b", "view_item:h1/c"], ["view_item_list"], "explore"),
        # Where behaviour does not tell:
        (["message"], ["message"], None),
        (["add_to_cart:d1", "message"], ["purchase:d1"], None),
        (["view_item:d1"], ["add_to_cart:d1", "purchase:d1"], None),
        (["view_promotion", "view_item:d1"], [], None),
        (["view_item:d1/a", "view_item:s1/b", "view_item:d1/a"], [], None),
        (["select_item:d1/a", "view_item:d1/a", "view_item:d2/a"], [], None),
        (["search"], ["message"], None),
        (["search", *["view_item_list"] * 6], ["view_item:d1"], None),
        (["view_item_list", "view_item:d1/a", "view_item:s1/b", "view_item:h1/c"], ["search"], None),
        (["view_item_list", "view_item:d1/a"], [], None),
        ([], ["purchase:d1"], None),
    ],
)
def test_behaviour_tells_or_keeps_silent(seen: list[str], later: list[str], intent: str | None) -> None:
    assert behaviour_intent(session(*seen, *later), len(seen)) == intent


def test_the_outcome_is_what_comes_after_the_cut() -> None:
    bought = session("view_item:d1", "purchase:d1", "message")
    assert outcome(bought, 1) is True
    assert outcome(bought, 2) is False
