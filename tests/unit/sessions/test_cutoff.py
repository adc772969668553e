"""What a training example may see of a session."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.events.contract import EventName
from intent_tracking.sessions.cutoff import OUTCOME_EVENTS, observation_cutoff

pytestmark = pytest.mark.unit


def session(session_id: str, *names: str) -> dict[str, Any]:
    return {"session_id": session_id, "events": [{"event_name": name} for name in names]}


@given(st.text(max_size=8), st.lists(st.sampled_from([name.value for name in EventName]), min_size=1, max_size=12))
def test_the_outcome_is_never_visible(session_id: str, names: list[str]) -> None:
    cut = observation_cutoff(session(session_id, *names))
    assert not OUTCOME_EVENTS & set(names[:cut])
    assert (cut == 0) == (names[0] in OUTCOME_EVENTS)


def test_every_moment_before_the_outcome_is_as_likely() -> None:
    names = ["view_item", "add_to_cart", "begin_checkout", "purchase", "message"]
    cuts = Counter(observation_cutoff(session(f"s{n}", *names)) for n in range(3000))
    assert set(cuts) == {1, 2, 3}
    assert min(cuts.values()) > 900


def test_without_an_outcome_the_last_event_may_be_visible() -> None:
    cuts = {observation_cutoff(session(f"s{n}", "search", "view_item")) for n in range(50)}
    assert cuts == {1, 2}


def test_the_cut_stays_where_it_was_until_the_seed_changes() -> None:
    one = session("web-1", *["view_item"] * 40)
    assert observation_cutoff(one, seed=3) == observation_cutoff(one, seed=3)
    assert len({observation_cutoff(one, seed) for seed in range(20)}) > 5
