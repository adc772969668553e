from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.modeling.splits import Windows, split_shoppers, split_utterance

pytestmark = pytest.mark.unit

UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
_VISITS = st.lists(st.tuples(st.integers(0, 12), st.integers(-3, 20 * 24)), max_size=80)


@settings(max_examples=150, deadline=None)
@given(_VISITS, st.integers(0, 5), st.integers(1, 30))
def test_no_shopper_stands_on_both_sides_and_training_is_older(
    visits: list[tuple[int, int]], seed: int, most: int
) -> None:
    shoppers = [f"s{shopper}" for shopper, _ in visits]
    times = [UNTIL - timedelta(hours=hours) for _, hours in visits]
    windows = Windows.ending(UNTIL, 2, 3)
    splits = split_shoppers(shoppers, times, windows, seed=seed, most_held_out=most)
    sides = {name: {s for s, split in zip(shoppers, splits, strict=True) if split == name} for name in set(splits)}
    for one, other in (("train", "test"), ("validation", "test")):
        assert not sides.get(one, set()) & sides.get(other, set())
    for time, split in zip(times, splits, strict=True):
        if split == "train":
            assert time < windows.test_from
        if split == "validation":
            assert windows.validation_from <= time < windows.test_from
        if split == "test":
            assert windows.test_from <= time < UNTIL


def test_what_validation_does_not_need_is_trained_on_up_to_the_test_window() -> None:
    shoppers = [f"s{place}" for place in range(200)]
    times = [UNTIL - timedelta(days=1, hours=1)] * 200
    splits = split_shoppers(shoppers, times, Windows.ending(UNTIL, 1, 1), seed=0, most_held_out=1000)
    assert (splits.count("validation"), splits.count("train")) == (20, 180)


def test_held_out_shoppers_are_no_more_than_needed() -> None:
    shoppers = [f"s{place}" for place in range(100)]
    times = [UNTIL - timedelta(hours=1)] * 100
    splits = split_shoppers(shoppers, times, Windows.ending(UNTIL, 1, 1), seed=0, most_held_out=10)
    assert splits.count("test") == 10


def test_an_utterance_is_on_one_side_whatever_its_case_and_spaces() -> None:
    assert split_utterance("Where is  my parcel", 3) == split_utterance("where is my parcel", 3)
    names = [split_utterance(f"text {place}", 0) for place in range(2000)]
    assert 150 < names.count("test") < 250
    assert 150 < names.count("validation") < 250


def test_negative_days_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Windows.ending(UNTIL, -1, 1)
